//! The picture as text: ASCII but for what a pod's author wrote, so that it looks the same everywhere.

use super::{
    super::terminal::wrapped,
    Drawn,
    words::{self, Item, LEGEND, Section, Side, Tone},
};
use crate::cli::look::Look;
use native_sidecar_core::{
    lifecycle::Role,
    timeline::{Chart, Lane, Life},
};
use std::iter::repeat_n;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A line of a column: a text and what it is.
struct Line {
    text: String,
    style: Style,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Title,
    Tone(Tone),
}

/// From so many columns on, before and after stand side by side.
const SIDE_BY_SIDE: usize = 100;
/// What stands between them.
const BETWEEN: &str = " | ";
/// A tick has no more columns.
const WIDEST_TICK: usize = 5;

/// The pictures, one below the other.
#[must_use]
pub fn draw(pods: &[Drawn], look: Look) -> String {
    pods.iter().map(|drawn| pod(drawn, look)).collect::<Vec<_>>().join("\n")
}

fn pod(drawn: &Drawn, look: Look) -> String {
    let mut out = String::new();
    let mut push = |line: &Line| {
        out.push_str(painted(line, look).trim_end());
        out.push('\n');
    };
    lines(&words::heading(drawn), look.width, Style::Title).iter().for_each(&mut push);
    items(&words::verdict(&drawn.timeline), look.width).iter().for_each(&mut push);
    let sides = words::sides(&drawn.timeline);
    if !sides.is_empty() {
        push(&Line::empty());
    }
    if let [before, after] = &*sides
        && look.width >= SIDE_BY_SIDE
    {
        let width = (look.width - BETWEEN.len()) / 2;
        for (left, right) in beside(blocks(before, width), blocks(after, width)) {
            let gap = width.saturating_sub(left.text.width());
            let line = format!("{}{}{BETWEEN}{}", painted(&left, look), " ".repeat(gap), painted(&right, look));
            out.push_str(line.trim_end());
            out.push('\n');
        }
        push_legend(&mut out, &sides, look);
        return out;
    }
    for side in &sides {
        for block in blocks(side, look.width) {
            for line in block {
                out.push_str(painted(&line, look).trim_end());
                out.push('\n');
            }
        }
    }
    push_legend(&mut out, &sides, look);
    out
}

/// The symbols that the bars of this pod have.
fn push_legend(out: &mut String, sides: &[Side<'_>], look: Look) {
    let used: String = sides.iter().flat_map(|side| bars(side.life, look.width)).map(|line| line.text).collect();
    let symbols = LEGEND.iter().filter(|(symbol, _)| used.contains(symbol));
    let symbols: Vec<_> = symbols.map(|(symbol, meaning)| format!("{symbol} {meaning}")).collect();
    if !symbols.is_empty() {
        for line in lines(&symbols.join("   "), look.width, Style::Tone(Tone::Quiet)) {
            out.push_str(&painted(&line, look));
            out.push('\n');
        }
    }
}

/// One life in blocks of lines, of which each has its counterpart in the other life.
fn blocks(side: &Side<'_>, width: usize) -> Vec<Vec<Line>> {
    let title = side.title.to_uppercase();
    let mut head = lines(&format!("{title} ({})", side.caption()), width, Style::Title);
    head.extend(bars(side.life, width));
    head.push(Line::empty());
    let mut blocks = vec![head];
    for Section { title, items: list } in side.sections() {
        let mut block = lines(&title, width, Style::Title);
        block.extend(items(&list, width.saturating_sub(2)).into_iter().map(|line| line.indented(2)));
        block.push(Line::empty());
        blocks.push(block);
    }
    blocks
}

/// Lines of two lives side by side.
fn beside(left: Vec<Vec<Line>>, right: Vec<Vec<Line>>) -> Vec<(Line, Line)> {
    let mut pairs = Vec::new();
    let blocks = left.len().max(right.len());
    let (mut left, mut right) = (left.into_iter(), right.into_iter());
    for _ in 0..blocks {
        let (one, other) = (left.next().unwrap_or_default(), right.next().unwrap_or_default());
        let height = one.len().max(other.len());
        let mut one = one.into_iter();
        let mut other = other.into_iter();
        for _ in 0..height {
            pairs.push((one.next().unwrap_or_else(Line::empty), other.next().unwrap_or_else(Line::empty)));
        }
    }
    pairs
}

/// A bar for each container; nothing where there are too many ticks for the width.
fn bars(life: &Life, width: usize) -> Vec<Line> {
    let Chart { lanes, ticks, .. } = &life.chart;
    let names: Vec<_> = life.containers.iter().map(|container| words::name(&container.name)).collect();
    let widest = names.iter().map(|name| name.width()).max().unwrap_or_default().min(width / 3);
    let Some(room) = width.checked_sub(widest + 3 + 1) else { return Vec::new() };
    let tick = room.checked_div(*ticks).unwrap_or_default().min(WIDEST_TICK);
    if tick == 0 {
        return Vec::new();
    }
    let drawn = |((name, role), lane): ((&String, _), &Lane)| {
        let name = clipped(name, widest);
        let gap = " ".repeat(widest - name.width());
        let style = Style::Tone(if lane.ends.is_none() { Tone::Bad } else { Tone::Plain });
        Line { text: format!("  {name}{gap} {}", bar(lane, role, *ticks, tick)), style }
    };
    let roles = life.containers.iter().map(|container| container.role);
    names.iter().zip(roles).zip(lanes).map(drawn).collect()
}

fn bar(lane: &Lane, role: Role, ticks: usize, tick: usize) -> String {
    let Lane { starts, opens, told, ends } = *lane;
    let end = ends.unwrap_or(ticks);
    // The whole life of a run-once container is what the next one waits for.
    let opens = opens.clamp(starts, end);
    let told = told.unwrap_or(end).clamp(opens, end);
    let held = if role == Role::Regular && opens == starts { 0 } else { opens - starts };
    let parts = [(' ', starts), ('~', held), ('=', told - starts - held), ('-', end - told)];
    let bar: String = parts.into_iter().flat_map(|(symbol, ticks)| repeat_n(symbol, ticks * tick)).collect();
    bar + if ends.is_some() { "|" } else { ">" }
}

fn items(items: &[Item], width: usize) -> Vec<Line> {
    let labels = items.iter().map(|item| item.label.width()).max().unwrap_or_default();
    let mut lines = Vec::new();
    for Item { label, text, tone } in items {
        let style = Style::Tone(*tone);
        // What has no label stands in front.
        let indent = if label.is_empty() { 0 } else { labels + 1 };
        let mut label = label.clone();
        for part in wrapped(text, width.saturating_sub(indent)) {
            let gap = indent.saturating_sub(label.width());
            lines.push(Line { text: format!("{label}{}{part}", " ".repeat(gap)), style });
            label.clear();
        }
    }
    lines
}

fn lines(text: &str, width: usize, style: Style) -> Vec<Line> {
    wrapped(text, width).into_iter().map(|text| Line { text, style }).collect()
}

/// At most `width` columns of `text`.
pub(super) fn clipped(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut columns = 0;
    let mut clipped = String::new();
    for c in text.chars() {
        columns += c.width().unwrap_or_default();
        if columns + 2 > width {
            break;
        }
        clipped.push(c);
    }
    clipped + ".."
}

fn painted(line: &Line, look: Look) -> String {
    let code = match line.style {
        _ if !look.colours || line.text.is_empty() => return line.text.clone(),
        Style::Tone(Tone::Plain) => return line.text.clone(),
        Style::Title => "1",
        Style::Tone(Tone::Good) => "32",
        Style::Tone(Tone::Bad) => "31",
        Style::Tone(Tone::Quiet) => "2",
    };
    format!("\u{1b}[{code}m{}\u{1b}[0m", line.text)
}

// === impl Line ===

impl Line {
    const fn empty() -> Self {
        Self { text: String::new(), style: Style::Tone(Tone::Plain) }
    }

    fn indented(self, columns: usize) -> Self {
        Self { text: format!("{}{}", " ".repeat(columns), self.text), ..self }
    }
}
