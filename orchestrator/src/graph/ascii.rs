//! The picture as a tree in plain ASCII: one line a task, jumps named at its end.

use std::fmt::Write as _;

use super::{Group, Picture, times};

pub(super) fn draw(picture: &Picture) -> String {
    let mut out = format!("{}\n", picture.title);
    for (at, list) in picture.lists.iter().enumerate() {
        if at > 0 {
            out.push_str("function\n");
        }
        group(picture, list, "", &mut out);
    }
    out
}

fn group(picture: &Picture, list: &Group, lead: &str, out: &mut String) {
    for (place, at) in list.tasks.iter().enumerate() {
        let node = &picture.nodes[*at];
        let last = place + 1 == list.tasks.len();
        let mark = if picture.painted { sign(node.mark.map(|mark| mark.state)) } else { "" };
        let jumps = jumps(picture, *at, list.tasks.get(place + 1).copied().filter(|_| !list.sideways));
        let (branch, deeper) = if last { ("`-", "  ") } else { ("|-", "| ") };
        let line = format!("{lead}{branch} {mark}{} ({}){}{jumps}", node.name, node.kind, times(node.mark));
        out.push_str(line.trim_end());
        out.push('\n');
        let inner = format!("{lead}{deeper} ");
        for part in &node.groups {
            if part.label.is_empty() {
                group(picture, part, &inner, out);
            } else {
                let _ = writeln!(out, "{inner}{}:", part.label);
                group(picture, part, &format!("{inner}  "), out);
            }
        }
    }
}

/// Where a task leads beside the next one of its list.
fn jumps(picture: &Picture, from: usize, following: Option<usize>) -> String {
    let mut out = String::new();
    let own = picture.links.iter().filter(|link| link.from == from);
    for link in own {
        let plain = link.label.is_empty() || link.label == "skipped";
        // Going on to the next task, or ending behind the last one, goes without saying.
        if plain && link.to == following {
            continue;
        }
        let label = if link.label.is_empty() { String::new() } else { format!("{} ", link.label) };
        let to = link.to.map_or("end", |to| &picture.nodes[to].name);
        let _ = write!(out, "  {label}-> {to}");
    }
    out
}

fn sign(state: Option<&str>) -> &'static str {
    match state {
        None => "[ ] ",
        Some("completed") => "[x] ",
        Some("faulted") => "[!] ",
        Some("waiting") => "[~] ",
        Some("cancelled") => "[-] ",
        Some(_) => "[>] ",
    }
}
