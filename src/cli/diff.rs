//! Unified diffs that `patch` and `git apply -p0` take.

use native_sidecar_manifest::{Manifest, ObjectName, Side};
use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};
use std::{
    fmt::{self, Write as _},
    ops::Range,
};

/// A part of a text, and the document that it is.
type Piece = (Option<usize>, String);

/// How many unchanged lines are shown around a change.
const CONTEXT: usize = 3;

/// Pieces that begin and end with whole lines, before and after.
struct Block {
    document: Option<usize>,
    before: String,
    after: String,
}

/// A text, in lines with their ends.
struct Lines<'t> {
    all: Vec<&'t str>,
    /// The number of each block's first line.
    firsts: Vec<usize>,
}

/// Lines of a hunk, as its head names them.
struct Span {
    start: usize,
    len: usize,
}

/// What became of `manifest`, in the format that it came in, with the object's name behind each hunk's line numbers.
pub(super) fn of(manifest: &Manifest) -> String {
    if !manifest.is_changed() {
        return String::new();
    }
    let label = |document: usize| {
        let document = manifest.documents().get(document);
        document.map(|document| ObjectName::of_document(document.value(Side::Before)).to_string()).unwrap_or_default()
    };
    unified(&manifest.name, &manifest.pieces(Side::Before), &manifest.pieces(Side::After), label)
}

/// The diff of the file called `name`; empty where nothing changed.
///
/// Only pieces that changed are compared line by line.
pub(super) fn unified(name: &str, before: &[Piece], after: &[Piece], label: impl Fn(usize) -> String) -> String {
    let blocks = blocks(before, after);
    let old = Lines::of(blocks.iter().map(|block| block.before.as_str()));
    let new = Lines::of(blocks.iter().map(|block| block.after.as_str()));
    let document = |block: usize| blocks.get(block).and_then(|block| block.document);
    let mut out = String::new();
    for hunk in group_diff_ops(operations(&blocks, &old, &new), CONTEXT) {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
        if out.is_empty() {
            let name = named(name);
            out = format!("--- {name}\n+++ {name}\n");
        }
        let removed = Span::of(first.old_range().start..last.old_range().end);
        let added = Span::of(first.new_range().start..last.new_range().end);
        let block = hunk.iter().find_map(|operation| match operation {
            DiffOp::Equal { .. } => None,
            DiffOp::Insert { new_index, .. } => Some(new.block_at(*new_index)),
            other => Some(old.block_at(other.old_range().start)),
        });
        let label = block.and_then(document).map(&label).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}", format!("@@ -{removed} +{added} @@ {label}").trim_end());
        for operation in &hunk {
            push(&mut out, operation, &old.all, &new.all);
        }
    }
    out
}

/// A file's name as `patch` and `git apply` read it: in quotes where it has characters that end or hide it, with a tab behind
/// where it has blanks.
///
/// Source: git, `quote.c`; the GNU diffutils manual, "File Names".
fn named(name: &str) -> String {
    if name.chars().any(|c| c.is_control() || matches!(c, '"' | '\\')) {
        let mut quoted = String::from("\"");
        for byte in name.bytes() {
            match byte {
                b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
                0x20..=0x7e => quoted.push(char::from(byte)),
                _ => quoted.extend(format!("\\{byte:03o}").chars()),
            }
        }
        return quoted + "\"";
    }
    let blank = if name.contains(' ') { "\t" } else { "" };
    format!("{name}{blank}")
}

/// The pieces of both texts, cut where a line ends in both: JSON may go on behind another document on its line.
fn blocks(before: &[Piece], after: &[Piece]) -> Vec<Block> {
    let text = |pieces: &[Piece]| pieces.iter().map(|(_, text)| text.as_str()).collect::<String>();
    let documents = |pieces: &[Piece]| pieces.iter().map(|(document, _)| *document).collect::<Vec<_>>();
    if documents(before) != documents(after) {
        return vec![Block { document: None, before: text(before), after: text(after) }];
    }
    let mut blocks: Vec<Block> = Vec::new();
    for ((document, before), (_, after)) in before.iter().zip(after) {
        match blocks.last_mut().filter(|last| !(is_whole(&last.before) && is_whole(&last.after))) {
            Some(last) => {
                last.before.push_str(before);
                last.after.push_str(after);
                last.document = last.document.or(*document);
            }
            None => blocks.push(Block { document: *document, before: before.clone(), after: after.clone() }),
        }
    }
    blocks
}

fn is_whole(text: &str) -> bool {
    text.is_empty() || text.ends_with('\n')
}

/// What leads from the text before to the one after.
fn operations(blocks: &[Block], old: &Lines<'_>, new: &Lines<'_>) -> Vec<DiffOp> {
    let mut found = Vec::new();
    for (index, Block { before, after, .. }) in blocks.iter().enumerate() {
        let (from, to) = (old.of_block(index), new.of_block(index));
        if before == after {
            found.push(DiffOp::Equal { old_index: from.start, new_index: to.start, len: from.len() });
        } else {
            found.extend(changed(old, new, (from, to)));
        }
    }
    joined(found)
}

fn changed(old: &Lines<'_>, new: &Lines<'_>, (from, to): (Range<usize>, Range<usize>)) -> Vec<DiffOp> {
    let found = capture_diff_slices(Algorithm::Myers, &old.all[from.clone()], &new.all[to.clone()]);
    let below = |operation| match operation {
        DiffOp::Equal { old_index, new_index, len } => {
            DiffOp::Equal { old_index: old_index + from.start, new_index: new_index + to.start, len }
        }
        DiffOp::Delete { old_index, old_len, new_index } => {
            DiffOp::Delete { old_index: old_index + from.start, old_len, new_index: new_index + to.start }
        }
        DiffOp::Insert { old_index, new_index, new_len } => {
            DiffOp::Insert { old_index: old_index + from.start, new_index: new_index + to.start, new_len }
        }
        DiffOp::Replace { old_index, old_len, new_index, new_len } => {
            DiffOp::Replace { old_index: old_index + from.start, old_len, new_index: new_index + to.start, new_len }
        }
    };
    found.into_iter().map(below).collect()
}

/// `operations` with equal lines that follow each other as one.
fn joined(operations: Vec<DiffOp>) -> Vec<DiffOp> {
    let mut joined: Vec<DiffOp> = Vec::new();
    for operation in operations {
        match (joined.last_mut(), operation) {
            (Some(DiffOp::Equal { len, .. }), DiffOp::Equal { len: more, .. }) => *len += more,
            _ => joined.push(operation),
        }
    }
    joined
}

fn push(out: &mut String, operation: &DiffOp, old: &[&str], new: &[&str]) {
    let (is_equal, from) = (matches!(operation, DiffOp::Equal { .. }), operation.old_range());
    let lines = |out: &mut String, sign: char, lines: &[&str]| lines.iter().for_each(|line| push_line(out, sign, line));
    lines(out, if is_equal { ' ' } else { '-' }, &old[from]);
    if !is_equal {
        lines(out, '+', &new[operation.new_range()]);
    }
}

fn push_line(out: &mut String, sign: char, line: &str) {
    out.push(sign);
    out.push_str(line);
    if !line.ends_with('\n') {
        out.push_str("\n\\ No newline at end of file\n");
    }
}

// === impl Lines ===

impl<'t> Lines<'t> {
    fn of(blocks: impl Iterator<Item = &'t str>) -> Self {
        let (mut all, mut firsts) = (Vec::new(), Vec::new());
        for block in blocks {
            firsts.push(all.len());
            all.extend(block.split_inclusive('\n'));
        }
        Self { all, firsts }
    }

    fn of_block(&self, index: usize) -> Range<usize> {
        let first = |index: usize| self.firsts.get(index).copied().unwrap_or(self.all.len());
        first(index)..first(index + 1)
    }

    /// The block that line `line` belongs to.
    fn block_at(&self, line: usize) -> usize {
        self.firsts.partition_point(|first| *first <= line).saturating_sub(1)
    }
}

// === impl Span ===

impl Span {
    fn of(lines: Range<usize>) -> Self {
        Self { start: lines.start, len: lines.len() }
    }
}

/// Counted from 1; no lines stand behind the one that is named.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len {
            0 => write!(f, "{},0", self.start),
            1 => write!(f, "{}", self.start + 1),
            len => write!(f, "{},{len}", self.start + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{fs, process::Command};

    fn pieces(texts: &[&str]) -> Vec<Piece> {
        texts.iter().enumerate().map(|(index, text)| (Some(index), (*text).to_owned())).collect()
    }

    fn diff(before: &[&str], after: &[&str]) -> String {
        unified("f", &pieces(before), &pieces(after), |document| format!("D{document}"))
    }

    #[test]
    fn hunks_name_their_document() {
        let before = ["a\nb\nc\nd\n", "---\ne\nf\ng\nh\ni\n", "---\nj\n"];
        let after = ["a\nb\nc\nd\n", "---\ne\nf\ng\nh\ni\n", "---\nx\nj\n"];
        assert_eq!(diff(&before, &after), "--- f\n+++ f\n@@ -9,4 +9,5 @@ D2\n h\n i\n ---\n+x\n j\n");
        assert_eq!(diff(&before, &before), "");
    }

    #[test]
    fn a_missing_line_end_is_told() {
        let expected =
            "--- f\n+++ f\n@@ -1 +1,2 @@ D0\n-a\n\\ No newline at end of file\n+a\n+b\n\\ No newline at end of file\n";
        assert_eq!(diff(&["a"], &["a\nb"]), expected);
        assert_eq!(diff(&[], &["a\n"]), "--- f\n+++ f\n@@ -0,0 +1 @@\n+a\n");
    }

    /// Documents cost what they are long, whether they changed or not.
    #[test]
    fn many_documents() {
        let before: Vec<Piece> = (0..20_000).map(|n| (Some(n), format!("---\na: {n}\nb:\n- c\n- d\n"))).collect();
        let change = |(document, text): &Piece| (*document, text.replace("- d\n", "").replace("b:\n", "e:\n- d\nb:\n"));
        let after: Vec<Piece> = before.iter().map(change).collect();
        let diff = unified("f", &before, &after, |document| document.to_string());
        assert_eq!(diff.matches("\n+e:\n").count(), 20_000);
    }

    /// The same for the items of one list.
    #[test]
    fn many_items() {
        let item = |n: usize| format!("- a: {n}\n  b:\n  - c\n  - d\n");
        let before: String = (0..20_000).map(item).collect::<Vec<_>>().concat();
        let after = before.replace("  - d\n", "").replace("  b:\n", "  e:\n  - d\n  b:\n");
        let diff = diff(&[&before], &[&after]);
        assert_eq!(diff.matches("\n+  e:\n").count(), 20_000);
    }

    #[test]
    fn documents_may_share_a_line() {
        let expected = "--- f\n+++ f\n@@ -1,2 +1,2 @@ D0\n {}{\n-1}\n\\ No newline at end of file\n+2}\n\\ No newline at end of file\n";
        assert_eq!(diff(&["{}", "{\n1}"], &["{}", "{\n2}"]), expected);
    }

    /// What `patch` and `git apply` make of `diff` where `before` is the file; `None` where there is no such command.
    fn applied(command: &[&str], before: &str, diff: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("f"), before).unwrap();
        fs::write(folder.path().join("diff"), diff).unwrap();
        let output = Command::new(command[0]).args(&command[1..]).current_dir(&folder).output().ok()?;
        assert!(output.status.success(), "{}\n{diff}", String::from_utf8_lossy(&output.stderr));
        Some(fs::read_to_string(folder.path().join("f")).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn patch_and_git_take_it(
            lines in prop::collection::vec((prop::sample::select(vec!["a", "b", "c", "- d", ""]), any::<(bool, bool)>()), 1..40),
            cuts in prop::collection::vec(0..40usize, 0..4),
            ended in any::<(bool, bool)>(),
        ) {
            let (mut before, mut after) = (vec![String::new()], vec![String::new()]);
            for (number, (line, (is_old, is_new))) in lines.iter().enumerate() {
                if cuts.contains(&number) {
                    before.push(String::new());
                    after.push(String::new());
                }
                for (texts, is_in) in [(&mut before, *is_old || number % 3 > 0), (&mut after, *is_new || number % 3 > 0)] {
                    if is_in {
                        texts.last_mut().unwrap().extend([line, "\n"]);
                    }
                }
            }
            for (texts, ended) in [(&mut before, ended.0), (&mut after, ended.1)] {
                let last = texts.last_mut().unwrap();
                if !ended && last.trim_end() != "" {
                    last.truncate(last.trim_end().len());
                }
            }
            let texts = |texts: &[String]| texts.iter().enumerate().map(|(n, text)| (Some(n), text.clone())).collect::<Vec<_>>();
            let diff = unified("f", &texts(&before), &texts(&after), |_| "Pod/x".to_owned());
            let (before, after) = (before.concat(), after.concat());
            prop_assert_eq!(diff.is_empty(), before == after);
            if !diff.is_empty() && !after.is_empty() {
                for command in [&["patch", "-p0", "-i", "diff"][..], &["git", "apply", "-p0", "--unidiff-zero", "diff"]] {
                    if let Some(result) = applied(command, &before, &diff) {
                        prop_assert_eq!(&result, &after, "{}\n{}", command[0], diff);
                    }
                }
            }
        }
    }
}
