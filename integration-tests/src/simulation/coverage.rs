//! What a run has touched: kinds of task (rows) by fault points (columns). An empty cell means that the simulation
//! does not test what it says.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tidemill_dsl::program::{Kind, Next, Program, ResourceKind, Task, TaskId};
use tidemill_engine::history::Record;

/// A set of [`Row`]s, one bit each.
pub(super) type Rows = u32;

/// Kinds of task, and traits of tasks that have a machinery of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the words of the language")]
pub enum Row {
    Do,
    Set,
    Switch,
    For,
    ForWhile,
    Fork,
    ForkCompete,
    Try,
    TryRetry,
    Raise,
    Wait,
    CallHttp,
    CallFunction,
    CallLocal,
    CallFetched,
    RunAwait,
    RunDetached,
    RunProcess,
    Emit,
    Listen,
    Timeout,
    ThenBack,
    Extended,
    SchemaElsewhere,
    ScriptElsewhere,
    /// A call whose partner answers later.
    Callback,
    /// An execution that has taken an event for it alone.
    Signalled,
}

impl Row {
    /// All, in order.
    pub const ALL: [Row; 27] = [
        Row::Do,
        Row::Set,
        Row::Switch,
        Row::For,
        Row::ForWhile,
        Row::Fork,
        Row::ForkCompete,
        Row::Try,
        Row::TryRetry,
        Row::Raise,
        Row::Wait,
        Row::CallHttp,
        Row::CallFunction,
        Row::CallLocal,
        Row::CallFetched,
        Row::RunAwait,
        Row::RunDetached,
        Row::RunProcess,
        Row::Emit,
        Row::Listen,
        Row::Timeout,
        Row::ThenBack,
        Row::Extended,
        Row::SchemaElsewhere,
        Row::ScriptElsewhere,
        Row::Callback,
        Row::Signalled,
    ];
}

/// Named points at which the world breaks something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The process dies with a turn decided and not handed to the store.
    CrashBeforeSubmit,
    /// The process dies with batches submitted and not durable.
    CrashBeforeDurable,
    /// The process dies with a batch durable whose effects have not left.
    CrashBeforeEffects,
    /// The process dies while it takes up what was open.
    CrashInRecovery,
    /// An outcome comes a second time.
    OutcomeRepeated,
    /// An outcome comes long after the call was made.
    OutcomeDelayed,
    /// An outcome overtakes that of an earlier call.
    OutcomeReordered,
    /// An outcome comes when its visit is closed.
    OutcomeLate,
    /// A timer fires a second time.
    TimerRepeated,
    /// A timer is offered before its instant.
    TimerEarly,
    /// An event comes a second time.
    EventRepeated,
    /// A batch is applied, the store says that it failed.
    AppliedButError,
    /// A batch is not applied, the store cannot say so.
    NotApplied,
    /// No space for new work.
    DiskLow,
    /// No space at all.
    DiskFull,
    /// A state is folded without its snapshot.
    SnapshotDropped,
    /// An idle execution leaves memory and is loaded again.
    Evicted,
    /// The clock jumps forward.
    ClockJump,
}

impl Fault {
    /// All, in order.
    pub const ALL: [Fault; 18] = [
        Fault::CrashBeforeSubmit,
        Fault::CrashBeforeDurable,
        Fault::CrashBeforeEffects,
        Fault::CrashInRecovery,
        Fault::OutcomeRepeated,
        Fault::OutcomeDelayed,
        Fault::OutcomeReordered,
        Fault::OutcomeLate,
        Fault::TimerRepeated,
        Fault::TimerEarly,
        Fault::EventRepeated,
        Fault::AppliedButError,
        Fault::NotApplied,
        Fault::DiskLow,
        Fault::DiskFull,
        Fault::SnapshotDropped,
        Fault::Evicted,
        Fault::ClockJump,
    ];
}

/// A program with the rows of each of its tasks.
#[derive(Debug)]
pub(super) struct Sheet {
    /// The program.
    pub program: Arc<Program>,
    /// Its text.
    pub text: String,
    own: Vec<Rows>,
    /// With those of the tasks around it.
    around: Vec<Rows>,
    by_reference: BTreeMap<Arc<str>, TaskId>,
}

impl Sheet {
    /// Reads the rows off a program.
    pub(super) fn new(program: Arc<Program>, text: String) -> Sheet {
        let own: Vec<Rows> = program.tasks.iter().map(|task| rows_of(&program, task)).collect();
        let around = program.tasks.iter().map(|task| {
            let (mut rows, mut at) = (0, Some(task));
            while let Some(task) = at {
                rows |= rows_of(&program, task);
                at = program.list(task.list).owner.map(|owner| program.task(owner));
            }
            rows
        });
        let around = around.collect();
        let ids = program.tasks.iter().enumerate();
        let by_reference = ids.map(|(at, task)| (task.reference.clone(), TaskId(at as u32))).collect();
        Sheet { program, text, own, around, by_reference }
    }

    /// The rows of a task that is open, by its reference, with the tasks around it.
    pub(super) fn open(&self, reference: &str) -> Rows {
        self.by_reference.get(reference).map_or(0, |id| self.around[id.0 as usize])
    }

    /// The rows of the tasks that these records begin.
    pub(super) fn begun(&self, records: &[Record]) -> Rows {
        records.iter().fold(0, |rows, record| match record {
            Record::Entered { task, .. } | Record::Step { task, .. } | Record::Fetching { task, .. } => {
                // What a fetched function does counts for the call, which is open around it.
                rows | self.own.get(task.0 as usize).copied().unwrap_or_default()
            }
            _ => rows,
        })
    }
}

pub(super) fn bit(row: Row) -> Rows {
    1 << row as u32
}

fn rows_of(program: &Program, task: &Task) -> Rows {
    let mut rows = bit(match &task.kind {
        Kind::Do(_) => Row::Do,
        Kind::Set(_) => Row::Set,
        Kind::Switch(_) => Row::Switch,
        Kind::For(each) if each.condition.is_some() => Row::ForWhile,
        Kind::For(_) => Row::For,
        Kind::Fork(fork) if fork.compete => Row::ForkCompete,
        Kind::Fork(_) => Row::Fork,
        Kind::Try(attempt) if attempt.retry.is_some() => Row::TryRetry,
        Kind::Try(_) => Row::Try,
        Kind::Raise(_) => Row::Raise,
        Kind::Wait(_) => Row::Wait,
        Kind::Emit(_) => Row::Emit,
        Kind::Listen(_) => Row::Listen,
        Kind::Http(_) => Row::CallHttp,
        Kind::Local(_) => Row::CallLocal,
        Kind::Fetched(_) => Row::CallFetched,
        Kind::Function(_) => Row::CallFunction,
        Kind::RunWorkflow(run) if run.wait => Row::RunAwait,
        Kind::RunWorkflow(_) => Row::RunDetached,
        Kind::RunProcess(_) => Row::RunProcess,
    });
    if task.timeout.is_some() {
        rows |= bit(Row::Timeout);
    }
    if !task.extensions.is_empty() {
        rows |= bit(Row::Extended);
    }
    if task.input.schema.is_some() || task.output.schema.is_some() {
        rows |= bit(Row::SchemaElsewhere);
    }
    if task.needs.iter().any(|need| need.kind == ResourceKind::Script) {
        rows |= bit(Row::ScriptElsewhere);
    }
    let list = &program.list(task.list).tasks;
    let place = |id: TaskId| list.iter().position(|other| *other == id);
    let own = list.iter().position(|id| std::ptr::eq(program.task(*id), task));
    let back = |next: &Next| matches!(next, Next::Task(id) if place(*id) <= own);
    let cases = if let Kind::Switch(cases) = &task.kind { &cases[..] } else { &[] };
    if back(&task.then) || cases.iter().any(|case| back(&case.then)) {
        rows |= bit(Row::ThenBack);
    }
    rows
}

/// How often each fault hit an execution in which a task of each row was open or had just run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    counts: [[u32; Fault::ALL.len()]; Row::ALL.len()],
}

impl Matrix {
    /// Notes a fault.
    pub fn note(&mut self, fault: Fault, rows: Rows) {
        for row in Row::ALL.into_iter().filter(|row| rows & bit(*row) != 0) {
            self.counts[row as usize][fault as usize] += 1;
        }
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Matrix) {
        for (own, others) in self.counts.iter_mut().flatten().zip(other.counts.iter().flatten()) {
            *own += others;
        }
    }

    /// The cells that were never hit.
    pub fn empty(&self) -> Vec<(Row, Fault)> {
        let cells = Row::ALL.into_iter().flat_map(|row| Fault::ALL.map(|fault| (row, fault)));
        cells.filter(|(row, fault)| self.counts[*row as usize][*fault as usize] == 0).collect()
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in Fault::ALL.into_iter().enumerate() {
            writeln!(f, "{at:>2} {fault:?}")?;
        }
        write!(f, "{:<14}", "")?;
        for at in 0..Fault::ALL.len() {
            write!(f, "{at:>7}")?;
        }
        for row in Row::ALL {
            write!(f, "\n{:<14}", format!("{row:?}"))?;
            for count in self.counts[row as usize] {
                write!(f, "{count:>7}")?;
            }
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_counted_by_row_and_fault() {
        let mut matrix = Matrix::default();
        assert_eq!(matrix.empty().len(), Row::ALL.len() * Fault::ALL.len());
        for fault in Fault::ALL {
            matrix.note(fault, !0);
        }
        let mut whole = Matrix::default();
        whole.add(&matrix);
        assert!(whole.empty().is_empty());
        let mut part = Matrix::default();
        part.note(Fault::ClockJump, bit(Row::Set) | bit(Row::Raise));
        assert_eq!(part.empty().len(), Row::ALL.len() * Fault::ALL.len() - 2);
        assert!(part.to_string().contains("17 ClockJump"));
    }
}
