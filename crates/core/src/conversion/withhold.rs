//! Probes that only the catalogue wants and that would keep the application waiting for a mesh proxy that comes later.

use super::{
    knowledge::carriers::{LateCarriers, is_carrier},
    model::{Change, Move, ProbeOrigin, Slot},
};
use crate::pod::{Handler, Pod};

/// Why the catalogue's next choice takes the place of a probe.
const PASSED_OVER: &str = "the first choice would be asked through a mesh proxy that starts only later";
const WHY: &str = "it would be asked through a mesh proxy that starts only later; list the mesh proxy too";

/// Leaves out such probes of `moves`, which start in `order`, or has them asked inside the container.
pub(super) fn withhold<'p>(pod: &Pod<'p>, moves: &mut [Move<'p>], order: &[Slot], carriers: &LateCarriers<'p>) {
    for (at, slot) in order.iter().enumerate() {
        let Slot::Moved(index) = *slot else { continue };
        let the_move = &mut moves[index];
        let may_be_late = the_move.form.probe_origin.is_catalogue() && !is_carrier(the_move.selected.entry);
        let Some(carrier) = carriers.later_than(at).filter(|_| may_be_late) else { continue };
        let asks_it = |handler: &Handler<'_>| carrier.carries_probe(handler, pod, the_move.container());
        if the_move.startup_handler(asks_it) == Some(true) {
            let name = the_move.name();
            match the_move.form.inner_probe.take() {
                Some(inner) => {
                    the_move.form.startup_probe = Change::Set(inner);
                    the_move.form.passed_over = Some(PASSED_OVER);
                }
                None if the_move.form.probe_origin == ProbeOrigin::Catalogue => the_move.form.withhold_probe(name, WHY),
                // Whoever asked for it is told by the rule about what the mesh carries.
                None => {}
            }
        }
    }
}
