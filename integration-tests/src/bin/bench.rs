//! `cargo xtask bench [WORKLOAD ...] [--seconds N] [--connections N,..] [--entries N] [--dir DIR]`: the workloads of the published figures.
//!
//! Prints rates with fdatasync/s sampled around each round, CPU, bytes, rows and commits per step. Never a pass/fail.
#![allow(clippy::print_stdout, reason = "the figures are this program's output")]

use tidemill_integration_tests::bench;

fn main() -> std::io::Result<()> {
    if let Some(name) = std::env::args().skip_while(|arg| arg != "--play").nth(1) {
        return bench::play(&name);
    }
    let options = bench::Options::parse(std::env::args().skip(1));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(bench::run(&options)),
        Err(error) => return Err(error),
    }
    Ok(())
}
