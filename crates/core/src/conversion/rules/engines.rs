//! Rules about engines: software that looks for a container at its place.

use super::{Case, Move};
use crate::catalogue::Engine;

pub(super) fn engine_container(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let Engine { product, how, instead, .. } = engine(case, the_move, false)?;
    Some(format!("belongs to {product}, which {how}; {instead}"))
}

pub(super) fn engine_looks_elsewhere(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    // Where one keeps it, another's warning is beside the point.
    let none_keeps_it = engine(case, the_move, false).is_none();
    let Engine { product, how, instead, .. } = engine(case, the_move, true).filter(|_| none_keeps_it)?;
    Some(format!("is seen by {product}, which {how}; {instead}"))
}

/// The first engine of the pod that looks for what moves, of those that only warn or of those that do not.
fn engine<'c>(case: &'c Case<'_>, the_move: &Move<'_>, only_warns: bool) -> Option<&'c Engine> {
    let (container, is_known) = (the_move.container(), the_move.selected.known().is_some());
    let mut engines = case.engines().iter().copied().filter(|engine| engine.only_warns == only_warns);
    engines.find(|engine| engine.looks_for(case.pod, container, is_known))
}
