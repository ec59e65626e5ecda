//! Connectors: the code for one kind of source or sink each, mapping outside records to CloudEvents.
//!
//! A connector knows neither stores nor triggers nor workflows. `Ingress::accept(...).await` is the acknowledgement
//! *and* the back-pressure: it returns only when the events are stored.

pub mod cron;
pub mod http;
pub mod kafka;
pub mod minio;
pub mod mysql;
mod offer;
pub mod registry;
pub mod seek;
pub mod sink;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tidemill_dsl::event::Event;
use tidemill_dsl::ids::{Namespace, Time};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[cfg(test)]
mod testing;

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where a source's events go.
pub trait Ingress: Send + Sync + 'static {
    /// Stores the events, their dedupe keys, the positions and all that they start in one commit; returns after it
    /// is durable. Waits while a buffer with `whenFull: wait` is full.
    fn accept(&self, arrivals: Arrivals) -> BoxFuture<'_, Result<Receipt, Refused>>;
}

/// Events of one source with the position behind them.
#[derive(Debug, Clone)]
pub struct Arrivals {
    /// Namespace of the source.
    pub namespace: Namespace,
    /// Name of the source.
    pub source: Arc<str>,
    /// In order.
    pub events: Vec<Event>,
    /// Positions to save in the same commit: (partition, value) in the connector's own text form.
    pub positions: Vec<(Arc<str>, Arc<str>)>,
    /// The position behind each event, one each: then the ingress may take a first part of the events, with the last of
    /// these that belong to it, before the rest. Empty: all or nothing.
    pub marks: Vec<(Arc<str>, Arc<str>)>,
    /// Whether the position alone tells if an event is new, one each: its id says no more than where it stood. Empty: all
    /// are judged by (source, id).
    pub placed: Vec<bool>,
}

/// What became of accepted events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Stored.
    pub accepted: usize,
    /// Already there.
    pub duplicates: usize,
}

/// Why events were not accepted. Nothing of them was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A buffer with `whenFull: reject` is full, or the disk is; try again later.
    #[error("accept: {0}")]
    Busy(Arc<str>),
    /// The service is stopping.
    #[error("accept: the service is stopping")]
    Stopping,
}

/// What a running source gets.
pub struct Context {
    /// Namespace.
    pub namespace: Namespace,
    /// Source name.
    pub name: Arc<str>,
    /// Where events go.
    pub ingress: Arc<dyn Ingress>,
    /// Saved positions: (partition, value).
    pub positions: Vec<(Arc<str>, Arc<str>)>,
    /// Cancelled when the source must stop; a run ends soon after.
    pub stop: CancellationToken,
    /// Where it tells how it is.
    pub health: Arc<dyn Health>,
    /// The time now (the one clock of the process).
    pub clock: Arc<dyn Fn() -> Time + Send + Sync>,
    /// When the source was written: what happened before is not its own.
    pub since: Time,
    /// The rules that want its events, as they are now: a twoWay source keeps an entry at the source for each.
    pub rules: watch::Receiver<Rules>,
    /// How often a twoWay source compares its entries with the rules when nothing changes here.
    pub reconcile: Duration,
}

/// The rules that want a source's events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Ids of the enabled rules with their generations.
    pub wanted: BTreeMap<Arc<str>, u64>,
    /// Whether events may come in: the source is neither paused, nor disabled, nor being deleted.
    pub open: bool,
}

/// How an entry at a source compares with the rules here (events-and-triggers.md section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncState {
    /// It is what the rule wants.
    InSync,
    /// A rule without its entry, or with another than it wants.
    Drifted,
    /// An own entry without a rule.
    Orphaned,
    /// Somebody else's.
    Foreign,
}

impl SyncState {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            SyncState::InSync => "inSync",
            SyncState::Drifted => "drifted",
            SyncState::Orphaned => "orphaned",
            SyncState::Foreign => "foreign",
        }
    }
}

/// An entry at a source, or a rule that lacks one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The id of the rule; of a foreign entry the id it has there.
    pub id: Arc<str>,
    /// How it compares.
    pub sync: SyncState,
    /// The generation of the rule that was compared.
    pub generation: Option<u64>,
}

/// What a comparison of entries and rules found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reconciled {
    /// The source answered.
    Seen {
        /// Every entry, and every rule that lacks one.
        relations: Vec<Relation>,
        /// Whether events may come in, as the rules said that it was compared with.
        open: bool,
    },
    /// The source did not answer.
    Unreachable,
}

/// Where a source tells how it is.
pub trait Health: Send + Sync + 'static {
    /// It is connected and reads.
    fn running(&self);
    /// It is there, though nothing has happened: what a kind with [`Source::silence`] tells often enough.
    fn alive(&self);
    /// It works, with trouble that it is mending.
    fn degraded(&self, code: &str, message: &str, help: &str);
    /// Records between the last accepted one and the end, when the kind can tell.
    fn lag(&self, records: u64);
    /// Seconds between what was read last and now, when the kind can tell; 0 at the end.
    fn behind(&self, seconds: u64);
    /// A record that cannot become an event was set aside (a poison record); others go on.
    fn poison(&self, message: &str);
    /// A twoWay source has compared its entries with the rules.
    fn reconciled(&self, found: Reconciled);
}

/// Why a source's run ended. The supervisor starts it again with back-off unless it was stopped.
#[derive(Debug, Clone, thiserror::Error)]
#[error("run the source: {message}")]
pub struct SourceError {
    /// Stable code, for example `kafka-auth`.
    pub code: Arc<str>,
    /// What happened.
    pub message: String,
    /// What to do.
    pub help: String,
    /// Whether trying again can help.
    pub permanent: bool,
}

/// One kind of source, configured.
pub trait Source: Send + 'static {
    /// How long a run may tell nothing at all, not even [`Health::alive`], before it is given up and started again; none
    /// for kinds that notice by themselves when the other end is silent.
    fn silence(&self) -> Option<Duration> {
        None
    }

    /// Runs until stopped or failed.
    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, Result<(), SourceError>>;
}
