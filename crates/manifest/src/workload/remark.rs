//! What there is to say about a document beside the findings of its templates: wishes that nobody reads, and templates that
//! are left.

use super::{
    ObjectName, Template, Treatment, below, group,
    kinds::{self, Place},
    path::{self, LONGEST_FIELD},
    structure,
    survey::{Object, Standing, Survey, Unreadable},
};
use json_patch::jsonptr::PointerBuf;
use native_sidecar_core::{findings::Severity, intent, text::one_line};
use serde_json::{Map, Value};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    ptr,
};

/// One thing to say about a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What it is about.
    pub kind: RemarkKind,
    /// A warning where somebody asked for something or the cluster would refuse the object, else a note.
    pub severity: Severity,
    /// The object that it is about.
    pub object: ObjectName,
    /// Where in the document.
    pub place: PointerBuf,
    /// What happens, and what to do: one line.
    pub message: String,
}

/// What a remark is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemarkKind {
    /// An annotation of ours at a place from which no pod gets it.
    MisplacedAnnotation,
    /// One of ours that was written as a label.
    AnnotationAsLabel,
    /// The label of namespaces that was written as an annotation.
    LabelAsAnnotation,
    /// An object without `kind` or `apiVersion`.
    IncompleteObject,
    /// An annotation of ours in an object in which no pod template is to be found.
    NoTemplate,
    /// A template, or an annotation of ours, in a kind whose engine makes the containers itself or takes no native sidecar.
    EngineOwned,
    /// The same in a kind whose engine lays the template over containers of its own.
    MergedTemplate,
    /// A template in an object of a kind that is not known.
    UnknownKind,
    /// A place that was named, but is no pod template.
    UnreadableTemplate,
}

/// More remarks on one document are not written, so that they can be read.
const MOST_REMARKS: usize = 64;
/// More annotations are not named in one remark.
const MOST_KEYS: usize = 3;
/// Fields with labels that are compared, and not set.
const SELECTORS: [&str; 4] = ["matchLabels", "nodeSelector", "podSelector", "selector"];
/// Groups of policies, which say what other objects are to have.
const POLICIES: [&str; 2] = ["kyverno.io", "policies.kyverno.io"];

/// All remarks on the document that was looked through.
pub(super) fn remarks(survey: &Survey<'_>) -> Vec<Remark> {
    let mut walk = Walk::new(survey);
    walk.value(survey.document);
    let mut remarks = walk.remarks;
    let room = MOST_REMARKS.saturating_sub(remarks.len());
    let told = walk.told;
    let of_objects = survey.objects.iter().flat_map(|object| {
        let is_told = told.contains(&ptr::from_ref(object.value));
        unreadable(survey, object).chain((!is_told).then(|| untold(object)).flatten())
    });
    remarks.extend(of_objects.take(room));
    remarks
}

/// What to say about an object that nobody asks about: a note on a template that is left.
fn untold(object: &Object<'_>) -> Option<Remark> {
    match object.standing {
        Standing::Unknown => {
            let place = object.unasked.as_ref()?;
            let path = object.written(place);
            let message = format!(
                "the pod template at {path} is left, since {kind} is not known; annotate the template, or give --template-path \
                 {kind}={path}",
                kind = object.full_kind(),
            );
            Some(object.remark(RemarkKind::UnknownKind, Severity::Note, place.clone(), &message))
        }
        Standing::Known => object.places().find_map(|place| {
            let reason = place.reason()?;
            let at = path::find(object.value, &place.steps(), |tokens, value| {
                let is_pod = structure::is_pod(value);
                if is_pod { ControlFlow::Break(below(&object.way.path(), tokens)) } else { ControlFlow::Continue(()) }
            })?;
            Some(object.remark(place.remark_kind()?, Severity::Note, at, &format!("left: {reason}")))
        }),
        Standing::Unsaid if structure::is_pod(object.value) => Some(object.remark(
            RemarkKind::IncompleteObject,
            Severity::Warning,
            object.way.path().as_ref().clone(),
            &object.incomplete(),
        )),
        Standing::Unsaid | Standing::List => None,
    }
}

fn unreadable<'o>(survey: &'o Survey<'_>, object: &'o Object<'_>) -> impl Iterator<Item = Remark> + 'o {
    object.unreadable.iter().filter_map(|Unreadable { number, first, more }| {
        let path = survey.search.paths.get(*number)?;
        let places = match more {
            0 => "there".to_owned(),
            1 => "there and at 1 more place".to_owned(),
            more => format!("there and at {more} more places"),
        };
        let message = format!(
            "--template-path {path} leads to no pod template: spec.containers is missing {places}; name what stands around spec"
        );
        Some(object.remark(RemarkKind::UnreadableTemplate, Severity::Warning, first.clone(), &message))
    })
}

/// A walk through a document, past every key in it.
struct Walk<'s, 'd> {
    survey: &'s Survey<'d>,
    /// Annotations that the conversion reads.
    read: HashSet<*const Value>,
    templates: HashMap<*const Value, &'s Template>,
    tokens: Vec<Cow<'d, str>>,
    /// The objects around, the innermost last, with the depth at which each begins.
    around: Vec<(&'s Object<'d>, usize)>,
    /// How many of the fields around, in the innermost object, are called after namespaces.
    of_namespaces: usize,
    /// The template around.
    inside: Option<&'s Template>,
    /// Objects about which something was said.
    told: HashSet<*const Value>,
    remarks: Vec<Remark>,
}

// === impl Walk ===

impl<'s, 'd> Walk<'s, 'd> {
    fn new(survey: &'s Survey<'d>) -> Self {
        let annotations = survey.found().map(|(_, value)| ptr::from_ref(&value["metadata"]["annotations"]));
        Self {
            survey,
            read: annotations.collect(),
            templates: survey.found().map(|(template, value)| (ptr::from_ref(value), template)).collect(),
            tokens: Vec::new(),
            around: Vec::new(),
            of_namespaces: 0,
            inside: None,
            told: HashSet::new(),
            remarks: Vec::new(),
        }
    }

    fn value(&mut self, value: &'d Value) {
        let (outside, of_namespaces) = (self.inside, self.of_namespaces);
        let object = self.survey.object_at(value);
        if let Some(object) = object {
            self.around.push((object, self.tokens.len()));
            self.inside = None;
            self.of_namespaces = 0;
        }
        self.inside = self.templates.get(&ptr::from_ref(value)).copied().or(self.inside);
        match value {
            Value::Object(map) => self.map(value, map),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate().filter(|(_, item)| !is_leaf(item)) {
                    self.below(index.to_string().into(), item);
                }
            }
            _ => {}
        }
        self.inside = outside;
        self.of_namespaces = of_namespaces;
        if object.is_some() {
            self.around.pop();
        }
    }

    fn map(&mut self, value: &'d Value, map: &'d Map<String, Value>) {
        if !self.read.contains(&ptr::from_ref(value)) {
            let keys: Vec<_> = map.keys().map(String::as_str).filter(|key| is_wish(key) && !self.counts(key)).collect();
            if !keys.is_empty() {
                self.wishes(&keys);
            }
        }
        for (name, inner) in map.iter().filter(|(name, inner)| !is_leaf(inner) && name.len() <= LONGEST_FIELD) {
            self.below(name.into(), inner);
        }
    }

    fn below(&mut self, token: Cow<'d, str>, value: &'d Value) {
        let of_namespaces = usize::from(token.contains("amespace"));
        self.of_namespaces += of_namespaces;
        self.tokens.push(token);
        self.value(value);
        self.tokens.pop();
        self.of_namespaces -= of_namespaces;
    }

    /// Whether the key has its effect here, or none is looked for.
    fn counts(&self, key: &str) -> bool {
        let Some((object, begin)) = self.around.last() else { return true };
        let tokens = self.tokens.get(*begin..).unwrap_or_default();
        let last = tokens.last().map(Cow::as_ref).unwrap_or_default();
        let is_label_of_namespaces = key == intent::KNOWN
            && (object.is_namespace() && tokens == ["metadata", "labels"]
                // Objects that make namespaces, such as those of Argo CD.
                || !object.is_namespace() && last == "labels" && self.of_namespaces > 0);
        is_label_of_namespaces || SELECTORS.contains(&last) || POLICIES.contains(&group(object.version))
    }

    /// Says that nobody reads these keys here.
    fn wishes(&mut self, keys: &[&str]) {
        let Some((object, begin)) = self.around.last().copied() else { return };
        let is_first = self.told.insert(ptr::from_ref(object.value));
        if self.remarks.len() >= MOST_REMARKS {
            return;
        }
        let tokens = self.tokens.get(begin..).unwrap_or_default();
        let engine = self.inside.is_none().then(|| object.engine_owned(tokens)).flatten();
        // What is said of an object as a whole is said once.
        let is_of_object = object.standing == Standing::Unsaid || engine.is_some();
        if is_of_object && !is_first {
            return;
        }
        let at = path::written(object.value, tokens.iter().map(|token| Cow::Borrowed(token.as_ref())));
        let wish = Wish { keys, object, inside: self.inside, engine, at, last: tokens.last().map(Cow::as_ref) };
        let (kind, severity, message) = wish.remark();
        let place = PointerBuf::from_tokens(self.tokens.iter().map(Cow::as_ref));
        self.remarks.push(object.remark(kind, severity, place, &message));
    }
}

/// Keys of ours at one place, where nobody reads them.
struct Wish<'w, 's, 'd> {
    keys: &'w [&'w str],
    object: &'s Object<'d>,
    inside: Option<&'s Template>,
    /// The place of the table that explains why nothing is done here.
    engine: Option<&'static Place>,
    /// The place in the object, as people write it.
    at: String,
    last: Option<&'w str>,
}

fn is_leaf(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

/// A key under our prefix that a user wrote.
fn is_wish(key: &str) -> bool {
    intent::is_ours(key) && key != intent::CONVERTED && key != intent::BLOCKED
}

// === impl Wish ===

impl Wish<'_, '_, '_> {
    fn remark(&self) -> (RemarkKind, Severity, String) {
        let object = self.object;
        let warning = |kind, message| (kind, Severity::Warning, message);
        if object.standing == Standing::Unsaid {
            return warning(RemarkKind::IncompleteObject, object.incomplete());
        }
        if object.is_namespace() {
            return self.of_namespace();
        }
        if let Some(place) = self.engine {
            let kind = place.remark_kind().unwrap_or(RemarkKind::EngineOwned);
            let message =
                format!("{} not carried out here: {}", self.that("is", "are"), place.reason().unwrap_or_default());
            return warning(kind, message);
        }
        let targets = self.targets();
        if self.last == Some("labels") {
            let to =
                targets.map_or_else(|| "as an annotation of the pod template".to_owned(), |to| format!("under {to}"));
            let message = format!("{} no effect as a label; write it {to}", self.that("has", "have"));
            return warning(RemarkKind::AnnotationAsLabel, message);
        }
        if let Some(targets) = targets {
            let message = format!("{} no effect here; move it to {targets}", self.that("has", "have"));
            return warning(RemarkKind::MisplacedAnnotation, message);
        }
        // A field that a chart or an engine may turn into annotations of pods, which is the webhook's matter.
        let is_annotations = self.last == Some("annotations") || self.last == Some("metadata");
        let severity = if is_annotations { Severity::Warning } else { Severity::Note };
        (RemarkKind::NoTemplate, severity, self.without_template())
    }

    fn of_namespace(&self) -> (RemarkKind, Severity, String) {
        let is_label = self.keys.contains(&intent::KNOWN);
        let (kind, to) = if is_label {
            (RemarkKind::LabelAsAnnotation, "write native-sidecar.io/known under metadata.labels")
        } else {
            (
                RemarkKind::MisplacedAnnotation,
                "a namespace has the label native-sidecar.io/known; all else belongs to pods",
            )
        };
        (kind, Severity::Warning, format!("{} no effect here; {to}", self.that("has", "have")))
    }

    /// Where the annotations belong.
    fn targets(&self) -> Option<String> {
        let object = self.object;
        let annotations = |path: &str| {
            if path.is_empty() { "metadata.annotations".to_owned() } else { format!("{path}.metadata.annotations") }
        };
        if let Some(template) = self.inside {
            return Some(annotations(&object.written(&template.path)));
        }
        match object.standing {
            Standing::List => Some("the annotations of the pod templates in its items".to_owned()),
            Standing::Known if object.places().any(|place| place.treatment == Treatment::Holds) => {
                Some("the annotations of the pod templates in the objects that it holds".to_owned())
            }
            Standing::Known => {
                let places = object.places().filter(|place| place.reason().is_none());
                let paths: Vec<_> = places.map(|place| annotations(place.path)).collect();
                (!paths.is_empty()).then(|| paths.join(" or "))
            }
            Standing::Unknown => object.unasked.as_ref().map(|path| {
                let to = annotations(&object.written(path));
                format!("{to} if its operator keeps what stands there (docs/workloads.md says how to find out)")
            }),
            Standing::Unsaid => None,
        }
    }

    fn without_template(&self) -> String {
        let object = self.object;
        let kind = object.full_kind();
        let none = self.that("is", "are");
        if structure::is_pod(object.value) {
            return format!(
                "{none} not read, since {kind} is not known; if its spec.containers are all containers of its pods, give \
                 --template-path {kind}=."
            );
        }
        if group(object.version).is_empty() {
            return format!("{none} not read, since a {kind} has no pods; write it on the pod template");
        }
        format!(
            "{none} not read, since {kind} is not known and no pod template was found in it; give its place with --template-path \
             {kind}=PATH, or let the webhook convert the pods that get the annotation"
        )
    }

    /// `annotation KEY at PLACE does`, with the verb that fits.
    fn that(&self, singular: &str, plural: &str) -> String {
        let named = self.keys.iter().take(MOST_KEYS).copied().collect::<Vec<_>>().join(", ");
        let more = self.keys.len().saturating_sub(MOST_KEYS);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let (noun, verb) = if self.keys.len() == 1 { ("annotation", singular) } else { ("annotations", plural) };
        let at = if self.at.is_empty() { "the object itself" } else { &self.at };
        format!("{noun} {named}{more} at {at} {verb}")
    }
}

// === impl Object ===

impl Object<'_> {
    fn remark(&self, kind: RemarkKind, severity: Severity, place: PointerBuf, message: &str) -> Remark {
        let name = if self.kind.is_empty() { "(without a kind)" } else { self.kind };
        // Names of fields and kinds are as people wrote them.
        let message = one_line(message).into_owned();
        Remark { kind, severity, object: ObjectName::of(self.value, name), place, message }
    }

    fn places(&self) -> impl Iterator<Item = &'static Place> {
        kinds::places(group(self.version), self.kind)
    }

    /// The place of the table that explains why nothing is done at `tokens`.
    fn engine_owned(&self, tokens: &[Cow<'_, str>]) -> Option<&'static Place> {
        let is_around = |place: &&Place| path::is_below(tokens, &place.steps());
        let mut places = self.places();
        let makes_pods = self.places().any(|place| place.reason().is_none());
        places.find(|place| place.reason().is_some() && (!makes_pods || is_around(place)))
    }

    fn is_namespace(&self) -> bool {
        self.kind == "Namespace" && self.version == "v1"
    }

    /// `KIND.GROUP`, as `--template-path` takes it.
    fn full_kind(&self) -> String {
        match group(self.version) {
            "" => self.kind.to_owned(),
            group => format!("{}.{group}", self.kind),
        }
    }

    /// A place in the object, as people write it.
    fn written(&self, place: &PointerBuf) -> String {
        let depth = self.way.count();
        path::written(self.value, place.tokens().skip(depth).map(|token| token.decoded().into_owned().into()))
    }

    /// What the object lacks, and what to do.
    fn incomplete(&self) -> String {
        let missing = match (self.version.is_empty(), self.kind.is_empty()) {
            (true, true) => "apiVersion and kind",
            (true, false) => "apiVersion",
            _ => "kind",
        };
        if structure::is_pod(self.value) && (self.kind.is_empty() || self.kind == "Pod") {
            return format!("has no {missing}, so that nothing is done; add apiVersion: v1 and kind: Pod if it is one");
        }
        if self.value.get("metadata").is_some() || self.value.get("spec").is_some() || !self.kind.is_empty() {
            return format!("has no {missing}, so that nothing is done; add them as the API server wants them");
        }
        "is no Kubernetes object; if these are values of a chart, run helm template CHART -f FILE | native-sidecar convert"
            .to_owned()
    }
}

// === impl Place ===

impl Place {
    const fn remark_kind(&self) -> Option<RemarkKind> {
        match self.treatment {
            Treatment::Left(_) => Some(RemarkKind::EngineOwned),
            Treatment::Merged(_) => Some(RemarkKind::MergedTemplate),
            _ => None,
        }
    }
}

// === impl RemarkKind ===

impl RemarkKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::MisplacedAnnotation,
        Self::AnnotationAsLabel,
        Self::LabelAsAnnotation,
        Self::IncompleteObject,
        Self::NoTemplate,
        Self::EngineOwned,
        Self::MergedTemplate,
        Self::UnknownKind,
        Self::UnreadableTemplate,
    ];

    /// Its name, which does not change.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::MisplacedAnnotation => "misplaced-annotation",
            Self::AnnotationAsLabel => "annotation-as-label",
            Self::LabelAsAnnotation => "label-as-annotation",
            Self::IncompleteObject => "incomplete-object",
            Self::NoTemplate => "no-template",
            Self::EngineOwned => "engine-owned",
            Self::MergedTemplate => "merged-template",
            Self::UnknownKind => "unknown-kind",
            Self::UnreadableTemplate => "unreadable-template",
        }
    }
}
