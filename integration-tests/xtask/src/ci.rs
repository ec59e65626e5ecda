//! `cargo xtask ci`: every check in order, the first failure ends it.
//!
//! Owns the steps and the planted bugs. The tests come last, so that the test runner's summary closes the run.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::error::{Error, Result, While};
use crate::{cargo, places, process, setup, suite};

/// Where the planted bugs are listed, one a line: a feature of tidemill-engine, then the filter of the simulation
/// tests that must fail with it.
const PLANTED_BUGS: &str = "integration-tests/planted-bugs.txt";
/// The exit code of cargo nextest when tests ran and some failed; a failed build and an empty selection have others.
const TESTS_FAILED: i32 = 100;

/// Runs every check.
pub(crate) fn ci() -> Result<()> {
    let mut times = Vec::new();
    let path = step(&mut times, "setup", || {
        setup::build_packages()?;
        setup::tools()
    })?;
    step(&mut times, "format", || process::run(cargo::cargo("fmt").args(["--all", "--check"])))?;
    step(&mut times, "clippy", || {
        let lints = ["--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        process::run(cargo::cargo("clippy").args(lints))
    })?;
    step(&mut times, "licences", || {
        let mut deny = cargo::cargo("deny");
        process::run(deny.env("PATH", &path).args([
            "--locked",
            "check",
            "--hide-inclusion-graph",
            "licenses",
            "bans",
            "sources",
        ]))
    })?;
    step(&mut times, "planted bugs", || planted_bugs(&path))?;
    for (name, time) in &times {
        eprintln!("ci: {name:<13} {:>5} s", time.as_secs());
    }
    eprintln!("ci: step tests");
    suite::test(true, &[])
}

fn step<T>(
    times: &mut Vec<(&'static str, Duration)>,
    name: &'static str,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    eprintln!("ci: step {name}");
    let begun = Instant::now();
    let outcome = work();
    times.push((name, begun.elapsed()));
    outcome.inspect_err(|_| eprintln!("ci: step {name} FAILED after {} s", begun.elapsed().as_secs()))
}

/// A bug that can be compiled in, and the tests that must notice.
#[derive(Debug, PartialEq, Eq)]
struct PlantedBug {
    feature: String,
    filter: String,
}

/// Plants each bug in turn: a simulation that still passes does not test what it says.
fn planted_bugs(path: &str) -> Result<()> {
    let file = places::workspace().join(PLANTED_BUGS);
    if !file.is_file() {
        eprintln!("ci: no {PLANTED_BUGS}, nothing is planted");
        return Ok(());
    }
    let text = fs::read_to_string(&file).cannot(|| format!("read {}", file.display()))?;
    for bug in read_list(&text)? {
        let begun = Instant::now();
        let outcome = outcome_with(&bug, path)?;
        verdict(&bug, outcome)?;
        eprintln!("ci: {} was noticed ({} s)", bug.feature, begun.elapsed().as_secs());
    }
    Ok(())
}

/// The exit code of the chosen simulation tests with the bug compiled in; their output goes to a file.
fn outcome_with(bug: &PlantedBug, path: &str) -> Result<i32> {
    let log = log_file(bug);
    let out = fs::File::create(&log).cannot(|| format!("write {}", log.display()))?;
    let err = out.try_clone().cannot(|| format!("write {}", log.display()))?;
    process::status(planted_run(bug, path).stdout(out).stderr(err))
}

fn log_file(bug: &PlantedBug) -> std::path::PathBuf {
    places::target().join(format!("planted-{}.log", bug.feature))
}

fn planted_run(bug: &PlantedBug, path: &str) -> Command {
    let mut run = cargo::nextest(path);
    run.args(["--fail-fast", "--test", suite::SIMULATION]);
    run.arg("--features").arg(format!("tidemill-engine/{}", bug.feature)).arg("-E").arg(&bug.filter);
    run
}

fn verdict(bug: &PlantedBug, code: i32) -> Result<()> {
    let (feature, filter, log) = (&bug.feature, &bug.filter, log_file(bug));
    let complaint = match code {
        TESTS_FAILED => return Ok(()),
        0 => format!("notice the planted bug {feature}: {filter} passes with it"),
        code => {
            let said = process::last_lines(&fs::read_to_string(&log).unwrap_or_default(), 20);
            format!("run {filter} with the planted bug {feature}: exit code {code}\n{said}")
        }
    };
    Err(Error::Failed(complaint))
}

/// Reads the list; `#` starts a comment line. A filter without brackets is a part of a test's name.
fn read_list(text: &str) -> Result<Vec<PlantedBug>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &str| {
        let (feature, filter) = line
            .split_once(char::is_whitespace)
            .ok_or_else(|| Error::Failed(format!("read {PLANTED_BUGS}: `{line}` has no test filter")))?;
        let filter = filter.trim();
        let filter = if filter.contains('(') { filter.to_owned() } else { format!("test(~{filter})") };
        Ok(PlantedBug { feature: feature.to_owned(), filter })
    };
    lines.map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bug(feature: &str, filter: &str) -> PlantedBug {
        PlantedBug { feature: feature.to_owned(), filter: filter.to_owned() }
    }

    #[test]
    fn lists() {
        let check = |text: &str, expected: &[PlantedBug]| assert_eq!(read_list(text).unwrap(), expected);
        check("", &[]);
        check("# none yet\n\n", &[]);
        check("bug-late-timer  timers\n", &[bug("bug-late-timer", "test(~timers)")]);
        check("a x\nb test(=y) & !test(z)", &[bug("a", "test(~x)"), bug("b", "test(=y) & !test(z)")]);
        assert!(read_list("lonely").is_err());
    }

    #[test]
    fn only_failed_tests_count_as_noticed() {
        let check = |code: i32, expected: Option<&str>| {
            let got = verdict(&bug("no-such-bug", "test(x)"), code).err().map(|error| error.to_string());
            match (&got, expected) {
                (None, None) => {}
                (Some(got), Some(expected)) => assert!(got.starts_with(expected), "{got}"),
                _ => panic!("{code}: {got:?}"),
            }
        };
        check(100, None);
        check(0, Some("cannot notice the planted bug no-such-bug: test(x) passes with it"));
        check(4, Some("cannot run test(x) with the planted bug no-such-bug: exit code 4"));
        check(101, Some("cannot run test(x) with the planted bug no-such-bug: exit code 101"));
    }
}
