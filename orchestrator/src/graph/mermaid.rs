//! The picture as a Mermaid flowchart: composite tasks are subgraphs.

use std::fmt::Write as _;

use super::{Group, Mark, Picture, colours, times};

/// States that have a class.
const STATES: [&str; 5] = ["completed", "faulted", "running", "waiting", "cancelled"];

pub(super) fn draw(picture: &Picture) -> String {
    let mut out = format!("---\ntitle: {}\n---\nflowchart TD\n", text(&picture.title));
    let first = picture.lists.first().and_then(|list| list.tasks.first());
    out.push_str("  start((start))\n");
    for list in &picture.lists {
        group(picture, list, 1, &mut out);
    }
    out.push_str("  finish((end))\n");
    match first {
        Some(first) => drop(writeln!(out, "  start --> t{first}")),
        None => out.push_str("  start --> finish\n"),
    }
    for link in &picture.links {
        let to = link.to.map_or("finish".to_owned(), |to| format!("t{to}"));
        let arrow = if link.call { "-.->" } else { "-->" };
        let label =
            if link.label.is_empty() { String::new() } else { format!("|\"{}\"|", text(&link.label)) };
        let _ = writeln!(out, "  t{} {arrow}{label} {to}", link.from);
    }
    if picture.painted {
        classes(picture, &mut out);
    }
    out
}

fn group(picture: &Picture, list: &Group, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    let labelled = !list.label.is_empty() && !list.tasks.is_empty();
    if labelled {
        let _ = writeln!(out, "{pad}subgraph g{}[\"{}\"]", list.tasks[0], list.label);
    }
    for at in &list.tasks {
        let node = &picture.nodes[*at];
        let label = format!("{} ({}){}", text(&node.name), node.kind, times(node.mark));
        match (node.groups.is_empty(), node.kind) {
            (true, "switch") => drop(writeln!(out, "{pad}t{at}{{\"{label}\"}}")),
            (true, _) => drop(writeln!(out, "{pad}t{at}[\"{label}\"]")),
            _ => {
                let _ = writeln!(out, "{pad}subgraph t{at}[\"{label}\"]");
                node.groups.iter().for_each(|inner| group(picture, inner, depth + 1, out));
                let _ = writeln!(out, "{pad}end");
            }
        }
    }
    if labelled {
        let _ = writeln!(out, "{pad}end");
    }
}

fn classes(picture: &Picture, out: &mut String) {
    for state in STATES {
        let (fill, line) = colours(Some(Mark { state, runs: 1 }), true);
        let _ = writeln!(out, "  classDef {state} fill:{fill},stroke:{line}");
        let own = picture.nodes.iter().enumerate().filter(|(_, n)| n.mark.is_some_and(|m| m.state == state));
        let names: Vec<String> = own.map(|(at, _)| format!("t{at}")).collect();
        if !names.is_empty() {
            let _ = writeln!(out, "  class {} {state}", names.join(","));
        }
    }
}

/// Text within quotes.
fn text(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "#quot;").replace(['\n', '\r'], " ")
}
