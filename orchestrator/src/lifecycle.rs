//! Lifecycle CloudEvents: a view of the history, never stored (D11; dsl.md section 12 "Events").
//!
//! Pure: from one history entry to its event. Reads no store and no clock.

use std::sync::Arc;

use tidemill_dsl::event::{Data, Event, LIFECYCLE};
use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_dsl::value::{Map, Value};
use tidemill_engine::entry::Entry;
use tidemill_engine::record::Birth;

/// What a type ends with.
const VERSION: &str = ".v1";

/// The type of an entry's event; none for entries that no type tells of (`workflow.retried`).
pub fn kind_of(entry: &str) -> Option<String> {
    let (of, what) = entry.split_once('.')?;
    let told = match of {
        "workflow" => {
            matches!(what, "started" | "suspended" | "resumed" | "cancelled" | "faulted" | "completed")
        }
        "task" => matches!(
            what,
            "created"
                | "started"
                | "suspended"
                | "resumed"
                | "retried"
                | "cancelled"
                | "faulted"
                | "completed"
        ),
        _ => false,
    };
    told.then(|| format!("{LIFECYCLE}{entry}{VERSION}"))
}

/// The entry kind that a type tells of; none for every other type.
pub fn entry_of(kind: &str) -> Option<&str> {
    let entry = kind.strip_prefix(LIFECYCLE)?.strip_suffix(VERSION)?;
    kind_of(entry).map(|_| entry)
}

/// Whether a type is told by `workflow.*` entries.
pub fn is_of_workflow(kind: &str) -> bool {
    entry_of(kind).is_some_and(|entry| entry.starts_with("workflow."))
}

/// The source of an execution's lifecycle events.
pub fn source_of(namespace: &str, id: ExecutionId) -> String {
    format!("/v1/namespaces/{namespace}/executions/{id}")
}

/// The execution and sequence that a source and an id name; none if they name no lifecycle event of the namespace.
pub fn named(namespace: &str, source: &str, id: &str) -> Option<(ExecutionId, u64)> {
    let (execution, sequence) = id.split_once('/')?;
    let execution: ExecutionId = execution.parse().ok()?;
    (source == source_of(namespace, execution)).then_some(())?;
    Some((execution, sequence.parse().ok()?))
}

/// The event of an entry. `url` is where the service is reached: `outputUri` lies under it.
pub fn event_of(birth: &Birth, entry: &Entry, url: &str) -> Option<Event> {
    let kind = kind_of(entry.kind)?;
    let source = source_of(&birth.namespace, birth.id);
    Some(Event {
        id: format!("{}/{}", birth.id, entry.sequence).into(),
        source: source.as_str().into(),
        kind: kind.into(),
        subject: Some(birth.id.to_string().into()),
        time: Some(entry.time.rfc3339().into()),
        datacontenttype: Some("application/json".into()),
        dataschema: None,
        extensions: Map::new(),
        data: Data::Json(Value::from(data(birth, entry, &format!("{url}{source}")))),
    })
}

/// The qualified name of an execution in its events.
fn name(birth: &Birth) -> Value {
    Value::text(format!("{}-{}.{}", birth.workflow, birth.id, birth.namespace))
}

fn data(birth: &Birth, entry: &Entry, output: &str) -> Map {
    let mut data = Map::new();
    let mut put = |key: &str, value: Value| {
        data.insert(Arc::from(key), value);
    };
    match &entry.task {
        None => put("name", name(birth)),
        Some(task) => {
            put("workflow", name(birth));
            put("task", Value::text(task.reference.clone()));
        }
    }
    if entry.kind == "workflow.started" {
        let definition = Value::object([
            ("name", Value::text(birth.workflow.clone())),
            ("namespace", Value::text(birth.namespace.clone())),
            ("version", Value::text(birth.version.clone())),
        ]);
        put("definition", definition);
    }
    let what = entry.kind.split_once('.').map_or("", |(_, what)| what);
    put(&format!("{what}At"), Value::text(Time::rfc3339(entry.time)));
    if let Some(fault) = &entry.error {
        put("error", fault.to_value());
    }
    if entry.kind == "workflow.completed" {
        put("outputUri", Value::text(output));
    }
    data
}

#[cfg(test)]
mod tests {
    use tidemill_dsl::fault::Fault;
    use tidemill_engine::entry::TaskRef;

    use super::*;

    fn birth() -> Birth {
        Birth {
            id: ExecutionId::new(Time(1), [0; 10]),
            namespace: "ns".into(),
            workflow: "greet".into(),
            version: "1.0.0".into(),
            digest: [0; 32],
            created: Time(1),
            input: Value::Null,
            cause: None,
            parent: None,
            tags: vec![],
            path: Vec::new(),
        }
    }

    fn entry(kind: &'static str) -> Entry {
        Entry {
            sequence: 3,
            time: Time(5),
            kind,
            task: None,
            input: None,
            output: None,
            error: None,
            reason: None,
            child: None,
            function: None,
        }
    }

    #[test]
    fn types() {
        let check = |entry: &str, expected: Option<&str>| {
            assert_eq!(kind_of(entry).as_deref(), expected, "{entry}");
            if let Some(kind) = expected {
                assert_eq!(entry_of(kind), Some(entry));
            }
        };
        check("workflow.started", Some("io.serverlessworkflow.workflow.started.v1"));
        check("task.retried", Some("io.serverlessworkflow.task.retried.v1"));
        check("workflow.retried", None);
        check("other.started", None);
        assert_eq!(entry_of("io.serverlessworkflow.workflow.status-changed.v1"), None);
    }

    #[test]
    fn data_of_each_kind() {
        let check = |entry: Entry, expected: &str| {
            let event = event_of(&birth(), &entry, "http://h").unwrap();
            let Data::Json(data) = event.data else { panic!("no data") };
            assert_eq!(data.to_string(), expected);
        };
        let id = birth().id;
        check(
            entry("workflow.started"),
            &format!(
                r#"{{"name":"greet-{id}.ns","definition":{{"name":"greet","namespace":"ns","version":"1.0.0"}},"startedAt":"1970-01-01T00:00:00.005Z"}}"#
            ),
        );
        check(
            entry("workflow.completed"),
            &format!(
                r#"{{"name":"greet-{id}.ns","completedAt":"1970-01-01T00:00:00.005Z","outputUri":"http://h/v1/namespaces/ns/executions/{id}"}}"#
            ),
        );
        let task = TaskRef { name: "a".into(), reference: "/do/0/a".into(), attempt: 1, visit: 1 };
        let fault = Fault { kind: "urn:x".into(), status: 1, title: None, detail: None, instance: None };
        check(
            Entry { task: Some(task), error: Some(fault), ..entry("task.faulted") },
            &format!(
                r#"{{"workflow":"greet-{id}.ns","task":"/do/0/a","faultedAt":"1970-01-01T00:00:00.005Z","error":{{"type":"urn:x","status":1}}}}"#
            ),
        );
    }

    #[test]
    fn sources_and_ids_name_an_entry() {
        let event = event_of(&birth(), &entry("workflow.started"), "").unwrap();
        assert_eq!(named("ns", &event.source, &event.id), Some((birth().id, 3)));
        assert_eq!(named("other", &event.source, &event.id), None);
    }
}
