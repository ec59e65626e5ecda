//! `try`: attempts, then `catch` (dsl.md section 5 #5 to #11 and section 12).

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Visit;
use tidemill_dsl::program::Try;
use tidemill_dsl::value::Value;

use crate::history::{Begin, Record};
use crate::machine::{Begun, Machine, Raw};
use crate::retry::{self, Verdict};
use crate::scope::{Place, Scope, Site};

pub(super) fn begin(machine: &mut Machine<'_>, site: &Site, attempt: &Try) -> Result<Begun, Fault> {
    Ok(Begun::Open(Begin::Try(retry::attempt_deadline(machine, site, attempt)?)))
}

/// A task within the attempt has failed. Gives the fault that goes on outwards, if any.
pub(crate) fn caught(
    machine: &mut Machine<'_>,
    visit: Visit,
    attempt: &Try,
    fault: Fault,
) -> Option<(Fault, bool)> {
    let site = Site::of(machine.x.open_frame(visit)?);
    let own = [(&*attempt.variable, fault.to_value())];
    match catches(machine, &site, attempt, (&fault, &own)) {
        Ok(true) => {}
        Ok(false) => return Some((fault, false)),
        Err(error) => return Some((error, true)),
    }
    let verdict = match retry::judge(machine, &site, attempt, &own) {
        Ok(verdict) => verdict,
        Err(error) => return Some((error, true)),
    };
    let task = machine.program.task(site.task);
    match verdict {
        Verdict::Delay(until) => machine.emit(Record::Delayed { visit, until }),
        Verdict::Now => return retried(machine, visit, attempt).map(|error| (error, true)),
        Verdict::No => match (attempt.handler, attempt.then) {
            (Some(handler), _) => {
                machine.emit(Record::Handling { visit, fault });
                machine.begin_list(handler, visit);
            }
            (None, None) if attempt.retry.is_some() => return Some((fault, false)),
            (None, then) => machine.complete(site, &Raw::Input, then.unwrap_or(task.then)),
        },
    }
    None
}

/// Begins the next attempt. Gives the error of a deadline that cannot be evaluated.
pub(crate) fn retried(machine: &mut Machine<'_>, visit: Visit, attempt: &Try) -> Option<Fault> {
    let site = Site::of(machine.x.open_frame(visit)?);
    match retry::attempt_deadline(machine, &site, attempt) {
        Ok(limit) => {
            machine.count();
            machine.emit(Record::Retried { visit, limit });
            machine.begin_list(attempt.body, visit);
            None
        }
        Err(fault) => Some(fault),
    }
}

/// Filter and `when` and not `exceptWhen`, with the error bound.
fn catches(
    machine: &Machine<'_>,
    site: &Site,
    attempt: &Try,
    (fault, own): (&Fault, &[(&str, Value)]),
) -> Result<bool, Fault> {
    let scope = Scope { own, ..Scope::of_task(machine.program, machine.x, Place::Body, site) };
    if let Some(with) = &attempt.with {
        let with = with.eval(&site.input, &Scope::of_task(machine.program, machine.x, Place::Body, site))?;
        if !filter(&with, fault) {
            return Ok(false);
        }
    }
    retry::permitted((attempt.when.as_ref(), attempt.except_when.as_ref()), &site.input, &scope)
}

/// Equality on the given keys; the four forms of a standard type are equal.
fn filter(with: &Value, fault: &Fault) -> bool {
    let error = fault.to_value();
    let Some(with) = with.as_object() else {
        return false;
    };
    with.iter().all(|(key, expected)| match (&**key, expected.as_str()) {
        ("type", Some(kind)) => Fault::same_type(kind, &fault.kind),
        _ => error.get(key) == Some(expected),
    })
}
