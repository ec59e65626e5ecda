//! The command line of `cargo xtask`, as a value.
//!
//! Owns the grammar and the usage text; it may not do any of the tasks.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// What `cargo xtask help` prints.
pub(crate) const USAGE: &str = "\
cargo xtask TASK

  demo [NAME] [--keep]             run an example end to end on the embedded store (default 01-hello)
  test [--require-all] [-- ARGS]   set up, start the real services, run every test; ARGS go to cargo nextest
  setup                            install the system packages and tools the build and the tests need
  services up|down|status [NAME..] real servers on loopback for the tests (kafka minio mariadb mysql)
  bench [ARGS]                     release build, then the benchmarks
  conformance ARGS                 release build, then the conformance kits: --ctk|--pages|--examples DIR, --jq FILE
  sim [--seed N] [--executions N]  the simulation tests alone
  ci                               format, lints, licences, planted bugs, tests: what .ci/run calls
";

/// One task with its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Print the usage text.
    Help,
    /// Install what is missing.
    Setup,
    /// Start, end or list services; no names means all of them.
    Services(Verb, Vec<String>),
    /// Run every test; `require_all` makes a missing service a failure.
    Test { require_all: bool, rest: Vec<String> },
    /// Run one example; `keep` leaves the server up.
    Demo { name: String, keep: bool },
    /// Pass the arguments on to the `bench` binary.
    Bench(Vec<String>),
    /// Pass the arguments on to the `conformance` binary.
    Conformance(Vec<String>),
    /// Run the simulation tests with these settings.
    Sim { seed: Option<u64>, executions: Option<u64> },
    /// Every check, in order.
    Ci,
    /// Internal: wait until standard input closes, then end the process named in this file.
    Guard(PathBuf),
}

/// What to do with services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Fetch, prepare, start, wait until ready.
    Up,
    /// End by pid.
    Down,
    /// Say which are up.
    Status,
}

/// Reads the arguments after the program's name.
pub(crate) fn parse(args: &[String]) -> Result<Call> {
    let Some((task, rest)) = args.split_first() else {
        return Ok(Call::Help);
    };
    match task.as_str() {
        "help" | "--help" | "-h" => Ok(Call::Help),
        "setup" => nothing_more(rest).map(|()| Call::Setup),
        "services" => services(rest),
        "test" => test(rest),
        "demo" => demo(rest),
        "bench" => Ok(Call::Bench(rest.to_vec())),
        "conformance" => Ok(Call::Conformance(rest.to_vec())),
        "sim" => sim(rest),
        "ci" => nothing_more(rest).map(|()| Call::Ci),
        "guard" => match rest {
            [file] => Ok(Call::Guard(file.into())),
            _ => Err(usage("guard takes one file")),
        },
        other => Err(usage(&format!("unknown task `{other}`"))),
    }
}

fn usage(text: &str) -> Error {
    Error::Usage(format!("{text}\n\n{USAGE}"))
}

fn unknown(arg: &str) -> Error {
    usage(&format!("unknown argument `{arg}`"))
}

fn nothing_more(rest: &[String]) -> Result<()> {
    rest.first().map_or(Ok(()), |arg| Err(unknown(arg)))
}

fn services(rest: &[String]) -> Result<Call> {
    let (verb, names) = rest.split_first().ok_or_else(|| usage("services takes up, down or status"))?;
    let verb = match verb.as_str() {
        "up" => Verb::Up,
        "down" => Verb::Down,
        "status" => Verb::Status,
        other => return Err(unknown(other)),
    };
    Ok(Call::Services(verb, names.to_vec()))
}

fn test(rest: &[String]) -> Result<Call> {
    let mut require_all = false;
    for (at, arg) in rest.iter().enumerate() {
        match arg.as_str() {
            "--require-all" => require_all = true,
            "--" => {
                return Ok(Call::Test { require_all, rest: rest[at + 1..].to_vec() });
            }
            other => return Err(unknown(other)),
        }
    }
    Ok(Call::Test { require_all, rest: Vec::new() })
}

fn demo(rest: &[String]) -> Result<Call> {
    let (mut name, mut keep) = (None, false);
    for arg in rest {
        match arg.as_str() {
            "--keep" => keep = true,
            other if other.starts_with('-') || name.is_some() => return Err(unknown(other)),
            other => name = Some(other.to_owned()),
        }
    }
    Ok(Call::Demo { name: name.unwrap_or_else(|| "01-hello".to_owned()), keep })
}

fn sim(rest: &[String]) -> Result<Call> {
    let (mut seed, mut executions) = (None, None);
    let mut args = rest.iter();
    while let Some(arg) = args.next() {
        let (flag, inline) =
            arg.split_once('=').map_or((arg.as_str(), None), |(flag, value)| (flag, Some(value)));
        let slot = match flag {
            "--seed" => &mut seed,
            "--executions" => &mut executions,
            _ => return Err(unknown(arg)),
        };
        let value = inline.or_else(|| args.next().map(String::as_str));
        let number = value.and_then(|text| text.parse().ok());
        *slot = Some(number.ok_or_else(|| usage(&format!("{flag} takes a whole number")))?);
    }
    Ok(Call::Sim { seed, executions })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn calls() {
        let check = |line: &str, expected: Call| assert_eq!(parse(&words(line)), Ok(expected), "{line}");
        check("", Call::Help);
        check("--help", Call::Help);
        check("setup", Call::Setup);
        check("ci", Call::Ci);
        check("services up", Call::Services(Verb::Up, vec![]));
        check("services down kafka", Call::Services(Verb::Down, words("kafka")));
        check("services status", Call::Services(Verb::Status, vec![]));
        check("test", Call::Test { require_all: false, rest: vec![] });
        check(
            "test --require-all -- -E test(x)",
            Call::Test { require_all: true, rest: words("-E test(x)") },
        );
        check("test -- --require-all", Call::Test { require_all: false, rest: words("--require-all") });
        check("demo", Call::Demo { name: "01-hello".into(), keep: false });
        check("demo --keep 02-retry", Call::Demo { name: "02-retry".into(), keep: true });
        check("bench W1 --quick", Call::Bench(words("W1 --quick")));
        check("conformance --jq FILE", Call::Conformance(words("--jq FILE")));
        check("sim", Call::Sim { seed: None, executions: None });
        check("sim --seed 7 --executions=100", Call::Sim { seed: Some(7), executions: Some(100) });
        check("guard /p/pid", Call::Guard("/p/pid".into()));
    }

    #[test]
    fn refused_calls_name_what_is_wrong_and_show_the_usage() {
        let check = |line: &str, expected: &str| {
            let error = parse(&words(line)).expect_err(line);
            assert_eq!(error.exit_code(), 2);
            let text = error.to_string();
            assert_eq!(text.lines().next(), Some(expected));
            assert!(text.ends_with(USAGE));
        };
        check("tset", "unknown task `tset`");
        check("setup now", "unknown argument `now`");
        check("services", "services takes up, down or status");
        check("services begin", "unknown argument `begin`");
        check("test fast", "unknown argument `fast`");
        check("demo a b", "unknown argument `b`");
        check("demo --kepe", "unknown argument `--kepe`");
        check("sim --seed", "--seed takes a whole number");
        check("sim --seed x", "--seed takes a whole number");
        check("sim --sede 1", "unknown argument `--sede`");
    }
}
