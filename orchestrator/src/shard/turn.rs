//! One turn of a lane: what goes into its batch, and what leaves the process once that is durable.

use std::sync::Arc;

use tidemill_dsl::ids::{ExecutionId, Shard, Time, Visit};
use tidemill_dsl::order::Order;
use tidemill_dsl::program::Program;
use tidemill_engine as engine;
use tidemill_engine::record::{Birth, DueChange, Ended, Parent, SubscriptionChange};
use tidemill_store::{Accepted, Create, InboxItem, InboxKey, IngressPart, Part, ShardPart};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::inbox;
use crate::ingress::Planned;
use crate::lanes::Input;
use crate::view::ExecutionView;

/// What leaves the process once a batch is durable.
#[derive(Default)]
pub struct Released {
    pub(super) orders: Vec<Order>,
    pub(super) aborts: Vec<(ExecutionId, Visit)>,
    pub(super) accepted: Vec<(oneshot::Sender<Result<ExecutionView, Error>>, ExecutionView)>,
    pub(super) replies: Vec<oneshot::Sender<Result<(), Error>>>,
    pub(super) pushes: Vec<(ExecutionId, Input)>,
    pub(super) due: Vec<DueChange>,
    pub(super) subscriptions: Vec<SubscriptionChange>,
    pub(super) ended: Vec<ExecutionView>,
    pub(super) deliveries: Vec<inbox::DeliveryEnded>,
    pub(super) emitted: Vec<Planned>,
    pub(super) arrivals: Vec<Accepted>,
    pub(super) skipped: Vec<ExecutionId>,
    pub(super) touched: Vec<ExecutionId>,
    pub(super) pos: u64,
}

/// One turn's work: what goes into the batch, and what leaves after it.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) part: ShardPart,
    pub(super) creates: Vec<Part>,
    pub(super) inbox: Vec<InboxItem>,
    pub(super) emitted: Vec<IngressPart>,
    pub(super) released: Released,
    pub(super) bytes: usize,
}
impl Turn {
    /// The batch's parts, and what leaves after it.
    pub(super) fn into_parts(self) -> (Vec<Part>, Released) {
        let Turn { part, creates, inbox, emitted, released, .. } = self;
        let mut parts = creates;
        parts.extend(emitted.into_iter().map(Part::Ingress));
        if !inbox.is_empty() {
            parts.push(Part::Inbox(inbox));
        }
        if part != ShardPart::default() {
            parts.push(Part::Shard(part));
        }
        (parts, released)
    }
}

/// A creation whose execution is pending: the first transition holds the facts of birth alone.
pub fn create_pending(program: &Program, birth: &Arc<Birth>) -> Create {
    let mut execution = engine::create(program, birth.clone());
    Create {
        birth: birth.clone(),
        first: engine::created(&mut execution),
        summary: engine::summary(&execution),
        key: None,
    }
}

/// An awaiting parent is told of its child's end: stored for its shard, and handed over once durable.
pub(super) fn tell_parent(birth: &Birth, ended: &Ended, turn: &mut Turn) {
    if let Some(parent) = birth.parent.filter(|p| p.awaited) {
        child_ended(parent, birth.id, ended, turn);
    }
}

pub(super) fn child_ended(parent: Parent, child: ExecutionId, ended: &Ended, turn: &mut Turn) {
    let key = InboxKey { shard: Shard::of(parent.execution), from: child, number: inbox::CHILD_ENDED };
    turn.inbox.push(inbox::child_ended(key, parent, child, ended));
    let end = crate::lanes::ChildEnded {
        parent: parent.execution,
        visit: parent.visit,
        child,
        ended: ended.clone(),
        key: Some(key),
    };
    turn.released.pushes.push((parent.execution, Input::ChildEnded(Box::new(end))));
}

/// A trigger with a buffer is told of every end, one without of a fault only.
pub(super) fn tell_trigger(birth: &Birth, ended: Ended, now: Time, turn: &mut Turn) {
    let Some(cause) = &birth.cause else { return };
    if !cause.buffered && !matches!(ended, Ended::Faulted(_)) {
        return;
    }
    let shard = Shard::of_trigger(&birth.namespace, &cause.trigger);
    let key = InboxKey { shard, from: birth.id, number: inbox::DELIVERY_ENDED };
    let end = inbox::DeliveryEnded {
        key,
        namespace: birth.namespace.clone(),
        cause: cause.clone(),
        execution: birth.id,
        at: now,
        fault: match ended {
            Ended::Faulted(fault) => Some(fault),
            Ended::Completed(_) | Ended::Cancelled => None,
        },
    };
    turn.inbox.push(inbox::delivery_ended(&end));
    turn.released.deliveries.push(end);
}
