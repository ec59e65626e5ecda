//! The fold of what comes before and after a task's body: fetching what it needs, the lists of extensions.

use std::sync::Arc;

use tidemill_dsl::ids::Time;
use tidemill_dsl::program::{Linked, Program};

use super::enter::Fresh;
use super::{context_mut, exported, insert, purge};
use crate::execution::{Execution, Held, State};
use crate::history::{Record, Resource};

pub(super) fn apply(program: &Program, x: &mut Execution, record: &Record, time: Time) {
    match record {
        Record::Fetching { task, parent, raw } => {
            let fresh = Fresh { task: *task, parent: *parent, raw, input: &None };
            let mut frame = fresh.frame(program, x, time);
            frame.state = State::Fetch(1);
            insert(x, frame);
        }
        Record::Asked { visit } => match x.frame_mut(*visit) {
            Some(frame) => {
                if let State::Fetch(number) = &mut frame.state {
                    *number += 1;
                }
            }
            None => {
                x.requests += 1;
                x.asks = Some(x.requests);
            }
        },
        Record::Fetched(resource) => link(program, x, resource),
        Record::Took { visit, input, deadline } => {
            if let Some(frame) = x.frame_mut(*visit) {
                frame.input = input.as_ref().unwrap_or(&frame.raw).clone();
                frame.flow = frame.input.clone();
                frame.deadline = *deadline;
                frame.state = State::Ready;
            }
        }
        Record::Around { visit, turn } => {
            let Some(frame) = x.frame_mut(*visit) else { return };
            frame.entered = 0;
            match &mut frame.state {
                State::Before(at) => {
                    *at = *turn;
                    frame.flow = frame.input.clone();
                }
                State::After(held) => {
                    held.turn = *turn;
                    frame.flow = held.output.clone();
                }
                _ => {}
            }
        }
        Record::Held { .. } => hold(x, record),
        _ => {}
    }
}

/// The program of an execution grows by what was fetched. What cannot be read any more is left out.
pub(crate) fn link(program: &Program, x: &mut Execution, resource: &Resource) {
    let whole = x.link.0.clone();
    let base = whole.as_deref().unwrap_or(program);
    if let Ok(linked) = Linked::read(resource.kind, &resource.uri, &resource.text, base.linked.len()) {
        x.link.0 = Some(Arc::new(base.with(linked)));
    }
    x.fetched.push(resource.clone());
}

fn hold(x: &mut Execution, record: &Record) {
    let Record::Held { visit, raw, output, export, next } = record else {
        return;
    };
    purge(x, *visit);
    let Some(frame) = x.frame_mut(*visit) else { return };
    let inline = if let crate::history::Output::Inline(value) = output { Some(value) } else { None };
    let output = inline.or_else(|| frame.output(output)).cloned().unwrap_or_default();
    let raw = raw.as_ref().unwrap_or(&output).clone();
    let context = export.as_ref().map(|export| exported(export, &output));
    frame.flow = output.clone();
    frame.state = State::After(Box::new(Held { turn: 0, raw, output, next: *next }));
    let (own, parent) = (frame.context.is_some(), frame.parent);
    if let Some(context) = context {
        *context_mut(x, if own { *visit } else { parent }) = context;
    }
}
