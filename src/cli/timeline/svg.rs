//! The picture as SVG: one image without scripts, fonts or anything else from outside, for light and dark pages.

use super::{
    super::terminal::wrapped,
    Drawn,
    text::clipped,
    words::{self, Item, Section, Side, Tone},
};
use native_sidecar_core::{
    lifecycle::Role,
    text::one_line,
    timeline::{Lane, Life},
};
use std::fmt::{Display, Write as _};

/// An image that grows downwards.
struct Canvas {
    body: String,
    /// How far down it goes.
    bottom: usize,
}

/// The columns of a card: where it begins, and how wide it is.
#[derive(Clone, Copy)]
struct Column {
    left: usize,
    width: usize,
}

/// Where the bars of a life stand.
struct Bars {
    left: usize,
    top: usize,
    /// Width of all ticks together.
    room: usize,
    ticks: usize,
}

// All lengths in pixels. A character of the font is no wider than `CHARACTER`, whichever of its family there is.
const MARGIN: usize = 24;
const CARD: usize = 616;
const PADDING: usize = 18;
const LINE: usize = 18;
const CHARACTER: usize = 8;
const HEADING: usize = 12;
const HEADING_LINE: usize = 22;
const LANE: usize = 26;
const BAR: usize = 14;
/// The bar of what has been told to stop.
const THIN: usize = 6;
const NAMES: usize = 168;
/// More arrows would hide the bars.
const MOST_ARROWS: usize = 12;
/// Between two arrows.
const ARROWS: usize = 11;

/// The legend's word for a thin bar.
const TOLD: &str = "told to stop";

const STYLE: &str = "\
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1f2328}
.h{font-size:17px;font-weight:700}.t{font-weight:700}.quiet{fill:#59636e}.good{fill:#116329}.bad{fill:#b3261e}
.page{fill:#fff}.card{fill:#f6f8fa;stroke:#d0d7de}.mark{stroke:#8c959f;stroke-dasharray:3 3}
.init{fill:#6e7781}.side{fill:#8250df}.app{fill:#0969da}.held{opacity:.45}.arrow circle{fill:#fff}
.endless{fill:#cf222e}.gate{stroke:#1f2328;stroke-width:1.5;fill:none}
.arrow{stroke-width:1.5;fill:none;stroke:#59636e}.arrow.good{stroke:#1a7f37}.arrow.bad{stroke:#cf222e;stroke-dasharray:4 2}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.quiet{fill:#9198a1}.good{fill:#56d364}.bad{fill:#ff7b72}
.page{fill:#0d1117}.card{fill:#151b23;stroke:#3d444d}.mark{stroke:#656c76}
.init{fill:#9198a1}.side{fill:#ab7df8}.app{fill:#4493f8}.endless{fill:#f85149}.gate{stroke:#e6edf3}
.arrow{stroke:#9198a1}.arrow circle{fill:#0d1117}.arrow.good{stroke:#3fb950}.arrow.bad{stroke:#f85149}}";

/// The pictures, one below the other, as one image.
#[must_use]
pub fn draw(pods: &[Drawn]) -> String {
    let cards = pods.iter().map(|drawn| words::sides(&drawn.timeline).len()).max().unwrap_or_default().max(1);
    let width = 2 * MARGIN + cards * CARD + (cards - 1) * MARGIN;
    let mut canvas = Canvas { body: String::new(), bottom: MARGIN };
    for drawn in pods {
        canvas.pod(drawn, width);
    }
    canvas.legend(pods);
    let height = canvas.bottom + MARGIN;
    let title = pods.iter().map(words::heading).next().unwrap_or_default();
    let title = if pods.len() > 1 { format!("{title} and {} more", pods.len() - 1) } else { title };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\">\n<title>The life of {}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n{}</svg>\n",
        escaped(&title),
        canvas.body
    )
}

/// As text of an XML document, in which everything can be seen.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

const fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "",
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Quiet => "quiet",
    }
}

const fn color(role: Role) -> &'static str {
    match role {
        Role::RunOnce => "init",
        Role::Sidecar => "side",
        Role::Regular => "app",
    }
}

// === impl Canvas ===

impl Canvas {
    fn pod(&mut self, drawn: &Drawn, width: usize) {
        let column = Column { left: MARGIN, width: width - 2 * MARGIN };
        for line in wrapped(&words::heading(drawn), width / HEADING) {
            self.bottom += HEADING_LINE;
            self.text(column.left, self.bottom, "h", &line);
        }
        self.bottom += LINE / 2;
        self.bottom = self.items(column, self.bottom, &words::verdict(&drawn.timeline));
        self.bottom += LINE / 2;
        let sides = words::sides(&drawn.timeline);
        let top = self.bottom;
        // The cards come first, as what is drawn later lies on top.
        let place = self.body.len();
        let columns: Vec<_> = (0..sides.len())
            .map(|index| Column { left: MARGIN + index * (CARD + MARGIN) + PADDING, width: CARD - 2 * PADDING })
            .collect();
        let mut y = top + PADDING;
        let mut next = y;
        for (side, column) in sides.iter().zip(&columns) {
            next = next.max(self.head(side, *column, y));
        }
        let mut sections: Vec<_> = sides.iter().map(|side| side.sections().into_iter()).collect();
        loop {
            y = next;
            let row: Vec<_> = sections.iter_mut().map(Iterator::next).collect();
            if row.iter().all(Option::is_none) {
                break;
            }
            for (section, column) in row.iter().zip(&columns) {
                if let Some(section) = section {
                    next = next.max(self.section(*column, y, section));
                }
            }
        }
        let mut cards = String::new();
        for column in &columns {
            let (left, height) = (column.left - PADDING, y - top);
            // Writing to a string cannot fail.
            let _ = writeln!(
                cards,
                "<rect class=\"card\" x=\"{left}\" y=\"{top}\" width=\"{CARD}\" height=\"{height}\" rx=\"8\"/>"
            );
        }
        self.body.insert_str(place, &cards);
        self.bottom = if sides.is_empty() { top } else { y } + MARGIN;
    }

    /// The title of a life and its bars; what comes back is where the next thing may begin.
    fn head(&mut self, side: &Side<'_>, column: Column, y: usize) -> usize {
        self.text(column.left, y + LINE / 2, "t", side.title);
        let behind = column.left + (side.title.len() + 2) * CHARACTER;
        self.text(behind, y + LINE / 2, "quiet", &side.caption());
        let chart = &side.life.chart;
        let bars = Bars {
            left: column.left + NAMES,
            top: y + LINE + LINE / 2,
            room: column.width - NAMES - LANE / 2,
            ticks: chart.ticks.max(1),
        };
        self.mark(&bars, chart.ends, chart.lanes.len(), side.turn());
        for (row, (lane, container)) in chart.lanes.iter().zip(&side.life.containers).enumerate() {
            let name = clipped(&words::name(&container.name), NAMES / CHARACTER - 1);
            self.text(column.left, bars.middle(row) + 5, "", &name);
            self.lane(&bars, row, lane, container.role);
        }
        self.gates(&bars, side.life);
        self.arrows(&bars, side.life);
        bars.top + chart.lanes.len() * LANE + 2 * LINE
    }

    /// Where the application ends, or the deletion begins.
    fn mark(&mut self, bars: &Bars, ends: usize, lanes: usize, what: &str) {
        let (x, top, bottom) = (bars.x(ends), bars.top, bars.top + lanes * LANE);
        let _ = writeln!(self.body, "<path class=\"mark\" d=\"M{x} {top}V{bottom}\"/>");
        self.text(x - what.len() * CHARACTER / 2, bottom + LINE / 2 + 3, "quiet", what);
    }

    fn lane(&mut self, bars: &Bars, row: usize, lane: &Lane, role: Role) {
        let Lane { starts, opens, told, ends } = *lane;
        let end = ends.unwrap_or(bars.ticks);
        let opens = opens.clamp(starts, end);
        let told = told.unwrap_or(end).clamp(opens, end);
        let color = if ends.is_none() { "endless" } else { color(role) };
        let middle = bars.middle(row);
        for (from, to, class, height) in [(starts, opens, " held", BAR), (opens, told, "", BAR), (told, end, "", THIN)]
        {
            let (x, width) = (bars.x(from), bars.x(to) - bars.x(from));
            if width > 0 {
                self.rectangle(&format!("{color}{class}"), (x, middle - height / 2), (width, height));
            }
        }
        let (x, y, bottom) = (bars.x(end), middle - BAR / 2, middle + BAR / 2);
        let _ = if ends.is_none() {
            let tip = x + LANE / 2;
            let (above, below) = (y - 4, bottom + 4);
            writeln!(self.body, "<path class=\"{color}\" d=\"M{x} {above}L{tip} {middle}L{x} {below}Z\"/>")
        } else {
            let (above, below) = (y - 3, bottom + 3);
            writeln!(self.body, "<path class=\"gate\" d=\"M{x} {above}V{below}\"/>")
        };
    }

    /// From whoever holds up the next container to that one.
    fn gates(&mut self, bars: &Bars, life: &Life) {
        let lanes = &life.chart.lanes;
        for (row, pair) in lanes.windows(2).enumerate() {
            let [holder, next] = pair else { continue };
            if holder.opens > holder.starts {
                let x = bars.x(next.starts);
                let (from, to) = (bars.middle(row) + BAR / 2, bars.middle(row + 1) - BAR / 2);
                let _ = writeln!(self.body, "<path class=\"gate\" d=\"M{x} {from}V{to}\"/>");
            }
        }
    }

    /// From whoever asks to whom it asks, at the moment of its start.
    fn arrows(&mut self, bars: &Bars, life: &Life) {
        let at_start = life.traffic.iter().filter(|asked| asked.at_start.is_some());
        for (number, asked) in at_start.take(MOST_ARROWS).enumerate() {
            let Some(lane) = life.chart.lanes.get(asked.asker_index) else { continue };
            let x = bars.x(lane.starts) + ARROWS + number * ARROWS;
            let (from, to) = (bars.middle(asked.asker_index), bars.middle(asked.server_index));
            // The tip touches the other one's bar from this side.
            let tip = if to > from { to - BAR / 2 } else { to + BAR / 2 };
            let (left, right) = (x - 4, x + 4);
            let base = if to > from { tip - 6 } else { tip + 6 };
            let class = class(words::tone(asked));
            let _ = writeln!(
                self.body,
                "<g class=\"arrow {class}\"><title>{}</title><path d=\"M{x} {from}V{tip}M{left} {base}L{x} {tip}L{right} {base}\"/>\
                 <circle cx=\"{x}\" cy=\"{from}\" r=\"3\"/></g>",
                escaped(&words::asks(asked))
            );
        }
    }

    fn section(&mut self, column: Column, y: usize, section: &Section) -> usize {
        self.text(column.left, y + LINE / 2, "t", &section.title);
        let inner = Column { left: column.left + CHARACTER, width: column.width - CHARACTER };
        self.items(inner, y + LINE / 2 + 3, &section.items) + LINE
    }

    /// The lines of `items` below `y`; what comes back is where they end.
    fn items(&mut self, column: Column, y: usize, items: &[Item]) -> usize {
        let labels = items.iter().map(|item| item.label.len()).max().unwrap_or_default();
        let mut y = y;
        for Item { label, text, tone } in items {
            let indent = if label.is_empty() { 0 } else { (labels + 1) * CHARACTER };
            let class = class(*tone);
            if !label.is_empty() {
                self.text(column.left, y + LINE, class, label);
            }
            for line in wrapped(text, (column.width - indent) / CHARACTER) {
                y += LINE;
                self.text(column.left + indent, y, class, &line);
            }
        }
        y
    }

    fn text(&mut self, x: impl Display, y: impl Display, class: &str, text: &str) {
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let _ = writeln!(self.body, "<text x=\"{x}\" y=\"{y}\"{class}>{}</text>", escaped(text));
    }

    fn rectangle(&mut self, class: &str, (x, y): (usize, usize), (width, height): (usize, usize)) {
        let _ =
            writeln!(self.body, "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>");
    }

    /// What the colours mean.
    fn legend(&mut self, pods: &[Drawn]) {
        let goes_on = |drawn: &Drawn| {
            let sides = words::sides(&drawn.timeline);
            sides.iter().any(|side| side.life.chart.lanes.iter().any(|lane| lane.ends.is_none()))
        };
        let mut entries = vec![
            ("init", "init container"),
            ("side", "native sidecar"),
            ("app", "container"),
            ("init held", "the next one waits"),
            ("init", TOLD),
        ];
        if pods.iter().any(goes_on) {
            entries.push(("endless", "goes on"));
        }
        let (mut x, y) = (MARGIN, self.bottom);
        for (class, meaning) in entries {
            let height = if meaning == TOLD { THIN } else { BAR };
            self.rectangle(class, (x, y + (BAR - height) / 2), (BAR, height));
            self.text(x + BAR + 6, y + BAR - 3, "quiet", meaning);
            x += BAR + 22 + meaning.len() * CHARACTER;
        }
        self.bottom += LINE;
    }
}

// === impl Bars ===

impl Bars {
    fn x(&self, tick: usize) -> usize {
        self.left + tick.min(self.ticks) * self.room / self.ticks
    }

    const fn middle(&self, row: usize) -> usize {
        self.top + row * LANE + LANE / 2
    }
}
