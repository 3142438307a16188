//! The request side of an `AdmissionReview` (admission.k8s.io/v1), borrowed from the body.

use super::Subject;
use crate::pod::null_is_default;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The only version that is understood. The API server sends v1beta1 only to a webhook that lists it first.
pub(super) const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// `serde_json` refuses deeper nesting wherever it builds values, so everything is refused alike.
const DEEPEST: usize = 127;

/// A body that is an `AdmissionReview` of our version.
#[derive(Debug)]
pub(super) struct Envelope<'b> {
    pub(super) api_version: &'b str,
    pub(super) request: Request<'b>,
}

/// `request`, as far as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Request<'b> {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) uid: Cow<'b, str>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    kind: GroupVersionKind<'b>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    resource: GroupVersionResource<'b>,
    #[serde(deserialize_with = "null_is_default")]
    sub_resource: Cow<'b, str>,
    #[serde(deserialize_with = "null_is_default")]
    operation: Cow<'b, str>,
    #[serde(deserialize_with = "null_is_default")]
    namespace: Cow<'b, str>,
    #[serde(deserialize_with = "null_is_default")]
    name: Cow<'b, str>,
    #[serde(deserialize_with = "null_is_default")]
    dry_run: bool,
    #[serde(borrow)]
    object: Option<&'b RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GroupVersionKind<'b> {
    #[serde(deserialize_with = "null_is_default")]
    group: Cow<'b, str>,
    #[serde(deserialize_with = "null_is_default")]
    version: Cow<'b, str>,
    #[serde(deserialize_with = "null_is_default")]
    kind: Cow<'b, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GroupVersionResource<'b> {
    #[serde(deserialize_with = "null_is_default")]
    resource: Cow<'b, str>,
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outer<'b> {
    #[serde(borrow, default)]
    api_version: Option<&'b RawValue>,
    #[serde(borrow, default)]
    kind: Option<&'b RawValue>,
    #[serde(borrow, default)]
    request: Option<&'b RawValue>,
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
        if nests_deeper(text, DEEPEST) {
            return Err(Unread::entirely(&format!("it nests deeper than {DEEPEST} levels")));
        }
        if !is_object(text) {
            return Err(Unread::entirely("it is no JSON object"));
        }
        let outer: Outer<'b> = serde_json::from_str(text).map_err(|error| Unread::entirely(&error.to_string()))?;
        let request = outer.request.ok_or_else(|| Unread::entirely("it has no request"))?;
        if !is_object(request.get()) {
            return Err(Unread::entirely("its request is no object"));
        }
        let uid = || serde_json::from_str::<Uid>(request.get()).ok().map(|uid| uid.uid).filter(|uid| !uid.is_empty());
        let (kind, api_version) = (word(outer.kind), word(outer.api_version));
        if kind != Some(KIND) || api_version != Some(API_VERSION) {
            let found = format!("{} {}", api_version.unwrap_or("no apiVersion"), kind.unwrap_or("without a kind"));
            return Err(Unread {
                uid: uid(),
                api_version: api_version.unwrap_or(API_VERSION).to_owned(),
                reason: format!(
                    "this webhook understands {API_VERSION} {KIND} only, not {found}; set admissionReviewVersions: [v1]"
                ),
            });
        }
        match serde_json::from_str::<Request<'b>>(request.get()) {
            Ok(request) if !request.uid.is_empty() => Ok(Self { api_version: API_VERSION, request }),
            Ok(_) => Err(Unread::entirely("its request has no uid")),
            Err(error) => Err(Unread { uid: uid(), ..Unread::entirely(&error.to_string()) }),
        }
    }
}

/// A list would be read as an object's fields in their order.
fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
}

/// A JSON string without escapes, which is all that versions and kinds are made of.
fn word(raw: Option<&RawValue>) -> Option<&str> {
    serde_json::from_str(raw?.get()).ok()
}

/// Whether the brackets of `json` nest deeper than `limit`, strings left aside.
fn nests_deeper(json: &str, limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

// === impl Request ===

impl<'b> Request<'b> {
    /// The JSON of the pod, where the request creates one: `CREATE` of core/v1 pods without a subresource.
    pub(super) fn created_pod(&self) -> Option<&'b str> {
        let GroupVersionKind { group, version, kind } = &self.kind;
        let is_pod = group.is_empty() && version == "v1" && kind == "Pod";
        let is_pods = matches!(&*self.resource.resource, "" | "pods") && self.sub_resource.is_empty();
        self.object.filter(|_| is_pod && is_pods && self.operation == "CREATE").map(RawValue::get)
    }

    pub(super) fn subject(&self) -> Subject {
        Subject {
            uid: self.uid.clone().into_owned(),
            namespace: self.namespace.clone().into_owned(),
            pod: self.name.clone().into_owned(),
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
