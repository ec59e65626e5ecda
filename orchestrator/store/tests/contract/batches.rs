//! Building blocks of the tests: short ways to write batches.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use tidemill_dsl::event::{Data, Event};
use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Birth, Cause, Ended, Status, Summary, Transition};
use tidemill_store::{
    Arrival, Batch, Class, Committed, Create, Definition, DefinitionKind, Delivery, IngressPart,
    OperatorChange, Part, Refusal, ShardPart, Span, SqliteStore, Store,
};

pub(crate) const NOON: i64 = 1_764_000_000_000;
pub(crate) const DAY: i64 = 86_400_000;

pub(crate) fn sqlite(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder.join("tidemill.db"), tidemill_store::sqlite::Options::default()).unwrap()
}

/// Submits and waits for the completion.
pub(crate) fn commit(store: &dyn Store, batch: Batch) -> Result<Committed, Refusal> {
    let (told, tell) = channel();
    store.submit(batch, Box::new(move |outcome| told.send(outcome).unwrap()));
    tell.recv_timeout(Duration::from_mins(1)).expect("every batch is completed")
}

pub(crate) fn batch(parts: Vec<Part>) -> Batch {
    Batch { class: Class::New, parts }
}

pub(crate) fn running(parts: Vec<Part>) -> Batch {
    Batch { class: Class::Running, parts }
}

pub(crate) fn at(offset: i64) -> Time {
    Time(NOON + offset)
}

pub(crate) fn id(offset: i64, tail: u8) -> ExecutionId {
    ExecutionId::new(at(offset), [tail; 10])
}

pub(crate) fn text(text: &str) -> Arc<str> {
    text.into()
}

pub(crate) fn transition(execution: ExecutionId, namespace: &str, first: u64, count: u32) -> Transition {
    Transition {
        execution,
        namespace: namespace.into(),
        first,
        count,
        time: execution.time(),
        lifecycle: first == 1,
        body: format!("1:{first}+{count}").into_bytes(),
    }
}

pub(crate) fn create(namespace: &str, workflow: &str, id: ExecutionId) -> Create {
    Create {
        birth: Arc::new(Birth {
            id,
            namespace: namespace.into(),
            workflow: workflow.into(),
            version: "1.0.0".into(),
            digest: [7; 32],
            created: id.time(),
            input: Value::Null,
            cause: None,
            parent: None,
            tags: Vec::new(),
            path: Vec::new(),
        }),
        first: transition(id, namespace, 1, 1),
        summary: summary(id, Status::Running, Some(id.time()), None),
        key: None,
    }
}

/// The same creation with another birth.
pub(crate) fn born(mut create: Create, change: impl FnOnce(&mut Birth)) -> Create {
    change(Arc::make_mut(&mut create.birth));
    create
}

pub(crate) fn summary(
    execution: ExecutionId,
    status: Status,
    started: Option<Time>,
    ended: Option<Time>,
) -> Summary {
    let result = match status {
        Status::Completed => Some(Ended::Completed(Value::text("done"))),
        Status::Cancelled => Some(Ended::Cancelled),
        Status::Faulted => Some(Ended::Faulted(tidemill_dsl::fault::Fault::timeout("too slow"))),
        _ => None,
    };
    Summary { execution, status, started, ended, result }
}

pub(crate) fn start(create: Create) -> Part {
    Part::Create(Box::new(create))
}

pub(crate) fn shard(change: impl FnOnce(&mut ShardPart)) -> Part {
    let mut part = ShardPart::default();
    change(&mut part);
    Part::Shard(part)
}

pub(crate) fn event(source: &str, id: &str, kind: &str, data: i64) -> Arc<Event> {
    Arc::new(Event {
        id: id.into(),
        source: source.into(),
        kind: kind.into(),
        subject: None,
        time: None,
        datacontenttype: None,
        dataschema: None,
        extensions: tidemill_dsl::value::Map::new(),
        data: Data::Json(data.into()),
    })
}

pub(crate) fn arrival(event: Arc<Event>, accepted: Time) -> Arrival {
    Arrival {
        event,
        accepted,
        placed: false,
        starts: Vec::new(),
        deliveries: Vec::new(),
        dead: Vec::new(),
        skips: Vec::new(),
    }
}

pub(crate) fn ingress(namespace: &str, binding: &str, arrivals: Vec<Arrival>) -> Part {
    let (namespace, binding) = (namespace.into(), binding.into());
    Part::Ingress(IngressPart { namespace, binding, arrivals, checkpoints: Vec::new() })
}

pub(crate) fn cause(trigger: &str, binding: &str, event: &Event) -> Cause {
    Cause {
        trigger: trigger.into(),
        generation: 1,
        attempt: 1,
        binding: binding.into(),
        source: event.source.clone(),
        id: event.id.clone(),
        buffered: true,
    }
}

pub(crate) fn delivery(trigger: &str, execution: ExecutionId, key: Option<&str>, priority: i32) -> Delivery {
    Delivery {
        namespace: "default".into(),
        trigger: trigger.into(),
        execution,
        key: key.map(Into::into),
        priority,
        attempt: 1,
        not_before: at(0),
    }
}

pub(crate) fn definition(kind: DefinitionKind, name: &str, version: &str, digest: u8) -> Definition {
    Definition {
        kind,
        namespace: "default".into(),
        name: name.into(),
        version: version.into(),
        text: format!("{name}: {digest}").into(),
        digest: [digest; 32],
        generation: u64::from(digest),
        at: at(i64::from(digest)),
        current: true,
        paused: false,
    }
}

pub(crate) fn retain(executions: Time, events: Time, rows: u32) -> Batch {
    let spans = ["default", "other"].map(|ns| Span { namespace: ns.into(), executions, events });
    running(vec![Part::Operator(vec![OperatorChange::Retain { spans: spans.into(), rows }])])
}
