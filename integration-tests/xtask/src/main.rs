//! `cargo xtask`: set-up, real services, tests, demo, benchmarks and the CI run of this repository.
//!
//! Owns what stands between a fresh clone and a result. It depends on no other crate of the workspace, so that it
//! builds in seconds on a machine that cannot build the rest yet, and may hold nothing the product itself needs.

// This is a command-line program: standard output is its answer, standard error its progress.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod cargo;
mod ci;
mod demo;
mod error;
mod http;
mod json;
mod places;
mod process;
mod services;
mod setup;
mod suite;

use std::process::ExitCode;

use args::Call;
use error::{Error, Result};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args::parse(&args).and_then(perform) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, Error::Ended(_)) {
                eprintln!("xtask: {error}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn perform(call: Call) -> Result<()> {
    match call {
        Call::Help => {
            print!("{}", args::USAGE);
            Ok(())
        }
        Call::Setup => {
            setup::build_packages()?;
            services::install_packages()?;
            setup::tools().map(drop)
        }
        Call::Services(verb, names) => services::call(verb, &names),
        Call::Test { require_all, rest } => suite::test(require_all, &rest),
        Call::Demo { name, keep } => demo::demo(&name, keep),
        Call::Bench(rest) => suite::bench(&rest),
        Call::Conformance(rest) => suite::release_binary("conformance", &rest, &[]),
        Call::Sim { seed, executions } => suite::sim(seed, executions),
        Call::Ci => ci::ci(),
        Call::Guard(pid_file) => process::guard(&pid_file),
    }
}
