//! What the service tells of itself: metrics for the second listener, and the log.
//!
//! Owns the recorder, the gauges that are read when asked, and the set-up of tracing. Changes nothing.

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderValue, header};
use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::costs::Work;
use crate::error::Error;
use crate::hall::Hall;
use crate::relations;
use crate::sources::State;

/// Buckets of everything measured in seconds.
const SECONDS: [f64; 12] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Installs the process's recorder of metrics. Once per process: a second call is refused.
pub fn install() -> Result<PrometheusHandle, Error> {
    let failed = |error: String| Error::Unavailable(format!("set up metrics: {error}"));
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .map_err(|e| failed(e.to_string()))?
        .install_recorder()
        .map_err(|e| failed(e.to_string()))
}

/// Writes the log to standard error. `filter` is a directive such as `info` or `tidemill=debug`; a second call changes
/// nothing.
pub fn log(format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // A log that cannot be written (a file on a full disk) must not be told of there: that would panic whoever logs.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .log_internal_errors(false);
    let _ = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// The router of the second listener: `/metrics` and nothing else.
pub fn router(hall: Arc<Hall>, handle: PrometheusHandle) -> Router {
    let show = move || {
        let (hall, handle) = (hall.clone(), handle.clone());
        async move {
            observe(&hall);
            handle.run_upkeep();
            let mut response = Response::new(axum::body::Body::from(handle.render()));
            let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, media);
            response
        }
    };
    Router::new().route("/metrics", get(show))
}

/// Sets the gauges that are read when asked.
fn observe(hall: &Hall) {
    let rooms = &hall.rooms;
    let store = rooms.store.counters();
    let (accepted, duplicates, mismatches) = rooms.ingress.counters();
    gauge!("tidemill_ready").set(if hall.ready() { 1.0 } else { 0.0 });
    gauge!("tidemill_disk_full").set(if rooms.store.full() { 1.0 } else { 0.0 });
    gauge!("tidemill_lane_depth").set(rooms.lanes.depth() as f64);
    gauge!("tidemill_timers_near").set(rooms.timers.near() as f64);
    gauge!("tidemill_listens").set(rooms.listeners.count() as f64);
    let counted = [
        ("tidemill_events_accepted_total", accepted),
        ("tidemill_events_duplicate_total", duplicates),
        ("tidemill_events_mismatch_total", mismatches),
        ("tidemill_store_commits_total", store.commits),
        ("tidemill_store_batches_total", store.batches),
        ("tidemill_store_transitions_total", store.transitions),
        ("tidemill_store_rows_total", store.rows),
        ("tidemill_store_bytes_total", store.bytes),
        ("tidemill_store_writer_cpu_microseconds_total", store.writer_cpu_us),
        ("tidemill_store_flush_microseconds_total", store.flush_us),
        ("tidemill_calls_cpu_microseconds_total", rooms.dispatch.cpu_micros()),
        ("tidemill_store_sqlite_cpu_microseconds_total", store.sqlite_cpu_us),
    ];
    for (name, value) in counted {
        metrics::counter!(name).absolute(value);
    }
    for work in Work::ALL {
        let counter = metrics::counter!("tidemill_lane_cpu_microseconds_total", "work" => work.name());
        counter.absolute(rooms.costs.micros(work));
    }
    sources(hall);
    for (namespace, space) in rooms.catalog.spaces() {
        for trigger in space.triggers().filter(|trigger| trigger.spec.source.is_some()) {
            let (state, observed) = relations::sync(&space, &hall.sources, trigger);
            let labels = [("namespace", namespace.to_string()), ("trigger", trigger.name.to_string())];
            gauge!("tidemill_trigger_in_sync", &labels).set(if state == "inSync" { 1.0 } else { 0.0 });
            gauge!("tidemill_trigger_generation_lag", &labels)
                .set(trigger.generation.saturating_sub(observed) as f64);
        }
        for trigger in space.triggers().filter(|trigger| trigger.buffered()) {
            let (waiting, in_flight) = rooms.buffers.depth(&namespace, &trigger.name);
            let labels = [("namespace", namespace.to_string()), ("trigger", trigger.name.to_string())];
            gauge!("tidemill_buffer_depth", &labels).set(waiting as f64);
            gauge!("tidemill_buffer_in_flight", &labels).set(in_flight as f64);
        }
    }
}

/// How each source is.
fn sources(hall: &Hall) {
    let now = (hall.rooms.clock)();
    metrics::counter!("tidemill_source_restarts_total").absolute(hall.sources.restarts());
    for (namespace, name, status) in hall.sources.all() {
        let labels = [("namespace", namespace.to_string()), ("source", name.to_string())];
        gauge!("tidemill_source_up", &labels).set(if status.state == State::Running { 1.0 } else { 0.0 });
        metrics::counter!("tidemill_source_events_total", &labels).absolute(status.accepted);
        metrics::counter!("tidemill_source_errors_total", &labels).absolute(status.errors);
        if let Some(lag) = status.lag {
            gauge!("tidemill_source_lag_records", &labels).set(lag as f64);
        }
        if let Some(last) = status.last_event_at {
            gauge!("tidemill_source_last_event_age_seconds", &labels).set((now.0 - last.0) as f64 / 1000.0);
        }
    }
}
