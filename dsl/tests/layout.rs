//! Laying out never changes a meaning, never loses a comment, and is done after one time.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tidemill_dsl::codes::{self, CODES, Example};
use tidemill_dsl::value::Value;
use tidemill_dsl::yaml::layout::{LayoutError, layout};
use tidemill_dsl::yaml::parse_all;

fn values(text: &str) -> Vec<Value> {
    parse_all(text)
        .unwrap_or_else(|e| panic!("{e:?}\n{text}"))
        .iter()
        .map(tidemill_dsl::yaml::Node::to_value)
        .collect()
}

/// The comments of a text, as far as lines show them.
fn comments(text: &str) -> Vec<String> {
    let comment = |line: &str| {
        let at = if line.trim_start().starts_with('#') {
            line.find('#')
        } else {
            line.find(" #").map(|at| at + 1)
        };
        at.map(|at| line[at..].trim_end().to_owned())
    };
    text.lines().filter_map(comment).collect()
}

#[track_caller]
fn check(text: &str) {
    let out = match layout(text) {
        Ok(out) => out,
        Err(LayoutError::Unreadable(_)) => return,
        Err(left) => panic!("{left:?}\n{text}"),
    };
    assert_eq!(values(&out), values(text), "{text}\n---\n{out}");
    assert_eq!(comments(&out), comments(text), "{text}\n---\n{out}");
    assert_eq!(layout(&out).as_deref(), Ok(out.as_str()), "a second time");
    assert!(!out.contains(" \n") || text.contains('"') || text.contains('|'), "{out}");
}

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn every_document_at_hand() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    yaml_files(&here.join("tests/mistakes"), &mut files);
    yaml_files(&here.join("../examples"), &mut files);
    let official =
        here.ancestors().map(|a| a.join("shared/conformance/open-workflow/examples")).find(|p| p.is_dir());
    match official {
        Some(folder) => yaml_files(&folder, &mut files),
        None => eprintln!("SKIPPED: shared/conformance/open-workflow is not beside the project"),
    }
    assert!(files.len() > 30, "{}", files.len());
    for file in files {
        check(&fs::read_to_string(file).unwrap());
    }
    for code in CODES.iter().chain(tidemill_dsl::manifest::codes::CODES) {
        for text in codes::example(code.code).iter().flat_map(|example| [example.bad, example.good]) {
            check(&Example::whole(text));
        }
    }
}

#[test]
fn the_examples_of_explanations_are_laid_out() {
    for code in CODES.iter().chain(tidemill_dsl::manifest::codes::CODES) {
        let Some(example) = codes::example(code.code) else { continue };
        let text = Example::whole(example.good);
        assert_eq!(layout(&text).as_deref(), Ok(&*text), "{}", code.code);
    }
}

/// A map of some depth as block YAML, each level indented as the dice say.
fn block() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-z]{1,6}",
        Just("'a: b # c'".to_owned()),
        Just("{ x : 1,y: [ 1,2 ] }".to_owned()),
        Just("\"q\\\" # \"   # said".to_owned()),
        Just("${ .a }".to_owned()),
        Just("|\n       one\n         two\n\n       three".to_owned()),
        Just(">-\n       one\n       two".to_owned()),
        Just(String::new()),
    ];
    let leaf = leaf.prop_map(|text| vec![format!(" {text}")]);
    let tree = leaf.prop_recursive(4, 24, 4, |inner| {
        (prop::collection::vec((inner, 0..3usize), 1..4), 1..4usize, any::<bool>()).prop_map(
            |(items, width, list)| {
                let mut lines = vec![String::new()];
                for (number, (item, blank)) in items.into_iter().enumerate() {
                    let head = if list { "-".to_owned() } else { format!("k{number}:") };
                    lines.extend(std::iter::repeat_n(String::new(), blank));
                    if blank == 2 {
                        lines.push(format!("{}# note {number}", " ".repeat(width)));
                    }
                    let mut item = item.into_iter();
                    let first = item.next().unwrap_or_default();
                    for (line, text) in format!("{head}{first}").lines().enumerate() {
                        let pad =
                            if line == 0 || !text.is_empty() { " ".repeat(width) } else { String::new() };
                        lines.push(format!("{pad}{text}"));
                    }
                    lines.extend(item.map(|line| {
                        if line.is_empty() { line } else { format!("{}{line}", " ".repeat(width)) }
                    }));
                }
                lines
            },
        )
    });
    tree.prop_map(|lines| format!("top:{}\n", lines.join("\n")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_indentation(text in block()) {
        check(&text);
    }
}
