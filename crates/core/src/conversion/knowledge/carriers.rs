//! Mesh proxies that carry a pod's traffic, and what starts before them although its traffic is redirected to them.

use crate::{
    catalogue::{Bypass, Catalogue, Entry},
    lifecycle::traffic::asked_by,
    pod::{Container, Handler, HttpGetAction, Pod, TcpSocketAction},
};
use std::collections::BTreeSet;

/// A container of the start order.
#[derive(Clone, Copy, Debug)]
pub(in crate::conversion) struct Starting<'p> {
    pub(in crate::conversion) container: &'p Container<'p>,
    pub(in crate::conversion) comes: Comes<'p>,
}

/// How a container comes into the start order.
#[derive(Clone, Copy, Debug)]
pub(in crate::conversion) enum Comes<'p> {
    /// It moves; and what is known about it.
    Moved(Option<&'p Entry>),
    /// It was there already.
    Existing,
}

/// A carrier that starts later than what it carries.
#[derive(Clone, Copy, Debug)]
pub(in crate::conversion) struct LateCarrier<'p> {
    /// Its name.
    pub(in crate::conversion) name: &'p str,
    /// What its redirection leaves out.
    pub(in crate::conversion) bypass: &'p Bypass,
    /// What to do about it.
    pub(in crate::conversion) remedy: &'static str,
}

/// Of each place of a start order, the first carrier that starts later.
#[derive(Debug, Default)]
pub(in crate::conversion) struct LateCarriers<'p>(Vec<Option<LateCarrier<'p>>>);

/// A carrier, and from which place on traffic goes to it.
#[derive(Clone, Copy, Debug)]
struct Carrier<'p> {
    late: LateCarrier<'p>,
    /// Where it starts itself.
    starts: usize,
    /// The place of the first init container that redirects traffic to it.
    redirected: usize,
}

/// What the search for carriers looks at.
struct Search<'s, 'p> {
    pod: &'p Pod<'p>,
    catalogue: &'p Catalogue,
    order: &'s [Starting<'p>],
    /// Where traffic begins to be redirected to a sidecar of this entry.
    redirected: Vec<(&'p Entry, Option<usize>)>,
}

/// Whether `entry` is of a sidecar that carries traffic, and so needs nobody else for its own.
pub(in crate::conversion) fn is_carrier(entry: Option<&Entry>) -> bool {
    entry.is_some_and(Entry::is_carrier)
}

/// Whether the kubelet asks the pod's own address, which a mesh redirects.
pub(in crate::conversion) fn asks_pod(handler: &Handler<'_>) -> bool {
    match handler {
        Handler { http_get: Some(HttpGetAction { host, .. }), .. }
        | Handler { tcp_socket: Some(TcpSocketAction { host, .. }), .. } => host.is_empty(),
        Handler { grpc: Some(_), .. } => true,
        _ => false,
    }
}

// === impl LateCarrier ===

impl LateCarrier<'_> {
    /// Whether what `handler` of `container` has the kubelet ask comes through this carrier.
    pub(in crate::conversion) fn carries_probe(
        &self,
        handler: &Handler<'_>,
        pod: &Pod<'_>,
        container: &Container<'_>,
    ) -> bool {
        let is_left_out = |port: i64| self.bypass.leaves_out_inbound(port, pod);
        asks_pod(handler) && !asked_by(handler, container).into_iter().any(is_left_out)
    }
}

// === impl LateCarriers ===

impl<'p> LateCarriers<'p> {
    /// Who is carried by whom, in `order` and by the containers that `stay` regular.
    pub(in crate::conversion) fn of(
        pod: &'p Pod<'p>,
        catalogue: &'p Catalogue,
        order: &[Starting<'p>],
        stay: impl Iterator<Item = &'p Container<'p>>,
    ) -> Self {
        let mut search = Search { pod, catalogue, order, redirected: Vec::new() };
        let mut carriers: Vec<_> = (0..order.len()).filter_map(|at| search.in_order(at)).collect();
        carriers
            .extend(stay.enumerate().filter_map(|(index, container)| search.regular(order.len() + index, container)));
        Self(first_later(carriers, order.len()))
    }

    /// The first carrier that starts later than the container at the place `at`, though the pod's traffic is redirected
    /// to it before.
    pub(in crate::conversion) fn later_than(&self, at: usize) -> Option<LateCarrier<'p>> {
        self.0.get(at).copied().flatten()
    }
}

/// Goes through the places once: a carrier is in play from the place behind its redirection on.
fn first_later(mut carriers: Vec<Carrier<'_>>, places: usize) -> Vec<Option<LateCarrier<'_>>> {
    if carriers.is_empty() {
        return Vec::new();
    }
    let by_start: Vec<_> = carriers.iter().map(|carrier| (carrier.starts, carrier.late)).collect();
    carriers.sort_by_key(|carrier| carrier.redirected);
    let (mut waiting, mut in_play) = (carriers.iter().peekable(), BTreeSet::new());
    let first = |at| {
        while let Some(carrier) = waiting.next_if(|carrier| carrier.redirected < at) {
            in_play.insert(carrier.starts);
        }
        let starts = in_play.range(at + 1..).next()?;
        let index = by_start.binary_search_by_key(starts, |(starts, _)| *starts).ok()?;
        by_start.get(index).map(|(_, late)| *late)
    };
    (0..places).map(first).collect()
}

// === impl Search ===

impl<'p> Search<'_, 'p> {
    fn in_order(&mut self, at: usize) -> Option<Carrier<'p>> {
        let Starting { container, comes } = self.order[at];
        let (entry, remedy) = match comes {
            Comes::Moved(entry) => (entry?, "list that one first"),
            Comes::Existing if container.restarts_always() => (self.known(container)?, "place this one behind it"),
            Comes::Existing => return None,
        };
        self.carrier(container, entry, at, remedy)
    }

    fn regular(&mut self, starts: usize, container: &'p Container<'p>) -> Option<Carrier<'p>> {
        let entry = self.known(container)?;
        self.carrier(container, entry, starts, "list that one too, in front of this one")
    }

    /// The entry of a container whose name may be that of a carrier; spares parsing the others.
    fn known(&self, container: &'p Container<'p>) -> Option<&'p Entry> {
        let may_carry = self.catalogue.may_carry(&container.name) && container.readable().is_ok();
        may_carry.then(|| self.catalogue.recognise(self.pod, container)).flatten()
    }

    fn carrier(
        &mut self,
        container: &'p Container<'p>,
        entry: &'p Entry,
        starts: usize,
        remedy: &'static str,
    ) -> Option<Carrier<'p>> {
        let redirected = self.redirected(entry).filter(|_| entry.is_redirected_to(self.pod, container))?;
        Some(Carrier { late: LateCarrier { name: &container.name, bypass: &entry.bypass, remedy }, starts, redirected })
    }

    fn redirected(&mut self, entry: &'p Entry) -> Option<usize> {
        if !entry.is_carrier() {
            return None;
        }
        if let Some((_, at)) = self.redirected.iter().find(|(known, _)| std::ptr::eq(*known, entry)) {
            return *at;
        }
        let redirects =
            |place: &Starting<'_>| matches!(place.comes, Comes::Existing) && entry.redirects(&place.container.name);
        let at = self.order.iter().position(redirects);
        self.redirected.push((entry, at));
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_starts_later_and_is_redirected_to_before() {
        let bypass = Bypass::default();
        let carrier = |name, starts, redirected| {
            let late = LateCarrier { name, bypass: &bypass, remedy: "" };
            Carrier { late, starts, redirected }
        };
        let carriers = vec![carrier("a", 2, 0), carrier("b", 4, 3), carrier("c", 5, 1)];
        let names: Vec<_> = first_later(carriers, 6).into_iter().map(|late| late.map(|late| late.name)).collect();
        assert_eq!(names, [None, Some("a"), Some("c"), Some("c"), Some("c"), None]);
    }
}
