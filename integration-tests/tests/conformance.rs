//! The conformance kits against the real binary: the official kit and examples when their files lie beside the
//! checkout, our own kit, jq programs.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

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
