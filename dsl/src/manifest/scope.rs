//! `kind: Namespace` and `kind: RoleBinding`.
//!
//! Owns quotas, retention, egress entries and role names as types. Enforces nothing.

use std::net::IpAddr; // tidy: address type
use std::sync::Arc;
use std::time::Duration;

use super::{Head, Metadata, Raw, codes, open, read};
use crate::reader::{Place, Reader, Sink};

/// A namespace's settings.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// What it is called.
    pub meta: Metadata,
    /// Its quotas.
    pub quotas: Quotas,
    /// How long ended executions are kept, at least a day; none: as the server says.
    pub keep_executions: Option<Duration>,
    /// How long events are kept, at least a day; none: as the server says.
    pub keep_events: Option<Duration>,
    /// Address ranges and hosts that calls may reach in spite of the default.
    pub egress: Vec<Arc<str>>,
    /// As written.
    pub raw: Raw,
}

/// What a namespace may use; none: only the server's own limits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quotas {
    /// Starts per second.
    pub executions_per_second: Option<f64>,
    /// Executions that have not ended.
    pub running: Option<u32>,
    /// Bytes in the store.
    pub stored_bytes: Option<u64>,
    /// Bytes in buffers.
    pub buffer_bytes: Option<u64>,
}

/// The least retention that a manifest may state (deduplication rests on that of events).
const DAY: Duration = Duration::from_hours(24);

pub(super) fn read(head: Head, spec: Place, sink: &Sink) -> Option<Namespace> {
    let mut namespace = Namespace {
        meta: head.meta,
        quotas: Quotas::default(),
        keep_executions: None,
        keep_events: None,
        egress: Vec::new(),
        raw: head.raw,
    };
    if spec.node.is_null() {
        return Some(namespace);
    }
    let mut reader = Reader::open(spec, sink, "the spec of a Namespace")?;
    if let Some(mut quotas) = reader.map("quotas", "quotas") {
        namespace.quotas = read_quotas(&mut quotas);
        quotas.finish();
    }
    if let Some(mut retention) = reader.map("retention", "retention") {
        namespace.keep_executions = keep(retention.take("executions"), sink);
        namespace.keep_events = keep(retention.take("events"), sink);
        retention.finish();
    }
    if let Some(mut egress) = reader.map("egress", "egress") {
        let allow = egress.need("allow").and_then(|place| place.list(sink)).unwrap_or_default();
        namespace.egress = allow.iter().filter_map(|place| egress_entry(place, sink)).collect();
        egress.finish();
    }
    reader.finish();
    Some(namespace)
}

fn read_quotas(reader: &mut Reader) -> Quotas {
    let sink = reader.sink();
    let many = 0..=i64::from(u32::MAX);
    Quotas {
        executions_per_second: reader
            .take("executionsPerSecond")
            .and_then(|place| read::fraction(&place, sink, 0.001..=1_000_000.0)),
        running: reader.take("running").and_then(|place| read::count(&place, sink, many)),
        stored_bytes: reader.take("storedBytes").and_then(|place| read::size(&place, sink)),
        buffer_bytes: reader.take("bufferBytes").and_then(|place| read::size(&place, sink)),
    }
}

fn keep(place: Option<Place>, sink: &Sink) -> Option<Duration> {
    let place = place?;
    let duration = read::duration(&place, sink)?;
    if duration < DAY {
        return read::wrong(&place, sink, codes::DURATION, "the retention is shorter than 24 hours");
    }
    Some(duration)
}

fn egress_entry(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    let range = |(address, bits): (&str, &str)| match (address.parse::<IpAddr>(), bits.parse::<u8>()) {
        (Ok(IpAddr::V4(_)), Ok(bits)) => bits <= 32,
        (Ok(IpAddr::V6(_)), Ok(bits)) => bits <= 128,
        _ => false,
    };
    let host = || {
        let labels = text.strip_prefix("*.").unwrap_or(&text).split('.').collect::<Vec<_>>();
        labels.iter().all(|label| crate::ids::is_label(&label.to_ascii_lowercase()))
    };
    let good = text.split_once('/').map_or_else(|| text.parse::<IpAddr>().is_ok() || host(), range);
    if good {
        Some(text)
    } else {
        read::wrong(place, sink, codes::EGRESS, &format!("`{text}` is neither a range nor a host"))
    }
}

/// A role given to subjects in a namespace.
#[derive(Clone, Debug)]
pub struct RoleBinding {
    /// What it is called.
    pub meta: Metadata,
    /// One of [`RoleBinding::ROLES`].
    pub role: Arc<str>,
    /// Keys, users or groups.
    pub subjects: Vec<Arc<str>>,
    /// As written.
    pub raw: Raw,
}

impl RoleBinding {
    /// The roles of a namespace (security.md 5a).
    pub const ROLES: [&str; 5] = ["viewer", "operator", "editor", "secret-admin", "admin"];
}

pub(super) fn read_binding(head: Head, spec: Place, sink: &Sink) -> Option<RoleBinding> {
    let mut reader = open(spec, sink, "the spec of a RoleBinding")?;
    let words = RoleBinding::ROLES.map(|role| (role, role));
    let role = reader.need("role").and_then(|place| place.choice(sink, &words));
    let subjects = reader.need("subjects").and_then(|place| read::list(&place, sink, read::some_text));
    reader.finish();
    Some(RoleBinding { meta: head.meta, role: role?.into(), subjects: subjects?, raw: head.raw })
}
