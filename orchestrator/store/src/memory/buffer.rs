//! What a change of a buffer means: states of deliveries, order keys, dead letters.
//!
//! Owns the rule that at most one delivery of an order key is ready or in flight.

use super::state::State;
use crate::batch::{BufferChange, Committed, DeadLetter, Delivery, DeliveryKey, DeliveryState};
use crate::read::StoredDelivery;

pub(super) fn enqueue(state: &mut State, delivery: &Delivery) -> u64 {
    let pos = state.next();
    let held = delivery.key.is_some() && of_key(state, delivery).next().is_some();
    let key = DeliveryKey { namespace: delivery.namespace.clone(), trigger: delivery.trigger.clone(), pos };
    let state_now = if held { DeliveryState::Blocked } else { DeliveryState::Ready };
    state.deliveries.put(key, StoredDelivery { pos, state: state_now, delivery: delivery.clone() });
    pos
}

/// Whether a delivery of the same trigger and order key is stored, whatever its state.
pub(super) fn is_open(state: &State, like: &Delivery) -> bool {
    of_key(state, like).next().is_some()
}

/// The deliveries of the trigger and order key of `like`, in order of position.
fn of_key<'a>(state: &'a State, like: &'a Delivery) -> impl Iterator<Item = &'a DeliveryKey> {
    let same = |d: &Delivery| d.namespace == like.namespace && d.trigger == like.trigger && d.key == like.key;
    state.deliveries.iter().filter(move |(_, d)| same(&d.delivery)).map(|(key, _)| key)
}

pub(super) fn bury(state: &mut State, letter: &DeadLetter) {
    let id = state.next();
    state.dead.put(id, DeadLetter { id, ..letter.clone() });
}

pub(super) fn buffer(state: &mut State, change: &BufferChange, out: &mut Committed) {
    match change {
        BufferChange::Enqueue(delivery) => out.deliveries.push(enqueue(state, delivery)),
        BufferChange::Take(key) => turn(state, key, &[DeliveryState::Ready], DeliveryState::InFlight),
        BufferChange::Park(key) => turn(state, key, &[DeliveryState::InFlight], DeliveryState::Parked),
        BufferChange::Finish(key) => finish(state, key),
        BufferChange::Again { key, not_before, attempt, execution } => {
            let may = |s| matches!(s, DeliveryState::InFlight | DeliveryState::Parked);
            if state.deliveries.get(key).is_some_and(|d| may(d.state)) {
                state.deliveries.change(key, |d| {
                    d.state = DeliveryState::Ready;
                    d.delivery.not_before = *not_before;
                    d.delivery.attempt = *attempt;
                    d.delivery.execution = *execution;
                });
            }
        }
        BufferChange::Bucket { namespace, trigger, bucket } => {
            state.buckets.put((namespace.clone(), trigger.clone()), *bucket);
        }
        BufferChange::Dead(letter) => bury(state, letter),
        BufferChange::DeadState { namespace, id, state: now } => {
            if state.dead.get(id).is_some_and(|letter| letter.namespace == *namespace) {
                state.dead.change(id, |letter| letter.state = *now);
            }
        }
    }
}

fn turn(state: &mut State, key: &DeliveryKey, from: &[DeliveryState], to: DeliveryState) {
    if state.deliveries.get(key).is_some_and(|d| from.contains(&d.state)) {
        state.deliveries.change(key, |d| d.state = to);
    }
}

fn finish(state: &mut State, key: &DeliveryKey) {
    let Some(gone) = state.deliveries.delete(key) else {
        return;
    };
    if gone.delivery.key.is_none() || gone.state == DeliveryState::Blocked {
        return;
    }
    let next = of_key(state, &gone.delivery).next().cloned();
    if let Some(next) = next {
        turn(state, &next, &[DeliveryState::Blocked], DeliveryState::Ready);
    }
}
