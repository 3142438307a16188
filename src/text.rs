//! Text for people: one line, of bounded length.

/// At most `limit` characters of `text`, with an ellipsis where some are left out.
#[must_use]
pub fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain("…".chars()).collect()
}

/// `text` on one line: control characters become spaces.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// The one of `candidates` that `text` is likely a slip of the pen for.
pub fn nearest(text: &str, candidates: impl IntoIterator<Item = String>) -> Option<String> {
    /// So many wrong, missing or swapped characters may be a slip.
    const SLIP: usize = 3;
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
