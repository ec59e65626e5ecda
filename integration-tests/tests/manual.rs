//! The manual: every YAML block of docs/language is run against the real binary, and every published decision names
//! tests or scenarios that exist.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tidemill_dsl::diagnostic::{Diagnostic, Severity};
use tidemill_dsl::manifest::{self, Document};
use tidemill_dsl::yaml;
use tidemill_integration_tests::conformance::gherkin::{Scenario, files, read_folder};
use tidemill_integration_tests::conformance::{pages, run};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_yaml_block_of_the_manual_holds() {
    let examples = pages::read_folder(&here("../docs/language")).unwrap_or_else(|why| panic!("{why}"));
    let count = examples.len();
    let report = run(examples).await;
    assert!(report.failures().is_empty() && count >= 60, "{count} examples: {:#?}", report.failures());
}

/// What is wrong with the plain `yaml` blocks of a page: each is one or more whole documents.
fn mistakes(text: &str) -> Vec<String> {
    let blocks = text.split("\n```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let found = blocks.flat_map(|block| match yaml::parse_all(block) {
        Ok(nodes) => nodes.iter().flat_map(|node| judged(node, block)).collect(),
        Err(found) => found,
    });
    found.filter(|d| d.severity == Severity::Error).map(|d| format!("{} {}", d.code, d.message)).collect()
}

fn judged(node: &yaml::Node, text: &str) -> Vec<Diagnostic> {
    match Document::of(node) {
        Document::Workflow => tidemill_dsl::workflow::check_node(node, text).diagnostics,
        Document::Manifest => manifest::check(node, text, "default").1,
    }
}

#[test]
fn yaml_blocks_outside_the_manual_are_valid_documents() {
    let mut pages = vec![here("../README.md")];
    for folder in ["../docs", "../docs/connectors", "../docs/operating"] {
        pages.extend(files(&here(folder), "md"));
    }
    pages
        .extend(std::fs::read_dir(here("../examples")).unwrap().map(|e| e.unwrap().path().join("README.md")));
    let texts = pages.iter().filter_map(|page| Some((page, std::fs::read_to_string(page).ok()?)));
    let wrong: Vec<_> =
        texts.map(|(page, text)| (page, mistakes(&text))).filter(|(_, m)| !m.is_empty()).collect();
    assert!(wrong.is_empty() && pages.len() >= 3, "{wrong:#?}");
    assert!(!mistakes("x\n```yaml\nkind: Nothing\n```\n").is_empty());
}

/// The names of all tests of the workspace.
fn tests(root: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(root).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if !["target", ".git"].iter().any(|skipped| name == *skipped) {
                tests(&path, found);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let after = |at: usize| lines[at + 1..].iter().find(|line| !line.starts_with("#["));
            let marks = lines.iter().enumerate().filter(|(_, line)| is_test_mark(line));
            let names = marks.filter_map(|(at, _)| after(at)).filter_map(|line| function_name(line));
            found.extend(names.map(str::to_owned));
        }
    }
}

fn is_test_mark(line: &str) -> bool {
    line == "#[test]" || line.starts_with("#[tokio::test")
}

fn function_name(line: &str) -> Option<&str> {
    line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?.split('(').next()
}

/// What is wrong with the proofs of a page: rows `| decision | proofs |`, proofs in backticks with `;` between them,
/// each the full name of a scenario or the name of a test.
fn unproven(page: &str, known: &BTreeSet<String>) -> (usize, Vec<String>) {
    let rows = page.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| Decision"));
    let (mut count, mut wrong) = (0, Vec::new());
    for row in rows.filter(|row| !row.starts_with("| ---")) {
        let Some((decision, proofs)) = row.trim_matches('|').rsplit_once('|') else {
            wrong.push(row.to_owned());
            continue;
        };
        count += 1;
        let names: Vec<&str> = proofs.split('`').skip(1).step_by(2).collect();
        let unknown: Vec<&&str> = names.iter().filter(|name| !known.contains(**name)).collect();
        if names.is_empty() || !unknown.is_empty() {
            wrong.push(format!("{}: {unknown:?}", decision.trim()));
        }
    }
    (count, wrong)
}

#[test]
fn every_published_decision_names_proofs_that_exist() {
    let mut known: BTreeSet<String> = read_folder(&here("kit")).iter().map(Scenario::full_name).collect();
    // An outline may be named without its rows.
    let outlines: Vec<String> = known.iter().map(|n| n.split(" (").next().unwrap().to_owned()).collect();
    known.extend(outlines);
    tests(&here(".."), &mut known);
    let page = std::fs::read_to_string(here("../docs/language/decisions.md")).unwrap();
    let (count, wrong) = unproven(&page, &known);
    assert!(wrong.is_empty() && count >= 100, "{count} decisions; without a proof: {wrong:#?}");
}

#[test]
fn missing_proofs_are_found() {
    let known = BTreeSet::from(["flow: A".to_owned(), "a_test".to_owned()]);
    let check = |page: &str, expected: (usize, usize)| {
        let (count, wrong) = unproven(page, &known);
        assert_eq!((count, wrong.len()), expected, "{page}: {wrong:?}");
    };
    check("| Decision | Proof |\n| --- | --- |\n| x | `flow: A`; `a_test` |\n", (1, 0));
    check("| x | `flow: B` |\n| y | none |\n", (2, 2));
}
