//! What every code means that the commands may tell: those of findings about pods, which are core's, and those about
//! manifests, which are listed here.

use native_sidecar_core::{
    findings::{Code, Explanation},
    text::nearest,
};

/// What is said about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// The code: kebab-case, and stable.
    pub code: &'static str,
    /// How much it weighs: the severity of a finding, or `error`.
    pub severity: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// Who says so.
    pub source: &'static str,
}

/// Something could not be read.
pub const UNREADABLE_FILE: &str = "unreadable-file";
/// What `--template-path` leads to is no pod template, or nothing.
pub const UNREADABLE_TEMPLATE: &str = "unreadable-template";
/// A document was written anew.
pub const WRITTEN_ANEW: &str = "written-anew";
/// A document is for another command.
pub const OTHER_COMMAND: &str = "other-command";
/// Nothing was carried out, but something would be.
pub const WOULD_CONVERT: &str = "would-convert";

/// The codes about manifests.
pub const OF_MANIFESTS: &[Described] = &[
    Described {
        code: "misplaced-annotation",
        severity: "warning",
        meaning: "An annotation of native-sidecar stands where no pod gets it.",
        why: "Pods have the annotations of their pod template; those of a Deployment, a CronJob or its jobTemplate stay on these objects.",
        remedy: "Move it to the place that the message names.",
        source: "Kubernetes: PodTemplateSpec.metadata",
    },
    Described {
        code: "annotation-as-label",
        severity: "warning",
        meaning: "An annotation of native-sidecar was written as a label.",
        why: "Only annotations of pods are read; the one label is native-sidecar.io/known on a namespace.",
        remedy: "Write it under annotations.",
        source: "README.md, Annotations",
    },
    Described {
        code: "label-as-annotation",
        severity: "warning",
        meaning: "The label native-sidecar.io/known of a namespace was written as an annotation.",
        why: "The API server selects namespaces by their labels; it does not look at annotations.",
        remedy: "Write it under labels.",
        source: "Kubernetes: namespaceSelector of MutatingWebhookConfiguration",
    },
    Described {
        code: "incomplete-object",
        severity: "warning",
        meaning: "An object has no kind or no apiVersion.",
        why: "What it is cannot be told, so nothing is done to it; the API server would not take it.",
        remedy: "Add what is missing.",
        source: "Kubernetes: TypeMeta",
    },
    Described {
        code: "no-template",
        severity: "warning",
        meaning: "An object asks for a conversion, but no pod template was found in it.",
        why: "Its kind is not known, and nothing in it has the shape of a pod template.",
        remedy: "Name the place with --template-path, or let the webhook convert the pods.",
        source: "docs/workloads.md",
    },
    Described {
        code: "engine-owned",
        severity: "warning",
        meaning: "The engine of this kind makes the containers of its pods itself, or takes no native sidecars.",
        why: "A moved container would be refused by the engine, or would not be where the engine looks for it.",
        remedy: "Do what the message says, mostly a switch of the engine's own; the webhook looks at the pods themselves.",
        source: "docs/workloads.md",
    },
    Described {
        code: "merged-template",
        severity: "warning",
        meaning: "The engine of this kind lays the template over containers of its own.",
        why: "A container in it may be one of the engine's by its name; moved, it would be another one beside it.",
        remedy: "Leave it to the webhook, which sees the pods as they are.",
        source: "docs/workloads.md",
    },
    Described {
        code: "unknown-kind",
        severity: "note",
        meaning: "An object of a kind that is not known has what looks like a pod template.",
        why: "Whether its engine takes native sidecars is not known either, so it is left unless somebody asks.",
        remedy: "Annotate the template, or name its place with --template-path.",
        source: "docs/workloads.md",
    },
    Described {
        code: UNREADABLE_TEMPLATE,
        severity: "warning",
        meaning: "What --template-path leads to is no pod template, or nothing.",
        why: "A pod template has spec.containers.",
        remedy: "Name the value around spec.",
        source: "Kubernetes: PodTemplateSpec",
    },
    Described {
        code: WRITTEN_ANEW,
        severity: "warning",
        meaning: "A document was written anew: comments in it are lost.",
        why: "The change stands at a construct of YAML that cannot be edited in its place; the message names it and its line.",
        remedy: "Write that part without the construct, or take the comments over by hand.",
        source: "YAML 1.2.2",
    },
    Described {
        code: OTHER_COMMAND,
        severity: "warning",
        meaning: "A document is no object for a cluster; another command is for it.",
        why: "What it leads to has no pod templates here: a kustomization names files, a chart has to be rendered.",
        remedy: "Run the command that the message names.",
        source: "README.md",
    },
    Described {
        code: WOULD_CONVERT,
        severity: "warning",
        meaning: "A pod template would be converted (--check).",
        why: "With --check nothing is written.",
        remedy: "Run native-sidecar convert --in-place.",
        source: "native-sidecar convert --help",
    },
    Described {
        code: UNREADABLE_FILE,
        severity: "error",
        meaning: "A file could not be read.",
        why: "The message has what the system says.",
        remedy: "Correct the name or the permissions.",
        source: "the system",
    },
    Described {
        code: "encoding",
        severity: "error",
        meaning: "A file is not UTF-8.",
        why: "Kubernetes takes UTF-8 only.",
        remedy: "Save the file as UTF-8.",
        source: "RFC 8259, section 8.1; YAML 1.2.2, section 5.2",
    },
    Described {
        code: "syntax",
        severity: "error",
        meaning: "A document is neither YAML nor JSON.",
        why: "It cannot be read, by kubectl either.",
        remedy: "Correct the place that the message names.",
        source: "YAML 1.2.2; RFC 8259",
    },
    Described {
        code: "unrendered-template",
        severity: "error",
        meaning: "A document is a template that has not been rendered.",
        why: "Between {{ and }} stands what only Helm, or another engine of templates, understands.",
        remedy: "Render it first: helm template CHART | native-sidecar convert.",
        source: "Helm: Chart Template Guide",
    },
    Described {
        code: "duplicate-key",
        severity: "error",
        meaning: "A key stands twice in one mapping.",
        why: "Readers disagree on which of the two counts. kubectl takes the last one; a document that does not concern us is passed on as it is.",
        remedy: "Remove one of the two.",
        source: "YAML 1.2.2, section 3.2.1.1; RFC 8259, section 4",
    },
    Described {
        code: "ambiguous",
        severity: "error",
        meaning: "Readers of YAML disagree on what a document means.",
        why: "kubectl reads YAML 1.1 with changes of its own; other tools read YAML 1.2.",
        remedy: "Quote the value, or write it as the message says.",
        source: "go.yaml.in/yaml/v2; YAML 1.2.2",
    },
    Described {
        code: "no-json",
        severity: "error",
        meaning: "Something in a document has no form in JSON.",
        why: "The API server takes JSON; kubectl makes it from YAML.",
        remedy: "Quote the value, or write another one.",
        source: "sigs.k8s.io/yaml",
    },
    Described {
        code: "limit",
        severity: "error",
        meaning: "A document is nested too deep, or its aliases unfold to too much.",
        why: "Such a document would exhaust the memory of whoever reads it.",
        remedy: "Make it flatter, or write out the aliases.",
        source: "docs/security.md",
    },
    Described {
        code: "not-an-object",
        severity: "error",
        meaning: "A document is a list or a single value, where a Kubernetes object was expected.",
        why: "It has no apiVersion and no kind.",
        remedy: "Leave the file out, or make it an object.",
        source: "Kubernetes: TypeMeta",
    },
];

/// What is said about each code: those of findings first.
pub fn all() -> impl Iterator<Item = Described> {
    Code::ALL.iter().copied().map(Described::from).chain(OF_MANIFESTS.iter().copied())
}

/// What is said about `code`, but for case and what stands between its words; `None` where there is no such code.
#[must_use]
pub fn described(code: &str) -> Option<Described> {
    let code = Code::spelt(code);
    all().find(|described| described.code == code)
}

/// The code that `text` is likely a slip of the pen for.
#[must_use]
pub fn likely(text: &str) -> Option<String> {
    nearest(&Code::spelt(text), all().map(|described| described.code.to_owned()))
}

// === impl Described ===

impl From<Code> for Described {
    fn from(code: Code) -> Self {
        let Explanation { meaning, why, remedy, source } = code.explanation();
        Self { code: code.as_str(), severity: code.severity().as_str(), meaning, why, remedy, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use native_sidecar_manifest::{Fault, RemarkKind};
    use std::collections::BTreeSet;

    #[test]
    fn every_code_is_explained_once_and_in_sentences() {
        let codes: BTreeSet<_> = OF_MANIFESTS.iter().map(|described| described.code).collect();
        assert_eq!(codes.len(), OF_MANIFESTS.len());
        for Described { code, meaning, why, remedy, source, .. } in OF_MANIFESTS {
            assert!(code.parse::<Code>().is_err(), "{code} is a finding's already");
            for sentence in [meaning, why, remedy] {
                assert!(sentence.ends_with('.') && !sentence.contains('\n'), "{code}: {sentence}");
            }
            assert!(!source.is_empty(), "{code}");
        }
    }

    #[test]
    fn whatever_is_told_is_explained() {
        for kind in RemarkKind::ALL {
            assert!(described(kind.code()).is_some(), "{kind:?}");
        }
        for fault in Fault::ALL {
            assert!(described(fault.code()).is_some(), "{fault:?}");
        }
    }
}
