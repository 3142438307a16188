//! How far inputs came, counted over all executions and written to a file now and then.

use crate::choice;
use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::PathBuf, sync::Mutex};

/// The environment variable with the file to write to.
pub const FILE: &str = "NATIVE_SIDECAR_REACH";
/// After so many executions the file is written again.
const OFTEN: u64 = 4096;

#[derive(Default)]
struct Counts {
    all: u64,
    by_word: BTreeMap<&'static str, u64>,
    file: Option<PathBuf>,
}

/// How far inputs come that are not even read.
const AT_THE_DOOR: [&str; 4] = ["no-text", "not-applicable", "not-understood", "refused"];
/// One in so many of them is kept.
const FEW: usize = 8;

static COUNTS: Mutex<Option<Counts>> = Mutex::new(None);

/// Counts one execution that came as far as `word` says.
pub fn note(word: &'static str) {
    let Ok(mut counts) = COUNTS.lock() else { return };
    let counts =
        counts.get_or_insert_with(|| Counts { file: env::var_os(FILE).map(PathBuf::from), ..Counts::default() });
    counts.all += 1;
    *counts.by_word.entry(word).or_default() += 1;
    if counts.all % OFTEN == 0
        && let Some(file) = &counts.file
    {
        let mut text = String::new();
        for (word, count) in &counts.by_word {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{word} {count}");
        }
        // Nothing depends on it.
        let _ = fs::write(file, text);
    }
}

/// Whether an input may be kept and changed further. What is not read is found to be something new for each error there
/// is, and what is made of it is not read either.
#[must_use]
pub fn is_kept(word: &str, bytes: &[u8]) -> bool {
    !AT_THE_DOOR.contains(&word) || choice(bytes, FEW) == 0
}
