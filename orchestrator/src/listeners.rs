//! Listens (D10): each is a cursor on the stored events. After its subscription is durable the events stored since its
//! execution began are read once, then it is woken by each new event of its type. No lock between ingress and lanes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidemill_dsl::event::StoredEvent;
use tidemill_dsl::ids::{ExecutionId, Namespace, Time, Visit};
use tidemill_engine::record::{Subscription, SubscriptionChange};
use tidemill_store::EventQuery;

use crate::lanes::Input;
use crate::rooms::Rooms;

/// Events read at once while catching up.
const PAGE: usize = 256;

/// The listens of all executions.
#[derive(Default)]
pub struct Listeners {
    state: Mutex<State>,
    added: tokio::sync::Notify,
}

#[derive(Default)]
struct State {
    /// By namespace and type; the empty type holds listens that state none.
    live: HashMap<(Namespace, Arc<str>), Vec<Key>>,
    /// Where each stands, for removal.
    by_key: HashMap<Key, (Namespace, Arc<str>, Time)>,
    /// Added, not caught up yet.
    fresh: Vec<Subscription>,
    /// New events of listens that are catching up: handed over after the stored ones.
    held: HashMap<Key, Vec<Arc<StoredEvent>>>,
}

type Key = (ExecutionId, Visit);

impl Listeners {
    /// Takes over durable changes.
    pub fn change(&self, changes: Vec<SubscriptionChange>) {
        if changes.is_empty() {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            match change {
                SubscriptionChange::Add(subscription) => {
                    let key = (subscription.execution, subscription.visit);
                    let place =
                        (subscription.namespace.clone(), subscription.kind.clone().unwrap_or_default());
                    let known = (place.0.clone(), place.1.clone(), subscription.since);
                    if state.by_key.insert(key, known).is_none() {
                        state.live.entry(place).or_default().push(key);
                        state.held.insert(key, Vec::new());
                        state.fresh.push(subscription);
                    }
                }
                SubscriptionChange::Remove(execution, visit) => state.remove((execution, visit)),
            }
        }
        if !state.fresh.is_empty() {
            self.added.notify_one();
        }
    }

    /// A new event: listens that are caught up are woken through the returned list by the caller's lanes; the event is
    /// made only if somebody listens.
    pub fn event(
        &self,
        namespace: &Namespace,
        event: impl FnOnce() -> StoredEvent,
    ) -> Vec<(Key, Arc<StoredEvent>)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.by_key.is_empty() {
            return Vec::new();
        }
        let event = Arc::new(event());
        let kinds = [event.event.kind.clone(), Arc::from("")];
        let keys: Vec<Key> = kinds
            .into_iter()
            .filter_map(|kind| state.live.get(&(namespace.clone(), kind)))
            .flatten()
            .copied()
            .collect();
        let mut woken = Vec::new();
        for key in keys {
            match state.held.get_mut(&key) {
                Some(held) => held.push(event.clone()),
                None => woken.push((key, event.clone())),
            }
        }
        woken
    }

    /// Listens that state a type with this beginning; `since` is that of the listen.
    pub fn stating(&self, prefix: &str) -> Vec<Subscription> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let own = state.by_key.iter().filter(|(_, (_, kind, _))| kind.starts_with(prefix));
        own.map(|((execution, visit), (namespace, kind, since))| Subscription {
            execution: *execution,
            namespace: namespace.clone(),
            visit: *visit,
            kind: Some(kind.clone()),
            since: *since,
        })
        .collect()
    }

    /// Forgets the listens of a namespace.
    pub fn forget(&self, namespace: &Namespace) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let own = state.by_key.iter().filter(|(_, (ns, _, _))| ns == namespace).map(|(key, _)| *key);
        for key in own.collect::<Vec<_>>() {
            state.remove(key);
        }
    }

    /// Listens known.
    pub fn count(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).by_key.len()
    }

    fn take_fresh(&self) -> Vec<Subscription> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).fresh)
    }
}

impl State {
    fn remove(&mut self, key: Key) {
        self.held.remove(&key);
        let Some((namespace, kind, _)) = self.by_key.remove(&key) else {
            return;
        };
        let place = (namespace, kind);
        if let Some(keys) = self.live.get_mut(&place) {
            keys.retain(|k| *k != key);
            if keys.is_empty() {
                self.live.remove(&place);
            }
        }
    }
}

/// Catches fresh listens up, forever. One task of the runtime; reads happen on blocking threads.
pub async fn run(rooms: Arc<Rooms>) {
    loop {
        rooms.listeners.added.notified().await;
        for subscription in rooms.listeners.take_fresh() {
            let rooms = rooms.clone();
            let done = tokio::task::spawn_blocking(move || catch_up(&rooms, &subscription)).await;
            if let Err(error) = done {
                tracing::error!(%error, "cannot catch a listen up");
            }
        }
    }
}

/// Reads the stored events once, then lets the held ones follow.
fn catch_up(rooms: &Rooms, subscription: &Subscription) {
    let key = (subscription.execution, subscription.visit);
    let mut query = EventQuery {
        namespace: subscription.namespace.clone(),
        kind: subscription.kind.clone(),
        since: Some(subscription.since),
        limit: PAGE,
        ..EventQuery::default()
    };
    loop {
        match rooms.store.events(&query) {
            Ok(page) => {
                let full = page.len() == PAGE;
                query.after = page.last().map(|e| e.pos).or(query.after);
                let inputs = page.into_iter().map(|e| Input::Event(key.0, key.1, Arc::new(e)));
                rooms.lanes.push(rooms.lanes.of(key.0), inputs);
                if !full {
                    break;
                }
            }
            Err(error) => {
                tracing::error!(%error, execution = %key.0, "cannot read events for a listen; it sees new ones only");
                break;
            }
        }
    }
    let last = query.after.unwrap_or(0);
    let mut state = rooms.listeners.state.lock().unwrap_or_else(PoisonError::into_inner);
    let held = state.held.remove(&key).unwrap_or_default();
    let inputs = held.into_iter().filter(|e| e.pos > last).map(|e| Input::Event(key.0, key.1, e));
    rooms.lanes.push(rooms.lanes.of(key.0), inputs);
}
