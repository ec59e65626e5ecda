//! The words for authors of definitions: init, fmt and eval.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Folder of the project.
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
}

/// `fmt`.
#[derive(Debug, Args)]
pub struct FmtArgs {
    /// Files or folders; - reads standard input and writes standard output.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Change nothing; exit code 3 if something would.
    #[arg(long)]
    pub check: bool,
}

/// `eval`.
#[derive(Debug, Subcommand)]
pub enum EvalVerb {
    /// A jq expression, as workflows evaluate it.
    Jq(EvalArgs),
    /// A CESQL expression over the attributes of an event, as `filters: [{sql}]` of a trigger evaluates it.
    Cesql(CesqlArgs),
    /// A content pattern against a payload, as `data` of a trigger is judged.
    Pattern(PatternArgs),
}

/// `eval jq`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The expression, bare or in ${ }.
    #[arg(value_name = "EXPR")]
    pub expression: Option<String>,
    /// File that holds the input (with --jsonl: the requests); - is standard input [default: null].
    #[arg(long, short, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// A named value that the expression may read as $NAME, as often as needed.
    #[arg(long, value_name = "NAME=JSON")]
    pub argument: Vec<String>,
    /// Give every result, not exactly one.
    #[arg(long)]
    pub all: bool,
    /// Read requests {"expression", "input", "arguments", "all"} a line each, and answer with a line each.
    #[arg(long)]
    pub jsonl: bool,
}

/// `eval cesql`.
#[derive(Debug, Args)]
pub struct CesqlArgs {
    /// The expression.
    #[arg(value_name = "EXPR")]
    pub expression: Option<String>,
    /// File that holds the event as JSON (with --jsonl: the requests); - is standard input [default: an event without
    /// more than it must have].
    #[arg(long, short, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Read requests {"expression", "event"} a line each, and answer with a line each.
    #[arg(long)]
    pub jsonl: bool,
}

/// `eval pattern`.
#[derive(Debug, Args)]
pub struct PatternArgs {
    /// The pattern, YAML or JSON.
    #[arg(value_name = "PATTERN")]
    pub pattern: Option<String>,
    /// File that holds the payload as JSON (with --jsonl: the requests); - is standard input [default: null].
    #[arg(long, short, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Read requests {"pattern", "data"} a line each, and answer with a line each.
    #[arg(long)]
    pub jsonl: bool,
}
