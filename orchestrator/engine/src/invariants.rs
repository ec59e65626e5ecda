//! What must hold of every execution and its log, whatever has happened: for tests, simulation and `doctor`.
//!
//! Judges; repairs nothing.

use std::collections::{BTreeMap, BTreeSet};

use tidemill_dsl::ids::{ExecutionId, Time, Visit};
use tidemill_dsl::program::{Program, TaskId};

use crate::decode::decode;
use crate::entry::{Entry, Expander};
use crate::execution::{Execution, ROOT};
use crate::frame::{is_inner, numbered};
use crate::history::Record;
use crate::record::{Due, DueChange, SubscriptionChange, Transition};
use crate::transition::fold;
use crate::{Decision, Effect, resume};

/// Checks an execution against its whole log. The error names what is broken.
///
/// Sequences are gap-free and times never fall; every visit is created and started before its one end; visits within
/// others end first; a run has one terminal entry and nothing after it but a retry; nothing is open after the end; the
/// state is the fold of the log and outlives a snapshot.
pub fn check(program: &Program, execution: &Execution, history: &[Transition]) -> Result<(), String> {
    numbers(history)?;
    let folded = fold(program, history).map_err(|error| error.to_string())?;
    if folded != *execution {
        return Err(format!("the fold differs from the state:\n{folded:#?}\n{execution:#?}"));
    }
    let again =
        Execution::from_snapshot(program, &execution.snapshot()).map_err(|error| error.to_string())?;
    if again != *execution {
        return Err(format!("a snapshot differs from the state:\n{again:#?}\n{execution:#?}"));
    }
    visits(execution, history)?;
    let mut expander = Expander::new();
    let mut entries = Vec::new();
    for transition in history {
        entries.extend(expander.feed(program, transition).map_err(|error| error.to_string())?);
    }
    public(&entries, execution)
}

fn numbers(history: &[Transition]) -> Result<(), String> {
    let (mut next, mut time) = (1, Time(i64::MIN));
    for transition in history {
        let records = decode(&transition.body).map_err(|error| error.to_string())?;
        let entries: u64 = records.iter().map(Record::entries).sum();
        if transition.first != next || u64::from(transition.count) != entries {
            return Err(format!(
                "sequence {next} is followed by {} with {entries} entries",
                transition.first
            ));
        }
        if transition.time < time {
            return Err(format!("the time of sequence {next} falls"));
        }
        if transition.lifecycle != records.iter().any(Record::is_lifecycle) {
            return Err(format!("the lifecycle mark of sequence {next} is wrong"));
        }
        next += entries;
        time = transition.time;
    }
    Ok(())
}

/// Every visit begins once, in a visit that is open, and ends once, after all within it.
fn visits(execution: &Execution, history: &[Transition]) -> Result<(), String> {
    let mut open: BTreeMap<Visit, Visit> = BTreeMap::new();
    let mut count = 1;
    for record in history.iter().flat_map(|transition| decode(&transition.body).unwrap_or_default()) {
        match record {
            Record::Entered { parent, .. }
            | Record::Fetching { parent, .. }
            | Record::Revived { parent, .. }
            | Record::Step { parent, .. } => {
                let next = match &record {
                    Record::Revived { visit, .. } if is_inner(*visit) => {
                        numbered(count, TaskId::linked(0, 0))
                    }
                    Record::Entered { task, .. }
                    | Record::Fetching { task, .. }
                    | Record::Step { task, .. } => numbered(count, *task),
                    _ => count,
                };
                if parent != ROOT && !open.contains_key(&parent) {
                    return Err(format!("visit {next} begins within {parent}, which is not open"));
                }
                if !matches!(record, Record::Step { .. }) {
                    open.insert(next, parent);
                }
                count += 1;
            }
            Record::Ended { visit, .. } | Record::Faulted { visit, .. } | Record::Cancelled { visit, .. } => {
                if open.remove(&visit).is_none() {
                    return Err(format!("visit {visit} ends but is not open"));
                }
                if let Some((inner, _)) = open.iter().find(|(_, parent)| **parent == visit) {
                    return Err(format!("visit {visit} ends before visit {inner} within it"));
                }
            }
            Record::Completed { .. } | Record::WorkflowFaulted { .. } | Record::WorkflowCancelled { .. } => {
                if let Some(visit) = open.keys().next() {
                    return Err(format!("visit {visit} is open after the end"));
                }
            }
            _ => {}
        }
    }
    let state: Vec<Visit> = execution.open().map(|frame| frame.visit).collect();
    if !open.keys().copied().eq(state.iter().copied()) {
        return Err(format!("visits {:?} are open by the log, {state:?} by the state", open.keys()));
    }
    Ok(())
}

/// The public history: gap-free, begins with `workflow.started`, one terminal entry per run.
fn public(entries: &[Entry], execution: &Execution) -> Result<(), String> {
    let mut ended = false;
    for (at, entry) in entries.iter().enumerate() {
        if entry.sequence != at as u64 + 1 {
            return Err(format!("entry {} stands at place {}", entry.sequence, at + 1));
        }
        if (at == 0) != (entry.kind == "workflow.started") {
            return Err(format!("entry {} is {}", entry.sequence, entry.kind));
        }
        if ended != (entry.kind == "workflow.retried") {
            return Err(format!("{} at {} after an end: {ended}", entry.kind, entry.sequence));
        }
        ended = matches!(entry.kind, "workflow.completed" | "workflow.faulted" | "workflow.cancelled");
    }
    if ended != execution.ended().is_some() || entries.len() as u64 + 1 != execution.next_sequence() {
        return Err(format!("{} entries, ended: {ended}, do not fit the state", entries.len()));
    }
    if ended && execution.open_calls().next().is_some() {
        return Err("a call is open after the end".into());
    }
    Ok(())
}

/// Keeps account of what decisions set and clear outside, to compare it with the state.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    timers: BTreeSet<Due>,
    listening: BTreeSet<Visit>,
    calls: BTreeSet<(Visit, u32)>,
    children: BTreeSet<ExecutionId>,
}

impl Ledger {
    /// Notes a decision. The error names a change that does not fit what was set before.
    pub fn note(&mut self, decision: &Decision) -> Result<(), String> {
        for change in &decision.due {
            let fits = match change {
                DueChange::Set(due) => self.timers.insert(*due),
                DueChange::Clear(due) => self.timers.remove(due),
            };
            if !fits {
                return Err(format!("{change:?} does not fit"));
            }
        }
        for change in &decision.subscriptions {
            let fits = match change {
                SubscriptionChange::Add(subscription) => self.listening.insert(subscription.visit),
                SubscriptionChange::Remove(_, visit) => self.listening.remove(visit),
            };
            if !fits {
                return Err(format!("{change:?} does not fit"));
            }
        }
        for effect in &decision.effects {
            let fits = match effect {
                Effect::Call { visit, attempt } => self.calls.insert((*visit, *attempt)),
                Effect::Abort { visit } => self.calls.iter().any(|(call, _)| call == visit),
                Effect::StartChild { child, .. } => self.children.insert(*child),
                Effect::CancelChild { child } => self.children.contains(child),
                Effect::Emit(_) | Effect::Ended(_) | Effect::LimitMet(_) => true,
            };
            if !fits {
                return Err(format!("{effect:?} does not fit"));
            }
        }
        Ok(())
    }

    /// Compares the account with what the state wants.
    pub fn check(&self, program: &Program, execution: &Execution) -> Result<(), String> {
        let wanted = resume(program, execution);
        let timers: BTreeSet<Due> = wanted.due.iter().copied().collect();
        if timers != self.timers {
            return Err(format!("timers {timers:?} are wanted, {:?} are set", self.timers));
        }
        let listening: BTreeSet<Visit> =
            wanted.subscriptions.iter().map(|subscription| subscription.visit).collect();
        if listening != self.listening {
            return Err(format!("visits {listening:?} listen, {:?} are subscribed", self.listening));
        }
        for call in execution.open_calls() {
            if !self.calls.contains(&(call.visit, call.attempt)) {
                return Err(format!("the call of visit {} was never handed out", call.visit));
            }
        }
        Ok(())
    }
}
