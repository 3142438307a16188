//! The model of a pod's life (`native_sidecar_core::lifecycle`) is held against a kubelet: pods whose containers say what
//! happens to them, each before and after its conversion. Every order that the model gives must have been kept, and every
//! time be met within a second.
//!
//! | File | What it does |
//! |---|---|
//! | `picked` | which pods: by hand, in the shape of golden cases, by lot |
//! | `plan` | what the containers of one do, and the pod that does so |
//! | `watch` | hears what they say |
//! | `seen` | sorts that by container and run |
//! | `compare` | holds it against the model |

mod compare;
mod picked;
mod plan;
mod seen;
mod watch;

use super::cluster::{Cluster, Namespace, PATIENCE, note};
use compare::{Verdict, compare};
use futures::future::join_all;
use native_sidecar_cases::catalogue;
use native_sidecar_core::{
    conversion::{self, ClusterFacts, Decision, Known, Settings},
    intent::Mode,
    lifecycle::{Lifecycle, Restarts, Role},
    pod::Pod,
};
use plan::{End, Ending, Plan, Then};
use seen::{Record, Span};
use serde_json::Value;
use std::{
    env,
    path::Path,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use watch::{Watch, Word};

/// So many pods live at once.
const AT_ONCE: usize = 20;

/// So many of them start at once: more keep two cores so busy that times mean nothing. Those that run only wait.
const STARTING_AT_ONCE: usize = 3;

/// So often a pod is repeated that something came too late in. What Kubernetes does otherwise it does each time.
const MOST_REPEATS: usize = 2;

/// So many of those that are repeated live at once.
const REPEATED_AT_ONCE: usize = 2;

/// A pod to look at: a plan, as it is or converted.
#[derive(Clone)]
struct Subject {
    plan: Plan,
    is_native: bool,
}

#[tokio::test]
async fn a_kubelet_does_what_the_model_says() {
    let Some(cluster) = Cluster::connect().await else { return };
    // Containers talk through pipes in a folder of the node, which we are on where `tests/cluster/node` made it.
    let Some(state) = env::var_os("CLUSTER_STATE").filter(|state| !state.is_empty()) else { return };
    if !cluster.has_nodes().await {
        return note("no nodes here: the model of a pod's life was not held against a kubelet");
    }
    let namespace = cluster.namespace().await;
    let only = env::var("NATIVE_SIDECAR_LIVES").unwrap_or_default();
    let plans = picked::plans().into_iter().filter(|plan| plan.name.contains(&only));
    let subjects: Vec<_> =
        plans.flat_map(|plan| [false, true].map(|is_native| Subject { plan: plan.clone(), is_native })).collect();
    let folder = Path::new(&state).join("lives");

    let began = Instant::now();
    let mut verdicts = all(&namespace, &folder, &subjects, AT_ONCE).await;
    let mut repeated = 0;
    for _ in 0..MOST_REPEATS {
        let is_late = |verdict: &Verdict| verdict.faults.is_empty() && !verdict.late.is_empty();
        let again: Vec<usize> = (0..subjects.len()).filter(|index| is_late(&verdicts[*index])).collect();
        for index in &again {
            note(&format!("a life is repeated: {}: {}", subjects[*index].name(), verdicts[*index].late.join("; ")));
        }
        repeated += again.len();
        let late: Vec<_> = again.iter().map(|index| subjects[*index].clone()).collect();
        for (index, verdict) in again.iter().zip(all(&namespace, &folder, &late, REPEATED_AT_ONCE).await) {
            verdicts[*index] = verdict;
        }
    }

    let native = subjects.iter().filter(|subject| subject.is_native).count();
    let sum = |count: fn(&Verdict) -> usize| verdicts.iter().map(count).sum::<usize>();
    note(&format!(
        "lives: {} pods ({} legacy, {native} native) on Kubernetes {}, {} orders, {} waits, worst wait off by {:.2} s, {} repeated, {} s",
        subjects.len(),
        subjects.len() - native,
        cluster.version,
        sum(|verdict| verdict.orders),
        sum(|verdict| verdict.waits),
        verdicts.iter().map(|verdict| verdict.worst).fold(0.0, f64::max),
        repeated,
        began.elapsed().as_secs()
    ));
    let faults = subjects.iter().zip(&verdicts).flat_map(|(subject, verdict)| {
        let all = verdict.faults.iter().chain(&verdict.late);
        all.map(|fault| format!("{}: {fault}", subject.name()))
    });
    let faults: Vec<_> = faults.collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

async fn all(namespace: &Namespace<'_>, folder: &Path, subjects: &[Subject], at_once: usize) -> Vec<Verdict> {
    let (places, starts) = (Semaphore::new(at_once), Semaphore::new(STARTING_AT_ONCE));
    let live = async |subject: &Subject| {
        let _place = places.acquire().await.unwrap();
        let record = subject.live(namespace, folder, &starts).await;
        let verdict = compare(&record, namespace.cluster.version);
        if env::var_os("NATIVE_SIDECAR_LIVES").is_some() {
            tell(subject, &record, &verdict);
        }
        verdict
    };
    join_all(subjects.iter().map(live)).await
}

/// For whoever looks at single pods: all that was said.
fn tell(subject: &Subject, record: &Record, verdict: &Verdict) {
    note(&format!("--- {}: {verdict:?}", subject.name()));
    let begins = record.created;
    for said in record.said.iter().filter(|said| said.word != Word::Beat) {
        note(&format!("{:7.2} {} {:?}", said.at - begins, said.name, said.word));
    }
    if let Some(deleted) = record.deleted {
        note(&format!("deletion at {:.2} to {:.2}", deleted.from - begins, deleted.to - begins));
    }
    note(&format!("over at {:.2?}", record.over.map(|over| over - begins)));
}

// === impl Subject ===

impl Subject {
    fn name(&self) -> String {
        format!("{} {}", if self.is_native { "native" } else { "legacy" }, self.plan.name)
    }

    /// Lets the pod live, and writes down what was seen.
    async fn live(&self, namespace: &Namespace<'_>, folder: &Path, starts: &Semaphore) -> Record {
        let folder = folder.join(super::cluster::unique("pod"));
        let pod = self.pod(&folder, namespace);
        let watch = Watch::new(folder, &self.plan);
        let parsed = Pod::parse(&pod).unwrap();
        let life = Lifecycle::of(&parsed, Some(namespace.cluster.version));

        let start = starts.acquire().await.unwrap();
        let created = watch::now();
        let stored = namespace.create(serde_json::from_str(&pod).unwrap()).await.created();
        let path = namespace.pod_path(stored["metadata"]["name"].as_str().unwrap());
        let reply = async || namespace.cluster.get(&path).await;
        let status = async || reply().await.created();

        self.wait_for_its_start(&life, &watch, status).await;
        drop(start);

        let mut deleted = None;
        let mut phase = String::new();
        let must_be_deleted = self.wait_for_its_end(&life, status).await;
        if must_be_deleted {
            status().await["status"]["phase"].as_str().unwrap_or_default().clone_into(&mut phase);
            let from = watch::now();
            namespace.cluster.send(http::Method::DELETE, &path, None).await.created();
            deleted = Some(Span { from, to: watch::now() });
            patiently(&format!("{} is gone", self.name()), async || reply().await.status == 404).await;
        }
        // Without a grace period the API server forgets the pod at once.
        let over = Some(watch::now()).filter(|_| !must_be_deleted || self.plan.grace > 0);
        patiently(&format!("all containers of {} are gone", self.name()), async || watch.all_gone()).await;
        if !must_be_deleted {
            namespace.cluster.send(http::Method::DELETE, &path, None).await;
        }
        Record { plan: self.plan.clone(), pod: pod.clone(), created, deleted, phase, over, said: watch.said() }
    }

    fn pod(&self, folder: &Path, namespace: &Namespace<'_>) -> String {
        let pod = self.plan.pod(&folder.to_string_lossy()).to_string();
        if !self.is_native {
            return pod;
        }
        let facts = ClusterFacts::all_at(namespace.cluster.version);
        let settings = Settings {
            catalogue: catalogue(),
            facts: &facts,
            known: Known::Stay,
            mode: Mode::Convert,
            containers: None,
            workload: None,
        };
        let conversion = conversion::convert(&pod, settings);
        assert_eq!(conversion.decision, Decision::Converted, "{}: {:?}", self.name(), conversion.reasons);
        native_sidecar_cases::patched(&pod, &conversion.patch).to_string()
    }

    /// Waits until all that is to start has started, second runs included.
    async fn wait_for_its_start(&self, life: &Lifecycle<'_>, watch: &Watch, status: impl AsyncFn() -> Value) {
        let name = self.name();
        match &self.plan.end {
            End::DeletedWhileStarting(init) => {
                let runs = async || watch.count(init, Word::Starts) > 0 && state(&status().await, init) == "running";
                patiently(&format!("{init} of {name} runs"), runs).await;
            }
            _ => patiently(&format!("all of {name} has started"), async || self.has_started(life, watch)).await,
        }
    }

    /// Waits until the pod has ended, or is to be deleted; says which.
    async fn wait_for_its_end(&self, life: &Lifecycle<'_>, status: impl AsyncFn() -> Value) -> bool {
        if matches!(self.plan.end, End::DeletedWhileStarting(_)) {
            return true;
        }
        let ends = |name: &str| self.ends(name) || self.stays_down(life, name);
        if self.plan.end == End::Application && life.awaited_at_the_end().all(|member| ends(member.name())) {
            patiently(&format!("{} ends", self.name()), async || {
                matches!(status().await["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
            })
            .await;
            return false;
        }
        // What the kubelet does of its own accord it has done when it has seen all this.
        patiently(&format!("the kubelet has seen all of {}", self.name()), async || {
            let status = status().await;
            life.members().iter().filter(|member| member.role != Role::RunOnce).all(|member| {
                state(&status, member.name()) == if ends(member.name()) { "terminated" } else { "running" }
            })
        })
        .await;
        true
    }

    /// Whether all that is started is started, hooks and second runs included.
    fn has_started(&self, life: &Lifecycle<'_>, watch: &Watch) -> bool {
        life.members().iter().all(|member| {
            let program = self.plan.program(member.name());
            let second =
                program.ends.is_some_and(|ends| ends.then != Then::Again) && !self.stays_down(life, member.name());
            let runs = 1 + usize::from(second);
            let hooks = if program.post_start.is_some() { runs } else { 0 };
            watch.count(member.name(), Word::Starts) >= runs
                && watch.count(member.name(), Word::PostStartReturned) >= hooks
        })
    }

    /// Whether the program comes to its end by itself, whatever becomes of it on the way.
    fn ends(&self, name: &str) -> bool {
        let ends = self.plan.program(name).ends;
        ends.is_some_and(|Ending { then, .. }| then != Then::Stays)
    }

    /// Whether it ends once, and is not started again.
    fn stays_down(&self, life: &Lifecycle<'_>, name: &str) -> bool {
        let Some(Ending { code, then: Then::Stays | Then::Succeeds, .. }) = self.plan.program(name).ends else {
            return false;
        };
        let index = life.members().iter().position(|member| member.name() == name).unwrap();
        match life.restarts(index) {
            Restarts::Always => false,
            Restarts::OnFailure => code == 0,
            Restarts::Never => true,
        }
    }
}

/// `running`, `terminated` or `waiting`.
fn state<'p>(pod: &'p Value, container: &str) -> &'p str {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let statuses = lists.iter().filter_map(|list| pod["status"][list].as_array()).flatten();
    let mut states =
        statuses.filter(|status| status["name"] == container).filter_map(|status| status["state"].as_object());
    states.next().and_then(|state| state.keys().next()).map_or("", String::as_str)
}

/// Asks less often than [`within`], since many pods are asked about at once.
async fn patiently(what: &str, question: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !question().await {
        assert!(start.elapsed() < PATIENCE, "not so after {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
