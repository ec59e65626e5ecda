//! What an author sees: one snapshot for the bad example of every code, and one for every document of `mistakes/`.
//!
//! Each snapshot is reviewed for whether its text helps: does it name the place, the word, and what to write instead?

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tidemill_dsl::codes::{self, CODES, Code, Example};
use tidemill_dsl::diagnostic::{Diagnostic, Severity};
use tidemill_dsl::manifest::{self, Document};
use tidemill_dsl::{workflow, yaml};

/// What only a server can tell, which knows the request and the other definitions; the service's tests provoke them.
const SET: [&str; 7] = ["E0110", "E0111", "E0112", "E0510", "E0512", "E0520", "E1029"];

fn all() -> impl Iterator<Item = &'static Code> {
    CODES.iter().chain(manifest::codes::CODES)
}

/// The diagnostics of a text of one document.
fn judge(text: &str) -> Vec<Diagnostic> {
    match yaml::parse(text) {
        Ok(node) => match Document::of(&node) {
            Document::Workflow => workflow::check_node(&node, text).diagnostics,
            Document::Manifest => manifest::check(&node, text, "shop").1,
        },
        Err(found) => found,
    }
}

fn rendered(text: &str) -> String {
    judge(text).iter().map(|d| d.render("order.yaml", text)).collect::<Vec<_>>().join("\n")
}

fn brief(found: &[Diagnostic]) -> Vec<String> {
    found.iter().map(|d| format!("{} {}:{} {}", d.code, d.span.line, d.span.column, d.message)).collect()
}

/// Texts whose mistake is their size; their examples show it in small.
fn large(code: &str) -> Option<String> {
    let task = |set: &str| Example::whole(&format!("do:\n  - load: {set}\n")).into_owned();
    Some(match code {
        "E0801" => format!("# {}\n", "x".repeat(yaml::MAX_TEXT)),
        "E0802" => task(&format!("{{set: {{codes: [{}]}}}}", "1, ".repeat(yaml::MAX_NODES))),
        "E0803" => task(&format!("{{set: {{a: {}{}}}}}", "[".repeat(130), "]".repeat(130))),
        "E0804" => task(&format!("{{set: {{a: &a 1, b: [{}]}}}}", "*a, ".repeat(yaml::MAX_ALIASES + 1))),
        "E0805" => task(&format!("{}{{wait: PT1S}}{}", "{do: [{a: ".repeat(32), "}]}".repeat(32))),
        "E0806" => {
            let branches: Vec<_> = (0..=256).map(|n| format!("{{b{n}: {{wait: PT1S}}}}")).collect();
            task(&format!("{{fork: {{branches: [{}]}}}}", branches.join(", ")))
        }
        _ => return None,
    })
}

/// The bad text of a code's example, in its whole size.
fn bad(code: &str) -> Option<String> {
    large(code).or_else(|| Some(Example::whole(codes::example(code)?.bad).into_owned()))
}

#[test]
fn every_code_is_explained_by_a_mistake_and_its_remedy() {
    let mut wrong = Vec::new();
    for code in all().filter(|code| !SET.contains(&code.code)) {
        let Some(example) = codes::example(code.code) else {
            wrong.push(format!("{} has no example", code.code));
            continue;
        };
        let told = judge(&bad(code.code).unwrap());
        let severity = if code.code.starts_with('W') { Severity::Warning } else { Severity::Error };
        if told.is_empty() || told.iter().any(|d| d.code != code.code || d.severity != severity) {
            wrong.push(format!("the mistake of {}: {:?}", code.code, brief(&told)));
        }
        let good = judge(&Example::whole(example.good));
        if !good.is_empty() {
            wrong.push(format!("the remedy of {}: {:?}", code.code, brief(&good)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_example_belongs_to_a_code() {
    let text = include_str!("../src/codes/examples.txt");
    let heads = text.lines().filter_map(|line| line.strip_prefix("#### ")).filter(|head| *head != "instead");
    let known: BTreeSet<_> = all().map(|code| code.code).collect();
    let heads: Vec<_> = heads.collect();
    let distinct: BTreeSet<_> = heads.iter().copied().collect();
    assert_eq!(heads.len(), distinct.len());
    assert!(distinct.is_subset(&known), "{:?}", distinct.difference(&known));
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes")
}

fn snapshot(name: &str, text: &str) {
    // A line of a huge text is shown in part.
    let shown: String = rendered(text)
        .lines()
        .map(|line| match line.char_indices().nth(200) {
            Some((end, _)) => format!("{}...\n", &line[..end]),
            None => format!("{line}\n"),
        })
        .collect();
    insta::with_settings!({snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, shown);
    });
}

#[test]
fn examples_read_as_reviewed() {
    for code in all() {
        if let Some(text) = bad(code.code) {
            snapshot(code.code, &text);
        }
    }
}

#[test]
fn documents_read_as_reviewed() {
    let mut files: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20, "{}", files.len());
    let mut unhelpful = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let found = judge(&text);
        assert!(!found.is_empty(), "{} has no mistake", file.display());
        unhelpful.extend(found.iter().filter(|d| d.help.is_none()).map(|d| d.message.clone()));
        assert!(found.iter().all(|d| d.span.line > 0 && d.span.column > 0));
        snapshot(&file.file_stem().unwrap().to_string_lossy(), &text);
    }
    assert!(unhelpful.is_empty(), "no help for {unhelpful:#?}");
}
