//! The table of finding codes. `docs/findings.md` is printed from it, so a code is described once.

use super::Severity;
use crate::text::nearest;
use std::{fmt, str::FromStr};

/// What stands behind a code, for `native-sidecar explain` and `docs/findings.md`.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// What the finding says about the pod.
    pub meaning: &'static str,
    /// Why it matters, in terms of what Kubernetes does.
    pub why: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// Where Kubernetes, a KEP or a vendor says so.
    pub source: &'static str,
}

macro_rules! codes {
    ($($variant:ident, $code:literal, $severity:ident {
        meaning: $meaning:literal, why: $why:literal, remedy: $remedy:literal, source: $source:literal $(,)?
    })+) => {
        /// A stable, closed set of finding codes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)+
        }

        impl Code {
            /// Every code, in the order of `docs/findings.md`.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code as users write it: kebab-case.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// How much a finding of this code weighs.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }

            /// What the code means, why it matters and what to do.
            #[must_use]
            pub const fn explanation(self) -> Explanation {
                match self {
                    $(Self::$variant => Explanation { meaning: $meaning, why: $why, remedy: $remedy, source: $source },)+
                }
            }
        }
    };
}

codes! {
    NameNotFound, "name-not-found", Warning {
        meaning: "A name in `native-sidecar.io/containers` matches no container of the pod.",
        why: "An injector may be switched off in one namespace, so the other names are converted all the same; a misspelt name stays a regular container.",
        remedy: "Correct the name, or remove it from the annotation if the container is gone for good.",
        source: "Kubernetes: container names are unique within a pod (validation.go, validateContainers)",
    }
    RunOnceInit, "run-once-init", Warning {
        meaning: "A name in `native-sidecar.io/containers` belongs to an init container that runs once.",
        why: "Only regular containers are moved. Giving a run-once init container `restartPolicy: Always` would change what it does: nothing would wait for its end any more.",
        remedy: "Take the name off the annotation. If it was meant to be a native sidecar, write `restartPolicy: Always` in the pod template.",
        source: "KEP-753",
    }
    AlreadyNative, "already-native", Note {
        meaning: "The container is an init container with `restartPolicy: Always` already.",
        why: "There is nothing to do: an injector in native mode, the chart, or an earlier call of this webhook has done it.",
        remedy: "Nothing. If it is always so, the name can be taken off the annotation.",
        source: "KEP-753",
    }
    NameInBothLists, "name-in-both-lists", Fatal {
        meaning: "The container's name is used both in `containers` and in `initContainers`.",
        why: "Names are unique across both lists; the API server answers such a pod with 422 `Duplicate value`. The usual cause is an injector that was called again after its container had been moved.",
        remedy: "Use the injector's own native mode, or let only one of the two write the container.",
        source: "Kubernetes: pkg/apis/core/validation/validation.go, validateInitContainers",
    }
    NameTwice, "name-twice", Fatal {
        meaning: "Two regular containers have the name that is to be moved.",
        why: "Names are unique; the API server answers such a pod with 422 `Duplicate value`, whatever the webhook does.",
        remedy: "Remove one of the two, or give it another name.",
        source: "Kubernetes: pkg/apis/core/validation/validation.go, validateContainers",
    }
    TooManyContainers, "too-many-containers", Fatal {
        meaning: "The pod has more containers than the webhook looks at (1000).",
        why: "No kubelet runs so many in one pod, and the webhook must answer everybody in time.",
        remedy: "Split the pod.",
        source: "Kubernetes: timeoutSeconds of admission webhooks",
    }
    AnnotationsTooLarge, "annotations-too-large", Fatal {
        meaning: "With the webhook's own annotation, the pod's annotations would be larger than Kubernetes allows.",
        why: "All annotations of an object together may take 256 KiB; the API server would refuse the pod.",
        remedy: "Remove or shorten annotations.",
        source: "Kubernetes: staging/src/k8s.io/apimachinery/pkg/api/validation/objectmeta.go, TotalAnnotationSizeLimitB",
    }
    PatchTooLarge, "patch-too-large", Fatal {
        meaning: "The change would take more bytes than the webhook sends for one pod (1 MiB).",
        why: "An answer takes memory until it has been read. Nearly all of a change is moves, which are short; what is copied is a readiness probe that becomes the startup probe, and one line for each variable that has to be rewritten.",
        remedy: "Shorten the probe, or have fewer variables with a `resourceFieldRef` that names the own container.",
        source: "Kubernetes: a whole request has 3 MiB at most (staging/src/k8s.io/apiserver/pkg/server/config.go, MaxRequestBodyBytes)",
    }
    InjectedAgain, "injected-again", Warning {
        meaning: "An injector wrote a container again that an earlier call of the webhook had moved, and the second copy was removed.",
        why: "The API server calls injectors again when a later webhook changes the pod. One that looks only among the regular containers does not find its own and adds it a second time; the API server would refuse the pod for the duplicate name.",
        remedy: "Nothing for this pod. Use the injector's own native mode, or set its `reinvocationPolicy` to `Never`.",
        source: "Kubernetes: reinvocation of mutating webhooks; pkg/apis/core/validation/validation.go, validateInitContainers",
    }
    RestartPolicyRepaired, "restart-policy-repaired", Warning {
        meaning: "A container that an earlier call of the webhook had moved had lost its `restartPolicy: Always`, and got it back.",
        why: "Another webhook, built on types older than native sidecars, drops the field from what it writes. Without it the container would be a run-once init container that never ends.",
        remedy: "Nothing for this pod. Update the webhook that drops the field.",
        source: "Kubernetes: Admission Webhook Good Practices; kubernetes/kubernetes#127701",
    }
    OnlyContainerLeft, "only-container-left", Fatal {
        meaning: "Moving the named containers would leave the pod without a regular container.",
        why: "`spec.containers` must keep at least one element; the API server answers 422 `Required value`.",
        remedy: "Leave the application itself off the annotation.",
        source: "Kubernetes: pkg/apis/core/validation/validation.go, validateContainers",
    }
    MirrorPod, "mirror-pod", Fatal {
        meaning: "The pod mirrors a static pod: a file on a node.",
        why: "The kubelet runs the file, not the API object; a changed mirror pod no longer matches what runs and is deleted and recreated.",
        remedy: "Write the native sidecar in the static pod's file on the node.",
        source: "Kubernetes: annotation kubernetes.io/config.mirror; Admission Webhook Good Practices",
    }
    UnreadablePod, "unreadable-pod", Fatal {
        meaning: "A field that the conversion has to read does not have the type Kubernetes gives it.",
        why: "A patch built on a guess could be rejected by the API server, and a rejected patch rejects the pod.",
        remedy: "Correct the field that the message names.",
        source: "Kubernetes API reference, PodSpec",
    }
    UnsoundPatch, "unsound-patch", Fatal {
        meaning: "The patch did not pass the webhook's own check, so it was not sent.",
        why: "Every patch is applied to the pod it was made for and the result is checked before the answer; this one failed, which is a bug in native-sidecar.",
        remedy: "Report it with the pod; the pod itself was admitted unchanged.",
        source: "RFC 6902; Kubernetes: a patch that does not apply rejects the pod even under failurePolicy Ignore (mutating/dispatcher.go)",
    }
    UnknownAnnotation, "unknown-annotation", Warning {
        meaning: "An annotation under the `native-sidecar.io` prefix is not one that the webhook knows.",
        why: "It has no effect. A misspelt key looks as if a wish had been expressed, and nothing happens.",
        remedy: "Correct the key; the README lists them all.",
        source: "README, Annotations",
    }
    UnusedAnnotation, "unused-annotation", Warning {
        meaning: "An annotation names a container that is not being moved.",
        why: "`position.`, `startup-probe.` and `pre-stop.` only shape containers that this webhook moves, so it has no effect here.",
        remedy: "Correct the container's name in the key, or list the container in `native-sidecar.io/containers`.",
        source: "README, Annotations",
    }
    InvalidValue, "invalid-value", Blocker {
        meaning: "The value of one of our annotations cannot be understood, or what should be a container's name cannot be one.",
        why: "Carrying on without it would be a guess, and the guess could be the opposite of what was meant. And where the value is no string, such as `true` without quotes or a list, the API server refuses the whole object, for it reads annotations into a map of strings.",
        remedy: "Correct the value as the message says. Accepting this finding ignores the annotation; but a pod whose `native-sidecar.io/mode` cannot be understood stays observed, accepted or not.",
        source: "README, Annotations; Kubernetes: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/types.go, ObjectMeta; pkg/util/validation/validation.go, IsDNS1123Label",
    }
    PositionNotFound, "position-not-found", Blocker {
        meaning: "A `position.` annotation names an init container that the pod does not have.",
        why: "The order was asked for because something depends on it; starting elsewhere could break that.",
        remedy: "Correct the name after `before:` or `after:`. Accepting this finding uses the default place.",
        source: "README, Annotations",
    }
    StubContainer, "stub-container", Warning {
        meaning: "The container is a stub without an image of its own: an injector has yet to fill it in.",
        why: "Injectors let users write a container of their name, with the image `auto` or none, and merge theirs into it. They may look for it among the regular containers only: once it is moved they add a second one, and the API server refuses the pod for the name that is there twice, or for an image that is missing.",
        remedy: "Let this webhook come after the injector (webhooks are called by name, and `reinvocationPolicy: IfNeeded` has this one called again), or use the injector's own native mode.",
        source: "istio pkg/kube/inject/webhook.go; Kubernetes: pkg/apis/core/validation/validation.go, validateContainerCommon",
    }
    ContainerRestartPolicy, "container-restart-policy", Blocker {
        meaning: "The container has a `restartPolicy` of its own that is not `Always`.",
        why: "`Never` or `OnFailure` says that the container is meant to end; a native sidecar is always restarted.",
        remedy: "Take the container off the annotation, or accept this finding to have its `restartPolicy` replaced by `Always`.",
        source: "KEP-5307 (container restart rules, Kubernetes 1.34 and later)",
    }
    RestartPolicyRules, "restart-policy-rules", Blocker {
        meaning: "The container has `restartPolicyRules` that cannot come along.",
        why: "Kubernetes 1.34 and 1.35 forbid them beside `restartPolicy: Always` on an init container, and rules that restart the container alone say nothing where it is always restarted. From 1.36 on rules with `RestartAllContainers` are allowed there and stay.",
        remedy: "Remove the rules, or accept this finding to have them dropped when the container is moved.",
        source: "Kubernetes: pkg/apis/core/validation/validation.go, validateInitContainerRestartPolicy",
    }
    ProbeCannotReach, "probe-cannot-reach", Blocker {
        meaning: "The startup probe is asked over the network at the pod's address, where the sidecar does not listen: it is set up to listen on localhost only, or not at all.",
        why: "The kubelet asks the pod's address. A program that listens on `127.0.0.1`, as the Cloud SQL proxy does unless it is told otherwise, never answers there; the startup probe never succeeds, the kubelet kills the sidecar again and again, and the pod stays in `Init`. What is known comes from the catalogue: flags and variables, and the program's defaults.",
        remedy: "Set the flag that the message names, or have the sidecar asked from inside: `startup-probe.native-sidecar.io/<container>: vendor`, or a probe with `exec` as JSON. Accept this where the program listens elsewhere after all, by a configuration that cannot be seen.",
        source: "Kubernetes: pkg/kubelet/prober/prober.go; cloud-sql-proxy cmd/root.go, --address and --http-address",
    }
    NoStartupGate, "no-startup-gate", Warning {
        meaning: "Nothing holds the application back until the sidecar works, although there is something that could: a readiness probe, or a gate of the vendor's that is off.",
        why: "Readiness does not gate the start: the application starts as soon as the sidecar's process runs. Only a startup probe or a postStart hook makes it wait. Some sidecars answer a startup probe only when they are told to: the Cloud SQL and AlloyDB proxies with `--health-check`. A Vault agent has rendered its secrets before the application starts only where its injector has added `vault-agent-init`. The readiness of a reverse proxy often is the application's own, which would then wait for itself.",
        remedy: "Do what the message says: `startup-probe.native-sidecar.io/<container>: vendor` where the vendor has a gate, `readiness` where readiness does not wait for the application, else a probe of another form; `none` says that no gate is wanted.",
        source: "Kubernetes: pkg/kubelet/kuberuntime/kuberuntime_container.go, computeInitContainerActions; cloud-sql-proxy cmd/root.go; vault-k8s agent-inject",
    }
    ServerTooOld, "server-too-old", Fatal {
        meaning: "The API server is older than 1.29.",
        why: "Before 1.29 the field is dropped or the feature is off: the sidecar would become a run-once init container that never ends, and the pod would hang in Init for ever.",
        remedy: "Upgrade the control plane to 1.29 or later; 1.33 made native sidecars stable.",
        source: "KEP-753; Kubernetes: pkg/features/kube_features.go, SidecarContainers",
    }
    RestartPolicyDropped, "restart-policy-dropped", Fatal {
        meaning: "The API server does not keep `restartPolicy: Always` on an init container.",
        why: "A dry run showed that the field is lost: the feature gate is off, or another admission webhook built on old types strips it. The pod would hang in Init for ever.",
        remedy: "Turn the feature gate SidecarContainers on, or update the webhook that strips the field; the webhook's log names the suspects.",
        source: "Kubernetes: pkg/api/pod/util.go, dropDisabledFields; kubernetes/kubernetes#127701",
    }
    KubeletTooOld, "kubelet-too-old", Blocker {
        meaning: "A node on which the pod may run has a kubelet older than the floor.",
        why: "A kubelet before 1.28 runs the sidecar as a run-once init container and the pod hangs; 1.28 has the feature off, and rejects the pod.",
        remedy: "Upgrade the nodes, or keep the pod off them with a node selector, a required node affinity or a taint: only nodes count that the scheduler may send the pod to. If such nodes can never run this pod, accept the finding; the floor is the setting `--kubelet-floor`.",
        source: "Kubernetes version skew policy; pkg/kubelet/lifecycle/predicate.go; component-helpers/scheduling/corev1/nodeaffinity",
    }
    ResizePolicyRemoved, "resize-policy-removed", Note {
        meaning: "`resizePolicy` was removed from the moved container.",
        why: "Before 1.33 the API server forbids it on init containers, and writes it as a default when in-place resize is on.",
        remedy: "Nothing; from 1.33 on it is kept.",
        source: "Kubernetes: pkg/apis/core/v1/defaults.go, SetDefaults_Pod; validation.go, validateInitContainers",
    }
    NeverStartupProbe, "never-startup-probe", Blocker {
        meaning: "The pod has `restartPolicy: Never`, the sidecar has a startup probe, and the kubelet may have a known bug.",
        why: "On kubelets up to 1.32, 1.33.0-1.33.5 and 1.34.0-1.34.1 the probe's worker ends if the sidecar fails once, and the application never starts.",
        remedy: "Upgrade the nodes, or remove the probe with `startup-probe.native-sidecar.io/<container>: none`.",
        source: "kubernetes/kubernetes#132826",
    }
    KubeletRestartStartupProbe, "kubelet-restart-startup-probe", Warning {
        meaning: "The sidecar has a startup probe, and a node runs a kubelet 1.35.0-1.35.3.",
        why: "After a restart of such a kubelet, a crashed application container behind a sidecar with a startup probe is not restarted.",
        remedy: "Upgrade the nodes to 1.35.4 or later, or remove the probe with `startup-probe.native-sidecar.io/<container>: none`.",
        source: "kubernetes/kubernetes#137146",
    }
    StartupProbeWithheld, "startup-probe-withheld", Note {
        meaning: "The startup probe that the catalogue gives this sidecar was left out.",
        why: "A kubelet in the cluster has a known bug with startup probes of native sidecars, or the probe would be asked through a mesh proxy that starts only later, or Istio, which rewrites probes only when it injects, would capture it; and the catalogue has no other that is asked inside the container. Without the probe the sidecar still starts first, but the application does not wait until it works.",
        remedy: "Upgrade the nodes, let the mesh proxy start first, or write the probe in the pod template, whichever the message says, to get it.",
        source: "kubernetes/kubernetes#132826, #137146; istio pkg/kube/inject/app_probe.go",
    }
    HostPort, "host-port", Blocker {
        meaning: "The container has a `hostPort` and the pod does not use the host's network.",
        why: "The kubelet hands only the ports of regular containers to the container runtime, so with most network plugins the port would silently stop working.",
        remedy: "Leave the container where it is, or use a Service. If your network plugin reads init containers (Cilium does), accept this finding.",
        source: "Kubernetes: pkg/kubelet/kuberuntime/kuberuntime_sandbox.go, generatePodSandboxConfig",
    }
    HostNetworkPorts, "host-network-ports", Blocker {
        meaning: "The pod uses the host's network, the container has ports, and the scheduler does not see them.",
        why: "Before 1.33.6 and 1.34.0 the scheduler ignores host ports of native sidecars: two such pods may land on one node, and the second fails to bind.",
        remedy: "Upgrade the control plane, keep such pods apart with anti-affinity and accept this finding, or leave the container where it is.",
        source: "kubernetes/kubernetes#132037",
    }
    NamedPort, "named-port", Blocker {
        meaning: "The container has named ports, and the control plane is older than 1.33.",
        why: "Before 1.33 a Service whose `targetPort` is a name does not find the port of a native sidecar and loses its endpoints.",
        remedy: "Use port numbers in Services and accept this finding, or upgrade the control plane to 1.33.",
        source: "kubernetes/kubernetes#128850; staging/src/k8s.io/endpointslice/utils.go, findPort",
    }
    NamedPortSelectors, "named-port-selectors", Warning {
        meaning: "The container has named ports that load balancers, monitoring or network policies may refer to.",
        why: "Services find them on a native sidecar, but the AWS load balancer controller and GKE's load balancers resolve a `targetPort` by name among regular containers only, and so do some network plugins and scrape configurations. Names that a known sidecar's injector gives its own ports are not counted.",
        remedy: "Refer to the port by number where a load balancer, a scrape target or a NetworkPolicy names it.",
        source: "kubernetes-sigs/aws-load-balancer-controller#4239; kubernetes/kubernetes#134651, #125285; prometheus/prometheus#14927",
    }
    PortNameTaken, "port-name-taken", Blocker {
        meaning: "A Service that finds the container's port by name would find the port of another container after the move.",
        why: "A `targetPort` by name is looked up among all regular containers first and among native sidecars only then; the first port of that name and protocol counts. An authenticating proxy in front of the application, for example, would be passed by.",
        remedy: "Give the port a name of its own. Where Services use the number, or nobody refers to the name, accept this finding.",
        source: "Kubernetes: staging/src/k8s.io/endpointslice/utils.go, FindPort",
    }
    StartDeadlock, "start-deadlock", Blocker {
        meaning: "The sidecar's startup probe or postStart hook waits for a port of a container that starts later.",
        why: "That container starts only after the sidecar has started, so neither would ever start.",
        remedy: "Let the probe ask the sidecar itself, or set `startup-probe.native-sidecar.io/<container>: none`. A hook has to be changed in the pod template; else leave the container where it is.",
        source: "KEP-753, scenario 7",
    }
    LivenessAsksApplication, "liveness-asks-application", Warning {
        meaning: "The sidecar's liveness probe asks a container that starts later.",
        why: "A sidecar's liveness probe counts from its own start, which now comes before the application's. While that one is not there the sidecar is killed again and again, with growing delays.",
        remedy: "Let the probe ask the sidecar itself, or give it an `initialDelaySeconds` that covers the start of the application.",
        source: "Kubernetes: pkg/kubelet/kuberuntime/kuberuntime_container.go, computeInitContainerActions; KEP-753",
    }
    NeedsApplication, "needs-application", Warning {
        meaning: "A flag or variable of the sidecar points at a container that starts only after it.",
        why: "A program that ends when it cannot connect is restarted with growing delays until the application is there. The application starts all the same: the kubelet needs to see the sidecar running only once. Known sidecars of this kind move only when they are named.",
        remedy: "If the program tries again by itself there is nothing to do; else give it the flag that makes it do so, or leave the container where it is.",
        source: "Kubernetes: pkg/kubelet/kuberuntime/kuberuntime_container.go, computeInitContainerActions; nginx/nginx-prometheus-exporter#36",
    }
    InitAsksSidecar, "init-asks-sidecar", Note {
        meaning: "An init container that runs once asks a port that the moved sidecar serves.",
        why: "Placed behind it, the sidecar would start only when that one has ended, as it did before the move. So the sidecar is placed in front of it where nothing speaks against that; where the pod's request would rise, or a mesh or a wish of the pod says otherwise, the finding is a warning.",
        remedy: "Where it is a warning, decide with `position.native-sidecar.io/<container>: before:<init container>`, or `last` to leave it so.",
        source: "KEP-753; airflow-helm/charts#464",
    }
    WorksAtTheEnd, "works-at-the-end", Blocker {
        meaning: "The container waits for the end of the application and does its work only then.",
        why: "Uploaders and senders of reports are such. A native sidecar gets SIGTERM at the very moment when the application has ended, is killed after the grace period, and its exit code counts for nothing: the work can be lost in a pod that reports success.",
        remedy: "Leave the container where it is, or do its work at the end of the application. A wait by which it only ends itself is something else and can go.",
        source: "Kubernetes: pkg/kubelet/kuberuntime/kuberuntime_manager.go, computePodActions; KEP-753",
    }
    ApplicationEndsSidecar, "application-ends-sidecar", Warning {
        meaning: "A container that stays ends the sidecar when it has done its own work.",
        why: "Without native sidecars that was the only way to let a Job complete. A native sidecar that is ended is started again; in a pod with `restartPolicy: OnFailure` the restart counts towards the Job's `backoffLimit`.",
        remedy: "Take the request or the wrapper out of the application: Kubernetes stops the sidecar by itself.",
        source: "KEP-753; Kubernetes: pkg/controller/job/job_controller.go, pastBackoffLimitOnFailure",
    }
    IgnoresTerm, "ignores-term", Warning {
        meaning: "The sidecar's first process is known not to act on SIGTERM.",
        why: "The kernel keeps a signal from the first process of a container that has no handler for it. So the container runs until it is killed, and the pod ends a whole grace period after its application.",
        remedy: "Let a shell trap TERM (`trap 'exit 0' TERM; tail -F file & wait`), start it by an init such as tini, or share the processes of the pod.",
        source: "Linux: pid_namespaces(7); Kubernetes: pkg/kubelet/kuberuntime/kuberuntime_container.go, killContainer",
    }
    LastLines, "last-lines", Note {
        meaning: "A collector that reads lines from files has no wait at its end.",
        why: "It gets SIGTERM some 50 ms after the application has ended. Lines that it has not read by then are lost. Its preStop hook runs when the application has ended, and SIGTERM comes only when the hook has returned.",
        remedy: "Give it a preStop hook that waits as long as the message says, such as `sleep: {seconds: 2}`, within the grace period. At a deletion the hook runs beside the draining application, so let it wait as much longer as that one drains.",
        source: "Kubernetes: pkg/kubelet/kuberuntime/kuberuntime_container.go, killContainer; aws/aws-for-fluent-bit#201",
    }
    StartupProbeGates, "startup-probe-gates", Note {
        meaning: "The application now waits for the container's startup probe.",
        why: "A probe that is answered by the application, or by the sidecar only when the application answers it, can never succeed: the application starts behind it.",
        remedy: "Nothing, if the sidecar answers by itself. Else set `startup-probe.native-sidecar.io/<container>: none`, or another probe.",
        source: "KEP-753, scenario 7; Kubernetes: pkg/kubelet/kuberuntime/kuberuntime_container.go, computeInitContainerActions",
    }
    PostStartWaits, "post-start-waits", Warning {
        meaning: "The sidecar's postStart hook waits for a file, a socket or a process that may be a later container's.",
        why: "The kubelet starts nothing else until the hook has returned. As a regular container behind the application it found what it waits for; as a sidecar it starts first.",
        remedy: "Take the wait out of the hook, or leave the container where it is.",
        source: "kubernetes/kubernetes#81450; Kubernetes: pkg/kubelet/kuberuntime/kuberuntime_container.go, startContainer",
    }
    PreStopQuit, "pre-stop-quit", Blocker {
        meaning: "The sidecar's preStop hook ends the sidecar, or unmounts what it serves.",
        why: "The hooks of all containers run at the start of a deletion, before the move and after it. A native sidecar would outlive an application that still drains, and this is what the hook takes from it; nothing restarts it then.",
        remedy: "Set `pre-stop.native-sidecar.io/<container>: remove`: Kubernetes now stops the sidecar after the application by itself. `keep` says that the hook is meant.",
        source: "Kubernetes: pkg/kubelet/kuberuntime/kuberuntime_container.go, killContainersWithSyncResult",
    }
    PreStopSleep, "pre-stop-sleep", Warning {
        meaning: "The sidecar's preStop hook only waits.",
        why: "The wait kept the sidecar alive beside a draining application; a native sidecar outlives it anyway. The wait now delays the end of every Job and uses up the grace period.",
        remedy: "Set `pre-stop.native-sidecar.io/<container>: remove`. Of log collectors this is not said: their wait is the time to read the last lines.",
        source: "KEP-753, termination",
    }
    PreStopDrain, "pre-stop-drain", Note {
        meaning: "The sidecar's preStop hook drains it without ending it.",
        why: "It runs at the start of termination, which is what the vendor's own native form does as well.",
        remedy: "Nothing.",
        source: "Istio injection template; Kuma, kuma-sidecar",
    }
    PreStopEarly, "pre-stop-early", Warning {
        meaning: "The sidecar has a preStop hook whose effect the webhook cannot tell.",
        why: "The hook runs at the start of a deletion, beside a draining application, as it did before the move; now it also runs when the application of a Job has ended.",
        remedy: "Check that it is harmless then; `pre-stop.native-sidecar.io/<container>: remove` removes it, `keep` says that it is fine.",
        source: "Kubernetes: pkg/kubelet/kuberuntime/kuberuntime_container.go, killContainersWithSyncResult",
    }
    PostStartGates, "post-start-gates", Note {
        meaning: "The sidecar has a postStart hook.",
        why: "The application starts only after the hook has returned; if it fails, the sidecar is restarted and the application waits.",
        remedy: "Nothing, if the hook waits for the sidecar itself. It must not wait for the application.",
        source: "Kubernetes: pkg/kubelet/kuberuntime/kuberuntime_container.go, startContainer",
    }
    GracePeriodShort, "grace-period-short", Warning {
        meaning: "The waits in preStop hooks use up the pod's whole grace period.",
        why: "Application and sidecars share one `terminationGracePeriodSeconds`; sidecars stop last, and one whose turn comes after the budget is spent is killed after 2 seconds.",
        remedy: "Raise `terminationGracePeriodSeconds`, or shorten the waits; `pre-stop.native-sidecar.io/<container>: remove` removes a sidecar's own.",
        source: "Kubernetes: pkg/kubelet/kuberuntime/kuberuntime_termination_order.go",
    }
    RequestRises, "request-rises", Warning {
        meaning: "The pod's effective resource request rises because the sidecar starts before a large init container.",
        why: "A sidecar runs beside every init container after it, so their requests add up; the pod may be Pending or exceed a quota.",
        remedy: "Place the sidecar last with `position.native-sidecar.io/<container>: last`, or lower the init container's request.",
        source: "Kubernetes: staging/src/k8s.io/component-helpers/resource/helpers.go, AggregateContainerRequests",
    }
    PodResourcesExceeded, "pod-resources-exceeded", Fatal {
        meaning: "The containers' effective request rises in a pod that sets `spec.resources`.",
        why: "The aggregate of the containers must not exceed the pod's own request, which was fixed before the move; the API server answers 422.",
        remedy: "Place the sidecar last with `position.native-sidecar.io/<container>: last`, or raise `spec.resources`.",
        source: "Kubernetes: pkg/apis/core/validation/validation.go, validatePodResourceConsistency",
    }
    PodLimitAppears, "pod-limit-appears", Warning {
        meaning: "After the move the kubelet limits the pod as a whole, which it did not before.",
        why: "For sidecars the kubelet adds limits up along the list, so a container without a limit behind one with a limit counts as limited, and the pod's cgroup gets the sum.",
        remedy: "Give every container a limit, or place the sidecars without limits first.",
        source: "Kubernetes: pkg/kubelet/cm/helpers_linux.go, ResourceConfigForPod",
    }
    EphemeralStorageLimit, "ephemeral-storage-limit", Warning {
        meaning: "The container has a limit on ephemeral storage, and a node on which the pod may run has a kubelet before 1.37.",
        why: "Before 1.37 the kubelet does not enforce a sidecar's own limit. What the pod uses as a whole is held against the sum of its limits, which can be relied on only where every regular container has a limit too.",
        remedy: "Upgrade the nodes, or use a `sizeLimit` on the volumes that the sidecar writes to.",
        source: "kubernetes/kubernetes#138371, #138462",
    }
    ExclusiveCpusFirst, "exclusive-cpus-first", Note {
        meaning: "The pod's quality of service is Guaranteed, and a container that moves and one that stays have whole CPUs.",
        why: "Where the kubelet gives out whole CPUs (`cpuManagerPolicy: static`), it does so in the order of init containers and then regular ones, so the sidecar is now served before the application. With a Topology Manager policy such as `single-numa-node` the application may then not fit, and the pod is refused with TopologyAffinityError.",
        remedy: "Nothing without that policy. With it, give the sidecar a fraction of a CPU, so that it shares those of others, or keep room on each NUMA node.",
        source: "Kubernetes: pkg/kubelet/cm/topologymanager/scope_container.go, Admit; pkg/kubelet/cm/cpumanager/policy_static.go, guaranteedCPUs",
    }
    ResourceFieldRewritten, "resource-field-rewritten", Note {
        meaning: "An environment variable that named its own container in `resourceFieldRef` now leaves the name out.",
        why: "For a named init container without that limit the kubelet gives 0; without the name it means the container itself and keeps its value.",
        remedy: "Nothing.",
        source: "Kubernetes: pkg/kubelet/kubelet_resources.go, defaultPodLimitsForDownwardAPI",
    }
    ResourceFieldZero, "resource-field-zero", Blocker {
        meaning: "An environment variable of another container reads a limit of the moved container that is not set.",
        why: "For a regular container the kubelet answers with the node's allocatable amount, for an init container with 0 (`GOMEMLIMIT=0`, for example).",
        remedy: "Set the limit on the sidecar, or accept this finding if 0 is fine.",
        source: "Kubernetes: pkg/kubelet/kubelet_pods.go, containerResourceRuntimeValue",
    }
    WindowsPod, "windows-pod", Blocker {
        meaning: "The pod is for Windows nodes: by `spec.os`, by the nodes that it selects, or by options that only Windows takes.",
        why: "Native sidecars have not been tested on Windows by this project.",
        remedy: "Accept this finding to convert it, and tell us how it went.",
        source: "KEP-753",
    }
    VirtualNode, "virtual-node", Blocker {
        meaning: "The pod selects, or is sent to, virtual nodes: no kubelet runs it, but a cloud's container service. So is a pod that tolerates their taint by name and does not ask for other nodes.",
        why: "Most providers of virtual nodes run every init container once and refuse ports, probes, hooks and resources on it: the application would wait for ever, or the pod is refused.",
        remedy: "Leave such pods alone. Newer providers keep init containers with `restartPolicy: Always` running (Huawei Cloud's from add-on 1.5.80 on, for example): accept this finding where yours is one, or where the pod never comes there.",
        source: "virtual-kubelet/azure-aci: pkg/provider/aci.go, getInitContainers; #204; Huawei Cloud CCI user guide, native sidecar containers",
    }
    BarePod, "bare-pod", Note {
        meaning: "No controller owns the pod.",
        why: "Applying the same manifest again would try to put the container back, which the API server refuses: a pod's containers cannot change.",
        remedy: "Nothing for pods that are created once. If the manifest is applied again and again, use `native-sidecar convert` on it instead.",
        source: "Kubernetes: pkg/apis/core/validation/validation.go, ValidatePodUpdate",
    }
    EngineContainer, "engine-container", Blocker {
        meaning: "The container belongs to a workflow engine or an operator that looks for it at its place in the pod.",
        why: "Some software execs into a container when the others have ended, reads its status, or starts and updates it, and looks among the regular containers only. Moved, the workload hangs, fails or loses its output. The engines that are known are data: `native-sidecar catalogue` lists them, and `--catalogue` adds to them.",
        remedy: "Do what the message says; most often leave the container off the annotation. Accept this finding where the engine does not do this to your pods, or looks among init containers as well.",
        source: "the engine's own code, named in the catalogue (crates/core/src/catalogue/engines.yaml); KEP-753, scenario 7 (Knative)",
    }
    EngineLooksElsewhere, "engine-looks-elsewhere", Warning {
        meaning: "Some software looks at this container among the regular ones, or takes it for another once it is a native sidecar.",
        why: "The pod runs, but a scheduler, an operator or a workflow engine sees less of the sidecar than before, or sees it wrongly: it may not count a device that the sidecar uses, or take a ready sidecar for its own step.",
        remedy: "Do what the message says; most often upgrade that software, or leave the container where it is.",
        source: "the engine's own code, named in the catalogue (crates/core/src/catalogue/engines.yaml)",
    }
    NamedElsewhere, "named-elsewhere", Warning {
        meaning: "Somebody who knows regular containers only is told to look for this container, by its name or by its place.",
        why: "An annotation of the pod names the container of a Velero hook, for example. With `native-sidecar convert` the object around the template is in sight as well: a Job's `podFailurePolicy` may have a rule with the container's name, which the 143 now matches with which a native sidecar ends after a failed application; and OpenShift's image triggers may count containers.",
        remedy: "Do what the message says: upgrade the reader, or name a container that stays.",
        source: "velero-io/velero#9393; Kubernetes: pkg/controller/job/pod_failure_policy.go; openshift/library-go: pkg/image/trigger/annotations.go; k8up-io/k8up: restic/kubernetes/pod_list.go",
    }
    WaitsThroughTheApi, "waits-through-the-api", Blocker {
        meaning: "Another container waits until this one is ready, and asks the API server for it among regular containers only.",
        why: "The status of a native sidecar is in `status.initContainerStatuses`. Whoever waits for it in `status.containerStatuses` waits in vain: kubexit (`KUBEXIT_BIRTH_DEPS`) gives up after 30 seconds and fails, kubernetes-entrypoint (`DEPENDENCY_CONTAINER`) and scripts wait for ever.",
        remedy: "Take the wait out, for the application starts behind the sidecar anyway (a startup probe makes it wait until the sidecar works), or have a script read both lists. Accept this finding where the command reads the status for another purpose.",
        source: "karlkfi/kubexit: cmd/kubexit/main.go, onReadyOfAll; stackanetes/kubernetes-entrypoint: dependencies/container/container.go",
    }
    OneShot, "one-shot", Blocker {
        meaning: "The container is told to do its work once and end.",
        why: "A native sidecar is restarted whenever it ends: it would run again and again, with growing delays, and the pod would never be ready.",
        remedy: "Make it a plain init container, or drop the option that ends it.",
        source: "KEP-753",
    }
    MeshStaysRegular, "mesh-stays-regular", Blocker {
        meaning: "The sidecar needs the network, or is probed over it, and the mesh proxy that carries it would start only later.",
        why: "The mesh's init container has already redirected the pod's traffic to a proxy that is not running yet. So the sidecar starts into a black hole, or the probe on which the application waits is never answered.",
        remedy: "Name the mesh proxy as well, first in the list, or use the mesh's own native mode.",
        source: "GoogleCloudPlatform/cloud-sql-proxy#2424; istio pkg/kube/inject/app_probe.go",
    }
    CniSkipsPod, "cni-skips-pod", Blocker {
        meaning: "The mesh's network plugin, not an init container, redirects the pod's traffic; it is old, or nothing tells that it is new, and the move leaves one regular container.",
        why: "The Istio CNI plugin before 1.19 looks at `spec.containers` only and leaves out pods with a single one, so the pod's traffic would bypass the mesh without a word. A digest tells no version, and the tags of OpenShift Service Mesh 2 are its own: all of its releases up to 2.5 are older than Istio 1.19. A proxy with a startup probe is of 1.20 or later.",
        remedy: "Have a plugin of 1.19 or later, then accept this finding; its version is taken to be that of the proxy.",
        source: "istio 1.18: cni/pkg/plugin/plugin.go; istio 1.20 change notes: startupProbe",
    }
    VendorForm, "vendor-form", Note {
        meaning: "The catalogue changed more than the place and the `restartPolicy`: the message names each probe, hook, variable, word and annotation.",
        why: "A known sidecar gets the form that its own vendor writes, since a hook or a probe that was right beside the application may be wrong in front of it. Whoever reads the pod should not have to find out by comparing.",
        remedy: "Nothing, where the form is welcome. `startup-probe.native-sidecar.io/<container>` and `pre-stop.native-sidecar.io/<container>` win over the catalogue.",
        source: "the vendor's sources, named in the catalogue",
    }
    VendorOptOut, "vendor-opt-out", Warning {
        meaning: "The pod asks this sidecar's injector for the regular form, and names the container for the move all the same.",
        why: "Such a sidecar never moves because it is known. To name it is the stronger word, so the vendor's annotation is overruled; but one of the two is probably a leftover.",
        remedy: "Remove the vendor's annotation, or take the name off `native-sidecar.io/containers`.",
        source: "the vendor's documentation, named in the catalogue",
    }
    VendorSwitch, "vendor-switch", Note {
        meaning: "The vendor of this sidecar can write the native form itself.",
        why: "An injector in native mode knows more than a webhook after it, and needs no second change of the pod.",
        remedy: "Use the switch that the message names.",
        source: "the vendor's documentation, named in the catalogue",
    }
    VpaUnmanaged, "vpa-unmanaged", Note {
        meaning: "A vertical pod autoscaler manages this pod.",
        why: "Up to VPA 1.7 it only looks at regular containers, so the sidecar's requests are no longer adjusted.",
        remedy: "Set the sidecar's requests yourself.",
        source: "kubernetes/autoscaler#7229",
    }
    JobBackoffLimit, "job-backoff-limit", Note {
        meaning: "The pod belongs to a Job with `restartPolicy: OnFailure`.",
        why: "Restarts of a native sidecar count towards the Job's `backoffLimit`, also during start-up.",
        remedy: "Raise `backoffLimit` if the sidecar restarts now and then.",
        source: "Kubernetes: pkg/controller/job/job_controller.go, pastBackoffLimitOnFailure",
    }
    JobExitCodes, "job-exit-codes", Note {
        meaning: "The pod belongs to a Job that has, or may have, a rule on exit codes for all containers in its `podFailurePolicy`.",
        why: "When the application has failed, the sidecar is stopped and ends with 143 or 137, and a rule that names no container can match that. `native-sidecar convert` sees the Job and says so only where there is such a rule; a webhook sees the pod alone and says so where the pod never restarts, as Jobs with a `podFailurePolicy` demand. A `successPolicy` knows indexes only, no containers.",
        remedy: "Set `containerName` in such rules to the application's container, not to the sidecar.",
        source: "Kubernetes: pkg/controller/job/pod_failure_policy.go, matchOnExitCodes; pkg/apis/batch/validation/validation.go",
    }
}

// === impl Code ===

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Code {
    /// The code that `text` means but for case and what stands between its words: `HOST_PORT` is `host-port`.
    #[must_use]
    pub fn meant_by(text: &str) -> Option<Self> {
        Self::spelt(text).parse().ok()
    }

    /// `text` as codes are spelt: `HOST_PORT` as `host-port`.
    #[must_use]
    pub fn spelt(text: &str) -> String {
        let words = |c: char| c.is_whitespace() || matches!(c, '_' | '-');
        let words: Vec<_> = text.split(words).filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect();
        words.join("-")
    }

    /// The code that `text` is likely a slip of the pen for.
    #[must_use]
    pub fn likely(text: &str) -> Option<Self> {
        Self::meant_by(text).or_else(|| {
            let nearest = nearest(&text.to_ascii_lowercase(), Self::ALL.iter().map(ToString::to_string))?;
            nearest.parse().ok()
        })
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(UnknownCode)
    }
}

/// A text that is no finding code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such finding code; `native-sidecar explain` lists them")]
pub struct UnknownCode;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_kebab_case_and_unique() {
        let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for text in texts {
            assert!(text.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{text}");
        }
    }

    #[test]
    fn a_code_reads_back() {
        for code in Code::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
        }
        assert_eq!("host-prot".parse::<Code>(), Err(UnknownCode));
    }

    #[test]
    fn a_code_is_known_however_it_is_written() {
        for text in ["host-port", "HOST-PORT", "Host_Port", " host port ", "host--port"] {
            assert_eq!(Code::meant_by(text), Some(Code::HostPort), "{text}");
        }
        assert_eq!(Code::meant_by("hostport"), None);
        assert_eq!(Code::likely("hostport"), Some(Code::HostPort));
        assert_eq!(Code::likely("HOST-PROT"), Some(Code::HostPort));
        assert_eq!(Code::likely("something else"), None);
    }

    #[test]
    fn every_code_is_explained_in_sentences() {
        for code in Code::ALL {
            let Explanation { meaning, why, remedy, source } = code.explanation();
            for sentence in [meaning, why, remedy] {
                assert!(sentence.ends_with('.') && !sentence.contains('\n'), "{code}: {sentence}");
            }
            assert!(!source.is_empty(), "{code}");
        }
    }
}
