//! `cargo xtask conformance --ctk DIR`: the official kit against the real binary, offline.
#![allow(clippy::print_stdout, reason = "the result is this program's output")]

use std::path::PathBuf;
use std::process::ExitCode;

use tidemill_integration_tests::ctk;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = match args.as_slice() {
        [flag, dir] if flag == "--ctk" => PathBuf::from(dir),
        _ => {
            println!("usage: conformance --ctk DIR   (DIR holds features/*.feature)");
            return ExitCode::from(2);
        }
    };
    let Ok(runtime) = tokio::runtime::Runtime::new() else {
        return ExitCode::FAILURE;
    };
    let report = runtime.block_on(ctk::run(&dir));
    for line in &report.lines {
        println!("{line}");
    }
    println!("{} passed, {} failed, {} skipped", report.passed, report.failed, report.skipped);
    if report.failed == 0 && report.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
