//! Shell scripts, as far as their commands can be told apart.
//!
//! This is no shell: it cuts a text at what ends a command and knows the words around loops. What it cannot see (a
//! script in a file, a function that is called by name) it says nothing about.

use crate::pod::Text;
use std::borrow::Cow;

/// One command of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'t> {
    /// Its program and arguments, without quotes and without the words of the shell's grammar in front.
    pub words: Vec<&'t str>,
    /// Where it stands.
    pub place: Place,
    /// Whether a `!` in front turns its success around.
    pub negated: bool,
    /// What ends it.
    pub end: End,
    /// The number of the outermost loop it belongs to, by which it is asked or in whose body it stands.
    pub outermost: Option<usize>,
}

/// Where a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Neither in a loop nor in a condition.
    Plain,
    /// It is what a loop asks: `while COMMAND`, `until COMMAND`.
    Asked {
        /// Whether the loop goes on until it succeeds.
        until: bool,
    },
    /// It is what an `if` asks.
    If,
    /// It stands in the body of a loop.
    Body,
}

/// What ends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `;`, an end of line, a bracket, or the end of the script.
    Done,
    /// `&&`.
    And,
    /// `||`.
    Or,
    /// `|`.
    Pipe,
    /// `&`.
    Background,
}

/// Reads a script command by command.
#[derive(Default)]
struct Reader {
    /// How many loops are open, the one that is being asked included.
    depth: usize,
    /// How many outermost loops there were.
    loops: usize,
    asking: Option<Place>,
}

/// The shells whose `-c` is read.
const SHELLS: [&str; 6] = ["sh", "bash", "ash", "dash", "zsh", "ksh"];

/// What may stand in front of a program and hands over to it.
const WRAPPERS: [&str; 6] = ["exec", "nohup", "sudo", "env", "command", "time"];

/// The last part of a path.
#[must_use]
pub fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether `word` starts a shell.
#[must_use]
pub fn is_shell(word: &str) -> bool {
    SHELLS.contains(&base_name(word))
}

/// The script that a command line hands to a shell with `-c`, if it does.
#[must_use]
pub fn in_command_line<'t>(words: &[&'t str]) -> Option<&'t str> {
    let shell = words.iter().position(|word| is_shell(word))?;
    // Only behind what hands over to a shell: `git -c …` is none.
    if words[..shell].iter().any(|word| !hands_over(word)) {
        return None;
    }
    let mut words = words[shell + 1..].iter().copied();
    loop {
        let option = words.next().filter(|word| word.starts_with(['-', '+']))?;
        if option.ends_with('o') {
            // `-o pipefail`: the option has a name of its own.
            words.next();
        } else if is_c(option) {
            // What stands behind may still be options; the script is the first word that is none.
            return words.find(|word| !word.starts_with('-') || word.contains(' '));
        }
    }
}

/// The words of a command as one text, or the script that they hand to a shell.
#[must_use]
pub fn text_of<'w>(words: &'w [Text<'_>]) -> Cow<'w, str> {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    in_command_line(&words).map_or_else(|| Cow::Owned(words.join(" ")), Cow::Borrowed)
}

/// So many bytes of a script are read: far more than anybody writes into a pod, and a command takes many times its length.
pub const LONGEST: usize = 32 * 1024;

/// The commands of a script, in their order, as far as it is read.
pub fn commands(script: &str) -> impl Iterator<Item = Command<'_>> {
    let mut reader = Reader::default();
    pieces(&script[..script.floor_char_boundary(LONGEST)]).filter_map(move |(piece, end)| reader.read(piece, end))
}

/// The script cut at what ends a command, and what that is.
fn pieces(script: &str) -> impl Iterator<Item = (&str, End)> {
    let mut rest = Some(script);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some((at, end, length)) = first_end(text) else {
            rest = None;
            return Some((text, End::Done));
        };
        rest = Some(&text[at + length..]);
        Some((&text[..at], end))
    })
}

/// Where the first command of `text` ends, by what, and how many bytes that has.
fn first_end(text: &str) -> Option<(usize, End, usize)> {
    let bytes = text.as_bytes();
    let is_end = |at: &usize| match bytes[*at] {
        b'#' => at.checked_sub(1).is_none_or(|front| bytes[front].is_ascii_whitespace() || bytes[front] == b';'),
        b';' | b'\n' | b'(' | b')' | b'`' => true,
        b'|' => at.checked_sub(1).map(|front| bytes[front]) != Some(b'>'),
        // `2>&1` and `&>file` end nothing.
        b'&' => at.checked_sub(1).map(|front| bytes[front]) != Some(b'>') && bytes.get(at + 1) != Some(&b'>'),
        _ => false,
    };
    let at = (0..bytes.len()).find(is_end)?;
    if bytes[at] == b'#' {
        // A comment goes to the end of its line.
        let length = text[at..].find('\n').unwrap_or(text.len() - at);
        return Some((at, End::Done, length));
    }
    let doubled = bytes.get(at + 1) == Some(&bytes[at]);
    Some(match (bytes[at], doubled) {
        (b'&', true) => (at, End::And, 2),
        (b'&', false) => (at, End::Background, 1),
        (b'|', true) => (at, End::Or, 2),
        (b'|', false) => (at, End::Pipe, 1),
        _ => (at, End::Done, 1),
    })
}

fn is_c(word: &str) -> bool {
    !word.starts_with("--") && word.starts_with('-') && word.ends_with('c')
}

/// Whether a shell behind `word` is what is run in the end.
fn hands_over(word: &str) -> bool {
    const INITS: [&str; 7] = ["tini", "dumb-init", "catatonit", "su-exec", "gosu", "timeout", "busybox"];
    let name = base_name(word);
    WRAPPERS.contains(&name)
        || INITS.contains(&name)
        || word.starts_with('-')
        || word.contains('=')
        || word.starts_with(|c: char| c.is_ascii_digit())
}

// === impl Reader ===

impl Reader {
    fn read<'t>(&mut self, piece: &'t str, end: End) -> Option<Command<'t>> {
        let is_quote = |c: char| matches!(c, '"' | '\'');
        let mut words =
            piece.split_whitespace().map(|word| word.trim_matches(is_quote)).filter(|word| !word.is_empty());
        let mut negated = false;
        let first = loop {
            let word = words.next()?;
            match word {
                "while" => self.open(Place::Asked { until: false }),
                "until" => self.open(Place::Asked { until: true }),
                "for" | "select" => self.open(Place::If),
                "if" | "elif" => self.asking = Some(Place::If),
                "do" | "then" | "else" => self.asking = None,
                "done" => self.depth = self.depth.saturating_sub(1),
                "!" => negated = !negated,
                // A shell of its own too: what it is given is read here.
                "fi" | "{" | "}" | "esac" | "-c" | "timeout" => {}
                _ if is_shell(word) || word.bytes().all(|byte| byte.is_ascii_digit()) => {}
                // A variable that is set in front of a command.
                _ if word.contains('=') && !word.starts_with(['-', '[', '/', '$', '=']) => {}
                _ if word.starts_with('$') && !word.starts_with("${") && word.len() == 1 => {}
                _ => break word,
            }
        };
        let body = if self.depth > 0 { Place::Body } else { Place::Plain };
        let words = std::iter::once(first).chain(words).collect();
        let outermost = (self.depth > 0).then_some(self.loops);
        Some(Command { words, place: self.asking.unwrap_or(body), negated, end, outermost })
    }

    fn open(&mut self, asking: Place) {
        self.asking = Some(asking);
        self.loops += usize::from(self.depth == 0);
        self.depth += 1;
    }
}

// === impl Command ===

impl<'t> Command<'t> {
    /// The name of its program.
    #[must_use]
    pub fn program(&self) -> &'t str {
        let program = self.handed_over().first().copied().unwrap_or_default();
        // `exec 2>&1` runs nothing.
        if self.is_exec() && program.contains(['>', '<']) { "" } else { base_name(program) }
    }

    /// Its arguments.
    #[must_use]
    pub fn arguments(&self) -> &[&'t str] {
        self.handed_over().get(1..).unwrap_or_default()
    }

    /// Whether it takes the shell's place.
    #[must_use]
    pub fn is_exec(&self) -> bool {
        self.words.first() == Some(&"exec")
    }

    /// Its words from the program on that is run in the end.
    fn handed_over(&self) -> &[&'t str] {
        let wrappers = self.words.iter().take_while(|word| WRAPPERS.contains(word)).count();
        self.words.get(wrappers..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn told(script: &str) -> Vec<String> {
        commands(script).map(|command| format!("{:?} {}", command.place, command.words.join(" "))).collect()
    }

    #[test]
    fn commands_know_where_they_stand() {
        assert_eq!(
            told("a=1 b c && while ! d; do if e; then f; fi; done; until g; do h; done | i &"),
            ["Plain b c", "Asked { until: false } d", "If e", "Body f", "Asked { until: true } g", "Body h", "Plain i"]
        );
    }

    #[test]
    fn redirections_end_no_command() {
        assert_eq!(told("a 2>&1 &>b c; d >| e"), ["Plain a 2>&1 &>b c", "Plain d >| e"]);
        let ends: Vec<_> = commands("a && b || c | d & e; f").map(|command| command.end).collect();
        assert_eq!(ends, [End::And, End::Or, End::Pipe, End::Background, End::Done, End::Done]);
    }

    #[rstest]
    #[case(&["sh", "-c", "x"], Some("x"))]
    #[case(&["/bin/bash", "-euo", "pipefail", "-c", "x; y"], Some("x; y"))]
    #[case(&["bash", "-ec", "x"], Some("x"))]
    #[case(&["tini", "--", "sh", "-c", "x"], Some("x"))]
    #[case(&["sh", "/run.sh", "-c", "x"], None)]
    #[case(&["git", "-c", "x"], None)]
    #[case(&["server", "sh", "-c", "x"], None)]
    #[case(&["sh"], None)]
    fn scripts_are_found_in_command_lines(#[case] words: &[&str], #[case] script: Option<&str>) {
        assert_eq!(in_command_line(words), script);
    }
}
