//! What must hold of every world, besides the engine's own invariants: effectively once, nothing stuck, nothing
//! acknowledged lost, every table about executions equal to what their logs say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use tidemill_dsl::ids::{ExecutionId, Time, Visit};
use tidemill_engine as engine;
use tidemill_engine::entry::Expander;
use tidemill_engine::history::{Kept, Record};
use tidemill_engine::record::{Due, Status, Transition};
use tidemill_engine::{Awaited, Execution, invariants};
use tidemill_store::{ExecutionRow, Read as _};

use super::author::NAMESPACE;
use super::coverage::Sheet;
use super::world::{Broken, World};

type Call = (ExecutionId, Visit, u32);

/// What was durably used of the outside.
#[derive(Default)]
pub(super) struct Account {
    settled: BTreeSet<Call>,
    told: BTreeSet<(ExecutionId, Visit)>,
    /// Retries of ended executions.
    pub retries: u32,
}

impl Account {
    /// Outcomes used in a durable batch.
    pub(super) fn settled(&mut self, calls: &[Call]) -> Result<(), Broken> {
        let twice = calls.iter().find(|call| !self.settled.insert(**call));
        twice.map_or(Ok(()), |(id, visit, _)| Err(format!("the outcome of {id}/{visit} was recorded twice")))
    }

    /// Ends of children used in a durable batch.
    pub(super) fn told(&mut self, parents: &[(ExecutionId, Visit)]) -> Result<(), Broken> {
        let twice = parents.iter().find(|parent| !self.told.insert(**parent));
        twice
            .map_or(Ok(()), |(id, visit)| Err(format!("{id}/{visit} was told twice of the end of its child")))
    }

    /// A call is made.
    pub(super) fn called(&self, call: Call) -> Result<(), Broken> {
        // An answer that came later has no attempt.
        if self.settled.contains(&call) || self.settled.contains(&(call.0, call.1, 0)) {
            return Err(format!(
                "the call of {}/{} was made again after its outcome was recorded",
                call.0, call.1
            ));
        }
        Ok(())
    }
}

impl World {
    /// The process is at rest: what is in memory is the fold of what is stored, and everything that has not ended
    /// waits for something that will come.
    pub(super) fn quiet(&self) -> Result<(), Broken> {
        if self.faults.held() > 0 {
            return Ok(()); // for want of space
        }
        let mut timers: BTreeMap<ExecutionId, BTreeSet<Due>> = BTreeMap::new();
        for due in self.store.due(None, Time(i64::MAX), usize::MAX).map_err(|error| error.to_string())? {
            timers.entry(due.execution).or_default().insert(due);
        }
        let mut listening: BTreeMap<ExecutionId, BTreeSet<Visit>> = BTreeMap::new();
        for one in self.store.subscriptions().map_err(|error| error.to_string())? {
            listening.entry(one.execution).or_default().insert(one.visit);
        }
        for row in self.unfinished()? {
            let (sheet, folded, _) = self.fold(row.id)?.ok_or("an execution has no log")?;
            let stored =
                (timers.remove(&row.id).unwrap_or_default(), listening.remove(&row.id).unwrap_or_default());
            self.rests(&row, (&sheet, &folded), stored)
                .map_err(|what| format!("{what}\n{} {} is {}", row.workflow, row.id, row.status.word()))?;
        }
        if let Some(id) = timers.keys().chain(listening.keys()).next() {
            return Err(format!("{id} has ended, but has a timer or listens"));
        }
        Ok(())
    }

    fn rests(
        &self,
        row: &ExecutionRow,
        (sheet, folded): (&Sheet, &Execution),
        (timers, listening): (BTreeSet<Due>, BTreeSet<Visit>),
    ) -> Result<(), Broken> {
        if let Some(slot) = self.lane.slots.get(&row.id)
            && slot.execution != *folded
        {
            return Err(format!("the state differs from its log:\n{:#?}\n{folded:#?}", slot.execution));
        }
        if folded.status() != row.status {
            return Err(format!("its log says {}", folded.status().word()));
        }
        let wanted = engine::resume(&sheet.program, folded);
        let due: BTreeSet<Due> = wanted.due.iter().copied().collect();
        if due != timers {
            return Err(format!("timers {due:?} are wanted, {timers:?} are stored"));
        }
        let visits: BTreeSet<Visit> = wanted.subscriptions.iter().map(|one| one.visit).collect();
        if visits != listening {
            return Err(format!("visits {visits:?} listen, {listening:?} are stored"));
        }
        if let Some(due) = due.iter().find(|due| !self.lane.near.contains(due)) {
            return Err(format!("nobody minds {due:?}"));
        }
        if row.status == Status::Suspended {
            return Ok(());
        }
        let waiting = folded.waiting_for(&sheet.program);
        if row.status == Status::Pending || wanted.more || waiting.is_empty() {
            return Err("it is stuck".into());
        }
        waiting.iter().try_for_each(|one| {
            let attempts = folded.open_calls().filter(|call| call.visit == one.visit);
            let comes = match &one.what {
                Awaited::Call => {
                    attempts.map(|call| (row.id, call.visit, call.attempt)).any(|call| self.is_flying(call))
                }
                Awaited::Callback => self.outside.is_promised((row.id, one.visit)),
                Awaited::Timer(at) | Awaited::Retry(at) => {
                    due.iter().any(|due| due.visit == one.visit && due.at == *at)
                }
                Awaited::Event(_) => self.lane.listening.contains_key(&(row.id, one.visit)),
                Awaited::Child(child) => {
                    let child = self.store.execution(NAMESPACE, *child).map_err(|error| error.to_string())?;
                    child.is_some_and(|child| !child.status.ended())
                }
            };
            if comes {
                Ok(())
            } else {
                Err(format!("visit {} waits for {:?}, which never comes", one.visit, one.what))
            }
        })
    }

    /// The end: every invariant over every history.
    pub(super) fn verify(&self) -> Result<(), Broken> {
        if !self.store.inbox().map_err(|error| error.to_string())?.is_empty() {
            return Err("the inbox is not empty at the end".into());
        }
        self.quiet()?;
        for row in self.executions(&[])? {
            let history = self.store.transitions(row.id, 0, usize::MAX).map_err(|error| error.to_string())?;
            let (sheet, folded, _) = self.fold(row.id)?.ok_or("an execution has no log")?;
            let judged = invariants::check(&sheet.program, &folded, &history);
            judged.map_err(|what| format!("{} {}: {what}", row.workflow, row.id))?;
            let whole = self.store.execution(NAMESPACE, row.id).map_err(|error| error.to_string())?;
            if whole.as_ref().and_then(|row| row.result.as_ref()) != folded.result() {
                return Err(format!("{}: the summary has another result than the log", row.id));
            }
            heard_once(&history).map_err(|what| format!("{}: {what}", row.id))?;
            self.told_once(&row, &folded)?;
        }
        self.signals_kept()?;
        let (events, starts) = self.promises();
        for event in events {
            let stored =
                self.store.event(NAMESPACE, &event.source, &event.id).map_err(|error| error.to_string())?;
            if stored.len() != 1 {
                return Err(format!(
                    "the event {} was acknowledged and is stored {} times",
                    event.id,
                    stored.len()
                ));
            }
        }
        let rows = self.executions(&[])?;
        let by_hand = rows.iter().filter(|row| starts.contains(&row.id)).count();
        let distinct: BTreeSet<_> = starts.iter().collect();
        if by_hand != starts.len() || distinct.len() != starts.len() {
            return Err(format!("{} starts were acknowledged, {by_hand} are stored", starts.len()));
        }
        Ok(())
    }

    /// The parent of an ended child was told, unless it had stopped waiting.
    fn told_once(&self, row: &ExecutionRow, child: &Execution) -> Result<(), Broken> {
        let Some(parent) = child.birth().parent.filter(|parent| parent.awaited) else {
            return Ok(());
        };
        if self.account.told.contains(&(parent.execution, parent.visit)) {
            return Ok(());
        }
        let history =
            self.store.transitions(parent.execution, 0, usize::MAX).map_err(|error| error.to_string())?;
        let records =
            history.iter().flat_map(|transition| engine::decode(&transition.body).unwrap_or_default());
        let mut stopped = records.filter(|record| match record {
            Record::Cancelled { visit, .. } => *visit == parent.visit,
            // A timeout of the task itself.
            Record::Faulted { visit, own, .. } => *visit == parent.visit && *own,
            _ => false,
        });
        if stopped.next().is_none() {
            return Err(format!("{} has ended, its parent {} was never told", row.id, parent.execution));
        }
        Ok(())
    }

    /// Every history in words, for a report.
    pub(super) fn histories(&self) -> String {
        let mut out = String::new();
        for row in self.executions(&[]).unwrap_or_default() {
            let _ = writeln!(out, "{} {} {}", row.workflow, row.id, row.status.word());
            let Some(sheet) = self.sheet(&row.workflow) else {
                continue;
            };
            let mut expander = Expander::new();
            for transition in self.store.transitions(row.id, 0, usize::MAX).unwrap_or_default() {
                let entries = expander.feed(&sheet.program, &transition).unwrap_or_default();
                let words: Vec<String> =
                    entries.iter().map(|entry| word(entry.kind, entry.task.as_ref())).collect();
                let _ = writeln!(out, "  {:>6} {}", transition.time.0 % 10_000_000, words.join(", "));
            }
        }
        out
    }
}

fn word(kind: &str, task: Option<&engine::entry::TaskRef>) -> String {
    task.map_or_else(
        || kind.to_owned(),
        |task| format!("{kind} {}#{}/{}", task.name, task.visit, task.attempt),
    )
}

/// An execution consumes one event at most once.
fn heard_once(history: &[Transition]) -> Result<(), Broken> {
    let mut seen = BTreeSet::new();
    for record in history.iter().flat_map(|transition| engine::decode(&transition.body).unwrap_or_default()) {
        let (Record::Heard { pos, .. } | Record::Kept { what: Kept::Event(_, pos), .. }) = record else {
            continue;
        };
        if !seen.insert(pos) {
            return Err(format!("the event at {pos} was consumed twice"));
        }
    }
    Ok(())
}
