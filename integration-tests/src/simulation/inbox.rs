//! Inbox items of the simulated process: a child's end and a cancel (architecture.md, D4). The store does not
//! understand their bodies, so they have a form of their own here.

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Visit};
use tidemill_dsl::value::Value;
use tidemill_engine::record::Ended;
use tidemill_store::{InboxItem, InboxKey};

/// Number of a child's end.
pub(super) const CHILD_ENDED: u32 = 0;
/// Number of a cancel.
pub(super) const CANCEL: u32 = 2;

/// An awaited child's end, for its parent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ChildEnded {
    pub parent: ExecutionId,
    pub visit: Visit,
    pub child: ExecutionId,
    pub ended: Ended,
}

/// An item, read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    ChildEnded(ChildEnded),
    Cancel(ExecutionId),
}

/// The item of a child's end.
pub(super) fn child_ended(key: InboxKey, end: &ChildEnded) -> InboxItem {
    let (word, value) = match &end.ended {
        Ended::Completed(output) => ("completed", output.clone()),
        Ended::Faulted(fault) => ("faulted", fault.to_value()),
        Ended::Cancelled => ("cancelled", Value::Null),
    };
    let fields = [
        ("parent", Value::text(end.parent.to_string())),
        ("visit", Value::from(end.visit)),
        ("child", Value::text(end.child.to_string())),
        ("ended", Value::text(word)),
        ("value", value),
    ];
    InboxItem { key, body: Value::object(fields).to_json() }
}

/// The item of a cancel.
pub(super) fn cancel(key: InboxKey, execution: ExecutionId) -> InboxItem {
    InboxItem { key, body: Value::text(execution.to_string()).to_json() }
}

/// Reads an item back.
pub(super) fn read(item: &InboxItem) -> Option<Told> {
    let value = Value::parse(&item.body).ok()?;
    let id = |value: &Value| value.as_str().and_then(|text| text.parse::<ExecutionId>().ok());
    if item.key.number == CANCEL {
        return id(&value).map(Told::Cancel);
    }
    let result = value.get("value").cloned().unwrap_or_default();
    let ended = match value.get("ended")?.as_str()? {
        "completed" => Ended::Completed(result),
        "faulted" => Ended::Faulted(Fault::from_value(&result)),
        _ => Ended::Cancelled,
    };
    Some(Told::ChildEnded(ChildEnded {
        parent: id(value.get("parent")?)?,
        visit: u32::try_from(value.get("visit")?.as_i64()?).ok()?,
        child: id(value.get("child")?)?,
        ended,
    }))
}

#[cfg(test)]
mod tests {
    use tidemill_dsl::ids::{Shard, Time};

    use super::*;

    #[test]
    fn items_round_trip() {
        let id = ExecutionId::derived(Time(5), &[b"x"]);
        let key = |number| InboxKey { shard: Shard(3), from: id, number };
        for ended in
            [Ended::Completed(Value::from(4)), Ended::Faulted(Fault::runtime("no")), Ended::Cancelled]
        {
            let end = ChildEnded { parent: id, visit: 7, child: id, ended };
            assert_eq!(read(&child_ended(key(CHILD_ENDED), &end)), Some(Told::ChildEnded(end)));
        }
        assert_eq!(read(&cancel(key(CANCEL), id)), Some(Told::Cancel(id)));
    }
}
