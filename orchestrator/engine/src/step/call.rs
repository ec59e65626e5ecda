//! `call`: outside calls, and local functions, which are a task of this program in a scope of their own.

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Visit;
use tidemill_dsl::program::LocalCall;

use crate::Effect;
use crate::history::Begin;
use crate::machine::{Begun, Machine};
use crate::scope::Site;

pub(super) fn begin() -> Begun {
    Begun::Open(Begin::Call)
}

pub(super) fn opened(machine: &mut Machine<'_>, visit: Visit) {
    if let Some(frame) = machine.x.open_frame(visit) {
        machine.effects.push(Effect::Call { visit, attempt: frame.attempt });
    }
}

/// The evaluated `with` is the raw input of the function's task, which sees no other data of the caller
/// (dsl.md section 12).
pub(super) fn begin_local(machine: &mut Machine<'_>, site: &Site, call: &LocalCall) -> Result<Begun, Fault> {
    let raw = match &call.with {
        Some(with) => Some(machine.body(with, site)?),
        None => None,
    };
    Ok(Begun::Open(Begin::Local(raw)))
}
