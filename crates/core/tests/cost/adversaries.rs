//! Bodies as somebody would write them who wants a review to take long: each makes one thing large.

use native_sidecar_cases::admission_review;
use serde_json::{Map, Value, json};

/// A body of any size that is dear in one respect.
pub(crate) struct Adversary {
    pub(crate) name: &'static str,
    /// Writes a body of about so many bytes.
    pub(crate) write: fn(usize) -> String,
}

/// A pod being written.
struct Draft {
    annotations: Map<String, Value>,
    init: Vec<Value>,
    containers: Vec<Value>,
    spec: Map<String, Value>,
}

/// All of them.
pub(crate) fn all() -> Vec<Adversary> {
    macro_rules! adversaries {
        ($($write:ident: $name:literal,)*) => { vec![$(Adversary { name: $name, write: $write },)*] };
    }
    adversaries! {
        plain: "an ordinary sidecar in a pod with many volumes",
        image_of_slashes: "an image of many components, in a container with a known name",
        images_almost_known: "many containers with images that are almost known",
        ports_in_a_probe: "a startup probe that asks many ports of localhost, beside many containers",
        probes_of_all: "many containers that all move and ask each other's ports",
        references: "many variables that read the resources of many containers that move",
        carriers: "many moves beside many proxies that may carry their traffic",
        chain_of_positions: "a chain of containers, each behind the one before",
        record: "a long record of what was converted",
        positions_beside_one: "many containers beside the same init container",
        positions_first: "many containers that all want to be first",
        positions_in_a_circle: "many containers that wait for each other",
        record_of_all: "a record of many containers that stand in both lists",
        stripped: "many init containers that lost their restartPolicy",
        wishes: "wishes for many containers that are not there",
        unknown_keys: "many annotations that are almost ours",
        codes: "a long list of findings to accept",
        names: "a long list of names that are not there",
        flags: "a command line of many flags",
        flags_of_an_init_container: "many ports behind the flag of Istio's init container",
        words: "a command line of many words",
        variables: "many variables of a known sidecar",
        variables_of_another: "many variables of a container that stays",
        declared_ports: "many declared ports, asked for by name",
        resources: "many resources that are requested",
        limits_read: "many variables that read many limits",
        script: "a preStop hook with a long script",
        quits: "a preStop hook of many commands",
        readiness: "a readiness probe with a long command",
        status: "an injector's record that lists many containers",
        labels: "many labels, and containers with the names of an engine's",
        known: "many known sidecars with places of their own",
        owners: "many owner references",
        escapes: "texts of nothing but escapes",
        objects: "a list of empty objects in place of everything",
        deep: "deep nesting",
        warnings: "many containers of which each is worth a warning",
        blockers: "many annotations that do not parse",
        no_strings: "many annotations that are no strings, and a long list in place of names",
        empty_words: "a command line of empty words",
        short_variables: "many variables with names of one letter",
        short_resources: "many containers with many resources of short names",
        overrides: "an injector's record of many fields and objects",
        loops: "a script of many loops that wait for files",
        mounts: "many volumes, and files in them that are waited for",
        asking_inits: "many init containers that ask many containers that move",
        listens: "many variables with addresses, asked by probes",
        own_hosts: "one word of nothing but the own host",
        kills: "a script that kills many processes",
        own_addresses: "many variables with the pod's address, and a command that uses them",
        markers: "many flags with paths of what is waited for",
        own_hosts_alone: "a list of nothing but the own host, without ports",
        marks: "a script that writes many files last, in a volume with a long name",
        short_commands: "a script of the shortest commands",
        mounts_of_a_variable: "many volumes, and waits for files whose volume cannot be told",
        left_out: "a long list of ports that a mesh leaves out, and many probes",
        long_name: "many containers that ask one with a long name",
        port_names: "many containers that all move and have ports of the same names",
        waits: "many containers that wait for each other through the API server",
        placement: "many terms of node affinity, and many tolerations",
        engines: "many containers that engines nearly look for, in a pod that is nearly theirs",
        listed_names: "many containers of one name, beside an annotation that lists many names",
        copies: "many containers with images that may be copies of many others",
    }
}

fn loops(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    let script = "while [ ! -f /w/x ]; do sleep 1; done; a; ".repeat(bytes / 43);
    draft.containers.push(json!({"name": "helper", "image": "a", "command": ["sh", "-c", script],
        "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "until [ -e /w/y ]; do :; done"]}}},
        "volumeMounts": [{"name": "w", "mountPath": "/w"}]}));
    draft.containers.push(json!({"name": "app", "command": ["sh", "-c", "b; touch /w/x"], "volumeMounts": [{"name": "w", "mountPath": "/w"}]}));
    draft.review()
}

fn mounts(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    let mounts = repeated(bytes / 2, |n| json!({"name": format!("v{n}"), "mountPath": format!("/v/{n}")}));
    let waits = (0..bytes / 2 / 40).map(|n| format!("until [ -f /v/{n:05}/x ]; do :; done; work; "));
    let script = waits.collect::<Vec<_>>().concat();
    draft.containers.push(json!({"name": "helper", "command": ["sh", "-c", script], "volumeMounts": mounts}));
    draft.containers.push(json!({"name": "app", "volumeMounts": [{"name": "v1", "mountPath": "/v"}]}));
    draft.review()
}

fn asking_inits(bytes: usize) -> String {
    let containers =
        repeated(bytes / 2, |n| json!({"name": format!("c{n:05}"), "ports": [{"containerPort": n % 9000 + 1000}]}));
    let mut draft = Draft::moving_all(containers);
    draft.init.extend(repeated(
        bytes / 3,
        |n| json!({"name": format!("i{n}"), "args": [format!("localhost:{}", n % 9000 + 1000), "127.0.0.1:1000"]}),
    ));
    draft.review()
}

fn listens(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    let asks = repeated(
        bytes / 2,
        |n| json!({"name": format!("A{n}"), "value": format!("http://localhost:{}", n % 60000 + 1)}),
    );
    let serves =
        repeated(bytes / 2, |n| json!({"name": format!("LISTEN_{n}"), "value": format!(":{}", n % 60000 + 1)}));
    draft.containers.push(json!({"name": "helper", "image": "a", "env": asks}));
    draft.containers.push(json!({"name": "app", "image": "a", "env": serves}));
    draft.review()
}

fn own_hosts(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    let word = |text: &str| text.repeat(bytes / 3 / text.len());
    let args = [word("127.0.0.1:1,"), word("localhost"), word("http://localhost/@")];
    draft.containers.push(json!({"name": "helper", "image": "a", "args": args}));
    draft.review()
}

fn kills(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    draft.spec.insert("shareProcessNamespace".into(), true.into());
    let script = (0..bytes / 12).map(|n| format!("pkill p{n:05};")).collect::<Vec<_>>().concat();
    draft.containers.push(json!({"name": "helper", "image": "a"}));
    draft.containers.push(json!({"name": "app", "image": "a", "command": ["sh", "-c", script]}));
    draft.review()
}

fn own_addresses(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    let field = json!({"fieldRef": {"fieldPath": "status.podIP"}});
    let env = repeated(bytes / 2, |n| json!({"name": format!("V{n}"), "valueFrom": field}));
    let asks = (0..bytes / 2 / 14).map(|n| format!("$(V{n:05}):{:04} ", n % 9000 + 1000));
    let args = asks.collect::<Vec<_>>().concat();
    draft.containers.push(json!({"name": "helper", "image": "a", "env": env, "args": [args]}));
    draft.review()
}

fn markers(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    let args: Vec<_> = (0..bytes / 27).map(|n| format!("--done-file=/w/done.{n:05}")).collect();
    let mounts: Vec<_> = (0..30).map(|n| json!({"name": format!("v{n}"), "mountPath": format!("/w/{n}")})).collect();
    draft.containers.push(json!({"name": "helper", "image": "a", "args": args, "volumeMounts": mounts}));
    draft.review()
}

fn own_hosts_alone(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    draft.containers.push(json!({"name": "helper", "image": "a", "args": ["localhost,".repeat(bytes / 10)]}));
    draft.review()
}

fn marks(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    let mounts = json!([{"name": "v".repeat(bytes / 4), "mountPath": "/w"}]);
    let files = (0..bytes / 2 / 8).map(|n| format!(" /w/{n:04}"));
    let script = format!("a; touch{}", files.collect::<Vec<_>>().concat());
    let wait = "until [ -f /w/x ]; do :; done; work";
    draft.containers.push(json!({"name": "helper", "command": ["sh", "-c", wait], "volumeMounts": mounts}));
    draft.containers.push(json!({"name": "app", "command": ["sh", "-c", script], "volumeMounts": mounts}));
    draft.review()
}

fn short_commands(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    draft.containers.push(json!({"name": "helper", "command": ["sh", "-c", "a;".repeat(bytes / 4)]}));
    draft.containers.push(json!({"name": "app", "command": ["sh", "-c", "b;".repeat(bytes / 4)]}));
    draft.review()
}

fn mounts_of_a_variable(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    let mounts = repeated(bytes / 2, |n| json!({"name": format!("v{n}"), "mountPath": format!("/v/{n}")}));
    let script = "until [ -f $D/done ]; do :; done; work; ".repeat(bytes / 2 / 40);
    draft.containers.push(json!({"name": "helper", "command": ["sh", "-c", script], "volumeMounts": mounts}));
    draft.review()
}

fn left_out(bytes: usize) -> String {
    let containers = repeated(
        bytes / 2,
        |n| json!({"name": format!("c{n:05}"), "startupProbe": {"tcpSocket": {"port": n % 9000 + 1}}}),
    );
    let mut draft = Draft::moving_all(containers);
    let ports = ",".repeat(bytes / 2);
    draft.annotations.insert("traffic.sidecar.istio.io/excludeInboundPorts".into(), ports.into());
    draft.init.push(json!({"name": "istio-init", "image": "istio/proxyv2:1.24.0"}));
    draft
        .containers
        .push(json!({"name": "istio-proxy", "image": "istio/proxyv2:1.24.0", "args": ["proxy", "sidecar"]}));
    draft.review()
}

fn long_name(bytes: usize) -> String {
    let containers = repeated(
        bytes / 2,
        |n| json!({"name": format!("c{n:05}"), "args": ["http://localhost:81"], "livenessProbe": {"tcpSocket": {"port": 81}}}),
    );
    let mut draft = Draft::moving_all(containers);
    draft.containers.push(json!({"name": "n".repeat(bytes / 3), "ports": [{"containerPort": 81}]}));
    draft.review()
}

fn plain(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    draft.containers.push(json!({"name": "helper", "image": "fluent/fluent-bit:3"}));
    draft.spec.insert("volumes".into(), repeated(bytes, |n| json!({"name": format!("v{n}"), "emptyDir": {}})).into());
    draft.review()
}

fn image_of_slashes(bytes: usize) -> String {
    let mut draft = Draft::moving(["linkerd-proxy"]);
    draft.containers.push(json!({"name": "linkerd-proxy", "image": format!("{}x", "l5d/".repeat(bytes / 4))}));
    draft.review()
}

fn images_almost_known(bytes: usize) -> String {
    let mut draft = Draft::new();
    let image = "bitnami/vecto/l5d/l5d/".repeat(40);
    draft.containers.extend(repeated(bytes, |n| json!({"name": format!("c{n}"), "image": image})));
    draft.review()
}

fn ports_in_a_probe(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    let asks: Vec<_> = (0..bytes / 2 / 17).map(|n| format!("localhost:{:05}", n % 50_000 + 10_000)).collect();
    draft.containers.push(json!({"name": "helper", "image": "a", "startupProbe": {"exec": {"command": asks}}}));
    draft
        .containers
        .extend(repeated(bytes / 2, |n| json!({"name": format!("c{n}"), "ports": [{"containerPort": n % 5000 + 1}]})));
    draft.review()
}

fn probes_of_all(bytes: usize) -> String {
    let containers = repeated(bytes * 4 / 5, |n| {
        json!({"name": format!("c{n:05}"), "ports": [{"containerPort": 80}],
               "startupProbe": {"tcpSocket": {"port": n % 3 + 80}}, "readinessProbe": {"tcpSocket": {"port": 81}}})
    });
    Draft::moving_all(containers).review()
}

fn references(bytes: usize) -> String {
    let containers = repeated(bytes * 4 / 5, |n| {
        let reads = |of: usize| {
            let field = json!({"containerName": format!("c{:05}", n + of), "resource": "limits.memory"});
            json!({"name": format!("V{of}"), "valueFrom": {"resourceFieldRef": field}})
        };
        json!({"name": format!("c{n:05}"), "env": (0..8).map(reads).collect::<Vec<_>>()})
    });
    Draft::moving_all(containers).review()
}

fn carriers(bytes: usize) -> String {
    let proxies = repeated(
        bytes / 2,
        |n| json!({"name": format!("consul-dataplane-{n:04}"), "image": "hashicorp/consul-dataplane:1.9.0"}),
    );
    let moves = repeated(bytes / 3, |n| json!({"name": format!("c{n:05}"), "image": "cloud-sql-proxy:2.14.1"}));
    let mut draft = Draft::moving_all(moves);
    draft.annotations.insert("consul.hashicorp.com/transparent-proxy-status".into(), json!("enabled"));
    draft.init.push(json!({"name": "consul-connect-inject-init"}));
    draft.containers.extend(proxies);
    draft.review()
}

fn positions(bytes: usize, position: impl Fn(usize, usize) -> String) -> String {
    let count = bytes / 110;
    let mut draft = Draft::moving_all((0..count).map(|n| json!({"name": format!("c{n:05}")})).collect());
    draft.init.push(json!({"name": "init"}));
    for n in 0..count {
        draft.annotations.insert(format!("position.native-sidecar.io/c{n:05}"), position(n, count).into());
    }
    draft.review()
}

fn chain_of_positions(bytes: usize) -> String {
    // The last one that is listed is the first that finds its place.
    positions(bytes, |n, count| if n + 1 == count { "after:init".into() } else { format!("after:c{:05}", n + 1) })
}

fn positions_beside_one(bytes: usize) -> String {
    positions(bytes, |n, _| if n % 2 == 0 { "after:init".into() } else { "before:init".into() })
}

fn positions_first(bytes: usize) -> String {
    positions(bytes, |_, _| "first".into())
}

fn positions_in_a_circle(bytes: usize) -> String {
    positions(bytes, |n, count| format!("before:c{:05}", (n + 1) % count))
}

fn record(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    draft.annotations.insert("native-sidecar.io/converted".into(), names_of(bytes / 2).into());
    draft.containers.extend(repeated(bytes / 2, |n| json!({"name": format!("c{n:05}")})));
    draft.review()
}

fn record_of_all(bytes: usize) -> String {
    let mut draft = Draft::new();
    draft.annotations.insert("native-sidecar.io/converted".into(), names_of(bytes / 9).into());
    let init = repeated(bytes * 4 / 9, |n| json!({"name": format!("c{n:05}"), "restartPolicy": "Always"}));
    draft.containers.extend(init.iter().map(|init| json!({"name": init["name"], "image": "registry.example.com/a"})));
    draft.init = init;
    draft.review()
}

fn stripped(bytes: usize) -> String {
    let mut draft = Draft::new();
    draft.annotations.insert("native-sidecar.io/converted".into(), names_of(bytes / 4).into());
    draft.annotations.insert("native-sidecar.io/containers".into(), names_of(bytes / 4).into());
    draft.init = repeated(bytes / 2, |n| json!({"name": format!("c{n:05}")}));
    draft.review()
}

fn wishes(bytes: usize) -> String {
    with_annotations(bytes, |n| (format!("startup-probe.native-sidecar.io/c{n:05}"), "tcp:80".into()))
}

fn unknown_keys(bytes: usize) -> String {
    with_annotations(bytes, |n| (format!("native-sidecar.io/contain{n:05}"), "helper".into()))
}

fn codes(bytes: usize) -> String {
    with_annotations(bytes, |n| (format!("a{n}.native-sidecar.io/accept"), "host-port,host-prot".into()))
}

fn names(bytes: usize) -> String {
    let mut draft = Draft::new();
    draft.annotations.insert("native-sidecar.io/containers".into(), names_of(bytes).into());
    draft.review()
}

fn flags(bytes: usize) -> String {
    let args = repeated(bytes, |n| json!(format!("--flag{}={n}", n % 7919)));
    known_proxy(&json!({"args": args}))
}

fn flags_of_an_init_container(bytes: usize) -> String {
    let mut draft = Draft::moving(["istio-proxy"]);
    let ports: Vec<_> = (0..bytes / 6).map(|n| (n % 50_000 + 10_000).to_string()).collect();
    draft.init.push(json!({"name": "istio-init", "args": ["-d", ports.join(",")]}));
    let probe = json!({"httpGet": {"port": 15021, "path": "/healthz/ready"}});
    draft.containers.push(json!({"name": "istio-proxy", "image": "istio/proxyv2:1.26.0", "startupProbe": probe}));
    draft.review()
}

fn words(bytes: usize) -> String {
    known_proxy(&json!({"command": repeated(bytes, |n| json!(format!("w{n}")))}))
}

fn variables(bytes: usize) -> String {
    known_proxy(&json!({"env": repeated(bytes, |n| json!({"name": format!("V{n}"), "value": "x"}))}))
}

fn variables_of_another(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    let env = repeated(bytes, |n| json!({"name": format!("V{n}"), "value": "x"}));
    draft.containers.extend([json!({"name": "helper"}), json!({"name": "other", "env": env})]);
    draft.review()
}

fn declared_ports(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    let ports = repeated(bytes, |n| json!({"name": format!("p{n}"), "containerPort": n % 60_000 + 1}));
    let probe = json!({"httpGet": {"port": "p0", "path": "/"}});
    draft.containers.push(json!({"name": "helper", "ports": ports, "readinessProbe": probe, "startupProbe": probe}));
    draft.review()
}

fn resources(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    draft.annotations.insert("position.native-sidecar.io/helper".into(), json!("first"));
    draft.init.push(json!({"name": "init", "resources": {"requests": {"cpu": "1"}}}));
    let requests: Map<_, _> = (0..bytes / 30).map(|n| (format!("example.com/r{n:05}"), json!("1"))).collect();
    draft.containers.push(json!({"name": "helper", "resources": {"requests": requests}}));
    draft.review()
}

fn limits_read(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    let limits: Map<_, _> = (0..bytes / 2 / 28).map(|n| (format!("example.com/r{n:05}"), json!("1"))).collect();
    let env = repeated(bytes / 2, |n| {
        let field = json!({"containerName": "helper", "resource": format!("limits.example.com/r{n:05}")});
        json!({"name": "V", "valueFrom": {"resourceFieldRef": field}})
    });
    draft.containers.push(json!({"name": "helper", "resources": {"limits": limits}, "env": env}));
    draft.review()
}

fn script(bytes: usize) -> String {
    hook(&["sh", "-c", &"while true; do sleep 1; done; kill -HUP 1 && ".repeat(bytes / 46)])
}

fn quits(bytes: usize) -> String {
    hook(&repeated_text(bytes, |n| format!("http://localhost/a{n}/shutdown")))
}

fn readiness(bytes: usize) -> String {
    let words = repeated(bytes, |n| json!(format!("localhost:{}", n % 50_000 + 1)));
    known_proxy(&json!({"readinessProbe": {"exec": {"command": words}}}))
}

fn status(bytes: usize) -> String {
    let mut draft = Draft::moving(["istio-proxy"]);
    let listed: Vec<_> = (0..bytes / 10).map(|n| format!("c{n:05}")).chain(["istio-proxy".into()]).collect();
    let status = json!({"containers": listed}).to_string();
    draft.annotations.insert("sidecar.istio.io/status".into(), status.into());
    draft.containers.push(json!({"name": "istio-proxy", "image": "example.com/own"}));
    draft.review()
}

fn overrides(bytes: usize) -> String {
    let mut draft = Draft::moving(["istio-proxy"]);
    let fields = (0..bytes / 40).map(|n| (format!("k{n:05}"), json!(n)));
    let mut record: Map<_, _> = fields.collect();
    let listed = (0..bytes / 60).map(|n| json!({"x": n, "name": format!("c{n:05}"), "y": {}}));
    record.insert("containers".into(), listed.chain([json!({"name": "istio-proxy"})]).collect());
    draft.annotations.insert("proxy.istio.io/overrides".into(), Value::Object(record).to_string().into());
    draft.containers.push(json!({"name": "istio-proxy", "image": "istio/proxyv2:1.26.2"}));
    draft.review()
}

fn port_names(bytes: usize) -> String {
    let containers = repeated(bytes * 4 / 5, |n| {
        let port = |name: String, number: usize| json!({"name": name, "containerPort": number, "protocol": "UDP"});
        json!({"name": format!("c{n:05}"), "ports": [port("same".into(), 1), port(format!("p{}", n % 50), 2), port("end".into(), 3)]})
    });
    Draft::moving_all(containers).review()
}

fn waits(bytes: usize) -> String {
    let containers = repeated(bytes * 4 / 5, |n| {
        let names = [n / 2, n + 1, n + 7].map(|n| format!("c{n:05}")).join(",");
        let env = json!([{"name": "KUBEXIT_NAME", "value": "x"}, {"name": "KUBEXIT_BIRTH_DEPS", "value": names}]);
        json!({"name": format!("c{n:05}"), "env": env, "args": [format!(".status.containerStatuses[] {names}")]})
    });
    Draft::moving_all(containers).review()
}

fn placement(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    draft.containers.push(json!({"name": "helper"}));
    let terms = repeated(
        bytes / 2,
        |n| json!({"matchExpressions": [{"key": "type", "operator": "In", "values": ["virtual-kubelet", n.to_string()]}]}),
    );
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
    draft.spec.insert("affinity".into(), json!({"nodeAffinity": required}));
    let tolerations = repeated(bytes / 3, |n| json!({"key": "virtual-kubelet.io/provider", "value": n.to_string()}));
    draft.spec.insert("tolerations".into(), tolerations.into());
    draft.review()
}

fn labels(bytes: usize) -> String {
    let moves = repeated(bytes / 2, |n| json!({"name": format!("step-{n:05}")}));
    let mut draft = Draft::moving_all(moves);
    for n in 0..bytes / 4 / 30 {
        draft.annotations.insert(format!("example.com/a{n:05}"), json!("x"));
    }
    draft.review()
}

fn listed_names(bytes: usize) -> String {
    let mut draft = Draft::new();
    let names = repeated_text(bytes / 2, |n| format!("n{n}"));
    let status = json!({"containers": names}).to_string();
    draft.annotations.insert("sidecar.istio.io/status".into(), status.into());
    draft.containers.extend(repeated(bytes / 2, |_| json!({"name": "istio-proxy", "image": "x"})));
    draft.review()
}

fn copies(bytes: usize) -> String {
    let mut draft = Draft::new();
    let image = format!("rancher/mirrored{}{}", "-a".repeat(100), "-fips".repeat(100));
    draft.containers.extend(repeated(bytes, |n| json!({"name": format!("c{n}"), "image": image})));
    draft.review()
}

fn engines(bytes: usize) -> String {
    let moves = repeated(bytes / 2, |n| {
        json!({"name": format!("step-{n:05}"), "image": "docker:27-din",
            "env": [{"name": "KRUISE_CONTAINER_PRIORITX", "value": "1"}, {"name": "IS_INJECTED", "value": "truf"}],
            "resources": {"limits": {"nvidia.com/gpumen": "1", "example.com/gpucore": "1"}}})
    });
    let mut draft = Draft::moving_all(moves);
    for n in 0..bytes / 8 / 45 {
        draft.annotations.insert(format!("kruise.io/sidecarse-{n:05}"), json!("x"));
    }
    draft.annotations.insert("apps.kruise.io/container-launch-priority".into(), "Ordered".repeat(bytes / 8 / 7).into());
    let gates = repeated(bytes / 8, |n| json!({"conditionType": format!("InPlaceUpdateReady{n}")}));
    draft.spec.insert("readinessGates".into(), gates.into());
    draft.spec.insert("schedulerName".into(), "hami-scheduler".repeat(bytes / 16 / 14).into());
    draft.review()
}

fn known(bytes: usize) -> String {
    let mut draft = Draft::new();
    draft.init.extend(["vault-agent-init", "migrate", "istio-init"].map(|name| json!({"name": name})));
    draft.containers.extend(repeated(bytes, |n| match n % 3 {
        0 => json!({"name": format!("vault-agent-{n}"), "image": "hashicorp/vault:1.17"}),
        1 => json!({"name": format!("csql-{n}"), "image": "cloud-sql-proxy:2.14.1"}),
        _ => json!({"name": format!("c{n}"), "image": "fluent/fluent-bit:3"}),
    }));
    draft.review()
}

fn owners(bytes: usize) -> String {
    let owners = repeated(bytes, |n| json!({"kind": "Job", "name": format!("j{n}"), "controller": n == 0}));
    let metadata = json!({"ownerReferences": owners, "annotations": {"native-sidecar.io/containers": "helper"}});
    let pod = json!({"metadata": metadata, "spec": {"containers": [{"name": "app"}, {"name": "helper"}]}});
    admission_review("u", &pod.to_string())
}

fn escapes(bytes: usize) -> String {
    let text = r"\u0061".repeat(bytes / 6 / 4);
    let pod = format!(
        r#"{{"metadata":{{"annotations":{{"native-sidecar.io/containers":"helper","x":"{text}"}},"labels":{{"a":"{text}"}}}},
            "spec":{{"containers":[{{"name":"app"}},{{"name":"helper","args":["{text}"],"env":[{{"name":"{text}"}}]}}]}}}}"#
    );
    admission_review("u", &pod)
}

fn objects(bytes: usize) -> String {
    let list = "{},".repeat(bytes / 3 / 9);
    let list = list.trim_end_matches(',');
    let pod = format!(
        r#"{{"metadata":{{"annotations":{{"native-sidecar.io/containers":"helper"}},"ownerReferences":[{list}]}},
            "spec":{{"containers":[{{"name":"app"}},{{"name":"helper","ports":[{list}],"env":[{list}],
                "volumeMounts":[{list}],"restartPolicyRules":[{list}]}}],"volumes":[{list}],"tolerations":[{list}],
            "affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":{{"nodeSelectorTerms":[
                {{"matchExpressions":[{list}]}},{list}]}}}}}}}}}}"#
    );
    admission_review("u", &pod)
}

fn deep(bytes: usize) -> String {
    let half = bytes / 2;
    let pod = format!(
        r#"{{"metadata":{{"annotations":{{"native-sidecar.io/containers":"helper"}}}},
            "spec":{{"containers":[{{"name":"app"}},{{"name":"helper","x":{}1{}}}]}}}}"#,
        "[".repeat(half),
        "]".repeat(half)
    );
    admission_review("u", &pod)
}

fn warnings(bytes: usize) -> String {
    let hook = json!({"exec": {"command": ["/flush"]}});
    Draft::moving_all(repeated(bytes * 4 / 5, |n| {
        json!({"name": format!("c{n:05}"), "lifecycle": {"preStop": hook, "postStart": hook},
               "readinessProbe": {"httpGet": {"port": 1}}, "ports": [{"name": "p", "containerPort": 1}]})
    }))
    .review()
}

fn blockers(bytes: usize) -> String {
    with_annotations(bytes, |n| (format!("pre-stop.native-sidecar.io/{n}"), "x".into()))
}

fn no_strings(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    draft.containers.push(json!({"name": "helper"}));
    draft.annotations.extend((0..bytes / 3 / 37).map(|n| (format!("pre-stop.native-sidecar.io/{n:05}"), json!(true))));
    draft
        .annotations
        .insert("native-sidecar.io/accept".into(), repeated_text(bytes / 3, |n| format!("c{n:05}")).into());
    draft.annotations.insert("position.native-sidecar.io/helper".into(), repeated(bytes / 3, |n| json!(n)).into());
    draft.review()
}

fn empty_words(bytes: usize) -> String {
    known_proxy(&json!({"args": vec![""; bytes / 3]}))
}

fn short_variables(bytes: usize) -> String {
    known_proxy(&json!({"env": repeated(bytes, |_| json!({"name": "a"}))}))
}

fn short_resources(bytes: usize) -> String {
    let mut draft = Draft::moving(["helper"]);
    draft.annotations.insert("position.native-sidecar.io/helper".into(), json!("first"));
    draft.init.push(json!({"name": "init", "resources": {"requests": {"cpu": "1"}}}));
    draft.containers.push(json!({"name": "helper"}));
    let each = bytes / 8 / 20;
    draft.containers.extend((0..20).map(|container| {
        let name = |n: usize| format!("{:x}", container * each + n);
        let requests: Map<_, _> = (0..each).map(|n| (name(n), json!(1))).collect();
        json!({"name": format!("c{container}"), "resources": {"requests": requests}})
    }));
    draft.review()
}

/// Values that together take about `bytes`.
fn repeated(bytes: usize, value: impl Fn(usize) -> Value) -> Vec<Value> {
    let each = value(1000).to_string().len() + 1;
    (0..bytes / each).map(value).collect()
}

fn repeated_text(bytes: usize, text: impl Fn(usize) -> String) -> Vec<String> {
    let each = text(1000).len() + 3;
    (0..bytes / each).map(text).collect()
}

/// A comma list of the names that the drafts give their containers.
fn names_of(bytes: usize) -> String {
    (0..bytes / 7).map(|n| format!("c{n:05}")).collect::<Vec<_>>().join(",")
}

fn with_annotations(bytes: usize, annotation: impl Fn(usize) -> (String, String)) -> String {
    let (key, value) = annotation(1000);
    let each = key.len() + value.len() + 6;
    let mut draft = Draft::moving(["helper"]);
    draft.containers.push(json!({"name": "helper"}));
    draft.annotations.extend((0..bytes / each).map(annotation).map(|(key, value)| (key, value.into())));
    draft.review()
}

/// A Cloud SQL proxy with these fields.
fn known_proxy(fields: &Value) -> String {
    let mut draft = Draft::moving(["db"]);
    let mut proxy = json!({"name": "db", "image": "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.14.1"});
    proxy.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    draft.containers.push(proxy);
    draft.review()
}

fn hook(command: &[impl AsRef<str>]) -> String {
    let command: Vec<_> = command.iter().map(AsRef::as_ref).collect();
    known_proxy(&json!({"lifecycle": {"preStop": {"exec": {"command": command}}}}))
}

// === impl Draft ===

impl Draft {
    fn new() -> Self {
        let app = json!({"name": "app", "image": "registry.example.com/app:1"});
        Self { annotations: Map::new(), init: Vec::new(), containers: vec![app], spec: Map::new() }
    }

    /// A pod that asks for `names`.
    fn moving<const N: usize>(names: [&str; N]) -> Self {
        let mut draft = Self::new();
        draft.annotations.insert("native-sidecar.io/containers".into(), names.join(",").into());
        draft
    }

    /// A pod that asks for all of `containers`.
    fn moving_all(containers: Vec<Value>) -> Self {
        let names: Vec<_> = containers.iter().map(|container| container["name"].as_str().unwrap()).collect();
        let mut draft = Self::new();
        draft.annotations.insert("native-sidecar.io/containers".into(), names.join(",").into());
        draft.containers.extend(containers);
        draft
    }

    fn review(self) -> String {
        let Self { annotations, init, containers, mut spec } = self;
        spec.insert("initContainers".into(), init.into());
        spec.insert("containers".into(), containers.into());
        admission_review("u", &json!({"metadata": {"annotations": annotations}, "spec": spec}).to_string())
    }
}
