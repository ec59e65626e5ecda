//! The words for what the service holds: workflows, executions, triggers, sources, events, dead letters, secrets.
//!
//! Owns names and forms only.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::operating::{GraphArgs, PaceArgs, ReplayArgs};

/// `workflow`.
#[derive(Debug, Subcommand)]
pub enum WorkflowVerb {
    /// List workflows.
    List,
    /// Show a definition as it was sent.
    Show {
        /// Name.
        name: String,
        /// Version [default: the highest].
        #[arg(long)]
        version: Option<String>,
    },
    /// Draw a workflow: its tasks and what leads from each to the next.
    Graph(GraphArgs),
    /// Start an execution.
    Start(StartArgs),
    /// Remove a workflow, all its versions or one.
    Delete {
        /// Name.
        name: String,
        /// Version [default: all].
        #[arg(long)]
        version: Option<String>,
    },
}

/// `workflow start`.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// Name.
    pub name: String,
    /// Version [default: the highest].
    #[arg(long)]
    pub version: Option<String>,
    /// Input: JSON, or @FILE, or - for standard input [default: {}].
    #[arg(long, short, value_name = "JSON")]
    pub input: Option<String>,
    /// A tag, as often as needed.
    #[arg(long, value_name = "NAME:VALUE")]
    pub tag: Vec<String>,
    /// Equal keys start one execution.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Wait for its end: exit code 8 if it faulted.
    #[arg(long)]
    pub wait: bool,
}

/// `execution`.
#[derive(Debug, Subcommand)]
pub enum ExecutionVerb {
    /// List executions, newest first.
    List(ExecutionListArgs),
    /// Show an execution.
    Show {
        /// Execution id.
        id: String,
        /// Wait for its end, at most this long (for example 30s).
        #[arg(long, value_name = "DURATION")]
        wait: Option<String>,
    },
    /// Show what an execution did, entry by entry.
    History {
        /// Execution id.
        id: String,
    },
    /// Tell what an execution waits for.
    Why {
        /// Execution id.
        id: String,
    },
    /// Follow an execution to its end: exit code 8 if it faulted.
    Watch {
        /// Execution id.
        id: String,
    },
    /// End an execution now. Asks first.
    Cancel(ReasonArgs),
    /// Hold an execution.
    Suspend(ReasonArgs),
    /// Let a suspended execution go on.
    Resume(ReasonArgs),
    /// Let a faulted execution go on from the failed task.
    Retry(RetryArgs),
}

/// `execution list`.
#[derive(Debug, Args)]
pub struct ExecutionListArgs {
    /// Only of this workflow.
    #[arg(long)]
    pub workflow: Option<String>,
    /// Only with this status: pending, running, waiting, suspended, cancelled, faulted, completed.
    #[arg(long)]
    pub status: Option<String>,
    /// Only begun by this trigger.
    #[arg(long)]
    pub trigger: Option<String>,
    /// Only with this tag.
    #[arg(long, value_name = "NAME:VALUE")]
    pub tag: Option<String>,
    /// Only started at or after this instant (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only started before this instant (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Order, as the API takes it.
    #[arg(long, value_name = "ORDER")]
    pub order_by: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
}

/// A verb for one execution.
#[derive(Debug, Args)]
pub struct ReasonArgs {
    /// Execution id.
    pub id: String,
    /// Why, for the history.
    #[arg(long)]
    pub reason: Option<String>,
}

/// `execution retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// Execution id.
    pub id: String,
    /// Why, for the history.
    #[arg(long)]
    pub reason: Option<String>,
    /// Replaces the raw input of the task it begins with: JSON, or @FILE, or - for standard input.
    #[arg(long, short, value_name = "JSON")]
    pub input: Option<String>,
    /// The task to begin with, by reference, for example /do/2/charge.
    #[arg(long, value_name = "REFERENCE")]
    pub from_task: Option<String>,
}

/// `trigger`.
#[derive(Debug, Subcommand)]
pub enum TriggerVerb {
    /// List triggers.
    List,
    /// Show a trigger.
    Show {
        /// Name.
        name: String,
    },
    /// Judge an event against a trigger, clause by clause, and show the input it would make: exit code 3 if it does not
    /// match. Nothing is started.
    Test {
        /// Name.
        name: String,
        /// The CloudEvent as JSON; - is standard input.
        #[arg(value_name = "EVENT", required_unless_present_any = ["since", "until"])]
        event: Option<PathBuf>,
        /// Take the trigger from this file or folder, without a server.
        #[arg(long, short, value_name = "PATH", conflicts_with_all = ["since", "until"])]
        file: Option<PathBuf>,
        /// Judge the stored events instead: those accepted at or after this instant (RFC 3339).
        #[arg(long, value_name = "TIME", conflicts_with = "event")]
        since: Option<String>,
        /// Judge the stored events instead: those accepted before this instant (RFC 3339).
        #[arg(long, value_name = "TIME", conflicts_with = "event")]
        until: Option<String>,
    },
    /// Stop a trigger from firing.
    Pause {
        /// Name.
        name: String,
    },
    /// Let a trigger fire again.
    Resume {
        /// Name.
        name: String,
    },
    /// Remove a trigger. Asks first.
    Delete {
        /// Name.
        name: String,
        /// Do not wait until its entries at the source are gone; they are left there.
        #[arg(long)]
        force: bool,
    },
}

/// `source`.
#[derive(Debug, Subcommand)]
pub enum SourceVerb {
    /// List sources.
    List,
    /// Show a source.
    Show {
        /// Name.
        name: String,
    },
    /// Stop a source from taking events.
    Pause {
        /// Name.
        name: String,
    },
    /// Let a source take events again.
    Resume {
        /// Name.
        name: String,
    },
    /// Set the position from which a source goes on. Asks first: events are taken again, or left out.
    Seek {
        /// Name.
        name: String,
        /// The position, in the form that `source show` tells.
        position: String,
        /// Partition of a source that has several, for example orders/0.
        #[arg(long)]
        partition: Option<String>,
    },
    /// Tell when a cron source fires next.
    Next {
        /// Name.
        name: String,
        /// How many times.
        #[arg(long, default_value_t = 5)]
        count: usize,
    },
    /// Fire a cron source for the instants of a past range, each once however often it is asked for.
    Backfill {
        /// Name.
        name: String,
        /// From this instant on (RFC 3339).
        #[arg(long, value_name = "TIME")]
        since: String,
        /// Up to this instant, without it (RFC 3339) [default: now].
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Only count the instants.
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove a source. Asks first.
    Delete {
        /// Name.
        name: String,
        /// Do not wait until its entries at the source are gone; they are left there.
        #[arg(long)]
        force: bool,
    },
}

/// `function`.
#[derive(Debug, Subcommand)]
pub enum FunctionVerb {
    /// List functions.
    List,
    /// Show a function.
    Show {
        /// Name.
        name: String,
    },
    /// List the running instances of a function.
    Instances {
        /// Name.
        name: String,
    },
    /// List the aliases of a function, show one, or set its weights.
    Alias {
        /// Name of the function.
        name: String,
        /// The alias; all of them when left out.
        alias: Option<String>,
        /// `VERSION=WEIGHT`, as many as it takes; the weights sum to 100.
        #[arg(requires = "alias")]
        weights: Vec<String>,
    },
}

/// `dead-letter`.
#[derive(Debug, Subcommand)]
pub enum DeadLetterVerb {
    /// List dead letters.
    List {
        /// Only of this trigger.
        #[arg(long)]
        trigger: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show a dead letter: event, attempts, executions.
    Show {
        /// Its id.
        id: String,
    },
    /// Put dead letters back to their triggers.
    Redrive(RedriveArgs),
    /// Remove dead letters for good. Asks first.
    Purge(FilterArgs),
}

/// Which dead letters.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Ids; without any, all that the options leave.
    pub ids: Vec<String>,
    /// Only of this trigger.
    #[arg(long)]
    pub trigger: Option<String>,
    /// Only with this cause.
    #[arg(long)]
    pub cause: Option<String>,
    /// Only since this instant (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only before this instant (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// `dead-letter redrive`.
#[derive(Debug, Args)]
pub struct RedriveArgs {
    /// Which.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Deliver what this expression makes of each event, for example '${ .data.amount = 1 }'.
    #[arg(long, value_name = "EXPR")]
    pub edit: Option<String>,
    /// Pace and extent.
    #[command(flatten)]
    pub pace: PaceArgs,
}

/// `buffer`.
#[derive(Debug, Subcommand)]
pub enum BufferVerb {
    /// List buffers: depth, oldest age, rate, forecast.
    List,
    /// Show the buffer of a trigger.
    Show {
        /// Trigger.
        trigger: String,
    },
}

/// `event`.
#[derive(Debug, Subcommand)]
pub enum EventVerb {
    /// List events, newest first.
    List {
        /// Only of this type.
        #[arg(long = "type", value_name = "TYPE")]
        event_type: Option<String>,
        /// Only since this instant (RFC 3339).
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show an event.
    Show {
        /// CloudEvents source.
        source: String,
        /// CloudEvents id.
        id: String,
    },
    /// Tell why an event fired its triggers or not, clause by clause.
    Trace {
        /// CloudEvents source.
        source: String,
        /// CloudEvents id.
        id: String,
    },
    /// Give stored events to one trigger once more, at a capped rate.
    Replay(ReplayArgs),
}

/// `secret`.
#[derive(Debug, Subcommand)]
pub enum SecretVerb {
    /// Write a secret. The value is read from standard input, or from a file; JSON, or else text.
    Set {
        /// Name.
        name: String,
        /// File to read the value from; - is standard input.
        #[arg(long, value_name = "FILE", default_value = "-")]
        from: PathBuf,
    },
    /// List the names of secrets and when they were written.
    List,
    /// Remove a secret. Asks first.
    Delete {
        /// Name.
        name: String,
    },
}
