//! Source kind `cron`: instants of a schedule as events.
//!
//! Owns which instants fire now, also after a time in which nothing ran, and the event each becomes. The fire is
//! stored with its position in one commit, so a restart neither loses nor doubles one. Never fires early.

pub mod schedule;

use std::sync::Arc;
use std::time::Duration;

use tidemill_dsl::event::{Data, Event};
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::{EventOverrides, OverrideError};
use tidemill_dsl::value::{Map, Value};

pub use schedule::{Schedule, ScheduleError};
pub use tidemill_dsl::manifest::{CatchUp, Dialect};

use crate::offer::offer;
use crate::{Arrivals, BoxFuture, Context, Source, SourceError};

/// A cron source, configured.
#[derive(Clone, Debug)]
pub struct Spec {
    /// When.
    pub schedule: Schedule,
    /// What happens to missed instants.
    pub catch_up: CatchUp,
    /// Most missed instants that fire at once (limit `maxCatchUp`).
    pub max_catch_up: usize,
    /// Members put into each event's data.
    pub data: Map,
    /// The `event` block, over `{scheduledAt, firedAt, catchUp, data}`.
    pub overrides: EventOverrides,
}

/// One instant that fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fire {
    /// The scheduled instant.
    pub at: Time,
    /// Whether it was missed and fires late.
    pub catch_up: bool,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Instants to fire, in order.
    pub fires: Vec<Fire>,
    /// The last instant that is over: the position to save with the fires.
    pub position: Time,
    /// The next instant; none when the schedule has ended.
    pub next: Option<Time>,
}

/// How late the instant that a running source waits for may fire and still count as on time. Later (the machine was
/// suspended, a buffer was full) it counts as missed.
pub const ON_TIME: Duration = Duration::from_mins(1);

/// Position row: the last scheduled instant that is over.
pub const POSITION: &str = "fired";
/// Position row: the schedule that instant belongs to. Another schedule starts anew, without catching up.
pub const POSITION_SCHEDULE: &str = "schedule";

/// Most instants of a past range that are filled at once (limit `backfill-instants`).
pub const MAX_BACKFILL: usize = 10_000;

/// The longest sleep: a wall clock that is set forward is noticed within it.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// Plans the instants in `(last, now]`. `armed` is the instant the running source was waiting for: it is on time
/// within [`ON_TIME`]; every other one was missed and goes by the catch-up policy.
pub fn plan(spec: &Spec, last: Time, armed: Option<Time>, now: Time) -> Plan {
    let on_time = armed.filter(|at| *at > last && *at <= now && now <= at.plus(ON_TIME));
    let keep = match spec.catch_up {
        CatchUp::Skip => 0,
        CatchUp::Once => 1,
        CatchUp::All => spec.max_catch_up,
    };
    // One instant more than kept: the one on time is no part of the missed.
    let due = spec.schedule.latest(last, now, keep.max(1) + 1);
    let missed: Vec<Time> = due.iter().copied().filter(|at| Some(*at) != on_time).collect();
    let mut fires: Vec<Fire> = missed[missed.len().saturating_sub(keep)..]
        .iter()
        .map(|at| Fire { at: *at, catch_up: true })
        .chain(on_time.map(|at| Fire { at, catch_up: false }))
        .collect();
    fires.sort_by_key(|fire| fire.at);
    let position = due.last().copied().unwrap_or(last).max(last);
    Plan { fires, position, next: spec.schedule.next(position.max(now)) }
}

/// The event of one fire. `fired` is the time now.
pub fn to_event(spec: &Spec, source: &str, fire: Fire, fired: Time) -> Result<Event, OverrideError> {
    let instant: Arc<str> = instant(fire.at).into();
    let mut data = spec.data.clone();
    data.insert("scheduledAt".into(), Value::String(instant.clone()));
    data.insert("firedAt".into(), Value::from(fired.rfc3339()));
    data.insert("catchUp".into(), fire.catch_up.into());
    let event = Event {
        id: instant.clone(),
        source: source.into(),
        kind: "cron.fired".into(),
        subject: Some(instant.clone()),
        time: Some(instant),
        datacontenttype: Some("application/json".into()),
        dataschema: None,
        extensions: Map::new(),
        data: Data::Json(Value::from(data.clone())),
    };
    if spec.overrides.is_empty() {
        return Ok(event);
    }
    data.insert("data".into(), Value::from(spec.data.clone()));
    spec.overrides.apply(&event, &Value::from(data))
}

/// The event of an instant of the past that somebody asks for: of the same id as the one that fired then, or did not.
pub fn recovered(spec: &Spec, source: &str, at: Time, fired: Time) -> Result<Event, OverrideError> {
    let mut event = to_event(spec, source, Fire { at, catch_up: true }, fired)?;
    event.extensions.insert("recovered".into(), Value::from(true));
    Ok(event)
}

/// An instant as id and subject: RFC 3339 in UTC, whole seconds.
pub fn instant(at: Time) -> String {
    let text = at.rfc3339();
    text.strip_suffix(".000Z").map_or(text.clone(), |seconds| format!("{seconds}Z"))
}

/// A source made of a spec.
pub struct Cron(pub Spec);

impl Source for Cron {
    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(run(self.0, context))
    }
}

async fn run(spec: Spec, context: Context) -> Result<(), SourceError> {
    let mut last = if let Some(last) = resume(&spec, &context.positions) {
        last
    } else {
        let now = (context.clock)();
        let begun = Plan { fires: Vec::new(), position: now, next: None };
        if !store(&spec, &context, &begun).await? {
            return Ok(());
        }
        now
    };
    context.health.running();
    let mut armed = None;
    loop {
        let now = (context.clock)();
        let plan = plan(&spec, last, armed, now);
        if plan.position > last {
            if !store(&spec, &context, &plan).await? {
                return Ok(());
            }
            last = plan.position;
        }
        armed = plan.next;
        if !wait(&context, plan.next).await {
            return Ok(());
        }
    }
}

/// The saved position, if it belongs to this schedule.
fn resume(spec: &Spec, positions: &[(Arc<str>, Arc<str>)]) -> Option<Time> {
    let find = |wanted: &str| positions.iter().find(|(name, _)| &**name == wanted).map(|(_, value)| &**value);
    if find(POSITION_SCHEDULE).is_some_and(|saved| saved != spec.schedule.to_string()) {
        return None;
    }
    Time::parse(find(POSITION)?)
}

/// Sleeps until `next` (for ever without one). False when stopped.
async fn wait(context: &Context, next: Option<Time>) -> bool {
    loop {
        let now = (context.clock)();
        let left = match next {
            Some(at) if at <= now => return !context.stop.is_cancelled(),
            Some(at) => Duration::from_millis(at.0.abs_diff(now.0)).min(LONGEST_SLEEP),
            None => Duration::MAX,
        };
        tokio::select! {
            biased;
            () = context.stop.cancelled() => return false,
            () = tokio::time::sleep(left) => {}
        }
    }
}

/// Stores the fires of a plan with its position, trying again while the service is busy. False when stopped.
async fn store(spec: &Spec, context: &Context, plan: &Plan) -> Result<bool, SourceError> {
    let name = format!("/sources/{}/{}", context.namespace, context.name);
    let fired = (context.clock)();
    let events: Result<Vec<Event>, _> =
        plan.fires.iter().map(|fire| to_event(spec, &name, *fire, fired)).collect();
    let arrivals = Arrivals {
        namespace: context.namespace.clone(),
        source: context.name.clone(),
        events: events.map_err(|error| SourceError {
            code: "source-event".into(),
            message: error.to_string(),
            help: "correct the source's event block".to_owned(),
            permanent: true,
        })?,
        marks: plan.fires.iter().map(|fire| (POSITION.into(), fire.at.rfc3339().into())).collect(),
        positions: vec![
            (POSITION.into(), plan.position.rfc3339().into()),
            (POSITION_SCHEDULE.into(), spec.schedule.to_string().into()),
        ],
        placed: Vec::new(),
    };
    let stored = offer(context.ingress.clone(), context.health.clone(), context.stop.clone(), arrivals).await;
    Ok(stored.is_some())
}

#[cfg(test)]
mod tests;
