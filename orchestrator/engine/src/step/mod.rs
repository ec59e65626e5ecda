//! What each kind of task does. One file per kind; here stands who is asked when.
//!
//! A kind answers up to four questions: how its body begins, what follows once its visit is open, what happens when a
//! list within it is complete, and whether it saves a fault of a task within it.

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Visit;
use tidemill_dsl::program::Kind;

use crate::execution::{Phase, ROOT, State};
use crate::machine::{Begun, Machine, Raw};
use crate::scope::Site;

mod call;
mod do_;
mod emit;
pub(crate) mod extension;
mod for_;
pub(crate) mod fork;
pub(crate) mod listen;
mod raise;
pub(crate) mod run;
mod set;
mod switch;
pub(crate) mod try_;
mod wait;

/// How a task's body begins.
pub(crate) fn begin(machine: &mut Machine<'_>, site: &Site) -> Result<Begun, Fault> {
    let task = machine.program.task(site.task);
    match &task.kind {
        Kind::Do(_) => Ok(do_::begin()),
        Kind::Set(template) => set::begin(machine, site, template),
        Kind::Switch(cases) => switch::begin(machine, site, cases),
        Kind::For(each) => for_::begin(machine, site, each),
        Kind::Fork(_) => Ok(fork::begin()),
        Kind::Try(attempt) => try_::begin(machine, site, attempt),
        Kind::Raise(template) => raise::begin(machine, site, template),
        Kind::Wait(template) => wait::begin(machine, site, template),
        Kind::Emit(template) => emit::begin(machine, site, template),
        Kind::Listen(_) => Ok(listen::begin()),
        Kind::Http(_) | Kind::Function(_) | Kind::RunProcess(_) => Ok(call::begin()),
        Kind::Local(call) => call::begin_local(machine, site, call.with.as_ref()),
        Kind::Fetched(call) => call::begin_local(machine, site, call.with.as_ref()),
        Kind::RunWorkflow(run) => run::begin(machine, site, run),
    }
}

/// What follows once a visit is open and its body has begun.
pub(crate) fn opened(machine: &mut Machine<'_>, visit: Visit) {
    let program = machine.program;
    let Some(frame) = machine.x.open_frame(visit) else {
        return;
    };
    match &program.task(frame.task).kind {
        Kind::Do(list) => machine.begin_list(*list, visit),
        Kind::For(each) => for_::iterate(machine, visit, each),
        Kind::Fork(fork) => fork::opened(machine, visit, fork),
        Kind::Try(attempt) => machine.begin_list(attempt.body, visit),
        Kind::Http(_) | Kind::Function(_) | Kind::RunProcess(_) => call::opened(machine, visit),
        Kind::Local(local) => machine.begin_task(local.body, visit),
        Kind::Fetched(call) => machine.begin_fetched(&call.need, visit),
        Kind::RunWorkflow(run) => run::opened(machine, visit, run),
        Kind::Listen(_) => machine.heed(visit, 0),
        _ => {}
    }
}

/// The list within a visit (0: the workflow) is complete.
pub(crate) fn list_done(machine: &mut Machine<'_>, visit: Visit) {
    if visit == ROOT {
        return machine.finish();
    }
    let program = machine.program;
    let Some(frame) = machine.x.open_frame(visit) else {
        return;
    };
    let task = program.task(frame.task);
    let next = match (&task.kind, &frame.state) {
        (_, State::Before(_)) => return extension::before(machine, visit),
        (_, State::After(_)) => return extension::after(machine, visit),
        (Kind::For(each), _) => return for_::iterate(machine, visit, each),
        (Kind::Try(attempt), State::Try(state)) if matches!(state.phase, Phase::Handler(_)) => {
            attempt.then.unwrap_or(task.then)
        }
        _ => task.then,
    };
    let site = Site::of(frame);
    machine.complete(site, &Raw::Flow, next);
}

/// Offers the fault of a task within `visit` to the task of that visit. Gives the fault that goes on outwards, if any,
/// and whether it is now that task's own.
pub(crate) fn rescue(machine: &mut Machine<'_>, visit: Visit, fault: Fault) -> Option<(Fault, bool)> {
    let program = machine.program;
    let frame = machine.x.open_frame(visit)?;
    let task = program.task(frame.task);
    match (&task.kind, &frame.state) {
        (_, State::Before(_) | State::After(_)) => Some((fault, false)),
        (Kind::Fork(fork), _) => fork::branch_failed(machine, visit, fork, fault),
        // What is inside a fetched function has no place in the definition.
        (Kind::Fetched(_), _) => Some((fault.with_instance(&task.reference), false)),
        (Kind::Try(attempt), State::Try(state)) if state.phase == Phase::Body => {
            try_::caught(machine, visit, attempt, fault)
        }
        _ => Some((fault, false)),
    }
}
