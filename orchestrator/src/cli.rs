//! The command line: words to work, work to exit codes.
//!
//! Standard output carries data, standard error the rest. Every failure ends with what to try next.

mod apply;
pub mod args;
mod backup;
mod batches;
mod client;
mod definitions;
mod dev;
mod doctor;
mod eval;
mod events;
mod executions;
pub mod exit;
mod fmt;
mod init;
mod input;
mod lint;
mod local;
mod output;
mod progress;
mod report;
mod run;
mod serve;
mod service;
mod settings;
mod things;
mod watching;
mod yaml;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, ConfigVerb, Form, Shared, Verb};
use exit::{FAILURE, Failure, OK, Outcome, UNAVAILABLE, USAGE};

/// Stack of the runtime's threads: definitions and values nest deep, and are taken apart on them.
const STACK: usize = 32 * 1024 * 1024;

/// Runs the command line and gives its exit code.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output with code 0, mistakes to standard error with code 2.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    let only_lint = matches!(cli.shared.output, Some(Form::Github | Form::Sarif));
    if only_lint && !matches!(cli.verb, Verb::Lint(_)) {
        output::note(&Failure::new(USAGE, "print this in a form of lint").try_next("-o json").to_string());
        return ExitCode::from(USAGE);
    }
    match dispatch(cli.verb, &cli.shared) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let next = failure.next.clone().unwrap_or_else(|| "tidemill help".into());
            let failure = failure.try_next(next);
            output::note(&failure.to_string());
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(verb: Verb, shared: &Shared) -> Outcome {
    match verb {
        Verb::Serve(settings) => on_cores(serve::run(&settings, shared)),
        Verb::Dev(args) => on_cores(dev::run(&args, shared)),
        Verb::Run(args) => on_cores(run::run(&args, shared)),
        Verb::Init(args) => init::run(&args),
        Verb::Lint(args) => lint::run(&args, shared),
        Verb::Fmt(args) => fmt::run(&args, shared),
        Verb::Apply(args) => on_one(apply::run(&args, shared)),
        Verb::Diff(args) => on_one(apply::diff(&args, shared)),
        Verb::Send(args) => on_one(events::send(&args, shared)),
        Verb::Eval(verb) => eval::run(verb, shared),
        Verb::Workflow(verb) => on_one(executions::workflow(verb, shared)),
        Verb::Execution(verb) => on_one(executions::execution(verb, shared)),
        Verb::Trigger(verb) => on_one(things::trigger(verb, shared)),
        Verb::Source(verb) => on_one(things::source(verb, shared)),
        Verb::Function(verb) => on_one(things::function(verb, shared)),
        Verb::DeadLetter(verb) => on_one(events::dead_letter(verb, shared)),
        Verb::Buffer(verb) => on_one(things::buffer(verb, shared)),
        Verb::Event(verb) => on_one(events::event(verb, shared)),
        Verb::Batch(verb) => on_one(batches::batch(verb, shared)),
        Verb::Tail(args) => on_one(watching::tail(&args, shared)),
        Verb::Export(args) => on_one(watching::export(&args, shared)),
        Verb::Secret(verb) => on_one(things::secret(verb, shared)),
        Verb::Explain(args) => lint::explain(&args.code, shared),
        Verb::Doctor(args) => on_one(doctor::run(&args, shared)),
        Verb::Backup(verb) => backup::backup_verb(verb, shared),
        Verb::Store(verb) => backup::store_verb(verb, shared),
        Verb::Man(args) => manual(args.dir.as_deref()),
        Verb::Healthcheck => on_one(healthcheck(shared)),
        Verb::Completion(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "tidemill", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end());
            Ok(OK)
        }
        Verb::Config(ConfigVerb::Show { effective, settings }) => {
            settings::show(&settings, shared, effective)
        }
    }
}

/// The manual page of the whole, or one of every command into a folder.
fn manual(dir: Option<&std::path::Path>) -> Outcome {
    let failed = |error: std::io::Error| {
        Failure::new(FAILURE, format!("write the manual: {error}")).try_next("another --dir")
    };
    let Some(dir) = dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(failed)?;
        output::line(String::from_utf8_lossy(&page).trim_end());
        return Ok(OK);
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
    output::note(&format!("read them with: man -l {}/tidemill.1", dir.display()));
    Ok(OK)
}

/// For the client's verbs: one thread serves.
fn on_one(work: impl Future<Output = Outcome>) -> Outcome {
    built(&mut tokio::runtime::Builder::new_current_thread())?.block_on(work)
}

/// For the service: a thread for each core, with room for deep values.
fn on_cores(work: impl Future<Output = Outcome>) -> Outcome {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(crate::config::cores()).thread_stack_size(STACK);
    let runtime = built(&mut builder)?;
    let outcome = runtime.block_on(work);
    // A blocked read (standard input, a lost file system) does not hold the end up.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    outcome
}

fn built(builder: &mut tokio::runtime::Builder) -> Result<tokio::runtime::Runtime, Failure> {
    builder.enable_all().build().map_err(|error| Failure::new(FAILURE, format!("start the runtime: {error}")))
}

async fn healthcheck(shared: &Shared) -> Outcome {
    let (status, text) = client::Client::new(shared)?.ready().await?;
    if status.is_success() {
        output::line(text.trim_end());
        return Ok(OK);
    }
    let failure =
        Failure::new(UNAVAILABLE, format!("use the server: it is not ready (HTTP status {status})"));
    Err(failure.try_next("the same again, or the log of the server"))
}
