//! The cargo calls the tasks share.
//!
//! Owns the command lines. All of them select the whole workspace: features are unified per selection, so another
//! selection would compile the dependencies again.

use std::process::Command;

use crate::places;

/// A cargo subcommand in the workspace root.
pub(crate) fn cargo(subcommand: &str) -> Command {
    // The cargo that runs this crate, else the one on PATH.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.arg(subcommand).current_dir(places::workspace());
    command
}

/// `cargo nextest run` over the workspace, under a `PATH` that has nextest.
pub(crate) fn nextest(path: &str) -> Command {
    let mut command = cargo("nextest");
    command.env("PATH", path).args(["run", "--workspace", "--locked"]);
    command
}

/// Whether this is a CI run: `CI=true` in the environment.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}
