//! The inbox: the only way between shards (D4). An item is written in the sender's commit and removed in the
//! receiver's; within the process it is also handed over in memory once durable.

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Namespace, Time, Visit};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Cause, Ended, Parent};
use tidemill_store::{InboxItem, InboxKey};

/// Number of a child's end.
pub const CHILD_ENDED: u32 = 0;
/// Number of a delivery's end.
pub const DELIVERY_ENDED: u32 = 1;
/// Number of a cancel.
pub const CANCEL: u32 = 2;

/// The end of a triggered execution, for the owner of its trigger's buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryEnded {
    /// The item.
    pub key: InboxKey,
    /// Namespace.
    pub namespace: Namespace,
    /// The delivery it stems from.
    pub cause: Cause,
    /// The execution.
    pub execution: ExecutionId,
    /// When it ended.
    pub at: Time,
    /// Its error, if it faulted.
    pub fault: Option<Fault>,
}

/// An inbox item, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A child ended.
    ChildEnded {
        /// The parent.
        parent: ExecutionId,
        /// Its `run` task's visit.
        visit: Visit,
        /// The child.
        child: ExecutionId,
        /// How.
        ended: Ended,
    },
    /// A triggered execution ended.
    DeliveryEnded(DeliveryEnded),
    /// An execution is to be cancelled.
    Cancel(ExecutionId),
}

fn item(key: InboxKey, fields: Vec<(&'static str, Value)>) -> InboxItem {
    let mut body = vec![1];
    Value::object(fields).write(&mut body);
    InboxItem { key, body }
}

/// The item of a child's end.
pub fn child_ended(key: InboxKey, parent: Parent, child: ExecutionId, ended: &Ended) -> InboxItem {
    let (word, value) = match ended {
        Ended::Completed(output) => ("completed", output.clone()),
        Ended::Faulted(fault) => ("faulted", fault.to_value()),
        Ended::Cancelled => ("cancelled", Value::Null),
    };
    item(
        key,
        vec![
            ("parent", Value::text(parent.execution.to_string())),
            ("visit", Value::from(parent.visit)),
            ("child", Value::text(child.to_string())),
            ("ended", Value::text(word)),
            ("value", value),
        ],
    )
}

/// The item of a cancel.
pub fn cancel(key: InboxKey, execution: ExecutionId) -> InboxItem {
    item(key, vec![("execution", Value::text(execution.to_string()))])
}

/// The item of a delivery's end.
pub fn delivery_ended(end: &DeliveryEnded) -> InboxItem {
    let cause = &end.cause;
    item(
        end.key,
        vec![
            ("namespace", Value::text(end.namespace.clone())),
            ("trigger", Value::text(cause.trigger.clone())),
            ("generation", Value::from(cause.generation)),
            ("attempt", Value::from(cause.attempt)),
            ("binding", Value::text(cause.binding.clone())),
            ("source", Value::text(cause.source.clone())),
            ("id", Value::text(cause.id.clone())),
            ("buffered", Value::from(cause.buffered)),
            ("execution", Value::text(end.execution.to_string())),
            ("at", Value::from(end.at.0)),
            ("fault", end.fault.as_ref().map_or(Value::Null, Fault::to_value)),
        ],
    )
}

/// Reads an item back; none if it is not of this format.
pub fn read(item: &InboxItem) -> Option<Told> {
    let (1, json) = item.body.split_first()? else {
        return None;
    };
    let v = Value::parse(json).ok()?;
    let text = |name: &str| v.get(name).and_then(Value::as_str);
    let id = |name: &str| text(name).and_then(|t| t.parse::<ExecutionId>().ok());
    let number = |name: &str| v.get(name).and_then(Value::as_i64);
    match item.key.number {
        CHILD_ENDED => {
            let value = v.get("value").cloned().unwrap_or_default();
            let ended = match text("ended")? {
                "completed" => Ended::Completed(value),
                "faulted" => Ended::Faulted(Fault::from_value(&value)),
                _ => Ended::Cancelled,
            };
            Some(Told::ChildEnded {
                parent: id("parent")?,
                visit: u32::try_from(number("visit")?).ok()?,
                child: id("child")?,
                ended,
            })
        }
        CANCEL => Some(Told::Cancel(id("execution")?)),
        DELIVERY_ENDED => Some(Told::DeliveryEnded(DeliveryEnded {
            key: item.key,
            namespace: text("namespace")?.into(),
            cause: Cause {
                trigger: text("trigger")?.into(),
                generation: u64::try_from(number("generation")?).ok()?,
                attempt: u32::try_from(number("attempt")?).ok()?,
                binding: text("binding")?.into(),
                source: text("source")?.into(),
                id: text("id")?.into(),
                buffered: v.get("buffered").and_then(Value::as_bool)?,
            },
            execution: id("execution")?,
            at: Time(number("at")?),
            fault: v.get("fault").filter(|f| !f.is_null()).map(Fault::from_value),
        })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tidemill_dsl::fault::Standard;
    use tidemill_dsl::ids::Shard;

    use super::*;

    #[test]
    fn items_round_trip() {
        let id = ExecutionId::derived(Time(5), &[b"x"]);
        let key = |number| InboxKey { shard: Shard(3), from: id, number };
        let fault = Fault::new(Standard::Runtime, "broke").with_instance("/do/0/a");
        let parent = Parent { execution: id, visit: 7, awaited: true };
        for ended in [Ended::Completed(Value::from(4)), Ended::Faulted(fault.clone()), Ended::Cancelled] {
            let told = read(&child_ended(key(CHILD_ENDED), parent, id, &ended));
            assert_eq!(told, Some(Told::ChildEnded { parent: id, visit: 7, child: id, ended }));
        }
        assert_eq!(read(&cancel(key(CANCEL), id)), Some(Told::Cancel(id)));
        for fault in [None, Some(fault)] {
            let end = DeliveryEnded {
                key: key(DELIVERY_ENDED),
                namespace: "ns".into(),
                cause: Cause {
                    trigger: "t".into(),
                    generation: 2,
                    attempt: 1,
                    binding: "".into(),
                    source: "s".into(),
                    id: "i".into(),
                    buffered: true,
                },
                execution: id,
                at: Time(9),
                fault,
            };
            assert_eq!(read(&delivery_ended(&end)), Some(Told::DeliveryEnded(end)));
        }
    }
}
