//! A pod as it is planned: what each of its containers is to do, and the pod that does so.

use super::super::{
    cluster::unique,
    pods::{asking, image},
};
use serde_json::{Value, json};

/// A pod, and how it ends.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What it shows; also the beginning of the pod's name.
    pub(super) name: String,
    /// In the order of their lists.
    pub(super) programs: Vec<Program>,
    /// The order in which those that move are named; else that of their list.
    pub(super) listed: Vec<String>,
    pub(super) grace: i64,
    pub(super) restart_policy: &'static str,
    pub(super) end: End,
}

/// How a pod ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its application ends by itself. Whoever runs on after that is deleted.
    Application,
    /// It is deleted when everything runs.
    Deleted,
    /// It is deleted when this init container runs.
    DeletedWhileStarting(String),
}

/// What a container does. Times are seconds.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) place: Place,
    /// When it ends by itself; else it runs until it is told to stop.
    pub(super) ends: Option<Ending>,
    /// How long it goes on after SIGTERM; `None` where it does not listen.
    pub(super) stops_after: Option<f64>,
    /// It has a startup probe that succeeds once it has run for so long.
    pub(super) ready_after: Option<f64>,
    /// The probe's `initialDelaySeconds`.
    pub(super) delay: i64,
    /// How long its postStart hook takes.
    pub(super) post_start: Option<f64>,
    pub(super) pre_stop: Option<PreStop>,
}

/// Where a container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An init container that ends.
    RunOnce,
    /// A native sidecar already.
    Native,
    /// A container that a conversion moves.
    Moves,
    /// The application.
    Application,
}

/// How a container ends by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ending {
    pub(super) after: f64,
    pub(super) code: i64,
    pub(super) then: Then,
}

/// What a container does when it is started again after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The same.
    Again,
    /// It runs until it is told to stop.
    Stays,
    /// It ends at once, successfully.
    Succeeds,
}

/// A preStop hook that waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PreStop {
    /// A script, which says when it starts and returns.
    Script(f64),
    /// The program `sleep`, which says nothing.
    Exec(i64),
    /// The `sleep` action of Kubernetes.
    Action(i64),
}

/// Where containers find their pipes.
const FOLDER: &str = "/life";

// A script of a container, as the last part of its name; those of hooks also say so.
const MAIN: &str = "main";
const PROBE: &str = "probe";
const POST_START: &str = "post-start";
const PRE_STOP: &str = "pre-stop";

/// The kernel's clock since boot, which is the same in all containers, in hundredths of seconds and without a program.
const CLOCK: &str = "read -r now idle < /proc/uptime;";

// === impl Plan ===

impl Plan {
    pub(super) fn new(name: &str, programs: impl IntoIterator<Item = Program>) -> Self {
        let programs = programs.into_iter().collect();
        Self {
            name: name.to_owned(),
            programs,
            listed: Vec::new(),
            grace: 8,
            restart_policy: "Always",
            end: End::Deleted,
        }
    }

    /// Its application ends by itself, as in a Job.
    pub(super) fn job(self) -> Self {
        Self { restart_policy: "Never", end: End::Application, ..self }
    }

    pub(super) fn grace(self, grace: i64) -> Self {
        Self { grace, ..self }
    }

    pub(super) fn restart_policy(self, restart_policy: &'static str) -> Self {
        Self { restart_policy, ..self }
    }

    pub(super) fn deleted_while_starting(self, init: &str) -> Self {
        Self { end: End::DeletedWhileStarting(init.to_owned()), ..self }
    }

    pub(super) fn program(&self, name: &str) -> &Program {
        self.programs.iter().find(|program| program.name == name).unwrap()
    }

    /// The pod before a conversion. Its containers talk through pipes in `folder`.
    pub(super) fn pod(&self, folder: &str) -> Value {
        let list = |init: bool| {
            let programs = self.programs.iter().filter(|program| program.place.is_init() == init);
            programs.map(Program::container).collect::<Vec<_>>()
        };
        let moves = self.programs.iter().filter(|program| program.place == Place::Moves);
        let mut moving: Vec<_> = moves.map(|program| &*program.name).collect();
        moving.sort_by_key(|name| self.listed.iter().position(|listed| listed == name));
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": unique(&self.name), "annotations": {}},
            "spec": {
                "restartPolicy": self.restart_policy, "terminationGracePeriodSeconds": self.grace,
                "automountServiceAccountToken": false, "enableServiceLinks": false,
                "initContainers": list(true), "containers": list(false),
                "volumes": [{"name": "life", "hostPath": {"path": folder}}],
            }
        });
        if moving.is_empty() { pod } else { asking(pod, &moving.join(", ")) }
    }
}

// === impl Place ===

impl Place {
    const fn is_init(self) -> bool {
        matches!(self, Self::RunOnce | Self::Native)
    }
}

// === impl Program ===

impl Program {
    pub(super) fn new(name: &str, place: Place) -> Self {
        Self {
            name: name.to_owned(),
            place,
            ends: None,
            stops_after: Some(0.0),
            ready_after: None,
            delay: 0,
            post_start: None,
            pre_stop: None,
        }
    }

    /// Ends by itself, successfully.
    pub(super) fn runs(self, after: f64) -> Self {
        Self { ends: Some(Ending { after, code: 0, then: Then::Again }), ..self }
    }

    /// Ends by itself the first time.
    pub(super) fn ends_once(self, after: f64, code: i64, then: Then) -> Self {
        Self { ends: Some(Ending { after, code, then }), ..self }
    }

    pub(super) fn stops_after(self, seconds: f64) -> Self {
        Self { stops_after: Some(seconds), ..self }
    }

    pub(super) fn deaf(self) -> Self {
        Self { stops_after: None, ..self }
    }

    pub(super) fn ready_after(self, seconds: f64) -> Self {
        Self { ready_after: Some(seconds), ..self }
    }

    pub(super) fn delay(self, delay: i64) -> Self {
        Self { delay, ..self }
    }

    pub(super) fn post_start(self, seconds: f64) -> Self {
        Self { post_start: Some(seconds), ..self }
    }

    pub(super) fn pre_stop(self, pre_stop: PreStop) -> Self {
        Self { pre_stop: Some(pre_stop), ..self }
    }

    fn container(&self) -> Value {
        let mounts = json!([{"name": "life", "mountPath": FOLDER}]);
        let mut container =
            json!({"name": self.name, "image": image(), "command": self.runs_script(MAIN), "volumeMounts": mounts});
        if self.place == Place::Native {
            container["restartPolicy"] = "Always".into();
        }
        if self.ready_after.is_some() {
            let exec = json!({"command": self.runs_script(PROBE)});
            container["startupProbe"] = json!({"exec": exec, "initialDelaySeconds": self.delay, "periodSeconds": 1,
                                               "timeoutSeconds": 10, "failureThreshold": 300});
        }
        if self.post_start.is_some() {
            container["lifecycle"]["postStart"] = json!({"exec": {"command": self.runs_script(POST_START)}});
        }
        if let Some(pre_stop) = self.pre_stop {
            container["lifecycle"]["preStop"] = match pre_stop {
                PreStop::Script(_) => json!({"exec": {"command": self.runs_script(PRE_STOP)}}),
                PreStop::Exec(seconds) => json!({"exec": {"command": ["sleep", seconds.to_string()]}}),
                PreStop::Action(seconds) => json!({"sleep": {"seconds": seconds}}),
            };
        }
        container
    }

    fn runs_script(&self, kind: &str) -> Value {
        json!(["sh", format!("{FOLDER}/{}.{kind}", self.name)])
    }

    /// The files that its container needs, by name. Scripts are files, so that no rule of the conversion judges them.
    pub(super) fn scripts(&self) -> Vec<(String, String)> {
        let post_start = self.post_start.map(|seconds| (POST_START, self.hook(POST_START, seconds)));
        let pre_stop = match self.pre_stop {
            Some(PreStop::Script(seconds)) => Some((PRE_STOP, self.hook(PRE_STOP, seconds))),
            _ => None,
        };
        let scripts = [(MAIN, self.main()), (PROBE, self.probe())].into_iter().chain(post_start).chain(pre_stop);
        scripts.map(|(kind, script)| (format!("{}.{kind}", self.name), script)).collect()
    }

    /// Says what happens to it: that it is told to stop before anything else. Told and deaf, it says now and then that it
    /// is still there.
    fn main(&self) -> String {
        let Self { name, ends, stops_after, ready_after, .. } = self;
        let pipe = self.pipe();
        let told = match stops_after {
            Some(seconds) => format!("say term; trap '' TERM; sleep {seconds}; say ends; exit 0"),
            None => "say term; told=1".to_owned(),
        };
        let ready = ready_after.map_or_else(String::new, |seconds| format!("nap {seconds}; : > /tmp/ready; say ready"));
        let own_end = match ends {
            Some(Ending { after, code, then: Then::Again }) => format!("nap {after}; say ends; exit {code}"),
            Some(Ending { after, code, then }) => {
                let mark = format!("{FOLDER}/{name}.once");
                let then = if *then == Then::Succeeds { "say ends; exit 0" } else { "" };
                format!("[ -e {mark} ] || {{ : > {mark}; nap {after}; say ends; exit {code}; }}\n{then}")
            }
            None => String::new(),
        };
        // The 22nd word of `stat` is when the kernel started the process, which is before the script begins.
        format!(
            "exec 9> {pipe}\n\
             say() {{ {CLOCK} echo \"$now $*\" >&9; }}\n\
             nap() {{ sleep $1 & wait $!; }}\n\
             told() {{ {told}; }}\n\
             trap told TERM\n\
             read -r stat < /proc/1/stat; set -- ${{stat##*) }}\n\
             say starts ${{20}}\n\
             {ready}\n\
             {own_end}\n\
             until [ $told ]; do nap 1000; done\n\
             while :; do say beat; nap 0.2; done"
        )
    }

    fn probe(&self) -> String {
        let pipe = self.pipe();
        format!("{CLOCK} if [ -e /tmp/ready ]; then echo $now yes > {pipe}; else echo $now no > {pipe}; exit 1; fi")
    }

    fn hook(&self, kind: &str, seconds: f64) -> String {
        let pipe = self.pipe();
        format!("{CLOCK} echo $now {kind} > {pipe}; sleep {seconds}; {CLOCK} echo $now {kind}-returned > {pipe}")
    }

    fn pipe(&self) -> String {
        format!("{FOLDER}/{}", self.name)
    }
}
