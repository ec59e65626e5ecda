//! The rooms of the hall, as the parts of the service see one another.

use std::sync::Arc;

use tidemill_dsl::ids::ExecutionId;
use tidemill_dsl::program::Program;
use tidemill_engine::Execution;
use tidemill_store::{Refusal, Store};
use tokio_util::sync::CancellationToken;

use crate::bookmarks::Bookmarks;
use crate::buffer::Buffers;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::costs::Costs;
use crate::dispatch::Dispatch;
use crate::error::Error;
use crate::ingress::Ingress;
use crate::keysets::KeySets;
use crate::lanes::Lanes;
use crate::listeners::Listeners;
use crate::quotas::Quotas;
use crate::secrets::Secrets;
use crate::stream::Stream;
use crate::timers::Timers;
use crate::waiters::Waiters;

/// Everything a lane, a source or a request may reach.
pub struct Rooms {
    /// The clock.
    pub clock: Clock,
    /// What the lanes spend their time on.
    pub costs: Costs,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Queues of the lanes.
    pub lanes: Lanes,
    /// Definitions, compiled.
    pub catalog: Catalog,
    /// Acceptance of events.
    pub ingress: Ingress,
    /// Peak shaving.
    pub buffers: Buffers,
    /// Quotas of the namespaces.
    pub quotas: Arc<Quotas>,
    /// Calls of the outside.
    pub dispatch: Dispatch,
    /// Stored timers.
    pub timers: Timers,
    /// Listens.
    pub listeners: Listeners,
    /// Who waits for an execution's end.
    pub waiters: Waiters,
    /// Secrets.
    pub secrets: Arc<Secrets>,
    /// Keys of signed tokens.
    pub keysets: KeySets,
    /// How often a twoWay source compares its entries with the rules.
    pub reconcile: std::time::Duration,
    /// Emitted events that may lead to one another (limit `hop-count`).
    pub hops: usize,
    /// Where histories were read up to.
    pub bookmarks: Bookmarks,
    /// The post-commit stream.
    pub stream: Stream,
    /// Cancelled when a lane's batch could not be written: the process must end and start again from what is durable.
    pub broken: CancellationToken,
}

impl Rooms {
    /// A lane's batch was refused, or its outcome is not known: what the lanes hold in memory is ahead of the store.
    /// Nothing is acknowledged any more; the process ends, and the next one folds what was committed.
    pub fn broke(&self, refusal: &Refusal) {
        tracing::error!(%refusal, "the store failed; the process ends to start again from what is durable");
        self.broken.cancel();
    }

    /// Folds an execution from the store; none if it does not exist.
    pub fn fold(&self, id: ExecutionId) -> Result<Option<(Arc<Program>, Execution)>, Error> {
        let (snapshot, transitions) = self.store.log(id)?;
        let bad =
            |e: tidemill_engine::DecodeError| Error::Unavailable(format!("cannot read the log of {id}: {e}"));
        let birth = match (&snapshot, transitions.first()) {
            (Some(snapshot), _) => Arc::new(Execution::birth_of_snapshot(&snapshot.body).map_err(bad)?),
            (None, Some(first)) => Arc::new(tidemill_engine::birth_of(first).map_err(bad)?),
            (None, None) => return Ok(None),
        };
        if self.catalog.removing(&birth.namespace) {
            return Ok(None);
        }
        let program =
            self.catalog.revision(&birth.namespace, &birth.workflow, &birth.digest).ok_or_else(|| {
                Error::not_found("workflow revision", format!("{}:{}", birth.workflow, birth.version))
            })?;
        let Some(snapshot) = snapshot else {
            let execution = tidemill_engine::fold(&program, &transitions).map_err(bad)?;
            return Ok(Some((program, execution)));
        };
        let mut execution = Execution::from_snapshot(&program, &snapshot.body).map_err(bad)?;
        for transition in &transitions {
            execution.follow(&program, transition).map_err(bad)?;
        }
        Ok(Some((program, execution)))
    }
}
