//! The request side of an `AdmissionReview` (admission.k8s.io/v1), borrowed from the body.
//!
//! A body is read in one pass, the pod in it included. Only where that fails it is read again, piece by piece, to find
//! out what is wrong and whether there is a uid that can be answered to.

use super::Subject;
use crate::pod::{Pod, Text, Unreadable, null_is_default, object, optional_object};
use serde::Deserialize;
use serde_json::{Deserializer, value::RawValue};

/// The only version that is understood. The API server sends v1beta1 only to a webhook that lists it first.
pub(super) const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// A body that is an `AdmissionReview` of our version.
#[derive(Debug)]
pub(super) struct Envelope<'b> {
    pub(super) api_version: &'b str,
    pub(super) subject: Subject,
    /// The pod that the request creates; `None` where it asks for something else.
    pub(super) pod: Option<Result<Pod<'b>, Unreadable>>,
}

/// A body that could not be answered as it was meant.
#[derive(Debug)]
pub(super) struct Unread {
    /// The uid, where it could be read all the same.
    pub(super) uid: Option<String>,
    /// What to answer in.
    pub(super) api_version: String,
    /// What is wrong with the body, as a sentence.
    pub(super) reason: String,
}

/// The `AdmissionReview` around a request that is read as `R`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "R: Deserialize<'de>")]
struct Outer<'b, R> {
    #[serde(borrow, default)]
    api_version: Option<&'b RawValue>,
    #[serde(borrow, default)]
    kind: Option<&'b RawValue>,
    #[serde(default, deserialize_with = "optional_object")]
    request: Option<R>,
}

/// The same, with a request that is not read yet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OuterInPieces<'b> {
    #[serde(borrow, default)]
    api_version: Option<&'b RawValue>,
    #[serde(borrow, default)]
    kind: Option<&'b RawValue>,
    #[serde(borrow, default)]
    request: Option<&'b RawValue>,
}

/// A request, as far as it is read, with an object that is read as `O`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "O: Deserialize<'de>")]
struct Request<'b, O> {
    #[serde(borrow, default)]
    uid: Text<'b>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    kind: GroupVersionKind<'b>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    resource: GroupVersionResource<'b>,
    #[serde(borrow, default)]
    sub_resource: Text<'b>,
    #[serde(borrow, default)]
    operation: Text<'b>,
    #[serde(borrow, default)]
    namespace: Text<'b>,
    #[serde(borrow, default)]
    name: Text<'b>,
    #[serde(default, deserialize_with = "null_is_default")]
    dry_run: bool,
    object: Option<O>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GroupVersionKind<'b> {
    #[serde(borrow)]
    group: Text<'b>,
    #[serde(borrow)]
    version: Text<'b>,
    #[serde(borrow)]
    kind: Text<'b>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GroupVersionResource<'b> {
    #[serde(borrow)]
    resource: Text<'b>,
}

#[derive(Deserialize)]
struct Uid {
    uid: String,
}

// === impl Envelope ===

impl<'b> Envelope<'b> {
    /// Reads a body.
    pub(super) fn read(body: &'b [u8]) -> Result<Self, Unread> {
        let text = std::str::from_utf8(body).map_err(|error| Unread::entirely(&format!("it is not UTF-8: {error}")))?;
        match read_object::<Outer<'b, Request<'b, Pod<'b>>>>(text) {
            Ok(outer) if is_ours(outer.kind, outer.api_version) => match outer.request {
                Some(request) if !request.uid.is_empty() => Ok(Self::of(request, Ok)),
                _ => Self::read_in_pieces(text),
            },
            _ => Self::read_in_pieces(text),
        }
    }

    /// Reads what can be read of a body that cannot be read in one go.
    fn read_in_pieces(text: &'b str) -> Result<Self, Unread> {
        if !is_object(text) {
            return Err(Unread::entirely("it is no JSON object"));
        }
        let outer: OuterInPieces<'b> = read_object(text).map_err(|error| Unread::entirely(&error.to_string()))?;
        let request = outer.request.ok_or_else(|| Unread::entirely("it has no request"))?;
        if !is_object(request.get()) {
            return Err(Unread::entirely("its request is no object"));
        }
        let uid = || serde_json::from_str::<Uid>(request.get()).ok().map(|uid| uid.uid).filter(|uid| !uid.is_empty());
        if !is_ours(outer.kind, outer.api_version) {
            let (kind, api_version) = (word(outer.kind), word(outer.api_version));
            let found = format!("{} {}", api_version.unwrap_or("no apiVersion"), kind.unwrap_or("without a kind"));
            return Err(Unread {
                uid: uid(),
                api_version: api_version.unwrap_or(API_VERSION).to_owned(),
                reason: format!(
                    "this webhook understands {API_VERSION} {KIND} only, not {found}; set admissionReviewVersions: [v1]"
                ),
            });
        }
        match read_object::<Request<'b, &'b RawValue>>(request.get()) {
            Ok(request) if !request.uid.is_empty() => Ok(Self::of(request, |object| Pod::parse(object.get()))),
            Ok(_) => Err(Unread::entirely("its request has no uid")),
            Err(error) => Err(Unread { uid: uid(), ..Unread::entirely(&error.to_string()) }),
        }
    }

    fn of<O>(request: Request<'b, O>, pod: impl FnOnce(O) -> Result<Pod<'b>, Unreadable>) -> Self {
        let creates_pod = request.creates_pod();
        let subject = request.subject();
        Self { api_version: API_VERSION, subject, pod: request.object.filter(|_| creates_pod).map(pod) }
    }
}

fn read_object<'b, T: Deserialize<'b>>(text: &'b str) -> serde_json::Result<T> {
    let mut deserializer = Deserializer::from_str(text);
    let value = object(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
}

/// Whether what is called so is of the kind and version that are understood.
fn is_ours(kind: Option<&RawValue>, api_version: Option<&RawValue>) -> bool {
    word(kind) == Some(KIND) && word(api_version) == Some(API_VERSION)
}

/// A JSON string without escapes, which is all that versions and kinds are made of.
fn word(raw: Option<&RawValue>) -> Option<&str> {
    serde_json::from_str(raw?.get()).ok()
}

// === impl Request ===

impl<O> Request<'_, O> {
    /// Whether the request is `CREATE` of core/v1 pods without a subresource.
    fn creates_pod(&self) -> bool {
        let GroupVersionKind { group, version, kind } = &self.kind;
        let is_pod = group.is_empty() && *version == "v1" && *kind == "Pod";
        let is_pods = matches!(&*self.resource.resource, "" | "pods") && self.sub_resource.is_empty();
        is_pod && is_pods && self.operation == "CREATE"
    }

    fn subject(&self) -> Subject {
        Subject {
            uid: String::from(&*self.uid),
            namespace: String::from(&*self.namespace),
            pod: String::from(&*self.name),
            owner: String::new(),
            dry_run: self.dry_run,
        }
    }
}

// === impl Unread ===

impl Unread {
    fn entirely(reason: &str) -> Self {
        Self {
            uid: None,
            api_version: API_VERSION.to_owned(),
            reason: format!("the body is not an AdmissionReview: {reason}"),
        }
    }
}
