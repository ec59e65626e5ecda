//! Removal of what is beyond its namespace's retention, and of namespaces that were deleted, slice by slice.
//!
//! Owns the pace: a slice takes little of the writer's time, and whatever else is written goes between two slices.

use std::sync::Arc;
use std::time::Duration;

use tidemill_dsl::ids::{Namespace, Time};
use tidemill_store::{Batch, Class, OperatorChange, Part, Span};
use tokio::sync::oneshot;

use crate::buffer::submit;
use crate::catalog::Space;
use crate::error::Error;
use crate::lanes::Input;
use crate::rooms::Rooms;

/// Rows removed in one slice: executions with tags take a slow machine 100 us each, and a slice shall take the writer less
/// than 5 ms (D7).
const SLICE: u32 = 32;
/// What the names of works begin with that remove a namespace.
const WORK: &str = "drop-namespace/";
/// Between two attempts after a failure.
const REST: Duration = Duration::from_secs(1);

/// How long a namespace keeps what it says nothing about.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Ended executions.
    pub executions: Duration,
    /// Events.
    pub events: Duration,
}

/// Removes what is beyond retention, forever. One task of the runtime.
pub async fn run(rooms: Arc<Rooms>, every: Duration, defaults: Defaults) {
    loop {
        tokio::time::sleep(every).await;
        rooms.waiters.sweep();
        let slice = OperatorChange::Retain { spans: spans(&rooms, defaults), rows: SLICE };
        if let Err(error) = slices(&rooms, slice).await {
            tracing::warn!(%error, "cannot remove what is beyond retention");
        }
    }
}

fn spans(rooms: &Rooms, defaults: Defaults) -> Vec<Span> {
    let now = (rooms.clock)();
    let before = |age: Duration| Time(now.0.saturating_sub(age.as_millis() as i64));
    let span = |(namespace, space): (Namespace, Arc<Space>)| {
        let own = space.settings.as_ref();
        let executions = own.and_then(|own| own.keep_executions).unwrap_or(defaults.executions);
        let events = own.and_then(|own| own.keep_events).unwrap_or(defaults.events);
        Span { namespace, executions: before(executions), events: before(events) }
    };
    rooms.catalog.spaces().into_iter().map(span).collect()
}

/// The same slice again and again until nothing is left for it.
async fn slices(rooms: &Rooms, slice: OperatorChange) -> Result<(), Error> {
    loop {
        let parts = vec![Part::Operator(vec![slice.clone()])];
        if !submit(rooms, Batch { class: Class::Running, parts }).await?.more {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// The work that removes a namespace, as it is stored while it lasts: a restart goes on with it.
pub fn removal(namespace: &Namespace, begun: bool) -> OperatorChange {
    OperatorChange::Work {
        id: format!("{WORK}{namespace}").into(),
        body: begun.then(|| namespace.as_bytes().to_vec()),
    }
}

/// The namespaces whose removal was begun, as stored.
pub fn removals(rooms: &Rooms) -> Result<Vec<Namespace>, Error> {
    let works = rooms.store.works()?;
    Ok(works.iter().filter_map(|(id, _)| id.strip_prefix(WORK).map(Namespace::from)).collect())
}

/// Removes what is left of a namespace that the catalog hides already, however long it takes.
pub async fn remove(rooms: Arc<Rooms>, namespace: Namespace) {
    while let Err(error) = remove_once(&rooms, &namespace).await {
        tracing::warn!(%error, %namespace, "cannot remove a namespace; trying again");
        tokio::time::sleep(REST).await;
    }
    rooms.catalog.removed(&namespace);
}

async fn remove_once(rooms: &Arc<Rooms>, namespace: &Namespace) -> Result<(), Error> {
    // After this no lane writes anything of it any more.
    for lane in 0..rooms.lanes.count() {
        let (told, forgotten) = oneshot::channel();
        rooms.lanes.push(lane, [Input::Forget(namespace.clone(), told)]);
        let _ = forgotten.await;
    }
    rooms.listeners.forget(namespace);
    rooms.secrets.forget(namespace);
    rooms.buffers.forget(namespace);
    slices(rooms, OperatorChange::DropNamespace { namespace: namespace.clone(), rows: SLICE }).await?;
    let parts = vec![Part::Operator(vec![removal(namespace, false)])];
    submit(rooms, Batch { class: Class::Running, parts }).await?;
    Ok(())
}
