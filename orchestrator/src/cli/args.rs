//! The words of the command line, as types. What is here is what `--help` shows.
//!
//! Owns names and forms only; what they do is in the files of their names.

mod authoring;
mod operating;
mod things;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Given;

pub use authoring::*;
pub use operating::*;
pub use things::*;

/// Told below the help.
const EXIT_CODES: &str = "Exit codes: 0 ok, 1 failure, 2 usage, 3 lint or test failed, 4 not found, 5 conflict, \
6 auth, 7 unavailable or timeout, 8 execution faulted, 9 differences found, 130 interrupted";

/// Turns outside events into CloudEvents, matches them against triggers and runs durable workflows.
#[derive(Debug, Parser)]
#[command(name = "tidemill", version, arg_required_else_help = true, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What all of them take.
    #[command(flatten)]
    pub shared: Shared,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Args)]
pub struct Shared {
    /// Base URL of the server that is asked.
    #[arg(
        long,
        global = true,
        env = "TIDEMILL_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:8484",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub server: String,
    /// Namespace [default: default, or what definitions themselves name].
    #[arg(
        long,
        short,
        global = true,
        env = "TIDEMILL_NAMESPACE",
        value_name = "NAME",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub namespace: Option<String>,
    /// Form of the output.
    #[arg(long, short, global = true, value_enum, value_name = "FORM", help_heading = "Global options")]
    pub output: Option<Form>,
    /// Configuration file (TOML) [env: TIDEMILL_CONFIG].
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// Answer every question with yes.
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub yes: bool,
}

impl Shared {
    /// The namespace asked for, or the default one.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }
}

/// Forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Columns for people.
    Table,
    /// One JSON value.
    Json,
    /// One JSON value a line.
    Jsonl,
    /// YAML.
    Yaml,
    /// Names or ids only, one a line.
    Name,
    /// Annotations of GitHub (lint only).
    Github,
    /// SARIF 2.1.0 (lint only).
    Sarif,
}

/// Settings that have a flag; they win over environment and file.
#[derive(Debug, Args, Default)]
pub struct Settings {
    /// Address of the API [default: 127.0.0.1:8484].
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Address of /metrics [default: 127.0.0.1:8485].
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_listen: Option<String>,
    /// `sqlite`, or sqlite:PATH of the database file.
    #[arg(long, value_name = "STORE")]
    pub store: Option<String>,
    /// Folder of the database, its lock and the secret key.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// What an acknowledged commit survives: power or process [default: power].
    #[arg(long, value_name = "MODE")]
    pub durability: Option<String>,
    /// Threads on which decisions run [default: the cores].
    #[arg(long, value_name = "COUNT")]
    pub lanes: Option<String>,
    /// How long a stop waits for calls in flight [default: 25s].
    #[arg(long, value_name = "DURATION")]
    pub drain: Option<String>,
    /// What is logged: error, warn, info, debug, or target=level,... [default: info].
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// How it is logged: text or json [default: text].
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

impl Settings {
    /// Those that were given.
    pub fn given(&self) -> Vec<Given> {
        let flags: [(&'static str, &'static str, &Option<String>); 9] = [
            ("server.listen", "--listen", &self.listen),
            ("metrics.listen", "--metrics-listen", &self.metrics_listen),
            ("store", "--store", &self.store),
            ("data_dir", "--data-dir", &self.data_dir),
            ("durability", "--durability", &self.durability),
            ("lanes", "--lanes", &self.lanes),
            ("drain", "--drain", &self.drain),
            ("log.level", "--log-level", &self.log_level),
            ("log.format", "--log-format", &self.log_format),
        ];
        let given = |(path, flag, value): (&'static str, &'static str, &Option<String>)| {
            Some(Given { path, flag, value: value.clone()? })
        };
        flags.into_iter().filter_map(given).collect()
    }
}

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the service.
    Serve(Settings),
    /// Run the service on a folder of definitions: apply them, and again with each change.
    Dev(DevArgs),
    /// Run one workflow to its end in this process, without a server.
    Run(RunArgs),
    /// Begin a project: a workflow, a function, a trigger.
    Init(InitArgs),
    /// Check definitions without a server.
    Lint(LintArgs),
    /// Lay definitions out; their meaning and their comments stay.
    Fmt(FmtArgs),
    /// Send definitions to the server, all or nothing.
    Apply(ApplyArgs),
    /// Show what an apply would change; exit code 9 if there is something.
    Diff(DiffArgs),
    /// Send an event.
    Send(SendArgs),
    /// Evaluate an expression.
    #[command(subcommand)]
    Eval(EvalVerb),
    /// Workflows.
    #[command(subcommand)]
    Workflow(WorkflowVerb),
    /// Executions.
    #[command(subcommand)]
    Execution(ExecutionVerb),
    /// Triggers.
    #[command(subcommand)]
    Trigger(TriggerVerb),
    /// Sources.
    #[command(subcommand)]
    Source(SourceVerb),
    /// Functions.
    #[command(subcommand)]
    Function(FunctionVerb),
    /// Dead letters: deliveries that failed for good.
    #[command(subcommand)]
    DeadLetter(DeadLetterVerb),
    /// Buffers of triggers.
    #[command(subcommand)]
    Buffer(BufferVerb),
    /// Events.
    #[command(subcommand)]
    Event(EventVerb),
    /// Batches: bulk work that the server does.
    #[command(subcommand)]
    Batch(BatchVerb),
    /// Follow what happens on the server.
    Tail(TailArgs),
    /// Print every definition of the namespace, to be applied again.
    Export(ExportArgs),
    /// Secrets: written, never read back.
    #[command(subcommand)]
    Secret(SecretVerb),
    /// Explain the code of a diagnostic.
    Explain(ExplainArgs),
    /// Ask whether the server is ready; exit code 0 or 7.
    Healthcheck,
    /// Look at what a server needs on this machine, with help for what is wrong.
    Doctor(DoctorArgs),
    /// Backups of the store of this machine.
    #[command(subcommand)]
    Backup(BackupVerb),
    /// The store of this machine.
    #[command(subcommand)]
    Store(StoreVerb),
    /// Print the completion script of a shell.
    Completion(CompletionArgs),
    /// Print the manual page, or write one for every command.
    Man(ManArgs),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigVerb),
}

/// `dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Folder of the definitions.
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// Settings.
    #[command(flatten)]
    pub settings: Settings,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Workflow definition.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Input: JSON, or @FILE, or - for standard input [default: {}].
    #[arg(long, short, value_name = "JSON")]
    pub input: Option<String>,
    /// Further definitions (functions, other workflows): files or folders.
    #[arg(long = "file", short = 'f', value_name = "PATH")]
    pub with: Vec<PathBuf>,
    /// A secret for the run, as often as needed; the value is JSON or text.
    #[arg(long, value_name = "NAME=VALUE")]
    pub secret: Vec<String>,
    /// End it with exit code 7 when it takes longer.
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
}

/// `lint`.
#[derive(Debug, Args)]
pub struct LintArgs {
    /// Files or folders.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Warnings are mistakes too.
    #[arg(long)]
    pub strict: bool,
}

/// `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Files or folders; - is standard input.
    #[arg(long = "file", short = 'f', required = true, value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// Only judge; nothing is changed.
    #[arg(long)]
    pub dry_run: bool,
}

/// `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Files or folders; - is standard input.
    #[arg(long = "file", short = 'f', required = true, value_name = "PATH")]
    pub files: Vec<PathBuf>,
}

/// `send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// A CloudEvent, or a list of them, as JSON; - is standard input. Without it the event is made from the options.
    #[arg(value_name = "FILE", conflicts_with_all = ["event_type", "data"])]
    pub file: Option<PathBuf>,
    /// Type of the event.
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "file")]
    pub event_type: Option<String>,
    /// Source of the event.
    #[arg(long, value_name = "URI", default_value = "/tidemill/cli")]
    pub source: String,
    /// Identity of the event; equal ones are duplicates [default: a fresh one].
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Subject of the event.
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// Data: JSON, or @FILE, or - for standard input.
    #[arg(long, value_name = "JSON")]
    pub data: Option<String>,
    /// An extension attribute, as often as needed.
    #[arg(long = "extension", short = 'e', value_name = "NAME=VALUE")]
    pub extensions: Vec<String>,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The code, for example E0201.
    pub code: String,
}

/// `completion`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// Shell.
    pub shell: clap_complete::Shell,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Show the settings that were made.
    Show {
        /// All settings in force, each with where it comes from.
        #[arg(long)]
        effective: bool,
        /// Settings.
        #[command(flatten)]
        settings: Settings,
    },
}
