//! Who reads the name or the place of a container in an annotation, and looks among regular containers only.

use crate::{
    conversion::workload::{ExitCodes, Workload},
    pod::Pod,
};
use std::collections::{BTreeSet, HashMap};

/// Somebody who looks for a container by its name in an annotation.
#[derive(Debug)]
pub(in crate::conversion) struct Reader {
    /// The annotations that hold the name.
    keys: &'static [&'static str],
    place: Place,
    form: Form,
    /// An annotation without which the name is not read.
    needs: Option<&'static str>,
    /// An annotation and its value with which init containers are read as well.
    unless: Option<(&'static str, &'static str)>,
    /// Who reads it, what comes of it and what to do: the rest of a sentence behind `names it`.
    result: &'static str,
}

/// Somebody who takes the first regular container where no name is given.
#[derive(Debug)]
struct FirstReader {
    /// The annotation that says what is to be done there.
    key: &'static str,
    /// The annotation that would name the container.
    name: &'static str,
    who: &'static str,
}

/// Where an annotation stands, and when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On the pod, read once it runs.
    Pod,
    /// On the pod, read by a webhook that is called before ours, but after whoever converts a manifest.
    Template,
    /// On the object around the template.
    Workload,
}

/// What an annotation's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Name,
    /// Names with commas between them.
    List,
    /// A regular expression, of which the words are looked at.
    Pattern,
}

const VELERO_BACKUP: &str = "for Velero, which up to 1.18 finds regular containers only, so that the backup fails in part; upgrade it, or have the hook run in a container that stays";

/// Sources, row by row: velero-io/velero#9393, `pkg/podexec/pod_command_executor.go`, `ensureContainerExists` (the same three
/// times); `internal/hook/wait_exec_hook_handler.go`, `podHasContainer`; open-telemetry/opentelemetry-operator#4635,
/// internal/instrumentation/sdk.go; keel-hq/keel, provider/kubernetes/kubernetes.go, `applyPlan`.
const READERS: [Reader; 6] = [
    Reader {
        keys: &["pre.hook.backup.velero.io/container"],
        place: Place::Pod,
        form: Form::Name,
        needs: Some("pre.hook.backup.velero.io/command"),
        unless: None,
        result: VELERO_BACKUP,
    },
    Reader {
        keys: &["post.hook.backup.velero.io/container"],
        place: Place::Pod,
        form: Form::Name,
        needs: Some("post.hook.backup.velero.io/command"),
        unless: None,
        result: VELERO_BACKUP,
    },
    Reader {
        keys: &["hook.backup.velero.io/container"],
        place: Place::Pod,
        form: Form::Name,
        needs: Some("hook.backup.velero.io/command"),
        unless: None,
        result: VELERO_BACKUP,
    },
    Reader {
        keys: &["post.hook.restore.velero.io/container"],
        place: Place::Pod,
        form: Form::Name,
        needs: Some("post.hook.restore.velero.io/command"),
        unless: None,
        result: "for Velero, which finds regular containers only and leaves the hook out; have it run in a container that stays",
    },
    Reader {
        keys: &[
            "instrumentation.opentelemetry.io/container-names",
            "instrumentation.opentelemetry.io/java-container-names",
            "instrumentation.opentelemetry.io/nodejs-container-names",
            "instrumentation.opentelemetry.io/python-container-names",
            "instrumentation.opentelemetry.io/dotnet-container-names",
            "instrumentation.opentelemetry.io/go-container-names",
            "instrumentation.opentelemetry.io/sdk-container-names",
            "instrumentation.opentelemetry.io/apache-httpd-container-names",
            "instrumentation.opentelemetry.io/inject-nginx-container-names",
        ],
        place: Place::Template,
        form: Form::List,
        needs: None,
        unless: None,
        result: "for the OpenTelemetry operator, which before 0.146 finds regular containers only and does not instrument it; upgrade it",
    },
    Reader {
        keys: &["keel.sh/monitorContainers"],
        place: Place::Workload,
        form: Form::Pattern,
        needs: None,
        unless: Some(("keel.sh/initContainers", "true")),
        result: "for Keel, which updates images of regular containers only; set keel.sh/initContainers: \"true\"",
    },
];

/// Sources: velero `internal/hook/item_hook_handler.go` and `pkg/podexec/pod_command_executor.go`, `setDefaultHookContainer`;
/// k8up-io/k8up, `restic/kubernetes/pod_list.go`.
const FIRST_READERS: [FirstReader; 5] = [
    FirstReader {
        key: "pre.hook.backup.velero.io/command",
        name: "pre.hook.backup.velero.io/container",
        who: "Velero",
    },
    FirstReader {
        key: "post.hook.backup.velero.io/command",
        name: "post.hook.backup.velero.io/container",
        who: "Velero",
    },
    FirstReader { key: "hook.backup.velero.io/command", name: "hook.backup.velero.io/container", who: "Velero" },
    FirstReader {
        key: "post.hook.restore.velero.io/command",
        name: "post.hook.restore.velero.io/container",
        who: "Velero",
    },
    FirstReader { key: "k8up.io/backupcommand", name: "k8up.io/backupcommand-container", who: "K8up" },
];

/// On a workload: JSON that says which image stream is written to which container.
const IMAGE_TRIGGERS: &str = "image.openshift.io/triggers";

/// What a pod and its workload say about containers to readers of regular ones.
#[derive(Debug, Default)]
pub(in crate::conversion) struct Mentions<'p> {
    by_name: HashMap<&'p str, Mention<'p>>,
    first: Option<&'static FirstReader>,
    /// Indices of regular containers.
    indices: BTreeSet<usize>,
}

/// Where a container is named.
#[derive(Clone, Copy, Debug)]
enum Mention<'p> {
    Annotation(&'static str, &'static Reader),
    ExitCodes(&'p ExitCodes, i64),
}

/// The values of annotations, by place.
#[derive(Clone, Copy)]
struct Annotations<'p> {
    pod: &'p Pod<'p>,
    workload: Option<&'p Workload>,
}

// === impl Mentions ===

impl<'p> Mentions<'p> {
    /// What `pod` says, and `workload`, where it is in sight.
    pub(in crate::conversion) fn of(pod: &'p Pod<'p>, workload: Option<&'p Workload>) -> Self {
        let annotations = Annotations { pod, workload };
        let mut mentions = Self { first: annotations.first_reader(), ..Self::default() };
        for reader in READERS.iter().filter(|reader| annotations.are_read_by(reader)) {
            for key in reader.keys {
                let value = annotations.get(reader.place, key).unwrap_or_default();
                for name in reader.form.names(value) {
                    mentions.by_name.entry(name).or_insert(Mention::Annotation(key, reader));
                }
            }
        }
        for rule in workload.iter().flat_map(|workload| &workload.exit_codes) {
            if let (Some(name), Some(code)) = (&rule.container, rule.of_stopped_sidecar()) {
                mentions.by_name.entry(name).or_insert(Mention::ExitCodes(rule, code));
            }
        }
        let triggers = annotations.get(Place::Workload, IMAGE_TRIGGERS).unwrap_or_default();
        mentions.indices = indices_in(triggers).collect();
        mentions
    }

    /// What a container called `name` that moves, the one with `index`, is to those readers: a sentence's end.
    pub(in crate::conversion) fn tell(&self, name: &str, index: usize) -> Option<String> {
        let named = self.by_name.get(name).map(ToString::to_string);
        named.or_else(|| self.tell_place(index))
    }

    fn tell_place(&self, index: usize) -> Option<String> {
        if let Some(at) = self.indices.range(index..).next() {
            return Some(format!(
                "annotation {IMAGE_TRIGGERS} of the workload writes an image to containers[{at}], which is another container after the \
                 move; give the path by name: containers[?(@.name==\"...\")]"
            ));
        }
        let FirstReader { key, name, who } = self.first.filter(|_| index == 0)?;
        Some(format!(
            "{who} runs {key} in the first regular container, which is another one after the move; set {name}"
        ))
    }
}

impl std::fmt::Display for Mention<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Annotation(key, Reader { result, .. }) => write!(f, "annotation {key} names it {result}"),
            Self::ExitCodes(ExitCodes { rule, action, .. }, code) => write!(
                f,
                "rule {rule} ({action}) of the Job's podFailurePolicy names it, and the {code} of a native sidecar that was stopped when the \
                 application had failed matches it; name the application's container there"
            ),
        }
    }
}

// === impl Annotations ===

impl<'p> Annotations<'p> {
    fn get(self, place: Place, key: &str) -> Option<&'p str> {
        match place {
            Place::Pod | Place::Template => self.pod.annotation(key),
            Place::Workload => self.workload?.annotations.get(key).map(String::as_str),
        }
    }

    fn are_read_by(self, reader: &Reader) -> bool {
        let Reader { place, needs, unless, .. } = *reader;
        // Where the workload is in sight, the pod has not been created yet.
        let is_in_time = place == Place::Pod || self.workload.is_some();
        let is_told = needs.is_none_or(|key| self.get(place, key).is_some_and(|value| !value.is_empty()));
        is_in_time && is_told && unless.is_none_or(|(key, value)| self.get(place, key) != Some(value))
    }

    /// Who takes the first regular container.
    fn first_reader(self) -> Option<&'static FirstReader> {
        let has = |key: &str| self.pod.annotation(key).is_some_and(|value| !value.is_empty());
        FIRST_READERS.iter().find(|reader| has(reader.key) && !has(reader.name))
    }
}

// === impl Form ===

impl Form {
    /// The names in `value`.
    fn names(self, value: &str) -> impl Iterator<Item = &str> {
        let is_between = move |c: char| match self {
            Self::Name => false,
            Self::List => c == ',',
            Self::Pattern => !(c.is_ascii_alphanumeric() || c == '-'),
        };
        value.split(is_between).map(str::trim).filter(|name| !name.is_empty())
    }
}

/// The indices of regular containers in the paths of `triggers`: `containers[0]`, but not `initContainers[0]`.
///
/// Source: openshift/library-go, pkg/image/trigger/annotations.go, `findContainerBySelector`; names are looked for in both
/// lists.
fn indices_in(triggers: &str) -> impl Iterator<Item = usize> {
    triggers.split(".containers[").skip(1).filter_map(|rest| rest.split_once(']')?.0.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(r#"[{"fieldPath":"spec.template.spec.containers[1].image"},{"fieldPath":"spec.containers[12].image"}]"#, &[1, 12])]
    #[case(r#"[{"fieldPath":"spec.template.spec.containers[?(@.name==\"app\")].image"}]"#, &[])]
    #[case(r#"[{"fieldPath":"spec.template.spec.initContainers[0].image"}]"#, &[])]
    #[case("spec.containers[", &[])]
    fn indices(#[case] triggers: &str, #[case] expected: &[usize]) {
        assert_eq!(indices_in(triggers).collect::<Vec<_>>(), expected);
    }

    #[rstest]
    #[case(Form::Name, "proxy", &["proxy"])]
    #[case(Form::Name, "", &[])]
    #[case(Form::List, "app, proxy,", &["app", "proxy"])]
    #[case(Form::Pattern, "^(app|log-agent).*$", &["app", "log-agent"])]
    #[case(Form::Pattern, ".*", &[])]
    fn names(#[case] form: Form, #[case] value: &str, #[case] expected: &[&str]) {
        assert_eq!(form.names(value).collect::<Vec<_>>(), expected);
    }
}
