//! `cargo xtask test` and `cargo xtask sim`: the tests with everything they need.
//!
//! Owns set-up, services and the call of the test runner. After the runner's closing summary nothing is printed but
//! the services that were skipped.

use crate::error::{Error, Result};
use crate::{cargo, places, process, services, setup};

/// The test binary that holds the simulation.
pub(crate) const SIMULATION: &str = "simulation";

/// Sets up, starts the services, runs every test, stops what it started.
/// A service that cannot be had fails the run when `require_all` holds or in CI, else it is reported.
pub(crate) fn test(require_all: bool, rest: &[String]) -> Result<()> {
    setup::build_packages()?;
    let path = setup::tools()?;
    let running = services::for_tests();
    let mut run = cargo::nextest(&path);
    if cargo::in_ci() {
        run.args(["--profile", "ci"]);
    }
    run.envs(running.environment.iter().map(|(variable, value)| (variable, value))).args(rest);
    let code = process::status(&mut run);
    let skipped = running.skipped.clone();
    drop(running);
    for (name, reason) in &skipped {
        eprintln!("SKIPPED {name}: {reason}");
    }
    match code? {
        0 if skipped.is_empty() || !(require_all || cargo::in_ci()) => Ok(()),
        0 => Err(Error::failed("pass without every service; see the SKIPPED lines")),
        code => Err(ended(code)),
    }
}

/// Runs the simulation tests alone, with a seed and a number of executions if given.
pub(crate) fn sim(seed: Option<u64>, executions: Option<u64>) -> Result<()> {
    setup::build_packages()?;
    let mut run = cargo::nextest(&setup::tools()?);
    run.args(["--test", SIMULATION]);
    for (variable, value) in [("TIDEMILL_SIM_SEED", seed), ("TIDEMILL_SIM_EXECUTIONS", executions)] {
        run.envs(value.map(|value| (variable, value.to_string())));
    }
    match process::status(&mut run)? {
        0 => Ok(()),
        code => Err(ended(code)),
    }
}

/// Benchmarks that need a server, and which.
const BENCH_SERVICES: [(&str, &str); 4] =
    [("k1", "kafka"), ("sources", "kafka"), ("b1", "mariadb"), ("b1", "mysql")];

/// Builds in release, starts the servers that the named benchmarks need, and runs these.
pub(crate) fn bench(args: &[String]) -> Result<()> {
    let named = |workload: &str| args.iter().any(|arg| arg.eq_ignore_ascii_case(workload));
    let mut names: Vec<String> = BENCH_SERVICES
        .iter()
        .filter(|(workload, _)| named(workload))
        .map(|(_, service)| (*service).to_owned())
        .collect();
    names.dedup();
    let running = services::for_demo(&names)?;
    release_binary("bench", args, &running.environment)
}

/// Builds every binary of the workspace in release and runs one of them with the given arguments and variables.
pub(crate) fn release_binary(
    name: &str,
    args: &[String],
    environment: &[(&'static str, String)],
) -> Result<()> {
    setup::build_packages()?;
    process::run(cargo::cargo("build").args(["--release", "--workspace", "--bins", "--locked"]))?;
    let binary = places::target().join("release").join(name);
    let mut command = std::process::Command::new(binary);
    match process::status(
        command.args(args).envs(environment.iter().map(|(k, v)| (k, v))).current_dir(places::workspace()),
    )? {
        0 => Ok(()),
        code => Err(ended(code)),
    }
}

/// The end of a program that has said itself what is wrong.
fn ended(code: i32) -> Error {
    Error::Ended(u8::try_from(code).unwrap_or(1))
}
