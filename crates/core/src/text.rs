//! Text for people: one line, of bounded length.

/// At most `limit` characters of `text`, with an ellipsis where some are left out.
#[must_use]
pub fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain("…".chars()).collect()
}

/// At most `limit` characters of a sentence, left out where it hurts least: what to do, behind its last semicolon,
/// stays whole where it can.
#[must_use]
pub fn shorten_sentence(sentence: &str, limit: usize) -> String {
    let remedy = sentence.rfind("; ").map(|at| &sentence[at..]).unwrap_or_default();
    let room = limit.saturating_sub(remedy.chars().count());
    // A head that says nothing is worth less than the sentence's own.
    if sentence.chars().count() <= limit || remedy.is_empty() || room < limit / 3 {
        return shorten(sentence, limit);
    }
    shorten(&sentence[..sentence.len() - remedy.len()], room) + remedy
}

/// `text` on one line: control characters become spaces.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// `text` on one line: white space of any kind and length becomes one space.
#[must_use]
pub fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The one of `candidates` that `text` is likely a slip of the pen for.
pub fn nearest(text: &str, candidates: impl IntoIterator<Item = String>) -> Option<String> {
    /// So many wrong, missing or swapped characters may be a slip.
    const SLIP: usize = 3;
    /// Longer texts are none of ours, and to compare them would take time that grows with the square of their length.
    const LONGEST: usize = 128;
    if text.len() > LONGEST {
        return None;
    }
    let scored = candidates.into_iter().map(|candidate| (strsim::damerau_levenshtein(text, &candidate), candidate));
    scored.filter(|(distance, _)| *distance <= SLIP).min().map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_not_bytes() {
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äö…");
    }

    #[test]
    fn what_to_do_is_kept() {
        assert_eq!(shorten_sentence("too long by far; do this", 16), "too lo…; do this");
        assert_eq!(shorten_sentence("short; do this", 16), "short; do this");
        assert_eq!(shorten_sentence("one; two and three and four", 12), "one; two an…");
        assert_eq!(shorten_sentence("no remedy at all here", 10), "no remedy…");
    }

    #[test]
    fn a_long_text_is_not_compared() {
        let long = "k".repeat(100_000);
        assert_eq!(nearest(&long, [long.clone()]), None);
    }

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(one_line("a\nb\u{7f}c\u{85}"), "a b c");
    }

    #[test]
    fn a_slip_of_the_pen_is_understood() {
        let candidates = || ["host-port", "named-port"].map(str::to_owned);
        assert_eq!(nearest("host-prot", candidates()).as_deref(), Some("host-port"));
        assert_eq!(nearest("something else", candidates()), None);
    }
}
