//! The picture as an SVG image with a layout of its own: lists run downwards, branches stand side by side, composite
//! tasks are boxes around theirs, jumps run along the right edge of their list.

use std::fmt::Write as _;

use super::{Group, Link, Picture, colours, times};

/// Width of a character, of a label, and of the title.
const CHARACTER: f64 = 7.3;
const SMALL: f64 = 6.1;
const LARGE: f64 = 9.2;
/// Height of a task without others in it, and of the head of one with.
const BOX: f64 = 44.0;
/// Room between tasks.
const GAP: f64 = 28.0;
/// Room within a composite task.
const PAD: f64 = 14.0;
/// Room that each jump takes at the right of its list.
const LANE: f64 = 16.0;
/// Room between the jumps that leave one task.
const STEP: f64 = 14.0;

/// A rectangle.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Place {
    fn middle(self) -> f64 {
        self.x + self.width / 2.0
    }

    fn bottom(self) -> f64 {
        self.y + self.height
    }

    fn right(self) -> f64 {
        self.x + self.width
    }
}

struct Sheet<'a> {
    picture: &'a Picture,
    places: Vec<Place>,
    sizes: Vec<(f64, f64)>,
    boxes: String,
    lines: String,
}

pub(super) fn draw(picture: &Picture) -> String {
    let sizes = vec![(0.0, 0.0); picture.nodes.len()];
    let places = vec![Place::default(); picture.nodes.len()];
    let mut sheet = Sheet { picture, places, sizes, boxes: String::new(), lines: String::new() };
    let top = 56.0;
    let (mut x, mut height) = (20.0, 0.0_f64);
    for (at, list) in picture.lists.iter().enumerate() {
        let (width, tall) = sheet.measure(list);
        let above = if at == 0 { GAP } else { 0.0 };
        sheet.list(list, (x, top + above, width));
        if at == 0 {
            sheet.ends(list, (x + sheet.inner(list, width) / 2.0, top, top + GAP + tall));
        }
        x += width + 40.0;
        height = height.max(tall);
    }
    let titled = cells(&picture.title).mul_add(LARGE, 40.0);
    let (width, height) = (x.max(titled), top + height + 2.0 * GAP + 30.0);
    let title = text(&picture.title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-monospace, monospace\" font-size=\"12\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto-start-reverse\"><path d=\"M0 0L8 4L0 8z\" fill=\"#3c4a5a\"/></marker></defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#fcfcfd\"/>\n<text x=\"20\" y=\"30\" font-size=\"15\" font-weight=\"600\" fill=\"#1d2733\">{title}</text>\n{}{}</svg>\n",
        sheet.boxes, sheet.lines
    )
}

impl Sheet<'_> {
    /// Width and height of a list with its jumps.
    fn measure(&mut self, list: &Group) -> (f64, f64) {
        let (mut width, mut height) = (0.0_f64, 0.0_f64);
        for at in &list.tasks {
            let (mut wide, mut tall) = self.size(*at);
            // Every jump leaves its task at a height of its own; a label beside a straight arrow stays below its task.
            tall = tall.max(self.leaving(list, *at).mul_add(STEP, 16.0));
            wide = self
                .straight(list, *at)
                .map_or(wide, |label| wide.max(2.0 * cells(label).mul_add(SMALL, 10.0)));
            self.sizes[*at] = (wide, tall);
            if list.sideways {
                width += wide + if width > 0.0 { GAP } else { 0.0 };
                height = height.max(tall);
            } else {
                width = width.max(wide);
                height += tall + if height > 0.0 { GAP } else { 0.0 };
            }
        }
        let side = self.side(list);
        let label = if list.label.is_empty() { 0.0 } else { 16.0 };
        (width + side, height + label)
    }

    fn size(&mut self, at: usize) -> (f64, f64) {
        let node = &self.picture.nodes[at];
        let own = cells(&node.name).max(node.kind.len() as f64 + 4.0);
        let wide = own.mul_add(CHARACTER, 28.0).max(110.0);
        if node.groups.is_empty() {
            return (wide, BOX);
        }
        let (mut width, mut height) = (wide, BOX);
        for group in &node.groups {
            let (inner, tall) = self.measure(group);
            width = width.max(2.0f64.mul_add(PAD, inner));
            height += tall + PAD;
        }
        (width, height)
    }

    /// The jumps of a list: what does not lead to the next task below.
    fn jumps<'b>(&self, list: &'b Group) -> Vec<&Link>
    where
        Self: 'b,
    {
        let own = self.picture.links.iter().filter(|link| list.tasks.contains(&link.from) && !link.call);
        let mut jumps: Vec<_> = own.filter(|link| !is_straight(list, link)).collect();
        jumps.sort_by_key(|link| link.from);
        jumps
    }

    fn side(&self, list: &Group) -> f64 {
        let jumps = self.jumps(list).len() as f64;
        if jumps > 0.0 { (jumps + 1.0).mul_add(LANE, self.labels(list)) } else { 0.0 }
    }

    /// Room for the labels of a list's jumps, between its tasks and its lanes.
    fn labels(&self, list: &Group) -> f64 {
        let widths = self.jumps(list).into_iter().map(|link| cells(&link.label));
        widths.fold(0.0, f64::max).mul_add(SMALL, 8.0)
    }

    /// How many jumps leave a task.
    fn leaving(&self, list: &Group, task: usize) -> f64 {
        self.jumps(list).into_iter().filter(|link| link.from == task).count() as f64
    }

    /// The label of what leads from a task to the next one below.
    fn straight(&self, list: &Group, task: usize) -> Option<&str> {
        let own = self.picture.links.iter().filter(|link| link.from == task && !link.call);
        own.filter(|link| is_straight(list, link)).map(|link| &*link.label).find(|label| !label.is_empty())
    }

    /// Width of a list without its jumps.
    fn inner(&self, list: &Group, width: f64) -> f64 {
        width - self.side(list)
    }

    /// Places a list at (x, y) in a width, and draws it.
    fn list(&mut self, list: &Group, (x, y, width): (f64, f64, f64)) {
        let mut y = y;
        if !list.label.is_empty() {
            let label = text(list.label);
            let _ = writeln!(
                self.boxes,
                "<text x=\"{x:.1}\" y=\"{:.1}\" fill=\"#5f6b7a\" font-style=\"italic\">{label}</text>",
                y + 11.0
            );
            y += 16.0;
        }
        let (inner, mut across) = (self.inner(list, width), x);
        for at in &list.tasks {
            let (wide, tall) = self.sizes[*at];
            let left = if list.sideways { across } else { x + (inner - wide) / 2.0 };
            self.task(*at, Place { x: left, y, width: wide, height: tall });
            if list.sideways {
                across += wide + GAP;
            } else {
                y += tall + GAP;
            }
        }
        self.arrows(list, x + inner);
    }

    fn task(&mut self, at: usize, place: Place) {
        self.places[at] = place;
        let picture = self.picture;
        let node = &picture.nodes[at];
        let (fill, line) = colours(node.mark, picture.painted);
        let Place { x, y, width, height } = place;
        let shade = if node.groups.is_empty() { fill } else { "none" };
        let dash = if node.kind == "switch" { " stroke-dasharray=\"5 3\"" } else { "" };
        let state = node.mark.map(|mark| format!(" ({})", mark.state)).unwrap_or_default();
        let _ = writeln!(
            self.boxes,
            "<g><title>{}{state}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"7\" fill=\"{shade}\" stroke=\"{line}\" stroke-width=\"1.5\"{dash}/>",
            text(&node.reference)
        );
        if !node.groups.is_empty() {
            let _ = writeln!(
                self.boxes,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" rx=\"7\" fill=\"{fill}\" stroke=\"{line}\"/>",
                BOX - 6.0
            );
        }
        let middle = place.middle();
        let _ = writeln!(
            self.boxes,
            "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#1d2733\">{}</text><text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"10\" fill=\"#5f6b7a\">{}{}</text></g>",
            y + 18.0,
            text(&node.name),
            y + 33.0,
            node.kind,
            times(node.mark)
        );
        let mut below = y + BOX;
        for group in &node.groups {
            let (inner, tall) = self.measure(group);
            self.list(group, (x + (width - inner) / 2.0, below, inner));
            below += tall + PAD;
        }
    }

    /// The arrows of a list; jumps run at the right of `edge`.
    fn arrows(&mut self, list: &Group, edge: f64) {
        let picture = self.picture;
        for link in picture.links.iter().filter(|link| list.tasks.contains(&link.from) && !link.call) {
            let Some(to) = link.to.filter(|_| is_straight(list, link)) else { continue };
            let (from, to) = (self.places[link.from], self.places[to]);
            self.arrow(&format!("M{:.1} {:.1}L{:.1} {:.1}", from.middle(), from.bottom(), to.middle(), to.y));
            self.label(&link.label, (from.middle() + 6.0, from.bottom() + 17.0));
        }
        let (edge, mut before) = (edge + self.labels(list), None);
        let mut start = 0.0;
        let jumps: Vec<(usize, Option<usize>, String)> =
            self.jumps(list).into_iter().map(|link| (link.from, link.to, link.label.clone())).collect();
        for (lane, (from, to, label)) in jumps.into_iter().enumerate() {
            let out = (lane as f64 + 1.0).mul_add(LANE, edge);
            start = if before == Some(from) { start + STEP } else { self.places[from].y + 20.0 };
            before = Some(from);
            let from = self.places[from].right();
            match to.map(|to| self.places[to]) {
                Some(to) => {
                    let (x, y) = (to.right(), to.y + 7.0);
                    self.arrow(&format!("M{from:.1} {start:.1}H{out:.1}V{y:.1}H{x:.1}"));
                }
                // The end has a ring of its own here.
                None => {
                    self.arrow(&format!("M{from:.1} {start:.1}H{:.1}", out - 8.0));
                    let _ = writeln!(
                        self.lines,
                        "<circle cx=\"{:.1}\" cy=\"{start:.1}\" r=\"4\" fill=\"none\" stroke=\"#3c4a5a\" stroke-width=\"2\"/>",
                        out - 4.0
                    );
                }
            }
            self.label(&label, (from + 4.0, start - 3.0));
        }
    }

    /// The circles of beginning and end, and the arrows at them.
    fn ends(&mut self, list: &Group, (x, top, bottom): (f64, f64, f64)) {
        let end = bottom + GAP;
        let _ = writeln!(self.lines, "<circle cx=\"{x:.1}\" cy=\"{top:.1}\" r=\"6\" fill=\"#3c4a5a\"/>");
        let _ = writeln!(
            self.lines,
            "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"7\" fill=\"none\" stroke=\"#3c4a5a\" stroke-width=\"3\"/>",
            end + 7.0
        );
        let first = list.tasks.first().map_or(end, |first| self.places[*first].y);
        self.arrow(&format!("M{x:.1} {:.1}V{first:.1}", top + 6.0));
        if let Some(last) = list.tasks.last() {
            let falls = self.picture.links.iter().any(|link| link.from == *last && link.to.is_none());
            if falls {
                self.arrow(&format!("M{x:.1} {:.1}V{end:.1}", self.places[*last].bottom()));
            }
        }
    }

    fn arrow(&mut self, path: &str) {
        let _ = writeln!(
            self.lines,
            "<path d=\"{path}\" fill=\"none\" stroke=\"#3c4a5a\" stroke-width=\"1.3\" marker-end=\"url(#arrow)\"/>"
        );
    }

    fn label(&mut self, label: &str, (x, y): (f64, f64)) {
        if !label.is_empty() {
            let label = text(label);
            let _ = writeln!(
                self.lines,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"10\" fill=\"#5f6b7a\">{label}</text>"
            );
        }
    }
}

/// Whether a link leads to the next task of its list.
fn is_straight(list: &Group, link: &Link) -> bool {
    let place = list.tasks.iter().position(|task| *task == link.from);
    place.is_some_and(|place| list.tasks.get(place + 1).copied() == link.to)
}

/// How many characters of usual width a text takes: those of East Asia, and pictures, take two.
fn cells(text: &str) -> f64 {
    text.chars().map(|c| if u32::from(c) < 0x1100 { 1.0 } else { 2.0 }).sum()
}

/// Text in XML; what has no place there is a blank.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
