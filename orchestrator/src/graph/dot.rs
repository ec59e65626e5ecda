//! The picture for Graphviz: composite tasks are clusters, headed by their own node.

use std::fmt::Write as _;

use super::{Group, Picture, colours, times};

pub(super) fn draw(picture: &Picture) -> String {
    let mut out = format!("digraph {} {{\n", text(&picture.title));
    out.push_str("  rankdir=TB;\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n");
    out.push_str("  start [shape=circle, label=\"\", width=0.2];\n");
    out.push_str("  finish [shape=doublecircle, label=\"\", width=0.15];\n");
    for list in &picture.lists {
        group(picture, list, 1, &mut out);
    }
    match picture.lists.first().and_then(|list| list.tasks.first()) {
        Some(first) => drop(writeln!(out, "  start -> t{first};")),
        None => out.push_str("  start -> finish;\n"),
    }
    for link in &picture.links {
        let to = link.to.map_or("finish".to_owned(), |to| format!("t{to}"));
        let style = if link.call { ", style=dotted" } else { "" };
        let _ = writeln!(out, "  t{} -> {to} [label={}{style}];", link.from, text(&link.label));
    }
    out.push_str("}\n");
    out
}

fn group(picture: &Picture, list: &Group, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    for at in &list.tasks {
        let node = &picture.nodes[*at];
        let (fill, line) = colours(node.mark, picture.painted);
        let label = text(&format!("{}\n{}{}", node.name, node.kind, times(node.mark)));
        let shape = if node.kind == "switch" { ", shape=diamond" } else { "" };
        let own = format!("t{at} [label={label}, fillcolor=\"{fill}\", color=\"{line}\"{shape}];");
        if node.groups.is_empty() {
            let _ = writeln!(out, "{pad}{own}");
            continue;
        }
        let _ = writeln!(out, "{pad}subgraph cluster_{at} {{\n{pad}  color=\"{line}\";\n{pad}  {own}");
        for inner in &node.groups {
            group(picture, inner, depth + 1, out);
            let entries = if inner.sideways { inner.tasks.len() } else { inner.tasks.len().min(1) };
            for entry in &inner.tasks[..entries] {
                let label = text(inner.label);
                let _ = writeln!(out, "{pad}  t{at} -> t{entry} [style=dashed, label={label}];");
            }
        }
        let _ = writeln!(out, "{pad}}}");
    }
}

/// A quoted text.
fn text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
