//! Committing a turn and letting its effects go: nothing leaves before its batch is durable (invariant 2).

use tidemill_dsl::ids::ExecutionId;
use tidemill_store::{Accepted, Batch, Class, Refusal};
use tokio::sync::oneshot;

use super::Driver;
use super::turn::{Released, Turn};
use crate::error::Error;
use crate::lanes::Input;
use crate::view::ExecutionView;

impl Driver {
    pub(super) fn submit_start(
        &mut self,
        turn: Turn,
        id: ExecutionId,
        reply: oneshot::Sender<Result<ExecutionView, Error>>,
        view: ExecutionView,
    ) {
        let (parts, mut released) = turn.into_parts();
        let (rooms, lane) = (self.rooms.clone(), self.lane);
        self.rooms.store.submit(
            Batch { class: Class::New, parts },
            Box::new(move |result| match result {
                Ok(committed) => {
                    released.pos = committed.pos;
                    released.arrivals = committed.arrivals;
                    released.skipped = committed.skipped;
                    released.accepted.push((reply, view));
                    rooms.lanes.push(lane, [Input::Committed(Box::new(released))]);
                }
                Err(refusal) => {
                    for planned in &released.emitted {
                        rooms.ingress.refused(&rooms, planned);
                    }
                    if matches!(refusal, Refusal::Failed(_) | Refusal::StaleEpoch) {
                        rooms.broke(&refusal);
                    }
                    rooms.lanes.push(lane, [Input::Unborn(id)]);
                    let _ = reply.send(Err(Error::from(refusal)));
                }
            }),
        );
    }

    /// Hands the turn's batch to the store; its effects come back to this lane once durable.
    pub(super) fn submit(&mut self, turn: Turn) {
        let (parts, mut released) = turn.into_parts();
        if parts.is_empty() {
            self.release(released);
            return;
        }
        let (rooms, lane) = (self.rooms.clone(), self.lane);
        self.rooms.store.submit(
            Batch { class: Class::Running, parts },
            Box::new(move |result| match result {
                Ok(committed) => {
                    released.pos = committed.pos;
                    released.arrivals = committed.arrivals;
                    released.skipped = committed.skipped;
                    rooms.lanes.push(lane, [Input::Committed(Box::new(released))]);
                }
                // Decisions were taken on what is not durable: memory is worth nothing any more.
                Err(refusal) => rooms.broke(&refusal),
            }),
        );
    }

    /// The batch is durable: everything it caused may leave.
    pub(super) fn release(&mut self, released: Released) {
        let Released {
            orders,
            aborts,
            accepted,
            replies,
            pushes,
            due,
            subscriptions,
            ended,
            deliveries,
            emitted,
            arrivals,
            skipped,
            touched,
            pos,
        } = released;
        for (reply, view) in accepted {
            let _ = reply.send(Ok(view));
        }
        for reply in replies {
            let _ = reply.send(Ok(()));
        }
        self.rooms.timers.change(due);
        self.rooms.listeners.change(subscriptions);
        for (id, visit) in aborts {
            self.rooms.dispatch.abort(id, visit);
        }
        if !orders.is_empty() {
            self.rooms.dispatch.perform(orders);
        }
        for (id, input) in pushes {
            self.rooms.lanes.send(id, input);
        }
        let mut arrivals = arrivals.into_iter();
        for planned in emitted {
            let own: Vec<Accepted> = arrivals.by_ref().take(planned.events()).collect();
            self.rooms.ingress.stored(&self.rooms, planned, &own, &skipped);
        }
        if !deliveries.is_empty() {
            self.rooms.buffers.ended(deliveries);
        }
        if !ended.is_empty() {
            self.rooms.waiters.ended(ended);
        }
        if pos > 0 {
            self.rooms.stream.committed(pos);
        }
        self.settle(&touched);
    }

    /// Counts a durable turn; ended executions leave memory.
    pub(super) fn settle(&mut self, touched: &[ExecutionId]) {
        for id in touched {
            let Some(slot) = self.slots.get_mut(id) else {
                continue;
            };
            slot.undurable = slot.undurable.saturating_sub(1);
            slot.born = true;
            for input in std::mem::take(&mut slot.deferred) {
                self.rooms.lanes.push(self.lane, [input]);
            }
            if slot.undurable == 0 && slot.execution.status().ended() {
                self.slots.remove(id);
            }
        }
    }

    /// A start was refused: nothing of it was written, nothing of it may stay.
    pub(super) fn unborn(&mut self, id: ExecutionId) {
        if let Some(slot) = self.slots.remove(&id) {
            self.rooms.lanes.push(self.lane, slot.deferred);
        }
    }
}
