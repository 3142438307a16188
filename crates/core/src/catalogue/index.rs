//! Which entries are worth trying for a container, so that a review does not try them all.

use super::{
    entry::Entry,
    image::{ImagePattern, Origins},
    pattern::Pattern,
};
use std::collections::HashMap;

/// The indices of a catalogue's entries, by what they recognise.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// Of those that name a container exactly, by that name.
    names: HashMap<String, Vec<usize>>,
    /// Of those that have a star in the name of a container.
    any_name: Vec<usize>,
    /// Of those that name an image exactly, by the last component of its repository.
    products: HashMap<String, Vec<usize>>,
    /// Of those that may recognise a container whatever its image is called.
    any_image: Vec<usize>,
}

// === impl Index ===

impl Index {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut index = Self::default();
        for (at, entry) in entries.iter().enumerate() {
            index.add_names(at, &entry.recognise.containers);
            if entry.recognise.signs.is_empty() {
                index.add_images(at, &entry.recognise.images);
            } else {
                index.any_image.push(at);
            }
        }
        index
    }

    /// The entries that may recognise a container called `name`, in their order.
    pub(super) fn by_name(&self, name: &str) -> impl Iterator<Item = usize> {
        in_order(self.names.get(name).into_iter().flatten().chain(&self.any_name))
    }

    /// The entries that may recognise a container whose image may have come from `origins`, in their order.
    pub(super) fn by_image(&self, origins: &Origins) -> impl Iterator<Item = usize> {
        let named = origins.products().filter_map(|product| self.products.get(product)).flatten();
        in_order(named.chain(&self.any_image))
    }

    fn add_names(&mut self, at: usize, patterns: &[Pattern]) {
        for pattern in patterns.iter().filter(|pattern| !pattern.has_star()) {
            self.names.entry(pattern.as_str().to_owned()).or_default().push(at);
        }
        if patterns.iter().any(Pattern::has_star) {
            self.any_name.push(at);
        }
    }

    fn add_images(&mut self, at: usize, patterns: &[ImagePattern]) {
        if patterns.iter().any(|pattern| pattern.product().is_none()) {
            self.any_image.push(at);
            return;
        }
        for product in patterns.iter().filter_map(ImagePattern::product) {
            self.products.entry(product.to_owned()).or_default().push(at);
        }
    }
}

fn in_order<'i>(indices: impl Iterator<Item = &'i usize>) -> impl Iterator<Item = usize> {
    let mut indices: Vec<usize> = indices.copied().collect();
    indices.sort_unstable();
    indices.dedup();
    indices.into_iter()
}
