//! `wait`: a stored timer; gives its input.

use tidemill_dsl::expr::Template;
use tidemill_dsl::fault::Fault;

use crate::history::Begin;
use crate::machine::{Begun, Machine, Raw};
use crate::scope::Site;

pub(super) fn begin(machine: &mut Machine<'_>, site: &Site, template: &Template) -> Result<Begun, Fault> {
    let duration = machine.duration(template, site, &[])?;
    if duration.is_zero() {
        return Ok(Begun::Done(Raw::Input, machine.program.task(site.task).then));
    }
    Ok(Begun::Open(Begin::Wait(machine.now.plus(duration))))
}
