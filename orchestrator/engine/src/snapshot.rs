//! Snapshots: the state as bytes. A cache of the fold, droppable (D8).
//!
//! A value that stands in several places is written once and referred to afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemill_dsl::program::{Program, TaskId};
use tidemill_dsl::value::Value;

use crate::apply::link;
use crate::codec::{DecodeError, Read, Reader, Writer};
use crate::decode::{get_birth, get_ended, get_event, get_kept, get_next, get_resource, get_work, known};
use crate::encode::{put_birth, put_ended, put_kept, put_list, put_next, put_resource, put_work};
use crate::execution::{Attempts, Closed, Execution, Frame, Held, Phase, Slot, State};
use crate::history::Record;
use crate::record::Birth;

/// The format of snapshots; those of format 1 hold no signals, those of 2 neither extensions nor fetched resources.
const FORMAT: u8 = 3;

impl Execution {
    /// The state as bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.w.byte(FORMAT);
        put_birth(&mut out.w, &self.birth);
        out.known.insert(address(&self.birth.input), 0);
        out.w.optional_time(self.started);
        out.w.optional_time(self.ended);
        out.w.option(self.result.as_ref(), put_ended);
        out.w.byte(u8::from(self.suspended));
        out.w.time(self.time);
        for number in [self.sequence, self.transitions, self.next_visit.into(), self.history_limit] {
            out.w.number(number);
        }
        out.w.optional_time(self.deadline);
        out.w.byte(u8::from(self.input.is_some()));
        self.input.iter().for_each(|input| out.value(input));
        out.value(&self.flow);
        out.value(&self.context);
        out.w.number(self.entered.into());
        out.w.number(self.frames.len() as u64);
        self.frames.iter().for_each(|frame| out.frame(frame));
        put_list(&mut out.w, &self.queue, put_work);
        put_list(&mut out.w, &self.kept, |w, (visit, kept)| {
            w.number((*visit).into());
            put_kept(w, kept);
        });
        out.w.number(self.heard.len() as u64);
        self.heard.iter().for_each(|pos| out.w.number(*pos));
        put_list(&mut out.w, &self.signals, |w, signal| w.value(&signal.to_value()));
        out.w.number(self.signalled.len() as u64);
        for (source, id) in &self.signalled {
            out.w.text(source);
            out.w.text(id);
        }
        put_list(&mut out.w, &self.fetched, put_resource);
        out.w.number(self.requests.into());
        out.w.byte(u8::from(self.asks.is_some()));
        out.w.bytes
    }

    /// The facts of birth that a snapshot holds: they name the program that [`Execution::from_snapshot`] needs.
    pub fn birth_of_snapshot(bytes: &[u8]) -> Result<Birth, DecodeError> {
        let mut reader = Reader::new(bytes);
        format(&mut reader)?;
        get_birth(&mut reader)
    }

    /// The state of bytes that [`Execution::snapshot`] gave for an execution of this program.
    pub fn from_snapshot(program: &Program, bytes: &[u8]) -> Result<Execution, DecodeError> {
        let mut source = In { r: Reader::new(bytes), known: Vec::new(), format: 0 };
        let mut x = source.execution()?;
        for resource in std::mem::take(&mut x.fetched) {
            link(program, &mut x, &resource);
        }
        let whole = x.link.0.clone();
        let program = whole.as_deref().unwrap_or(program);
        let named = |task: TaskId| program.has(task);
        let rest = Record::Yielded(x.queue.clone());
        if !source.r.is_empty()
            || !x.frames.iter().all(|frame| named(frame.task))
            || known(program, &rest).is_err()
        {
            return Err(DecodeError("a snapshot does not fit its definition"));
        }
        Ok(x)
    }
}

fn format(reader: &mut Reader<'_>) -> Read<u8> {
    let format = reader.byte()?;
    if (1..=FORMAT).contains(&format) {
        Ok(format)
    } else {
        Err(DecodeError("the format of a snapshot is unknown"))
    }
}

#[derive(Default)]
struct Out {
    w: Writer,
    /// Numbers of the shared values written, by address: looked up, never walked.
    known: BTreeMap<usize, u64>,
}

/// The address of a shared value; 0 for one that is not shared.
fn address(value: &Value) -> usize {
    match value {
        Value::Array(items) => Arc::as_ptr(items) as usize,
        Value::Object(map) => Arc::as_ptr(map) as usize,
        _ => 0,
    }
}

impl Out {
    /// 0 and the value, or the number of an earlier one plus 1.
    fn value(&mut self, value: &Value) {
        let address = address(value);
        if let Some(number) = self.known.get(&address).filter(|_| address != 0) {
            self.w.number(number + 1);
            return;
        }
        self.w.number(0);
        self.w.value(value);
        if address != 0 {
            self.known.insert(address, self.known.len() as u64);
        }
    }

    fn frame(&mut self, frame: &Frame) {
        let closed = match frame.closed {
            None => 0,
            Some(Closed::Faulted) => 1,
            Some(Closed::Cancelled) => 2,
        };
        self.w.byte(closed | (u8::from(frame.context.is_some()) << 2) | (u8::from(frame.exported) << 3));
        for number in [frame.visit, frame.task.0, frame.parent, frame.ordinal, frame.entered, frame.attempt] {
            self.w.number(number.into());
        }
        self.value(&frame.raw);
        self.value(&frame.input);
        self.value(&frame.flow);
        frame.context.iter().for_each(|context| self.value(context));
        self.w.time(frame.started);
        self.w.optional_time(frame.deadline);
        self.w.option(frame.rest.as_ref(), put_work);
        put_list(&mut self.w, &frame.extensions, |w, number| w.number((*number).into()));
        self.state(&frame.state);
    }

    fn state(&mut self, state: &State) {
        let kind = match state {
            State::Ready => 0,
            State::Plain => 1,
            State::Call => 2,
            State::Wait(_) => 3,
            State::Listen => 4,
            State::Child => 5,
            State::Local(_) => 6,
            State::For { .. } => 7,
            State::Fork(_) => 8,
            State::Try(_) => 9,
            State::Callback => 10,
            State::Fetch(_) => 20,
            State::Before(_) => 21,
            State::After(_) => 22,
        };
        self.w.byte(kind);
        match state {
            State::Wait(until) => self.w.time(*until),
            State::Local(context) => self.value(context),
            State::For { items, begun } => {
                self.value(items);
                self.w.number(*begun as u64);
            }
            State::Fork(slots) => {
                self.w.number(slots.len() as u64);
                for slot in slots {
                    self.slot(slot);
                }
            }
            State::Try(attempts) => self.attempts(attempts),
            State::Fetch(number) | State::Before(number) => self.w.number((*number).into()),
            State::After(held) => {
                self.w.number(held.turn.into());
                self.value(&held.raw);
                self.value(&held.output);
                put_next(&mut self.w, held.next);
            }
            _ => {}
        }
    }

    fn slot(&mut self, slot: &Slot) {
        match slot {
            Slot::Open => self.w.byte(0),
            Slot::Skipped => self.w.byte(1),
            Slot::Failed(fault) => {
                self.w.byte(2);
                self.w.fault(fault);
            }
            Slot::Done(output, context) => {
                self.w.byte(3 + u8::from(context.is_some()));
                self.value(output);
                if let Some(context) = context {
                    self.value(context);
                }
            }
        }
    }

    fn attempts(&mut self, attempts: &Attempts) {
        self.w.number(attempts.number.into());
        self.w.optional_time(attempts.limit);
        match &attempts.phase {
            Phase::Body => self.w.byte(0),
            Phase::Delay(until) => {
                self.w.byte(1);
                self.w.time(*until);
            }
            Phase::Handler(fault) => {
                self.w.byte(2);
                self.w.fault(fault);
            }
        }
    }
}

struct In<'a> {
    r: Reader<'a>,
    known: Vec<Value>,
    format: u8,
}

impl In<'_> {
    fn execution(&mut self) -> Read<Execution> {
        self.format = format(&mut self.r)?;
        let birth = Arc::new(get_birth(&mut self.r)?);
        self.known.push(birth.input.clone());
        let mut x = Execution::unborn(birth);
        x.started = self.r.option(Reader::time)?;
        x.ended = self.r.option(Reader::time)?;
        x.result = self.r.option(get_ended)?;
        x.suspended = self.r.flag()?;
        x.time = self.r.time()?;
        x.sequence = self.r.number()?;
        x.transitions = self.r.number()?;
        x.next_visit = self.r.small()?;
        x.history_limit = self.r.number()?;
        x.deadline = self.r.option(Reader::time)?;
        x.input = if self.r.flag()? { Some(self.value()?) } else { None };
        x.flow = self.value()?;
        x.context = self.value()?;
        x.entered = self.r.small()?;
        for _ in 0..self.r.number()? {
            let frame = self.frame()?;
            x.frames.push(frame);
        }
        x.queue = self.r.list(get_work)?;
        x.kept = self.r.list(|r| Ok((r.small()?, get_kept(r)?)))?;
        x.heard = self.r.list(Reader::number)?.into_iter().collect();
        if self.format > 1 {
            x.signals = self.r.list(|r| Ok(Arc::new(get_event(r)?)))?;
            x.signalled = self.r.list(|r| Ok((r.text()?, r.text()?)))?.into_iter().collect();
        }
        if self.format > 2 {
            x.fetched = self.r.list(get_resource)?;
            x.requests = self.r.small()?;
            x.asks = self.r.flag()?.then_some(x.requests);
        }
        Ok(x)
    }

    fn value(&mut self) -> Read<Value> {
        match self.r.number()? {
            0 => {
                let value = self.r.value()?;
                if address(&value) != 0 {
                    self.known.push(value.clone());
                }
                Ok(value)
            }
            number => {
                let known = self.known.get((number - 1) as usize);
                known.cloned().ok_or(DecodeError("a value refers to none before it"))
            }
        }
    }

    fn frame(&mut self) -> Read<Frame> {
        let flags = self.r.byte()?;
        Ok(Frame {
            closed: match flags & 3 {
                0 => None,
                1 => Some(Closed::Faulted),
                _ => Some(Closed::Cancelled),
            },
            visit: self.r.small()?,
            task: TaskId(self.r.small()?),
            parent: self.r.small()?,
            ordinal: self.r.small()?,
            entered: self.r.small()?,
            attempt: self.r.small()?,
            raw: self.value()?,
            input: self.value()?,
            flow: self.value()?,
            context: if flags & 4 != 0 { Some(self.value()?) } else { None },
            exported: flags & 8 != 0,
            started: self.r.time()?,
            deadline: self.r.option(Reader::time)?,
            rest: self.r.option(get_work)?,
            extensions: if self.format > 2 { self.r.list(Reader::small)? } else { Vec::new() },
            state: self.state()?,
        })
    }

    fn state(&mut self) -> Read<State> {
        Ok(match self.r.byte()? {
            0 => State::Ready,
            1 => State::Plain,
            2 => State::Call,
            3 => State::Wait(self.r.time()?),
            4 => State::Listen,
            5 => State::Child,
            6 => State::Local(self.value()?),
            7 => State::For { items: self.value()?, begun: self.r.number()? as usize },
            8 => {
                let mut slots = Vec::new();
                for _ in 0..self.r.number()? {
                    slots.push(self.slot()?);
                }
                State::Fork(slots)
            }
            9 => State::Try(self.attempts()?),
            10 => State::Callback,
            20 => State::Fetch(self.r.small()?),
            21 => State::Before(self.r.small()?),
            22 => State::After(Box::new(Held {
                turn: self.r.small()?,
                raw: self.value()?,
                output: self.value()?,
                next: get_next(&mut self.r)?,
            })),
            _ => return Err(DecodeError("a state is of an unknown kind")),
        })
    }

    fn slot(&mut self) -> Read<Slot> {
        Ok(match self.r.byte()? {
            0 => Slot::Open,
            1 => Slot::Skipped,
            2 => Slot::Failed(self.r.fault()?),
            3 => Slot::Done(self.value()?, None),
            4 => Slot::Done(self.value()?, Some(self.value()?)),
            _ => return Err(DecodeError("a branch is of an unknown kind")),
        })
    }

    fn attempts(&mut self) -> Read<Attempts> {
        let (number, limit) = (self.r.small()?, self.r.option(Reader::time)?);
        let phase = match self.r.byte()? {
            0 => Phase::Body,
            1 => Phase::Delay(self.r.time()?),
            2 => Phase::Handler(self.r.fault()?),
            _ => return Err(DecodeError("an attempt is of an unknown kind")),
        };
        Ok(Attempts { phase, number, limit })
    }
}
