//! `set`: replaces the data.

use tidemill_dsl::expr::Template;
use tidemill_dsl::fault::Fault;

use crate::machine::{Begun, Machine, Raw};
use crate::scope::Site;

pub(super) fn begin(machine: &mut Machine<'_>, site: &Site, template: &Template) -> Result<Begun, Fault> {
    let value = machine.body(template, site)?;
    Ok(Begun::Done(Raw::Value(value), machine.program.task(site.task).then))
}
