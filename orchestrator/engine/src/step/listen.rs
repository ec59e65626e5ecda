//! `listen`: consumes one event that its filter accepts; gives an array, even for one (dsl.md section 2.2).

use tidemill_dsl::event::{Data, Event, HOP_PATH, HOPS, StoredEvent};
use tidemill_dsl::ids::Visit;
use tidemill_dsl::program::{AttributeTest, EventFilter, Kind, Read};
use tidemill_dsl::value::{Map, Value};

use crate::history::Begin;
use crate::machine::{Begun, Machine};
use crate::scope::{Place, Scope, Site};

pub(super) fn begin() -> Begun {
    Begun::Open(Begin::Listen)
}

/// What a listening visit reads of an event; none if the event is not for it.
pub(crate) fn reads(machine: &Machine<'_>, visit: Visit, event: &StoredEvent) -> Option<Value> {
    let x = &machine.x;
    if x.heard.contains(&event.pos) || Some(event.accepted) <= x.started {
        return None;
    }
    takes(machine, visit, &event.event)
}

/// What a listening visit reads of an event, wherever that comes from.
pub(crate) fn takes(machine: &Machine<'_>, visit: Visit, event: &Event) -> Option<Value> {
    let x = &machine.x;
    let frame = x.open_frame(visit).filter(|_| x.listens(visit))?;
    let Kind::Listen(listen) = &machine.program.task(frame.task).kind else {
        return None;
    };
    let site = Site::of(frame);
    let scope = Scope::of_task(machine.program, x, Place::Body, &site);
    accepts(&listen.filter, event, &scope).then(|| read(event, listen.read))
}

/// Whether every test holds. A missing attribute matches nothing, and neither does a test that fails
/// (dsl.md section 5 #20).
fn accepts(filter: &EventFilter, event: &Event, scope: &Scope<'_>) -> bool {
    if filter.stated_type().is_none_or(|kind| !is_lifecycle(kind)) && is_lifecycle(&event.kind) {
        return false;
    }
    filter.with.iter().all(|(name, test)| {
        let Some(value) = attribute(event, name) else {
            return false;
        };
        match test {
            AttributeTest::Text { literal, pattern } => value.as_str().is_some_and(|text| {
                *text == **literal || pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
            }),
            AttributeTest::Equal(expected) => value == *expected,
            AttributeTest::Expr(expr) => expr.eval(&value, scope).is_ok_and(|value| value.is_truthy()),
        }
    })
}

/// Lifecycle events are taken only by a filter that names their type (dsl.md section 12).
fn is_lifecycle(kind: &str) -> bool {
    kind.starts_with("io.serverlessworkflow.")
}

fn attribute(event: &Event, name: &str) -> Option<Value> {
    let text = |text: &std::sync::Arc<str>| Value::String(text.clone());
    match name {
        "id" => Some(text(&event.id)),
        "source" => Some(text(&event.source)),
        "type" => Some(text(&event.kind)),
        "specversion" => Some("1.0".into()),
        "subject" => event.subject.as_ref().map(text),
        "time" => event.time.as_ref().map(text),
        "datacontenttype" => event.datacontenttype.as_ref().map(text),
        "dataschema" => event.dataschema.as_ref().map(text),
        "data" => data(event),
        other => event.extensions.get(other).cloned(),
    }
}

fn data(event: &Event) -> Option<Value> {
    match &event.data {
        Data::None => None,
        Data::Json(value) => Some(value.clone()),
        Data::Binary(bytes) => Some(base64(bytes).into()),
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn read(event: &Event, read: Read) -> Value {
    match read {
        Read::Envelope => envelope(event),
        Read::Data => data(event).unwrap_or_default(),
        Read::Raw => match &event.data {
            Data::Json(value) if value.as_str().is_none() => value.to_string().into(),
            _ => data(event).unwrap_or_default(),
        },
    }
}

/// A CloudEvent in its structured form.
pub(crate) fn envelope(event: &Event) -> Value {
    let mut map = Map::with_capacity(8 + event.extensions.len());
    for name in ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"] {
        if let Some(value) = attribute(event, name) {
            map.insert(name.into(), value);
        }
    }
    let shown = event.extensions.iter().filter(|(name, _)| ![HOPS, HOP_PATH].contains(&&***name));
    map.extend(shown.map(|(name, value)| (name.clone(), value.clone())));
    let name = if matches!(event.data, Data::Binary(_)) { "data_base64" } else { "data" };
    if let Some(value) = data(event) {
        map.insert(name.into(), value);
    }
    map.into()
}
