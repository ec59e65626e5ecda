//! `raise`: faults with the author's error; its `instance` is the task unless the author states one.

use tidemill_dsl::expr::Template;
use tidemill_dsl::fault::Fault;

use crate::machine::{Begun, Machine};
use crate::scope::Site;

pub(super) fn begin(machine: &mut Machine<'_>, site: &Site, template: &Template) -> Result<Begun, Fault> {
    let error = machine.body(template, site)?;
    if error.as_object().is_none() {
        return Err(Fault::expression(format!(
            "`raise.error` gives no object but a value of kind {}",
            error.kind()
        )));
    }
    Err(Fault::from_value(&error))
}
