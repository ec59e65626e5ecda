//! `call`: outside calls, and functions of the definition or fetched ones, which are a task in a scope of their own.

use tidemill_dsl::expr::Template;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Visit;

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
pub(super) fn begin_local(
    machine: &mut Machine<'_>,
    site: &Site,
    with: Option<&Template>,
) -> Result<Begun, Fault> {
    let raw = match with {
        Some(with) => Some(machine.body(with, site)?),
        None => None,
    };
    Ok(Begun::Open(Begin::Local(raw)))
}
