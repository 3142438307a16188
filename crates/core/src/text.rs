//! Text for people: one line, of bounded length, in which everything can be seen.
//!
//! What a pod's author or a client wrote may hold characters that hide, turn around or break up what stands beside them
//! in a terminal. Wherever we repeat it they are written as `\u{202e}`, as Rust's `{:?}` does too.

use std::borrow::Cow;
use unicode_general_category::{
    GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, Surrogate, Unassigned},
    get_general_category,
};

/// The most characters of a container's name.
///
/// Source: RFC 1123, labels.
pub const LONGEST_NAME: usize = 63;

/// At most `limit` characters of `text`, with an ellipsis where some are left out.
#[must_use]
pub fn shorten(text: &str, limit: usize) -> String {
    // Looks no further than it has to, for a text may be shortened again and again.
    if text.char_indices().nth(limit).is_none() {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain("…".chars()).collect()
}

/// A name of somebody else's in quotes, no longer than names are. Of a long one every container that deals with it would
/// repeat all.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("{:?}", shorten(name, LONGEST_NAME))
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

/// `text` on one line, in which everything can be seen: ends of lines and tabs become spaces, other invisible characters
/// are written as `\u{202e}`.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    if is_plain(text) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if !is_invisible(c) => line.push(c),
            _ if c.is_whitespace() => line.push(' '),
            _ => line.extend(c.escape_unicode()),
        }
    }
    line.into()
}

/// Whether `text` is ASCII that can be seen, and spaces: cheaper than to ask for each character whether it
/// [is invisible](is_invisible).
#[must_use]
pub fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether a reader does not see `c` itself but what it does to the text around it, or nothing at all: control and format
/// characters, separators of lines and paragraphs, what Unicode has not assigned, and what it says is to be ignored where
/// it cannot be shown.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    match c {
        ' '..='~' => false,
        // Unicode 16, `Default_Ignorable_Code_Point` of other categories: fillers, and selectors of variants.
        '\u{34f}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{ffa0}'
        | '\u{e0100}'..='\u{e01ef}' => true,
        _ => matches!(
            get_general_category(c),
            Control | Format | LineSeparator | ParagraphSeparator | PrivateUse | Surrogate | Unassigned
        ),
    }
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
    use rstest::rstest;

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

    #[rstest]
    #[case::plain("a plain text", "a plain text")]
    #[case::seen("Ä é 変換 🚀 – …\u{a0}", "Ä é 変換 🚀 – …")]
    #[case::accents_of_their_own("e\u{301} हिन्दी", "e\u{301} हिन्दी")]
    #[case::white_space("\na\r\nb\tc\u{b}d\u{85}e\u{2028}f\u{2029}", "a  b c d e f")]
    #[case::controls("a\0b\u{1b}[2Kc\u{7f}d\u{9b}", r"a\u{0}b\u{1b}[2Kc\u{7f}d\u{9b}")]
    #[case::directions("\u{202e}a\u{2066}b\u{2069}c\u{61c}", r"\u{202e}a\u{2066}b\u{2069}c\u{61c}")]
    #[case::without_width(
        "a\u{200b}b\u{200f}c\u{feff}d\u{ad}e\u{2060}",
        r"a\u{200b}b\u{200f}c\u{feff}d\u{ad}e\u{2060}"
    )]
    #[case::tags("a\u{e0061}\u{e0100}\u{fe0f}\u{3164}", r"a\u{e0061}\u{e0100}\u{fe0f}\u{3164}")]
    #[case::nobodys("a\u{e000}\u{ffff}\u{10ffff}\u{378}", r"a\u{e000}\u{ffff}\u{10ffff}\u{378}")]
    fn everything_on_a_line_can_be_seen(#[case] text: &str, #[case] line: &str) {
        assert_eq!(one_line(text), line);
        assert_eq!(one_line(line), line, "a second time changes nothing");
    }

    #[test]
    fn a_slip_of_the_pen_is_understood() {
        let candidates = || ["host-port", "named-port"].map(str::to_owned);
        assert_eq!(nearest("host-prot", candidates()).as_deref(), Some("host-port"));
        assert_eq!(nearest("something else", candidates()), None);
    }
}
