//! `run.workflow`: a child execution, awaited or not.

use tidemill_dsl::fault::{Fault, Standard};
use tidemill_dsl::ids::Visit;
use tidemill_dsl::program::RunWorkflow;
use tidemill_dsl::value::Value;

use crate::Effect;
use crate::execution::Execution;
use crate::history::Begin;
use crate::machine::{Begun, Machine, Raw};
use crate::record::Ended;
use crate::scope::{Place, Scope, Site};

pub(super) fn begin(machine: &mut Machine<'_>, site: &Site, run: &RunWorkflow) -> Result<Begun, Fault> {
    let own = &machine.x.birth.namespace;
    if run.namespace != *own {
        let detail = format!(
            "cannot run workflow `{}` of namespace `{}`: namespace `{own}` has no grant for it",
            run.name, run.namespace
        );
        return Err(Fault::new(Standard::Authorization, detail));
    }
    let input = input(machine, site, run)?;
    if run.wait {
        return Ok(Begun::Open(Begin::Child));
    }
    let visit = site.visit.unwrap_or(machine.x.upcoming(site.task));
    let effect = start(machine.x, run, (visit, site), input);
    machine.effects.push(effect);
    Ok(Begun::Done(Raw::Input, machine.program.task(site.task).then))
}

pub(super) fn opened(machine: &mut Machine<'_>, visit: Visit, run: &RunWorkflow) {
    let Some(site) = machine.x.open_frame(visit).map(Site::of) else {
        return;
    };
    match input(machine, &site, run) {
        Ok(input) => {
            let effect = start(machine.x, run, (visit, &site), input);
            machine.effects.push(effect);
        }
        Err(fault) => machine.fault(visit, fault, true),
    }
}

fn input(machine: &mut Machine<'_>, site: &Site, run: &RunWorkflow) -> Result<Value, Fault> {
    match &run.input {
        Some(template) => machine.body(template, site),
        None => Ok(site.input.clone()),
    }
}

/// The start of an open awaited child once more, after a restart: the same identity and input.
pub(crate) fn again(
    program: &tidemill_dsl::program::Program,
    x: &Execution,
    visit: Visit,
    run: &RunWorkflow,
) -> Option<Effect> {
    let site = Site::of(x.open_frame(visit)?);
    let scope = Scope::of_task(program, x, Place::Body, &site);
    let input = match &run.input {
        Some(template) => template.eval(&site.input, &scope).ok()?,
        None => site.input.clone(),
    };
    Some(start(x, run, (visit, &site), input))
}

fn start(x: &Execution, run: &RunWorkflow, (visit, site): (Visit, &Site), input: Value) -> Effect {
    Effect::StartChild {
        visit,
        child: x.child_id(visit, site.started),
        namespace: run.namespace.clone(),
        workflow: run.name.clone(),
        version: run.version.clone(),
        input,
        awaited: run.wait,
    }
}

/// What a child's end is for its parent: output or error (dsl.md section 12: the child's type, status, title and
/// detail, the run task's instance).
pub(crate) fn outcome(ended: Ended, reference: &str) -> Result<Value, Fault> {
    match ended {
        Ended::Completed(value) => Ok(value),
        Ended::Faulted(fault) => Err(fault.with_instance(reference)),
        Ended::Cancelled => Err(Fault::runtime("the child execution was cancelled").with_instance(reference)),
    }
}
