//! What several steps of a conversion must know about containers. Nothing here knows a plan.

pub(super) mod addresses;
pub(super) mod bookkeeping;
pub(super) mod carriers;
pub(super) mod markers;
pub(super) mod one_shot;
pub(super) mod quits;
pub(super) mod readers;
pub(super) mod resource_refs;
pub(super) mod told_waits;
pub(super) mod waiters;
pub(super) mod words;
