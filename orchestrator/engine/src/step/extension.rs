//! Extensions: the `before` lists of those that apply, then the task, then their `after` lists, each in declaration
//! order (dsl.md section 5 #29 and section 12).
//!
//! Their tasks run within the extended task's visit. Their outputs are dropped, but a `before` list that is left by
//! `then: exit` replaces what the task does by its output; the other `before` lists then have no turn. A fault in them
//! is one within the extended task: it goes outwards, and no `catch` of the task itself sees it.

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Visit;
use tidemill_dsl::program::{Extension, ListId};
use tidemill_dsl::value::Value;

use crate::execution::State;
use crate::history::{Export, Output, Record};
use crate::machine::{Machine, Raw};
use crate::output::same;
use crate::scope::{Place, Scope, Site};

/// The extensions that apply to a task which is about to begin. Each `when` is judged once, here.
pub(crate) fn applying(machine: &Machine<'_>, site: &Site) -> Result<Vec<u32>, Fault> {
    let (program, x) = (machine.program, &machine.x);
    let declared = &program.task(site.task).extensions;
    let mut applying = Vec::new();
    if declared.is_empty() || x.in_extension(site.parent) {
        return Ok(applying);
    }
    let scope = Scope::of_task(program, x, Place::Body, site);
    for number in declared {
        let when = program.extensions[*number as usize].when.as_ref();
        if when.map_or(Ok(true), |when| Ok(when.eval(&site.input, &scope)?.is_truthy()))? {
            applying.push(*number);
        }
    }
    Ok(applying)
}

/// The next `before` list, or the task's body.
pub(crate) fn before(machine: &mut Machine<'_>, visit: Visit) {
    let Some(frame) = machine.x.open_frame(visit) else {
        return;
    };
    let State::Before(done) = frame.state else { return };
    match next(machine, &frame.extensions, done, |extension| extension.before) {
        Some((turn, list)) => {
            machine.emit(Record::Around { visit, turn });
            machine.begin_list(list, visit);
        }
        None => {
            let site = Site::of(frame);
            machine.run_body(site);
        }
    }
}

/// A `before` list was left by `then: exit`.
pub(crate) fn left(machine: &mut Machine<'_>, visit: Visit) {
    if let Some(frame) = machine.x.open_frame(visit) {
        let (site, then) = (Site::of(frame), machine.program.task(frame.task).then);
        machine.complete(site, &Raw::Flow, then);
    }
}

/// Whether `after` lists follow the body of an open task.
pub(crate) fn follows(machine: &Machine<'_>, visit: Visit) -> bool {
    let Some(frame) = machine.x.open_frame(visit) else {
        return false;
    };
    next(machine, &frame.extensions, 0, |extension| extension.after).is_some()
}

/// Holds what a task gives until its `after` lists have run.
pub(crate) fn hold(
    machine: &mut Machine<'_>,
    visit: Visit,
    (raw, output, export): (&Raw, Output, Option<Export>),
    next: tidemill_dsl::program::Next,
) {
    let Some(frame) = machine.x.open_frame(visit) else {
        return;
    };
    let plain = match raw {
        Raw::Input => &frame.input,
        Raw::Flow => &frame.flow,
        Raw::Value(value) => value,
    };
    let shaped = if let Output::Inline(value) = &output { Some(value) } else { frame.output(&output) };
    let raw = (!shaped.is_some_and(|shaped| same(shaped, plain))).then(|| plain.clone());
    machine.emit(Record::Held { visit, raw, output, export, next });
    after(machine, visit);
}

/// The next `after` list, or the end of the task.
pub(crate) fn after(machine: &mut Machine<'_>, visit: Visit) {
    let Some(frame) = machine.x.open_frame(visit) else {
        return;
    };
    let State::After(held) = &frame.state else { return };
    if let Some((turn, list)) = next(machine, &frame.extensions, held.turn, |extension| extension.after) {
        machine.emit(Record::Around { visit, turn });
        machine.begin_list(list, visit);
        return;
    }
    let (parent, then, value): (_, _, Value) = (frame.parent, held.next, held.output.clone());
    machine.emit(Record::Ended { visit, output: Output::Held, export: None });
    machine.proceed(parent, then, &value);
}

/// The list around a task that has its turn now.
pub(crate) fn current(machine: &Machine<'_>, extensions: &[u32], state: &State) -> Option<ListId> {
    let at = |turn: u32| extensions.get((turn as usize).checked_sub(1)?).copied();
    let extension = |number: u32| machine.program.extensions.get(number as usize);
    match state {
        State::Before(turn) => extension(at(*turn)?)?.before,
        State::After(held) => extension(at(held.turn)?)?.after,
        _ => None,
    }
}

/// The next of these extensions that has such a list, and how many have then had their turn.
fn next(
    machine: &Machine<'_>,
    extensions: &[u32],
    done: u32,
    list: impl Fn(&Extension) -> Option<ListId>,
) -> Option<(u32, ListId)> {
    let rest = extensions.iter().enumerate().skip(done as usize);
    let mut found = rest.filter_map(|(at, number)| {
        Some((at as u32 + 1, list(machine.program.extensions.get(*number as usize)?)?))
    });
    found.next()
}
