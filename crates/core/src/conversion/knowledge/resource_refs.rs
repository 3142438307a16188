//! Variables that read the resources of another container.

use crate::pod::Container;
use std::collections::HashMap;

/// A variable that reads a resource of a container by its name.
#[derive(Clone, Copy, Debug)]
pub(in crate::conversion) struct ResourceRef<'p> {
    /// The container that has the variable.
    pub(in crate::conversion) reader: &'p str,
    /// The variable's name.
    pub(in crate::conversion) variable: &'p str,
    /// What it reads: `limits.memory`.
    pub(in crate::conversion) resource: &'p str,
}

/// All such variables of a pod, by the name of the container whose resources they read.
#[derive(Debug, Default)]
pub(in crate::conversion) struct ResourceRefs<'p>(HashMap<&'p str, Vec<ResourceRef<'p>>>);

// === impl ResourceRefs ===

impl<'p> ResourceRefs<'p> {
    /// What the variables of `containers` read.
    pub(in crate::conversion) fn of(containers: impl Iterator<Item = &'p Container<'p>>) -> Self {
        let mut by_target: HashMap<_, Vec<_>> = HashMap::new();
        for container in containers.filter(|container| container.may_read_resources()) {
            for variable in container.env() {
                let Some(field) = variable.resource_field_ref() else { continue };
                let reads =
                    ResourceRef { reader: &container.name, variable: &variable.name, resource: &field.resource };
                by_target.entry(&*field.container_name).or_default().push(reads);
            }
        }
        Self(by_target)
    }

    /// What other containers read of the one called `name`.
    pub(in crate::conversion) fn of_others(&self, name: &str) -> impl Iterator<Item = &ResourceRef<'p>> {
        self.0.get(name).into_iter().flatten().filter(move |reads| reads.reader != name)
    }
}
