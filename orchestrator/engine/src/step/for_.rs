//! `for`: one iteration after another; each one's output is the next one's input (dsl.md section 2.2).

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Visit;
use tidemill_dsl::program::For;
use tidemill_dsl::value::Value;

use crate::execution::State;
use crate::history::{Begin, Record};
use crate::limits::MAX_ITEMS;
use crate::machine::{Begun, Machine, Raw};
use crate::scope::{Place, Scope, Site};

pub(super) fn begin(machine: &mut Machine<'_>, site: &Site, each: &For) -> Result<Begun, Fault> {
    let items = machine.body(&each.items, site)?;
    let Some(list) = items.as_array() else {
        return Err(Fault::expression(format!(
            "`for.in` gives no list but a value of kind {}",
            items.kind()
        )));
    };
    if list.len() > MAX_ITEMS {
        return Err(Fault::expression(format!(
            "`for.in` gives {} items (limit for-items: {MAX_ITEMS})",
            list.len()
        )));
    }
    Ok(Begun::Open(Begin::For(items)))
}

/// The next iteration, or the end of the loop.
pub(super) fn iterate(machine: &mut Machine<'_>, visit: Visit, each: &For) {
    let Some(frame) = machine.x.open_frame(visit) else {
        return;
    };
    let State::For { items, begun } = &frame.state else {
        return;
    };
    let (item, index) = (items.at(*begun).cloned(), *begun);
    let (site, flow) = (Site::of(frame), frame.flow.clone());
    let goes_on = match item {
        None => Ok(false),
        Some(item) => holds(machine, each, &site, (&flow, item, index)),
    };
    match goes_on {
        Ok(true) => {
            machine.count();
            machine.emit(Record::Iterated { visit });
            machine.begin_list(each.body, visit);
        }
        Ok(false) => {
            let then = machine.program.task(site.task).then;
            machine.complete(site, &Raw::Flow, then);
        }
        Err(fault) => machine.fault(visit, fault, true),
    }
}

/// `while`, with item and index bound; `.` is the previous iteration's output (dsl.md section 5 #17).
fn holds(
    machine: &Machine<'_>,
    each: &For,
    site: &Site,
    (flow, item, index): (&Value, Value, usize),
) -> Result<bool, Fault> {
    let Some(condition) = &each.condition else {
        return Ok(true);
    };
    let own = [(&*each.each, item), (&*each.at, Value::from(index as u64))];
    let scope = Scope { own: &own, ..Scope::of_task(machine.program, machine.x, Place::Body, site) };
    Ok(condition.eval(flow, &scope)?.is_truthy())
}
