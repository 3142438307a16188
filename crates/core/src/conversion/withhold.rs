//! Probes that only the catalogue wants and that would keep the application waiting for a mesh proxy that comes later.

use super::{
    knowledge::carriers::{LateCarriers, asks_pod, is_carrier},
    model::{Move, Slot},
};

const WHY: &str = "it would be asked through a mesh proxy that starts only later; list the mesh proxy too";

/// Leaves out such probes of `moves`, which start in `order`.
pub(super) fn withhold<'p>(moves: &mut [Move<'p>], order: &[Slot], carriers: &LateCarriers<'p>) {
    for (at, slot) in order.iter().enumerate() {
        let Slot::Moved(index) = *slot else { continue };
        let the_move = &mut moves[index];
        let may_be_late = the_move.form.probe_is_ours && !is_carrier(the_move.selected.entry);
        if may_be_late && carriers.later_than(at).is_some() && the_move.startup_handler(asks_pod) == Some(true) {
            let name = the_move.name();
            the_move.form.withhold_probe(name, WHY);
        }
    }
}
