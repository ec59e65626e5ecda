//! The account of a decision: each record is folded as it is yielded, and what that changes about stored timers and
//! subscriptions is noted.
//!
//! A timer set and cleared in one decision is not told at all.

use std::collections::BTreeSet;

use tidemill_dsl::ids::Visit;
use tidemill_dsl::program::{Kind, Program};

use crate::apply::apply;
use crate::execution::{Execution, ROOT, Timers};
use crate::history::Record;
use crate::machine::Machine;
use crate::record::{Due, DueChange, Subscription, SubscriptionChange};

impl Machine<'_> {
    /// Yields a record: folds it and notes what it changes about timers and subscriptions.
    pub(crate) fn emit(&mut self, record: Record) {
        if matches!(record, Record::Settled) {
            return self.settle(record);
        }
        let Some(visit) = touched(&record, self.x) else {
            return self.fold(record);
        };
        let before = (self.x.timers(visit), self.x.listens(visit));
        self.fold(record);
        self.note(visit, before);
    }

    fn fold(&mut self, record: Record) {
        apply(self.program, self.x, &record, self.now);
        self.records.push(record);
    }

    /// What was kept is used up: what its visits have begun meanwhile wants its timers and subscriptions from now on.
    fn settle(&mut self, record: Record) {
        let visits: BTreeSet<Visit> = self.x.kept.iter().map(|(visit, _)| *visit).collect();
        let before: Vec<_> =
            visits.into_iter().map(|visit| (visit, self.x.timers(visit), self.x.listens(visit))).collect();
        self.fold(record);
        for (visit, timers, listened) in before {
            self.note(visit, (timers, listened));
        }
    }

    /// Notes what has changed about a visit.
    fn note(&mut self, visit: Visit, (before, listened): (Timers, bool)) {
        let after = self.x.timers(visit);
        if before != after {
            before.0.iter().flatten().filter(|due| !after.contains(due)).for_each(|due| self.clear(*due));
            let set = after.0.iter().flatten().filter(|due| !before.contains(due));
            self.due.extend(set.map(|due| DueChange::Set(*due)));
        }
        match (listened, self.x.listens(visit)) {
            (false, true) => self
                .subscriptions
                .extend(subscription(self.program, self.x, visit).map(SubscriptionChange::Add)),
            (true, false) => self.unsubscribe(visit),
            _ => {}
        }
    }

    fn clear(&mut self, due: Due) {
        match self.due.iter().rposition(|change| *change == DueChange::Set(due)) {
            Some(at) => {
                self.due.remove(at);
            }
            None => self.due.push(DueChange::Clear(due)),
        }
    }

    fn unsubscribe(&mut self, visit: Visit) {
        let added =
            |change: &SubscriptionChange| matches!(change, SubscriptionChange::Add(s) if s.visit == visit);
        match self.subscriptions.iter().rposition(added) {
            Some(at) => {
                self.subscriptions.remove(at);
            }
            None => self.subscriptions.push(SubscriptionChange::Remove(self.x.birth.id, visit)),
        }
    }
}

/// The visit whose timers or subscription a record may change.
fn touched(record: &Record, x: &Execution) -> Option<Visit> {
    match record {
        Record::Entered { task, .. } | Record::Fetching { task, .. } => Some(x.upcoming(*task)),
        Record::Revived { visit, .. } => x.frame(*visit).map(|frame| x.upcoming(frame.task)),
        Record::Began { visit, .. }
        | Record::Took { visit, .. }
        | Record::Held { visit, .. }
        | Record::Ended { visit, .. }
        | Record::Faulted { visit, .. }
        | Record::Cancelled { visit, .. }
        | Record::Delayed { visit, .. }
        | Record::Retried { visit, .. }
        | Record::Handling { visit, .. }
        | Record::Kept { visit, .. } => Some(*visit),
        Record::Started { .. }
        | Record::Taken { .. }
        | Record::Reopened { .. }
        | Record::Completed { .. }
        | Record::WorkflowFaulted { .. }
        | Record::WorkflowCancelled { .. } => Some(ROOT),
        _ => None,
    }
}

/// The subscription of a listening visit.
pub(crate) fn subscription(program: &Program, x: &Execution, visit: Visit) -> Option<Subscription> {
    let Kind::Listen(listen) = &program.task(x.frame(visit)?.task).kind else {
        return None;
    };
    Some(Subscription {
        execution: x.birth.id,
        namespace: x.birth.namespace.clone(),
        visit,
        kind: listen.filter.event_type().map(Into::into),
        since: x.started.unwrap_or(x.time),
    })
}
