//! One walk through a document: the objects in it, and their pod templates.

use super::{
    Basis, ObjectName, Owner, Search, Special, Template, Treatment, below, group,
    kinds::{self, Place, PodOwner},
    path::{self, LONGEST_FIELD},
    structure,
};
use json_patch::jsonptr::PointerBuf;
use serde_json::{Map, Value};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    convert::Infallible,
    ops::ControlFlow,
    ptr,
    rc::Rc,
};

/// How deep objects are looked into that hold others: a list of lists is odd enough.
const MOST_HOLDERS: usize = 4;
/// How deep the fields of kinds that are not known are looked into.
const MOST_FIELDS: usize = 32;
/// No API has a longer `apiVersion` or `kind`: a group and a version.
const LONGEST_KIND: usize = LONGEST_FIELD + 1 + 63;
/// How long the way to what stands in the fields of kinds that are not known may be: each template has its own.
const LONGEST_WAY: usize = 1024;

/// What a document consists of.
pub(super) struct Survey<'d> {
    pub(super) search: &'d Search,
    pub(super) document: &'d Value,
    /// The objects in it, by their values, in the order in which they stand.
    pub(super) objects: Vec<Object<'d>>,
    by_value: HashMap<*const Value, usize>,
    found: Vec<Found<'d>>,
    taken: HashSet<*const Value>,
}

/// An object.
#[derive(Debug)]
pub(super) struct Object<'d> {
    pub(super) value: &'d Value,
    pub(super) way: Way,
    pub(super) version: &'d str,
    pub(super) kind: &'d str,
    pub(super) standing: Standing,
    /// The first template in it that nobody asked to convert: it only looks like one.
    pub(super) unasked: Option<PointerBuf>,
    /// The ways of [`Search::paths`] that end in it where there is no template.
    pub(super) unreadable: Vec<Unreadable>,
}

/// A way that does not end at a template. Each has one place at most in an object, so that what is kept does not grow with
/// the places.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// Which way it is.
    pub(super) number: usize,
    /// The first place without a template to which it leads.
    pub(super) first: PointerBuf,
    /// How many more there are.
    pub(super) more: usize,
}

/// The way to an object in its document. The items of a list share the way to it, which may be far longer than they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    around: Rc<PointerBuf>,
    rest: PointerBuf,
}

/// What is known of an object's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is a list.
    List,
    /// It is in the table.
    Known,
    /// It is not.
    Unknown,
    /// The object does not say of which kind it is.
    Unsaid,
}

/// A template, and its value.
struct Found<'d> {
    template: Template,
    value: &'d Value,
}

/// Where an object is met.
struct Met<'d, 'p> {
    value: &'d Value,
    path: &'p Rc<PointerBuf>,
    /// The same, as it is kept.
    way: Way,
    version: &'d str,
    kind: &'d str,
    /// How many levels of other objects may still stand in it.
    depth: usize,
    /// Whether it stands in an object of a kind that is not known.
    is_embedded: bool,
}

/// A walk through the fields of an object whose kind is not known.
struct Fields<'d> {
    object: usize,
    tokens: Vec<Cow<'d, str>>,
    depth: usize,
    /// How many bytes longer the way may become.
    room: usize,
}

// === impl Survey ===

impl<'d> Survey<'d> {
    /// # Errors
    ///
    /// The number of the item of a list that is no object.
    pub(super) fn of(search: &'d Search, document: &'d Value) -> Result<Self, usize> {
        let mut survey = Self {
            search,
            document,
            objects: Vec::new(),
            by_value: HashMap::new(),
            found: Vec::new(),
            taken: HashSet::new(),
        };
        // These are for other commands, whatever stands in them.
        let special = Special::of(document);
        if special.is_some() && !(search.resource_list && special == Some(Special::ResourceList)) {
            return Ok(survey);
        }
        let way = Way::default();
        survey.object(&Met::at(document, &way.path(), way, MOST_HOLDERS, false))?;
        Ok(survey)
    }

    pub(super) fn templates(self) -> Vec<Template> {
        self.found.into_iter().map(|found| found.template).collect()
    }

    /// The templates with their values.
    pub(super) fn found(&self) -> impl Iterator<Item = (&Template, &'d Value)> {
        self.found.iter().map(|found| (&found.template, found.value))
    }

    /// The object that `value` is.
    pub(super) fn object_at(&self, value: &Value) -> Option<&Object<'d>> {
        self.by_value.get(&ptr::from_ref(value)).and_then(|index| self.objects.get(*index))
    }

    fn object(&mut self, met: &Met<'d, '_>) -> Result<(), usize> {
        let items = met.value["items"].as_array().filter(|_| met.depth > 0 && self.is_list(met.version, met.kind));
        let standing = met.standing(items.is_some());
        let index = self.objects.len();
        self.by_value.insert(ptr::from_ref(met.value), index);
        self.objects.push(Object {
            value: met.value,
            way: met.way.clone(),
            version: met.version,
            kind: met.kind,
            standing,
            unasked: None,
            unreadable: Vec::new(),
        });
        if let Some(items) = items {
            return self.list(met, items);
        }
        if standing == Standing::Unsaid {
            return Ok(());
        }
        self.named_places(met, index);
        self.places(met)?;
        if standing == Standing::Unknown {
            let fields = met.value.as_object().into_iter().flatten();
            for (name, value) in fields.filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status")) {
                let room = LONGEST_WAY.saturating_sub(met.path.as_str().len());
                let mut walk = Fields { object: index, tokens: Vec::new(), depth: MOST_FIELDS, room };
                self.field(met, &mut walk, name.into(), value, met.value.as_object())?;
            }
        }
        Ok(())
    }

    fn list(&mut self, met: &Met<'d, '_>, items: &'d [Value]) -> Result<(), usize> {
        // The items of a typed list need not repeat what they are.
        let of_kind = met.kind.strip_suffix("List").unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            if !item.is_object() {
                // What stands in a field of a kind that is not known may be anything, whatever it looks like.
                if met.is_embedded {
                    continue;
                }
                return Err(index + 1);
            }
            let way = Way::below(met.path, &["items", &index.to_string()]);
            let path = way.path();
            let item = Met::at(item, &path, way, met.depth - 1, met.is_embedded);
            self.object(&item.or_of(met.version, of_kind))?;
        }
        Ok(())
    }

    /// `v1` `List`, the list of a kind that is known, or a list of kustomize where such are asked for.
    fn is_list(&self, version: &str, kind: &str) -> bool {
        let group = group(version);
        kind == "List" && group.is_empty()
            || self.search.resource_list && kind == "ResourceList" && group == "config.kubernetes.io"
            || kind.strip_suffix("List").is_some_and(|of| kinds::is_known(group, of))
    }

    /// Takes the templates at the places that were named by the user.
    fn named_places(&mut self, met: &Met<'d, '_>, object: usize) {
        let group = group(met.version);
        let is_known = kinds::is_known(group, met.kind);
        let search = self.search;
        for (number, way) in search.paths.iter().enumerate() {
            if !way.is_for(group, met.kind) || is_known && !way.is_bound() {
                continue;
            }
            path::find(met.value, way.steps(), |tokens, value| {
                if structure::is_pod(value) {
                    let path = below(met.path, tokens);
                    let beside = path.parent().and_then(|beside| self.document.pointer(beside.as_str()));
                    let owner = met.owner_of_template(beside.and_then(Value::as_object));
                    self.take(met, path, value, Some(owner), Basis::Path(number));
                } else if let Some(object) = self.objects.get_mut(object) {
                    object.add_unreadable(number, || below(met.path, tokens));
                }
                ControlFlow::<Infallible>::Continue(())
            });
        }
    }

    /// Takes the templates at the places that the table knows, and looks into what stands there.
    fn places(&mut self, met: &Met<'d, '_>) -> Result<(), usize> {
        for place in kinds::places(group(met.version), met.kind) {
            let owner = match place.treatment {
                Treatment::Pod => None,
                Treatment::Converted(owner) => Some(owner.into()),
                Treatment::Holds => {
                    self.held(met, place)?;
                    continue;
                }
                Treatment::Left(_) | Treatment::Merged(_) => continue,
            };
            path::find(met.value, &place.steps(), |tokens, value| {
                let counts = value.is_object() && (!met.is_embedded || structure::asks(value));
                if counts {
                    let basis = if met.is_embedded { Basis::Annotation } else { Basis::Kind };
                    self.take(met, below(met.path, tokens), value, owner.clone(), basis);
                }
                ControlFlow::<Infallible>::Continue(())
            });
        }
        Ok(())
    }

    /// Looks into the whole objects that stand in a place.
    fn held(&mut self, met: &Met<'d, '_>, place: &Place) -> Result<(), usize> {
        let Some(depth) = met.depth.checked_sub(1) else { return Ok(()) };
        let failed = path::find(met.value, &place.steps(), |tokens, value| {
            if !value.is_object() {
                return ControlFlow::Continue(());
            }
            let way = Way::below(met.path, tokens);
            match self.object(&Met::at(value, &way.path(), way, depth, met.is_embedded)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(item) => ControlFlow::Break(item),
            }
        });
        failed.map_or(Ok(()), Err)
    }

    /// Looks for templates in one field of an object whose kind is not known.
    fn field(
        &mut self,
        met: &Met<'d, '_>,
        walk: &mut Fields<'d>,
        token: Cow<'d, str>,
        value: &'d Value,
        beside: Option<&'d Map<String, Value>>,
    ) -> Result<(), usize> {
        // With the slash in front.
        let length = token.len() + 1;
        let is_in_reach = walk.depth > 0 && token.len() <= LONGEST_FIELD && length <= walk.room;
        if !is_in_reach || self.taken.contains(&ptr::from_ref(value)) {
            return Ok(());
        }
        walk.tokens.push(token);
        walk.depth -= 1;
        walk.room -= length;
        if structure::is_object(value) {
            if met.depth > 0 {
                let way = Way::below(met.path, &walk.tokens);
                self.object(&Met::at(value, &way.path(), way, met.depth - 1, true))?;
            }
        } else if structure::is_pod(value) {
            self.resemblance(met, walk, value, beside);
        } else {
            match value {
                Value::Object(map) => {
                    for (name, inner) in map {
                        self.field(met, walk, name.into(), inner, Some(map))?;
                    }
                }
                Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        self.field(met, walk, index.to_string().into(), item, None)?;
                    }
                }
                _ => {}
            }
        }
        walk.room += length;
        walk.depth += 1;
        walk.tokens.pop();
        Ok(())
    }

    /// Takes what looks like a template if it asks for it.
    fn resemblance(
        &mut self,
        met: &Met<'d, '_>,
        walk: &Fields<'d>,
        value: &'d Value,
        beside: Option<&Map<String, Value>>,
    ) {
        let path = || below(met.path, &walk.tokens);
        if structure::asks(value) {
            self.take(met, path(), value, Some(met.owner_of_template(beside)), Basis::Annotation);
        } else if let Some(object) = self.objects.get_mut(walk.object) {
            object.unasked.get_or_insert_with(path);
        }
    }

    fn take(&mut self, met: &Met<'d, '_>, path: PointerBuf, value: &'d Value, owner: Option<Owner>, basis: Basis) {
        if self.taken.insert(ptr::from_ref(value)) {
            let object = ObjectName::of(met.value, met.kind);
            let template = Template { object, path, object_path: met.path.as_ref().clone(), owner, basis };
            self.found.push(Found { template, value });
        }
    }
}

// === impl Way ===

impl Way {
    fn below(around: &Rc<PointerBuf>, tokens: &[impl AsRef<str>]) -> Self {
        Self { around: Rc::clone(around), rest: below(&PointerBuf::new(), tokens) }
    }

    pub(super) fn path(&self) -> Rc<PointerBuf> {
        let mut path = self.around.as_ref().clone();
        path.append(&self.rest);
        path.into()
    }

    /// How many names it has.
    pub(super) fn count(&self) -> usize {
        self.around.count() + self.rest.count()
    }
}

// === impl Met ===

impl<'d, 'p> Met<'d, 'p> {
    fn at(value: &'d Value, path: &'p Rc<PointerBuf>, way: Way, depth: usize, is_embedded: bool) -> Self {
        let text = |field: &str| value[field].as_str().filter(|text| text.len() <= LONGEST_KIND).unwrap_or_default();
        Self { value, path, way, version: text("apiVersion"), kind: text("kind"), depth, is_embedded }
    }

    /// The same, of this kind where it does not say of which it is.
    fn or_of(self, version: &'d str, kind: &'d str) -> Self {
        let or = |own: &'d str, other| if own.is_empty() { other } else { own };
        // The items of a plain List say what they are.
        if kind.is_empty() {
            self
        } else {
            Self { version: or(self.version, version), kind: or(self.kind, kind), ..self }
        }
    }

    fn standing(&self, is_list: bool) -> Standing {
        if is_list {
            Standing::List
        } else if self.version.is_empty() || self.kind.is_empty() {
            Standing::Unsaid
        } else if kinds::is_known(group(self.version), self.kind) {
            Standing::Known
        } else {
            Standing::Unknown
        }
    }

    /// The owner of the pods of a template that is in no table: a Job where it stands in the spec of one, else the object.
    fn owner_of_template(&self, beside: Option<&Map<String, Value>>) -> Owner {
        let (api_version, kind) =
            if beside.is_some_and(structure::is_job_spec) { ("batch/v1", "Job") } else { (self.version, self.kind) };
        Owner { api_version: api_version.to_owned(), kind: kind.to_owned() }
    }
}

// === impl Object ===

impl Object<'_> {
    fn add_unreadable(&mut self, number: usize, place: impl FnOnce() -> PointerBuf) {
        // The ways are followed one after the other.
        match self.unreadable.last_mut().filter(|last| last.number == number) {
            Some(last) => last.more += 1,
            None => self.unreadable.push(Unreadable { number, first: place(), more: 0 }),
        }
    }
}

// === impl Owner ===

impl From<PodOwner> for Owner {
    fn from(owner: PodOwner) -> Self {
        Self { api_version: owner.api_version.to_owned(), kind: owner.kind.to_owned() }
    }
}
