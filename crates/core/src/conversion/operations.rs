//! RFC 6902 operations for a pod, told apart by what they change.
//!
//! Only `add`, `remove` and `move` are written: a failing `test` would reject the pod, whatever the webhook's
//! failurePolicy (kube-apiserver, mutating/dispatcher.go).

use json_patch::{
    AddOperation, CopyOperation, MoveOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation,
};
use jsonptr::{Pointer, PointerBuf, Token};
use memchr::memchr2;
use serde_json::Value;

/// The operations for a pod. They are carried out in the order of the fields, so that inside a container they come
/// while its index is still the one in the request.
#[derive(Debug, Default)]
pub(super) struct Operations {
    /// Inside containers, each of which is named once; pointers begin at the container.
    pub(super) containers: Vec<(Source, Within)>,
    /// On the lists of containers; pointers begin at `spec`.
    pub(super) spec: Within,
    /// On `metadata`, where it has no annotations yet; pointers begin there.
    pub(super) metadata: Within,
    /// On annotations; pointers begin at them.
    pub(super) annotations: Within,
}

/// Operations whose pointers begin at some place of the pod.
#[derive(Debug, Default)]
pub(super) struct Within(pub(super) Vec<PatchOperation>);

/// Where a container is in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// In `initContainers`, with this index.
    Init(usize),
    /// In `containers`, with this index.
    Regular(usize),
}

/// An ordinary pointer has no more bytes.
const ORDINARY_POINTER: usize = 64;

// === impl Operations ===

impl Operations {
    /// The patch for the whole pod.
    pub(super) fn into_patch(self) -> Patch {
        let Self { containers, spec, metadata, annotations } = self;
        let containers = containers.into_iter().flat_map(|(source, within)| within.below(source.pointer()));
        let spec = spec.below(Pointer::from_static("/spec").to_buf());
        let metadata = metadata.below(Pointer::from_static("/metadata").to_buf());
        let annotations = annotations.below(Pointer::from_static("/metadata/annotations").to_buf());
        Patch(containers.chain(spec).chain(metadata).chain(annotations).collect())
    }
}

// === impl Within ===

impl Within {
    pub(super) fn add(&mut self, path: PointerBuf, value: impl Into<Value>) {
        self.0.push(PatchOperation::Add(AddOperation { path, value: value.into() }));
    }

    pub(super) fn remove(&mut self, path: PointerBuf) {
        self.0.push(PatchOperation::Remove(RemoveOperation { path }));
    }

    pub(super) fn move_from(&mut self, from: PointerBuf, path: PointerBuf) {
        self.0.push(PatchOperation::Move(MoveOperation { from, path }));
    }

    /// The same operations with pointers that begin where `place` begins.
    fn below(self, place: PointerBuf) -> impl Iterator<Item = PatchOperation> {
        self.0.into_iter().map(move |mut operation| {
            match &mut operation {
                PatchOperation::Add(AddOperation { path, .. })
                | PatchOperation::Remove(RemoveOperation { path })
                | PatchOperation::Replace(ReplaceOperation { path, .. })
                | PatchOperation::Test(TestOperation { path, .. }) => *path = place.concat(path),
                PatchOperation::Move(MoveOperation { from, path })
                | PatchOperation::Copy(CopyOperation { from, path }) => {
                    (*from, *path) = (place.concat(from), place.concat(path));
                }
            }
            operation
        })
    }
}

// === impl Source ===

impl Source {
    fn pointer(self) -> PointerBuf {
        match self {
            Self::Init(index) => pointer(["spec", "initContainers", &index.to_string()]),
            Self::Regular(index) => pointer(["spec", "containers", &index.to_string()]),
        }
    }
}

/// The pointer of these tokens. Made in one piece, unlike the crate's own `from_tokens`: there are many of them in a
/// review.
pub(super) fn pointer<'t>(tokens: impl IntoIterator<Item = &'t str>) -> PointerBuf {
    let mut text = String::with_capacity(ORDINARY_POINTER);
    for token in tokens {
        text.push('/');
        if memchr2(b'~', b'/', token.as_bytes()).is_some() {
            text.push_str(Token::new(token).encoded());
        } else {
            text.push_str(token);
        }
    }
    // What is made of encoded tokens is a pointer; the empty one stands for what cannot be.
    PointerBuf::parse(text).unwrap_or_default()
}
