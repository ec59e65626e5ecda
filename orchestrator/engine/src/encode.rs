//! Records to bytes (D9): a format byte, then tagged records.
//!
//! The counterpart of `decode`. A fault that follows an equal one is written as one byte.

use tidemill_dsl::fault::Fault;
use tidemill_dsl::program::{Next, ResourceKind};
use tidemill_dsl::value::Value;

use crate::codec::Writer;
use crate::history::{Begin, Export, Kept, Output, Record, Resource, Work};
use crate::record::{Birth, Ended};

/// The format of transition bodies.
pub(crate) const FORMAT: u8 = 1;

pub(crate) mod tag {
    //! The first byte of each record.
    pub(crate) const CREATED: u8 = 0;
    pub(crate) const STARTED: u8 = 1;
    pub(crate) const TAKEN: u8 = 2;
    pub(crate) const ENTERED: u8 = 3;
    pub(crate) const STEP: u8 = 4;
    pub(crate) const BEGAN: u8 = 5;
    pub(crate) const ENDED: u8 = 6;
    pub(crate) const FAULTED: u8 = 7;
    pub(crate) const CANCELLED: u8 = 8;
    pub(crate) const ITERATED: u8 = 9;
    pub(crate) const PASSED: u8 = 10;
    pub(crate) const JOINED: u8 = 11;
    pub(crate) const DELAYED: u8 = 12;
    pub(crate) const RETRIED: u8 = 13;
    pub(crate) const HANDLING: u8 = 14;
    pub(crate) const HEARD: u8 = 15;
    pub(crate) const PATCHED: u8 = 16;
    pub(crate) const YIELDED: u8 = 17;
    pub(crate) const CONTINUED: u8 = 18;
    pub(crate) const KEPT: u8 = 19;
    pub(crate) const SETTLED: u8 = 20;
    pub(crate) const SUSPENDED: u8 = 21;
    pub(crate) const RESUMED: u8 = 22;
    pub(crate) const REOPENED: u8 = 23;
    pub(crate) const REVIVED: u8 = 24;
    pub(crate) const CLEARED: u8 = 25;
    pub(crate) const COMPLETED: u8 = 26;
    pub(crate) const WORKFLOW_FAULTED: u8 = 27;
    pub(crate) const WORKFLOW_CANCELLED: u8 = 28;
    pub(crate) const TAKEN_UNTIL: u8 = 29;
    pub(crate) const FETCHING: u8 = 30;
    pub(crate) const ASKED: u8 = 31;
    pub(crate) const FETCHED: u8 = 32;
    pub(crate) const TOOK: u8 = 33;
    pub(crate) const AROUND: u8 = 34;
    pub(crate) const HELD: u8 = 35;
    pub(crate) const PROMISED: u8 = 40;
    pub(crate) const SIGNALLED: u8 = 41;
    pub(crate) const HEEDED: u8 = 42;
    pub(crate) const CHOSEN: u8 = 60;
}

/// The body of a transition.
pub(crate) fn encode(records: &[Record]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.byte(FORMAT);
    let mut last = None;
    for record in records {
        put(&mut writer, record, &mut last);
    }
    writer.bytes
}

fn put<'a>(w: &mut Writer, record: &'a Record, last: &mut Option<&'a Fault>) {
    match record {
        Record::Entered { .. } | Record::Step { .. } | Record::Began { .. } | Record::Ended { .. } => {
            task(w, record);
        }
        Record::Faulted { visit, fault, own } => {
            head(w, tag::FAULTED, *visit);
            w.byte(u8::from(*own));
            put_fault(w, fault, last);
        }
        Record::Handling { visit, fault } => {
            head(w, tag::HANDLING, *visit);
            put_fault(w, fault, last);
        }
        Record::WorkflowFaulted { fault, rest } => {
            w.byte(tag::WORKFLOW_FAULTED);
            put_fault(w, fault, last);
            w.option(rest.as_ref(), put_work);
        }
        Record::Cancelled { visit, rest } => {
            head(w, tag::CANCELLED, *visit);
            w.option(rest.as_ref(), put_work);
        }
        Record::Fetching { .. } | Record::Took { .. } | Record::Around { .. } | Record::Held { .. } => {
            around(w, record);
        }
        Record::Iterated { visit } => head(w, tag::ITERATED, *visit),
        Record::Passed { visit, task } => {
            head(w, tag::PASSED, *visit);
            w.number(task.0.into());
        }
        Record::Joined { visit } => head(w, tag::JOINED, *visit),
        Record::Delayed { visit, until } => {
            head(w, tag::DELAYED, *visit);
            w.time(*until);
        }
        Record::Retried { visit, limit } => {
            head(w, tag::RETRIED, *visit);
            w.optional_time(*limit);
        }
        Record::Chosen { visit, version } => {
            head(w, tag::CHOSEN, *visit);
            w.number((*version).into());
        }
        Record::Heard { visit, pos } => {
            head(w, tag::HEARD, *visit);
            w.number(*pos);
        }
        Record::Promised { visit } => head(w, tag::PROMISED, *visit),
        Record::Heeded { visit, at } => {
            head(w, tag::HEEDED, *visit);
            w.number((*at).into());
        }
        Record::Patched { visit, flow } => {
            head(w, tag::PATCHED, *visit);
            w.value(flow);
        }
        Record::Revived { visit, parent, deadline, limit } => {
            head(w, tag::REVIVED, *visit);
            w.number((*parent).into());
            w.optional_time(*deadline);
            w.optional_time(*limit);
        }
        _ => whole(w, record),
    }
}

/// Records about the execution as a whole.
fn whole(w: &mut Writer, record: &Record) {
    match record {
        Record::Created(birth) => {
            w.byte(tag::CREATED);
            put_birth(w, birth);
        }
        Record::Started { input, deadline, failed } => {
            w.byte(tag::STARTED);
            w.optional_value(input.as_ref());
            w.optional_time(*deadline);
            w.byte(u8::from(*failed));
        }
        Record::Taken { input, deadline } => {
            w.byte(if deadline.is_some() { tag::TAKEN_UNTIL } else { tag::TAKEN });
            w.value(input);
            if let Some(deadline) = deadline {
                w.time(*deadline);
            }
        }
        Record::Asked { visit } => head(w, tag::ASKED, *visit),
        Record::Fetched(resource) => {
            w.byte(tag::FETCHED);
            put_resource(w, resource);
        }
        Record::Signalled(event) => {
            w.byte(tag::SIGNALLED);
            w.value(&event.to_value());
        }
        Record::Yielded(rest) => {
            w.byte(tag::YIELDED);
            put_list(w, rest, put_work);
        }
        Record::Continued => w.byte(tag::CONTINUED),
        Record::Kept { visit, what } => {
            head(w, tag::KEPT, *visit);
            put_kept(w, what);
        }
        Record::Settled => w.byte(tag::SETTLED),
        Record::Suspended { waiting, reason } | Record::Resumed { waiting, reason } => {
            let suspended = matches!(record, Record::Suspended { .. });
            w.byte(if suspended { tag::SUSPENDED } else { tag::RESUMED });
            put_list(w, waiting, |w, visit| w.number((*visit).into()));
            w.optional_text(reason.as_ref());
        }
        Record::Reopened { deadline, reason } => {
            w.byte(tag::REOPENED);
            w.optional_time(*deadline);
            w.optional_text(reason.as_ref());
        }
        Record::Cleared => w.byte(tag::CLEARED),
        Record::Completed { output } => {
            w.byte(tag::COMPLETED);
            put_output(w, output, None);
        }
        Record::WorkflowCancelled { reason, rest } => {
            w.byte(tag::WORKFLOW_CANCELLED);
            w.optional_text(reason.as_ref());
            w.option(rest.as_ref(), put_work);
        }
        _ => {}
    }
}

/// Records of entering and ending tasks: the ones there are most of. Their options stand in one byte of flags.
fn task(w: &mut Writer, record: &Record) {
    match record {
        Record::Entered { task, parent, raw, input, deadline, begin } => {
            w.byte(tag::ENTERED);
            let flags = [raw.is_some(), input.is_some(), deadline.is_some()];
            w.byte(bits(&flags));
            w.number(task.0.into());
            w.number((*parent).into());
            [raw, input].into_iter().flatten().for_each(|value| w.value(value));
            if let Some(deadline) = deadline {
                w.time(*deadline);
            }
            put_begin(w, begin);
        }
        Record::Step { task, parent, raw, input, output, export } => {
            w.byte(tag::STEP);
            w.byte(bits(&[raw.is_some(), input.is_some()]));
            w.number(task.0.into());
            w.number((*parent).into());
            [raw, input].into_iter().flatten().for_each(|value| w.value(value));
            put_output(w, output, export.as_ref());
        }
        Record::Began { visit, begin } => {
            head(w, tag::BEGAN, *visit);
            put_begin(w, begin);
        }
        Record::Ended { visit, output, export } => {
            head(w, tag::ENDED, *visit);
            put_output(w, output, export.as_ref());
        }
        _ => {}
    }
}

/// Records of what comes before and after a task's body.
fn around(w: &mut Writer, record: &Record) {
    match record {
        Record::Fetching { task, parent, raw } => {
            head(w, tag::FETCHING, task.0);
            w.number((*parent).into());
            w.optional_value(raw.as_ref());
        }
        Record::Took { visit, input, deadline } => {
            head(w, tag::TOOK, *visit);
            w.optional_value(input.as_ref());
            w.optional_time(*deadline);
        }
        Record::Around { visit, turn } => {
            head(w, tag::AROUND, *visit);
            w.number((*turn).into());
        }
        Record::Held { visit, raw, output, export, next } => {
            head(w, tag::HELD, *visit);
            w.optional_value(raw.as_ref());
            put_output(w, output, export.as_ref());
            put_next(w, *next);
        }
        _ => {}
    }
}

pub(crate) fn put_next(w: &mut Writer, next: Next) {
    match next {
        Next::Exit => w.byte(0),
        Next::End => w.byte(1),
        Next::Leave => w.byte(2),
        Next::Task(task) => head(w, 3, task.0),
    }
}

pub(crate) fn put_resource(w: &mut Writer, resource: &Resource) {
    w.byte(match resource.kind {
        ResourceKind::Function => 0,
        ResourceKind::Schema => 1,
        ResourceKind::Script => 2,
    });
    w.text(&resource.uri);
    w.text(&resource.text);
}

fn head(w: &mut Writer, tag: u8, visit: u32) {
    w.byte(tag);
    w.number(visit.into());
}

fn bits(flags: &[bool]) -> u8 {
    flags.iter().enumerate().fold(0, |bits, (at, flag)| bits | (u8::from(*flag) << at))
}

/// Output and export in one byte, then what is inline.
fn put_output(w: &mut Writer, output: &Output, export: Option<&Export>) {
    let (kind, value): (u8, Option<&Value>) = match output {
        Output::Input => (0, None),
        Output::Flow => (1, None),
        Output::Inline(value) => (2, Some(value)),
        Output::Held => (3, None),
    };
    let (context, inline): (u8, Option<&Value>) = match export {
        None => (0, None),
        Some(Export::Output) => (1, None),
        Some(Export::Inline(value)) => (2, Some(value)),
    };
    w.byte(kind | (context << 2));
    [value, inline].into_iter().flatten().for_each(|value| w.value(value));
}

pub(crate) fn put_begin(w: &mut Writer, begin: &Begin) {
    let kind = match begin {
        Begin::Ready => 0,
        Begin::Plain => 1,
        Begin::Call => 2,
        Begin::Wait(_) => 3,
        Begin::Listen => 4,
        Begin::Child => 5,
        Begin::Local(_) => 6,
        Begin::For(_) => 7,
        Begin::Fork => 8,
        Begin::Try(_) => 9,
        Begin::Extended(_) => 10,
    };
    w.byte(kind);
    match begin {
        Begin::Wait(until) => w.time(*until),
        Begin::Local(raw) => w.optional_value(raw.as_ref()),
        Begin::For(items) => w.value(items),
        Begin::Try(limit) => w.optional_time(*limit),
        Begin::Extended(extensions) => put_list(w, extensions, |w, number| w.number((*number).into())),
        _ => {}
    }
}

pub(crate) fn put_work(w: &mut Writer, work: &Work) {
    match work {
        Work::Enter { task, parent, raw } => {
            w.byte(0);
            w.number(task.0.into());
            w.number((*parent).into());
            w.optional_value(raw.as_ref());
        }
        Work::Run(visit) => head(w, 1, *visit),
        Work::Done(visit) => head(w, 2, *visit),
    }
}

pub(crate) fn put_kept(w: &mut Writer, kept: &Kept) {
    match kept {
        Kept::Outcome(Ok(value)) => {
            w.byte(0);
            w.value(value);
        }
        Kept::Outcome(Err(fault)) => {
            w.byte(1);
            w.fault(fault);
        }
        Kept::Timer(kind, at) => {
            w.byte(2);
            w.byte(*kind as u8);
            w.time(*at);
        }
        Kept::Event(value, pos) => {
            w.byte(3);
            w.value(value);
            w.number(*pos);
        }
        Kept::Child(ended) => {
            w.byte(4);
            put_ended(w, ended);
        }
    }
}

pub(crate) fn put_ended(w: &mut Writer, ended: &Ended) {
    match ended {
        Ended::Completed(value) => {
            w.byte(0);
            w.value(value);
        }
        Ended::Faulted(fault) => {
            w.byte(1);
            w.fault(fault);
        }
        Ended::Cancelled => w.byte(2),
    }
}

fn put_fault<'a>(w: &mut Writer, fault: &'a Fault, last: &mut Option<&'a Fault>) {
    let repeated = *last == Some(fault);
    w.byte(u8::from(repeated));
    if !repeated {
        w.fault(fault);
        *last = Some(fault);
    }
}

pub(crate) fn put_list<T>(w: &mut Writer, items: &[T], mut put: impl FnMut(&mut Writer, &T)) {
    w.number(items.len() as u64);
    for item in items {
        put(w, item);
    }
}

pub(crate) fn put_birth(w: &mut Writer, birth: &Birth) {
    w.raw(&birth.id.0);
    for text in [&birth.namespace, &birth.workflow, &birth.version] {
        w.text(text);
    }
    w.raw(&birth.digest);
    w.time(birth.created);
    w.value(&birth.input);
    // The second bit: a path follows. Births of the first release have none.
    w.byte(u8::from(birth.cause.is_some()) | if birth.path.is_empty() { 0 } else { 2 });
    if !birth.path.is_empty() {
        put_list(w, &birth.path, |w, name| w.text(name));
    }
    if let Some(cause) = &birth.cause {
        w.text(&cause.trigger);
        w.number(cause.generation);
        w.number(cause.attempt.into());
        for text in [&cause.binding, &cause.source, &cause.id] {
            w.text(text);
        }
        w.byte(u8::from(cause.buffered));
    }
    w.option(birth.parent.as_ref(), |w, parent| {
        w.raw(&parent.execution.0);
        w.number(parent.visit.into());
        w.byte(u8::from(parent.awaited));
    });
    put_list(w, &birth.tags, |w, (name, value)| {
        w.text(name);
        w.text(value);
    });
}
