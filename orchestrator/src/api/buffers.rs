//! Buffers: depth, oldest age, rate, forecast drain time.
//!
//! Owns their JSON form; changes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use serde::Serialize;
use tidemill_dsl::ids::{Namespace, Time};
use tidemill_dsl::manifest::WhenFull;
use tidemill_store::{BufferRow, DeliveryQuery, DeliveryState, ReadResult, Store};
use utoipa::ToSchema;

use super::body::json;
use super::call::Call;
use super::paging::{Keyset, Page, by_name};
use crate::catalog::TriggerEntry;
use crate::deliveries::blocking;
use crate::problem::Problem;

/// A trigger's buffer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BufferBody {
    trigger: String,
    /// Deliveries that wait.
    depth: u64,
    in_flight: u64,
    /// Deliveries whose order key is held by a failure.
    parked: u64,
    /// Age of the oldest waiting delivery.
    oldest_age: Option<String>,
    /// Starts per second, at most.
    rate: Option<f64>,
    burst: Option<u32>,
    concurrency: Option<u32>,
    capacity: Option<u32>,
    /// `wait`, `reject` or `divert`.
    when_full: Option<&'static str>,
    /// How long the depth takes to drain at the rate.
    forecast_drain: Option<String>,
    paused: bool,
}

/// `GET /buffers`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    let space = call.rooms().catalog.space(&call.namespace);
    let keyset = Keyset::new("buffers", &call.namespace, &call.query);
    let all = space
        .triggers()
        .filter(|trigger| trigger.buffered())
        .map(|trigger| (&*trigger.name, trigger.clone()));
    let (triggers, next) = by_name(&keyset, &call.query, all)?;
    let items = shown(&call, triggers).await?;
    let count = || space.triggers().filter(|trigger| trigger.buffered()).count();
    json(200, &Page::new(items, next).counting(&call.query, count)?)
}

/// `GET /buffers/{trigger}`.
pub async fn get(call: Call) -> Result<Response, Problem> {
    let name = call.name()?;
    let space = call.rooms().catalog.space(&call.namespace);
    let found = space.triggers().find(|trigger| trigger.name == name && trigger.buffered()).cloned();
    let trigger = found.ok_or_else(|| Problem::not_found("buffer", &name))?;
    let one = shown(&call, vec![trigger]).await?.pop().ok_or_else(|| Problem::not_found("buffer", &name))?;
    json(200, &one)
}

async fn shown(call: &Call, triggers: Vec<Arc<TriggerEntry>>) -> Result<Vec<BufferBody>, Problem> {
    let now = (call.rooms().clock)();
    let (store, namespace) = (call.rooms().store.clone(), call.namespace.clone());
    let names: Vec<Arc<str>> = triggers.iter().map(|trigger| trigger.name.clone()).collect();
    let (rows, oldest) = blocking(move || read(&*store, &namespace, &names)).await?;
    let body = |trigger: &Arc<TriggerEntry>| {
        let row = rows.get(&trigger.name);
        let (waiting, in_flight) = call.rooms().buffers.depth(&call.namespace, &trigger.name);
        let depth = row.map_or(waiting, |row| row.waiting);
        let spec = trigger.spec.buffer.as_ref();
        let rate = spec.and_then(|spec| spec.rate).map(|rate| rate.count / rate.per.as_secs_f64());
        let age = oldest.get(&trigger.name).map(|at| Duration::from_millis(now.0.abs_diff(at.0)));
        let drain = rate.filter(|rate| *rate > 0.0).map(|rate| depth as f64 / rate);
        BufferBody {
            trigger: trigger.name.to_string(),
            depth,
            in_flight: row.map_or(in_flight, |row| row.in_flight),
            parked: row.map_or(0, |row| row.parked),
            oldest_age: age.map(iso),
            rate,
            burst: spec.and_then(|spec| spec.burst),
            concurrency: spec.and_then(|spec| spec.concurrency),
            capacity: spec.map(|spec| spec.capacity),
            when_full: spec.map(|spec| match spec.when_full {
                WhenFull::Wait => "wait",
                WhenFull::Reject => "reject",
                WhenFull::Divert => "divert",
            }),
            forecast_drain: drain.map(|seconds| iso(Duration::from_secs_f64(seconds.min(1e9)))),
            paused: trigger.paused,
        }
    };
    Ok(triggers.iter().map(body).collect())
}

type Rows = (HashMap<Arc<str>, BufferRow>, HashMap<Arc<str>, Time>);

/// The stored depths, and when the oldest waiting delivery was accepted: an execution's id holds its instant.
fn read(store: &dyn Store, namespace: &Namespace, names: &[Arc<str>]) -> ReadResult<Rows> {
    let rows = store.buffers()?.into_iter().filter(|row| row.namespace == *namespace);
    let rows: HashMap<_, _> = rows.map(|row| (row.trigger.clone(), row)).collect();
    let mut oldest = HashMap::new();
    for name in names.iter().filter(|name| rows.get(*name).is_some_and(|row| row.waiting > 0)) {
        let query = DeliveryQuery {
            namespace: namespace.clone(),
            trigger: name.clone(),
            state: DeliveryState::Ready,
            now: Time(i64::MAX),
            limit: 1,
        };
        if let Some(first) = store.deliveries(&query)?.first() {
            oldest.insert(name.clone(), first.delivery.execution.time());
        }
    }
    Ok((rows, oldest))
}

/// A duration as ISO 8601 seconds.
pub(super) fn iso(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    if millis == 0 { format!("PT{seconds}S") } else { format!("PT{seconds}.{millis:03}S") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_iso_8601() {
        assert_eq!(iso(Duration::from_millis(1500)), "PT1.500S");
        assert_eq!(iso(Duration::from_secs(90)), "PT90S");
    }
}
