//! The words of the operator's desk: batches, replays, backups, the look at a server.
//!
//! Owns names and forms only.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Settings;

/// `batch`.
#[derive(Debug, Subcommand)]
pub enum BatchVerb {
    /// List batches.
    List,
    /// Show a batch: what it has done and what failed.
    Show {
        /// Batch id.
        id: String,
    },
    /// Begin a batch over executions. Asks first; --dry-run counts instead, by status.
    Start(Box<BatchStartArgs>),
    /// Follow a batch to its end: exit code 1 if steps failed.
    Watch {
        /// Batch id.
        id: String,
    },
    /// Hold a batch.
    Pause {
        /// Batch id.
        id: String,
    },
    /// Let a batch go on.
    Resume {
        /// Batch id.
        id: String,
    },
    /// End a batch; what it has done stays done. Asks first.
    Cancel {
        /// Batch id.
        id: String,
    },
}

/// What a batch does to executions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BatchAction {
    /// End them now.
    Cancel,
    /// Let them go on from the failed task.
    Retry,
}

impl BatchAction {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            BatchAction::Cancel => "cancel",
            BatchAction::Retry => "retry",
        }
    }
}

/// `batch start`.
#[derive(Debug, Args)]
pub struct BatchStartArgs {
    /// What is done to each.
    #[arg(value_enum)]
    pub action: BatchAction,
    /// Execution ids; without any, all that the options leave.
    pub ids: Vec<String>,
    /// Only of this workflow.
    #[arg(long)]
    pub workflow: Option<String>,
    /// Only with this status, as often as needed [default: all that the action can touch].
    #[arg(long)]
    pub status: Vec<String>,
    /// Only begun by this trigger.
    #[arg(long)]
    pub trigger: Option<String>,
    /// Only with this tag, as often as needed.
    #[arg(long, value_name = "NAME:VALUE")]
    pub tag: Vec<String>,
    /// Only started at or after this instant (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only started before this instant (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Why, for the history of each execution.
    #[arg(long)]
    pub reason: Option<String>,
    /// Pace and extent.
    #[command(flatten)]
    pub pace: PaceArgs,
}

/// How fast and how far a batch goes.
#[derive(Debug, Args, Default)]
pub struct PaceArgs {
    /// How fast, for example 10/s.
    #[arg(long)]
    pub rate: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
    /// Only count what it would touch.
    #[arg(long)]
    pub dry_run: bool,
    /// Follow it to its end: exit code 1 if steps failed.
    #[arg(long)]
    pub wait: bool,
}

/// `event replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The trigger that is given the events; its rule is judged again.
    #[arg(long)]
    pub trigger: String,
    /// Only events of this type.
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
    /// Only events accepted at or after this instant (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only events accepted before this instant (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Pace and extent.
    #[command(flatten)]
    pub pace: PaceArgs,
}

/// `workflow graph`.
#[derive(Debug, Args)]
pub struct GraphArgs {
    /// Name of a workflow of the server, or of the file [default: the first of the file].
    #[arg(required_unless_present = "file")]
    pub name: Option<String>,
    /// Draw the workflow of this file instead, without a server.
    #[arg(long, short, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// Version [default: the highest].
    #[arg(long)]
    pub version: Option<String>,
    /// Form of the picture; -o json gives tasks and edges as data.
    #[arg(long, value_enum, default_value_t = Drawing::Ascii)]
    pub format: Drawing,
    /// Paint this execution on it.
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    pub execution: Option<String>,
}

/// Forms of picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Drawing {
    /// A tree in plain ASCII.
    Ascii,
    /// A Mermaid flowchart.
    Mermaid,
    /// Graphviz.
    Dot,
    /// An SVG image.
    Svg,
}

impl Drawing {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            Drawing::Ascii => "ascii",
            Drawing::Mermaid => "mermaid",
            Drawing::Dot => "dot",
            Drawing::Svg => "svg",
        }
    }
}

/// `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Write a file for each definition into this folder [default: all to standard output].
    #[arg(long, short, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// What is followed: executions, events, dead-letters, execution:ID.
    #[arg(default_values_t = ["executions".to_owned(), "events".to_owned(), "dead-letters".to_owned()], value_name = "TOPIC")]
    pub topics: Vec<String>,
    /// End after so many entries.
    #[arg(long, value_name = "COUNT")]
    pub count: Option<usize>,
}

/// `backup`.
#[derive(Debug, Subcommand)]
pub enum BackupVerb {
    /// Copy the store of this machine, also while a server writes it.
    Create {
        /// Folder to make; it holds the database, the secret key and their digests.
        dir: PathBuf,
        /// Settings.
        #[command(flatten)]
        settings: Settings,
    },
    /// Check a backup: digests, format, the database page by page.
    Verify {
        /// The backup's folder.
        dir: PathBuf,
    },
    /// Put a backup in the place of a store. Asks first if there is one; no server may run on it.
    Restore {
        /// The backup's folder.
        dir: PathBuf,
        /// Settings.
        #[command(flatten)]
        settings: Settings,
    },
}

/// `store`.
#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Bring a store to the format of this release; no server may run on it.
    Migrate {
        /// Only tell whether that is needed: exit code 9 if it is.
        #[arg(long)]
        check: bool,
        /// Settings.
        #[command(flatten)]
        settings: Settings,
    },
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Also read the whole database, page by page.
    #[arg(long)]
    pub deep: bool,
    /// Settings.
    #[command(flatten)]
    pub settings: Settings,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for every command into this folder [default: the first page to standard output].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
