//! The conformance kits against the real binary: the official kit and examples when their files lie beside the
//! checkout, our own kit, jq programs.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tidemill_integration_tests::conformance::gherkin::{Scenario, files, read_folder};
use tidemill_integration_tests::conformance::{Report, examples, jq, run};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Official files beside the checkout; none, with a line that says so, when they are not there.
fn official(path: &str) -> Option<PathBuf> {
    let beside = here("")
        .ancestors()
        .map(|a| a.join("shared/conformance/open-workflow").join(path))
        .find(|p| p.is_dir());
    if beside.is_none() {
        eprintln!("SKIPPED conformance: shared/conformance/open-workflow/{path} is not beside the checkout");
    }
    beside
}

#[track_caller]
fn passed(report: &Report, least: usize) {
    let (passed, failed, _) = report.counts();
    assert_eq!(failed, 0, "{:#?}", report.failures());
    assert!(passed >= least, "{passed} passed: {:#?}", report.lines());
}

fn kit(kills: bool) -> Vec<Scenario> {
    let all = read_folder(&here("kit"));
    all.into_iter().filter(|s| s.kills() == kills).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_kit_passes_offline() {
    let Some(dir) = official("ctk") else { return };
    let report = run(read_folder(&dir)).await;
    passed(&report, 13);
    let (_, _, skipped) = report.counts();
    assert_eq!(skipped, 2, "only calls of OpenAPI are left out: {:#?}", report.lines());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_examples_run_or_say_why_not() {
    let Some(dir) = official("examples") else { return };
    let verdicts = examples::judge(&dir).await;
    let failed = verdicts.iter().filter(|(_, v)| matches!(v, examples::Verdict::Failed(_))).count();
    let run = verdicts.iter().filter(|(_, v)| *v == examples::Verdict::Run).count();
    assert!(failed == 0 && run >= 15, "{}", examples::table(&verdicts));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_kit_passes() {
    passed(&run(kit(false)).await, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_our_kit_passes_over_kills() {
    passed(&run(kit(true)).await, 12);
}

#[test]
fn our_jq_programs_give_what_they_say() {
    let report = jq::run(&here("kit/jq")).unwrap();
    assert!(report.misses.is_empty() && report.total >= 40, "{report:#?}");
}

/// The answers of `tidemill eval jq --jsonl` to these lines.
fn eval(requests: &str) -> Vec<serde_json::Value> {
    let mut child = Command::new(tidemill_integration_tests::server::binary())
        .args(["eval", "jq", "--jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(requests.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn eval_answers_one_object_a_line_in_order() {
    let answers = eval(
        r#"{"expression": ".a + $x", "input": {"a": 1}, "arguments": {"$x": 2}}
{"expression": ".[]", "input": [1, "b"], "all": true}
{"expression": "${ .a }", "input": {"a": null}}
{"expression": ".[]", "input": [1, 2]}
{"expression": ".a +", "input": {}}
{"expression": "$nobody"}
no request
"#,
    );
    let values = [r#"{"value": 3}"#, r#"{"values": [1, "b"]}"#, r#"{"value": null}"#];
    for (found, wanted) in answers.iter().zip(values) {
        assert_eq!(*found, serde_json::from_str::<serde_json::Value>(wanted).unwrap());
    }
    assert_eq!(answers.len(), 7, "{answers:?}");
    for answer in &answers[3..] {
        let members = ["type", "title", "detail"].iter().all(|name| answer["error"][name].is_string());
        assert!(members && answer.as_object().unwrap().len() == 1, "{answer}");
    }
    assert!(answers[3]["error"]["type"].as_str().unwrap().ends_with("/spec/1.0.0/errors/expression"));
}

#[test]
fn names_of_scenarios_are_distinct_and_each_asserts() {
    let mut seen = BTreeSet::new();
    for scenario in read_folder(&here("kit")) {
        assert!(seen.insert(scenario.full_name()), "twice: {}", scenario.full_name());
        let asserts = scenario.steps.iter().any(|step| step.line.contains(" should "));
        assert!(asserts, "{} asserts nothing", scenario.full_name());
    }
    assert!(files(&here("kit"), "feature").len() >= 10 && seen.len() >= 150, "{}", seen.len());
}
