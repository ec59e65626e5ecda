//! Callers that wait for an execution's end (`Prefer: wait`, `?wait=`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tidemill_dsl::ids::ExecutionId;
use tokio::sync::oneshot;

use crate::view::ExecutionView;

/// Who waits for what.
#[derive(Default)]
pub struct Waiters {
    waiting: Mutex<HashMap<ExecutionId, Vec<oneshot::Sender<ExecutionView>>>>,
}

impl Waiters {
    /// Registers; ask for the execution's state *after* this, lest its end be missed.
    pub fn wait(&self, id: ExecutionId) -> oneshot::Receiver<ExecutionView> {
        let (tx, rx) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let list = waiting.entry(id).or_default();
        list.retain(|tx| !tx.is_closed());
        list.push(tx);
        rx
    }

    /// Tells the ends.
    pub fn ended(&self, ended: Vec<ExecutionView>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return;
        }
        for view in ended {
            for tx in waiting.remove(&view.id).unwrap_or_default() {
                let _ = tx.send(view.clone());
            }
        }
    }

    /// Forgets callers that went away.
    pub fn sweep(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, list| {
            list.retain(|tx| !tx.is_closed());
            !list.is_empty()
        });
    }
}
