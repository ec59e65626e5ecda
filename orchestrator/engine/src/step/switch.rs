//! `switch`: the first case that holds says where the flow goes; without one the task's own `then` does
//! (dsl.md section 5 #4).

use tidemill_dsl::fault::Fault;
use tidemill_dsl::program::Case;

use crate::machine::{Begun, Machine, Raw};
use crate::scope::{Place, Scope, Site};

pub(super) fn begin(machine: &mut Machine<'_>, site: &Site, cases: &[Case]) -> Result<Begun, Fault> {
    let scope = Scope::of_task(machine.program, machine.x, Place::Body, site);
    for case in cases {
        let holds = match &case.when {
            Some(when) => when.eval(&site.input, &scope)?.is_truthy(),
            None => true,
        };
        if holds {
            return Ok(Begun::Done(Raw::Input, case.then));
        }
    }
    Ok(Begun::Done(Raw::Input, machine.program.task(site.task).then))
}
