//! What the fuzz target calls. The contents of a Secret are nobody else's business, so that this exists only where
//! `fuzz/` builds the crate.

// What is promised here does not hold where it panics.
#![allow(clippy::panic, clippy::missing_panics_doc)]

use super::{
    KeeperSettings,
    bundle::Trust,
    contents::{Contents, Data, Material, Part},
    decide::{Action, Situation, decide},
};
use jiff::Timestamp;

/// Reads a Secret's `data` and does what there is to do about it at `now`. What comes out is a Secret that needs nothing
/// more, and that is read as it was written.
///
/// The word that is returned says how much was in the Secret.
#[must_use]
pub fn keep_secret(mut data: Data, now: Timestamp) -> &'static str {
    let settings = KeeperSettings::new("sidecars");
    let trust = Trust::default();
    let situation = Situation { now, jitter: 0.0, remembered: None, served: None, trust: &trust };
    let contents = Contents::read(&data);
    let (material, reach) = match decide(&contents, situation, &settings) {
        Action::Keep(material) => (*material, "kept"),
        // Keys are dear to make, and what is made has little to do with what was read.
        Action::Write(draft) if draft.authority.is_none() => return part_read(&contents),
        Action::Write(draft) => match draft.make(now, &settings) {
            Ok(material) => (material, "mended"),
            Err(_) => return "not-mended",
        },
    };
    material.write(&mut data);
    match decide(&Contents::read(&data), situation, &settings) {
        Action::Keep(again) => assert_same(&material, &again),
        Action::Write(draft) => panic!("a second pass writes again: {:?}", draft.reasons),
    }
    reach
}

fn assert_same(written: &Material, read: &Material) {
    assert_eq!(written, read, "what was written is not what is read");
}

fn part_read(contents: &Contents) -> &'static str {
    match (&contents.authority, &contents.serving) {
        (Part::Good(_), Part::Good(_)) => "both-read",
        (Part::Good(_), _) | (_, Part::Good(_)) => "one-read",
        (Part::Flawed(_), _) | (_, Part::Flawed(_)) => "flawed",
        (Part::Missing, Part::Missing) => "missing",
    }
}
