//! The request side of an `AdmissionReview` (admission.k8s.io/v1), borrowed from the body.
//!
//! A body is read in one pass, the pod in it included. Only where that fails it is read again, piece by piece, to find
//! out what is wrong and whether there is a uid that can be answered to.

use super::Subject;
use crate::{
    pod::{Pod, Text, Unreadable, null_is_default, object, optional_object},
    text::shorten,
};
use serde::Deserialize;
use serde_json::{Deserializer, value::RawValue};

/// The only version that is understood. The API server sends v1beta1 only to a webhook that lists it first.
const API_VERSION: &str = "admission.k8s.io/v1";
/// The versions that are answered to; what an answer without a patch says means the same in all of them.
const ANSWERED: [&str; 2] = [API_VERSION, "admission.k8s.io/v1beta1"];
const KIND: &str = "AdmissionReview";

/// The longest uid that is sent back. The API server's own have 36 bytes.
const UID_LIMIT: usize = 128;
/// Characters of a version or a kind that is not ours.
const WORD_LIMIT: usize = 64;
/// Characters of what is wrong with a body: what reads JSON quotes texts whole.
const REASON_LIMIT: usize = 512;

/// A body that is an `AdmissionReview` of our version.
#[derive(Debug)]
pub(super) struct Envelope<'b> {
    pub(super) api_version: &'static str,
    pub(super) subject: Subject,
    /// The pod that the request creates; `None` where it asks for something else.
    pub(super) pod: Option<Result<Pod<'b>, Unreadable>>,
}

/// A body that could not be answered as it was meant.
#[derive(Debug)]
pub(super) struct Unread {
    /// The uid, where it could be read all the same, in a version that is answered to.
    pub(super) uid: Option<String>,
    /// What to answer in.
    pub(super) api_version: &'static str,
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
struct Uid<'b> {
    #[serde(borrow, default)]
    uid: Text<'b>,
}

// === impl Envelope ===

impl<'b> Envelope<'b> {
    /// Reads a body.
    pub(super) fn read(body: &'b [u8]) -> Result<Self, Unread> {
        let text = std::str::from_utf8(body).map_err(|error| Unread::entirely(&format!("it is not UTF-8: {error}")))?;
        match read_object::<Outer<'b, Request<'b, Pod<'b>>>>(text) {
            Ok(outer) if is_ours(outer.kind, outer.api_version) => match outer.request {
                Some(request) if is_uid(&request.uid) => Ok(Self::of(request, Ok)),
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
        let reason = || not_ours(outer.kind, outer.api_version);
        let api_version = answered(outer.api_version).ok_or_else(|| Unread::of_no_known_version(&reason()))?;
        let uid = read_uid(request.get())?;
        if !is_ours(outer.kind, outer.api_version) {
            return Err(Unread { uid: Some(uid), api_version, reason: reason() });
        }
        match read_object::<Request<'b, &'b RawValue>>(request.get()) {
            Ok(request) => Ok(Self::of(request, |object| Pod::parse(object.get()))),
            Err(error) => Err(Unread { uid: Some(uid), ..Unread::entirely(&error.to_string()) }),
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

/// The version to answer in, which is only ever one of ours.
fn answered(api_version: Option<&RawValue>) -> Option<&'static str> {
    ANSWERED.into_iter().find(|known| word(api_version) == Some(known))
}

/// Why a body of this kind and version is not understood.
fn not_ours(kind: Option<&RawValue>, api_version: Option<&RawValue>) -> String {
    let api_version = word(api_version).map_or_else(|| "no apiVersion".to_owned(), |text| shorten(text, WORD_LIMIT));
    let kind = word(kind).map_or_else(|| "without a kind".to_owned(), |text| shorten(text, WORD_LIMIT));
    format!(
        "this webhook understands {API_VERSION} {KIND} only, not {api_version} {kind}; set admissionReviewVersions: [v1]"
    )
}

/// The uid in the JSON of a request.
fn read_uid(request: &str) -> Result<String, Unread> {
    let Uid { uid } = serde_json::from_str(request).map_err(|error| Unread::entirely(&error.to_string()))?;
    if is_uid(&uid) {
        return Ok(String::from(&*uid));
    }
    Err(Unread::entirely(&if uid.is_empty() {
        "its request has no uid".to_owned()
    } else {
        format!("its request's uid has {} bytes, more than the {UID_LIMIT} that are sent back", uid.len())
    }))
}

fn is_uid(text: &str) -> bool {
    (1..=UID_LIMIT).contains(&text.len())
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
        let reason = shorten(reason, REASON_LIMIT);
        Self::of_no_known_version(&format!("the body is not an AdmissionReview: {reason}"))
    }

    /// Nobody could read an answer to it.
    fn of_no_known_version(reason: &str) -> Self {
        Self { uid: None, api_version: API_VERSION, reason: reason.to_owned() }
    }
}
