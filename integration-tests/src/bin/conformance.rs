//! `cargo xtask conformance`: the official kit and examples, our own kit, the manual's examples and jq files, against
//! the real binary, offline.
#![allow(clippy::print_stdout, reason = "the result is this program's output")]

use std::path::Path;
use std::process::ExitCode;

use tidemill_integration_tests::conformance::{self, examples, gherkin, jq, pages};

const USAGE: &str = "\
usage: conformance --ctk DIR        feature files: the official kit, or integration-tests/kit
       conformance --examples DIR   the official examples: run, validated only or refused
       conformance --pages DIR      pages of the manual, e.g. docs/language
       conformance --jq FILE|DIR    jq programs with inputs and outputs (*.test)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((flag, path)) = args.first().zip(args.get(1)).filter(|_| args.len() == 2) else {
        print!("{USAGE}");
        return ExitCode::from(2);
    };
    let Ok(runtime) = tokio::runtime::Runtime::new() else {
        return ExitCode::FAILURE;
    };
    let path = Path::new(path);
    let passed = match flag.as_str() {
        "--ctk" => runtime.block_on(scenarios(gherkin::read_folder(path))),
        "--pages" => match pages::read_folder(path) {
            Ok(read) => runtime.block_on(scenarios(read)),
            Err(why) => {
                println!("{why}");
                false
            }
        },
        "--examples" => {
            let verdicts = runtime.block_on(examples::judge(path));
            print!("{}", examples::table(&verdicts));
            !verdicts.is_empty() && !verdicts.iter().any(|(_, v)| matches!(v, examples::Verdict::Failed(_)))
        }
        "--jq" => programs(path),
        _ => {
            print!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn scenarios(read: Vec<gherkin::Scenario>) -> bool {
    let report = conformance::run(read).await;
    for line in report.lines() {
        println!("{line}");
    }
    let (passed, failed, skipped) = report.counts();
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    failed == 0 && passed > 0
}

/// Prints the pass rate; a miss is no failure of the run: the rate is a tracked number.
fn programs(path: &Path) -> bool {
    match jq::run(path) {
        Ok(report) => {
            for miss in &report.misses {
                println!("miss {miss}");
            }
            let rate = 100.0 * report.passed as f64 / report.total.max(1) as f64;
            println!("{} of {} passed ({rate:.1} %)", report.passed, report.total);
            report.total > 0
        }
        Err(error) => {
            println!("{}: {error}", path.display());
            false
        }
    }
}
