//! Rules about engines: software that looks for a container at its place.

use super::{Case, Move};
use crate::catalogue::Engine;

pub(super) fn engine_container(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let Engine { product, how, instead, .. } = engine(case, the_move).filter(|engine| !engine.only_warns)?;
    Some(format!("belongs to {product}, which {how}; {instead}"))
}

pub(super) fn engine_looks_elsewhere(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let Engine { product, how, instead, .. } = engine(case, the_move).filter(|engine| engine.only_warns)?;
    Some(format!("is seen by {product}, which {how}; {instead}"))
}

/// The engine of the pod that has the say about what moves.
fn engine<'c>(case: &'c Case<'_>, the_move: &Move<'_>) -> Option<&'c Engine> {
    let (container, is_known) = (the_move.container(), the_move.selected.known().is_some());
    case.engines().iter().copied().find(|engine| engine.looks_for(case.pod, container, is_known))
}
