//! Durations of waits, timeouts and delays, and what happens when a timer fires.

use std::time::Duration;

use tidemill_dsl::duration::parse_value;
use tidemill_dsl::expr::{Arguments, Template};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Visit;
use tidemill_dsl::program::{Kind, Program};
use tidemill_dsl::value::Value;

use crate::execution::ROOT;
use crate::limits::MAX_DURATION;
use crate::machine::{Machine, Raw};
use crate::record::TimerKind;
use crate::scope::Site;
use crate::step;

/// Evaluates a template to a duration of at most [`MAX_DURATION`].
pub(crate) fn duration(template: &Template, input: &Value, scope: &dyn Arguments) -> Result<Duration, Fault> {
    let value = template.eval(input, scope)?;
    let duration = parse_value(&value).map_err(|error| Fault::expression(error.to_string()))?;
    if duration > MAX_DURATION {
        return Err(Fault::expression(format!(
            "the duration {value} is longer than 366 days (limit duration)"
        )));
    }
    Ok(duration)
}

/// A timer that is wanted has fired.
pub(crate) fn fired(machine: &mut Machine<'_>, visit: Visit, kind: TimerKind) {
    let program = machine.program;
    if visit == ROOT {
        return machine.end_faulted(Fault::timeout("the workflow has run out of time"));
    }
    let Some(frame) = machine.x.open_frame(visit) else {
        return;
    };
    let task = program.task(frame.task);
    let site = Site::of(frame);
    match (kind, &task.kind) {
        (TimerKind::Wait, _) => machine.complete(site, &Raw::Input, task.then),
        (TimerKind::Timeout, _) => {
            if let Some(effect) = machine.stop(frame) {
                machine.revoke(effect);
            }
            machine.fault(visit, Fault::timeout("the task has run out of time"), true);
        }
        (TimerKind::Retry, Kind::Try(attempt)) => {
            if let Some(fault) = step::try_::retried(machine, visit, attempt) {
                machine.fault(visit, fault, true);
            }
        }
        (TimerKind::Attempt, Kind::Try(_)) => cut_off(machine, visit, program),
        _ => {}
    }
}

/// An attempt has run out of time: what runs in it is cancelled and the catch judges the error.
fn cut_off(machine: &mut Machine<'_>, visit: Visit, program: &Program) {
    let Some(frame) = machine.x.open_frame(visit) else {
        return;
    };
    let task = program.task(frame.task);
    let fault = Fault::timeout("the attempt has run out of time").with_instance(&task.reference);
    machine.interrupt(visit);
    if let Some((fault, _)) = step::rescue(machine, visit, fault) {
        machine.fault(visit, fault, true);
    }
}
