//! `fork`: branches side by side. All are entered before any runs, then they take turns.
//!
//! Not competing: the outputs in declaration order; a fault of one cancels the others. Competing: the first success
//! wins and the others are cancelled before the fork ends; if all fail, the last error counts (dsl.md section 5 #13).

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Visit;
use tidemill_dsl::program::{Fork, Kind};

use crate::execution::{Slot, State};
use crate::history::{Begin, Record, Work};
use crate::machine::{Begun, Machine, Raw};
use crate::scope::Site;

pub(super) fn begin() -> Begun {
    Begun::Open(Begin::Fork)
}

pub(super) fn opened(machine: &mut Machine<'_>, visit: Visit, fork: &Fork) {
    let branches = &machine.program.list(fork.branches).tasks;
    if branches.is_empty() {
        return settled(machine, visit);
    }
    machine.queue.extend(branches.iter().map(|task| Work::Enter { task: *task, parent: visit, raw: None }));
}

/// A branch has ended well or was skipped: ends the fork if nothing more is to come.
pub(crate) fn settled(machine: &mut Machine<'_>, visit: Visit) {
    let Some(frame) = machine.x.open_frame(visit) else {
        return;
    };
    let (Kind::Fork(fork), State::Fork(slots)) = (&machine.program.task(frame.task).kind, &frame.state)
    else {
        return;
    };
    let open = slots.iter().any(|slot| matches!(slot, Slot::Open));
    let won = fork.compete && slots.iter().any(|slot| matches!(slot, Slot::Done(..)));
    if open && !won {
        return;
    }
    let failed = slots
        .iter()
        .rev()
        .find_map(|slot| if let Slot::Failed(fault) = slot { Some(fault.clone()) } else { None });
    let site = Site::of(frame);
    if let (Some(fault), false) = (failed, won) {
        return machine.fault(visit, fault, false);
    }
    machine.interrupt(visit);
    machine.emit(Record::Joined { visit });
    let joined = machine.x.flow(visit).clone();
    if let Err(fault) = machine.weigh(joined) {
        return machine.fault(visit, fault, true);
    }
    let then = machine.program.task(site.task).then;
    machine.complete(site, &Raw::Flow, then);
}

/// A branch has failed: the fault that goes on outwards, unless others still compete.
pub(super) fn branch_failed(
    machine: &mut Machine<'_>,
    visit: Visit,
    fork: &Fork,
    fault: Fault,
) -> Option<(Fault, bool)> {
    let frame = machine.x.open_frame(visit)?;
    let State::Fork(slots) = &frame.state else {
        return None;
    };
    let open = slots.iter().any(|slot| matches!(slot, Slot::Open));
    if fork.compete && open { None } else { Some((fault, false)) }
}
