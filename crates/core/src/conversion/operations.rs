//! RFC 6902 operations for a pod, told apart by what they change.
//!
//! Only `add`, `remove` and `move` are written: a failing `test` would reject the pod, whatever the webhook's
//! failurePolicy (kube-apiserver, mutating/dispatcher.go).

use json_patch::{AddOperation, MoveOperation, Patch, PatchOperation, RemoveOperation};
use jsonptr::{Pointer, PointerBuf, Token};
use serde_json::Value;

/// The operations for a pod. They are carried out in the order of the fields, so that inside a container they come
/// while its index is still the one in the request.
#[derive(Debug, Default)]
pub(super) struct Operations {
    /// Inside containers, each of which is named once; pointers begin at the container.
    pub(super) in_containers: Vec<(Source, Within)>,
    /// On the lists of containers; pointers begin at `spec`.
    pub(super) in_spec: Within,
    /// On annotations; pointers begin at `metadata`.
    pub(super) in_metadata: Within,
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
        let Self { in_containers, in_spec, in_metadata } = self;
        let in_containers = in_containers.into_iter().flat_map(|(source, within)| within.below(source.pointer()));
        let in_spec = in_spec.below(pointer(["spec"]));
        Patch(in_containers.chain(in_spec).chain(in_metadata.below(pointer(["metadata"]))).collect())
    }
}

// === impl Within ===

impl Within {
    pub(super) fn add<'t>(&mut self, path: impl IntoIterator<Item = &'t str>, value: impl Into<Value>) {
        let (path, value) = (pointer(path), value.into());
        self.0.push(PatchOperation::Add(AddOperation { path, value }));
    }

    pub(super) fn remove<'t>(&mut self, path: impl IntoIterator<Item = &'t str>) {
        self.0.push(PatchOperation::Remove(RemoveOperation { path: pointer(path) }));
    }

    pub(super) fn move_from<'t>(
        &mut self,
        from: impl IntoIterator<Item = &'t str>,
        path: impl IntoIterator<Item = &'t str>,
    ) {
        self.0.push(PatchOperation::Move(MoveOperation { from: pointer(from), path: pointer(path) }));
    }

    /// The same operations with pointers that begin where `place` begins.
    fn below(self, place: PointerBuf) -> impl Iterator<Item = PatchOperation> {
        self.0.into_iter().map(move |mut operation| {
            match &mut operation {
                PatchOperation::Add(AddOperation { path, .. }) | PatchOperation::Remove(RemoveOperation { path }) => {
                    *path = joined(&place, path);
                }
                PatchOperation::Move(MoveOperation { from, path }) => {
                    (*from, *path) = (joined(&place, from), joined(&place, path));
                }
                // Not written here.
                PatchOperation::Replace(_) | PatchOperation::Copy(_) | PatchOperation::Test(_) => {}
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

/// The pointer of these tokens, in one piece.
fn pointer<'t>(tokens: impl IntoIterator<Item = &'t str>) -> PointerBuf {
    let mut text = String::with_capacity(ORDINARY_POINTER);
    for token in tokens {
        text.push('/');
        if token.contains(['~', '/']) {
            text.push_str(Token::new(token).encoded());
        } else {
            text.push_str(token);
        }
    }
    // What is made of encoded tokens is a pointer; the empty one stands for what cannot be.
    PointerBuf::parse(text).unwrap_or_default()
}

fn joined(place: &Pointer, path: &Pointer) -> PointerBuf {
    place.concat(path)
}
