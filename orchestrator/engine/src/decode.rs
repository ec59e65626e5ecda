//! Bytes to records: the counterpart of `encode`.

use tidemill_dsl::event::Event;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::ExecutionId;
use tidemill_dsl::program::{Next, Program, ResourceKind, TaskId};

use crate::codec::{DecodeError, Read, Reader};
use crate::encode::{FORMAT, tag};
use crate::history::{Begin, Export, Kept, Output, Record, Resource, Work};
use crate::record::{Birth, Cause, Ended, Parent, TimerKind, Transition};

/// Reads the body of a transition.
pub fn decode(body: &[u8]) -> Result<Vec<Record>, DecodeError> {
    let mut reader = opened(body)?;
    let mut records = Vec::new();
    let mut last = None;
    while !reader.is_empty() {
        records.push(get(&mut reader, &mut last)?);
    }
    Ok(records)
}

/// The facts of birth, from the first transition of an execution.
pub fn birth_of(first: &Transition) -> Result<Birth, DecodeError> {
    let mut reader = opened(&first.body)?;
    if reader.byte()? != tag::CREATED {
        return Err(DecodeError("it is not the first of its execution"));
    }
    get_birth(&mut reader)
}

/// Refuses a record that names a task the program does not have.
pub(crate) fn known(program: &Program, record: &Record) -> Read<()> {
    let has = |task: &TaskId| program.has(*task);
    let work = |work: &Work| !matches!(work, Work::Enter { task, .. } if !has(task));
    let fits = match record {
        Record::Entered { task, .. }
        | Record::Fetching { task, .. }
        | Record::Step { task, .. }
        | Record::Passed { task, .. } => has(task),
        Record::Yielded(rest) => rest.iter().all(work),
        Record::Cancelled { rest, .. }
        | Record::WorkflowFaulted { rest, .. }
        | Record::WorkflowCancelled { rest, .. } => rest.iter().all(work),
        _ => true,
    };
    if fits { Ok(()) } else { Err(DecodeError("it names a task that the definition does not have")) }
}

fn opened(body: &[u8]) -> Read<Reader<'_>> {
    let mut reader = Reader::new(body);
    if reader.byte()? != FORMAT {
        return Err(DecodeError("its format is unknown"));
    }
    Ok(reader)
}

fn get(r: &mut Reader<'_>, last: &mut Option<Fault>) -> Read<Record> {
    let tag = r.byte()?;
    match tag {
        tag::ENTERED | tag::STEP | tag::BEGAN | tag::ENDED => task(r, tag),
        tag::FETCHING => Ok(Record::Fetching {
            task: TaskId(r.small()?),
            parent: r.small()?,
            raw: r.option(Reader::value)?,
        }),
        tag::TOOK => Ok(Record::Took {
            visit: r.small()?,
            input: r.option(Reader::value)?,
            deadline: r.option(Reader::time)?,
        }),
        tag::AROUND => Ok(Record::Around { visit: r.small()?, turn: r.small()? }),
        tag::HELD => {
            let (visit, raw) = (r.small()?, r.option(Reader::value)?);
            let (output, export) = get_output(r)?;
            Ok(Record::Held { visit, raw, output, export, next: get_next(r)? })
        }
        tag::FAULTED => {
            let (visit, own) = (r.small()?, r.flag()?);
            Ok(Record::Faulted { visit, own, fault: get_fault(r, last)? })
        }
        tag::HANDLING => Ok(Record::Handling { visit: r.small()?, fault: get_fault(r, last)? }),
        tag::WORKFLOW_FAULTED => {
            let fault = get_fault(r, last)?;
            Ok(Record::WorkflowFaulted { fault, rest: r.option(get_work)? })
        }
        tag::CANCELLED => Ok(Record::Cancelled { visit: r.small()?, rest: r.option(get_work)? }),
        tag::ITERATED => Ok(Record::Iterated { visit: r.small()? }),
        tag::PASSED => Ok(Record::Passed { visit: r.small()?, task: TaskId(r.small()?) }),
        tag::JOINED => Ok(Record::Joined { visit: r.small()? }),
        tag::DELAYED => Ok(Record::Delayed { visit: r.small()?, until: r.time()? }),
        tag::RETRIED => Ok(Record::Retried { visit: r.small()?, limit: r.option(Reader::time)? }),
        tag::CHOSEN => Ok(Record::Chosen { visit: r.small()?, version: r.small()? }),
        tag::HEARD => Ok(Record::Heard { visit: r.small()?, pos: r.number()? }),
        tag::PROMISED => Ok(Record::Promised { visit: r.small()? }),
        tag::HEEDED => Ok(Record::Heeded { visit: r.small()?, at: r.small()? }),
        tag::PATCHED => Ok(Record::Patched { visit: r.small()?, flow: r.value()? }),
        tag::REVIVED => Ok(Record::Revived {
            visit: r.small()?,
            parent: r.small()?,
            deadline: r.option(Reader::time)?,
            limit: r.option(Reader::time)?,
        }),
        _ => whole(r, tag),
    }
}

/// Records about the execution as a whole.
fn whole(r: &mut Reader<'_>, tag: u8) -> Read<Record> {
    Ok(match tag {
        tag::CREATED => Record::Created(get_birth(r)?.into()),
        tag::STARTED => Record::Started {
            input: r.option(Reader::value)?,
            deadline: r.option(Reader::time)?,
            failed: r.flag()?,
        },
        tag::TAKEN => Record::Taken { input: r.value()?, deadline: None },
        tag::TAKEN_UNTIL => Record::Taken { input: r.value()?, deadline: Some(r.time()?) },
        tag::ASKED => Record::Asked { visit: r.small()? },
        tag::FETCHED => Record::Fetched(get_resource(r)?),
        tag::SIGNALLED => Record::Signalled(get_event(r)?.into()),
        tag::YIELDED => Record::Yielded(r.list(get_work)?),
        tag::CONTINUED => Record::Continued,
        tag::KEPT => Record::Kept { visit: r.small()?, what: get_kept(r)? },
        tag::SETTLED => Record::Settled,
        tag::SUSPENDED => {
            Record::Suspended { waiting: r.list(Reader::small)?, reason: r.option(Reader::text)? }
        }
        tag::RESUMED => Record::Resumed { waiting: r.list(Reader::small)?, reason: r.option(Reader::text)? },
        tag::REOPENED => {
            Record::Reopened { deadline: r.option(Reader::time)?, reason: r.option(Reader::text)? }
        }
        tag::CLEARED => Record::Cleared,
        tag::COMPLETED => Record::Completed { output: get_output(r)?.0 },
        tag::WORKFLOW_CANCELLED => {
            Record::WorkflowCancelled { reason: r.option(Reader::text)?, rest: r.option(get_work)? }
        }
        _ => return Err(DecodeError("a record is of an unknown kind")),
    })
}

fn task(r: &mut Reader<'_>, tag: u8) -> Read<Record> {
    if tag == tag::BEGAN {
        return Ok(Record::Began { visit: r.small()?, begin: get_begin(r)? });
    }
    if tag == tag::ENDED {
        let visit = r.small()?;
        let (output, export) = get_output(r)?;
        return Ok(Record::Ended { visit, output, export });
    }
    let flags = r.byte()?;
    let (task, parent) = (TaskId(r.small()?), r.small()?);
    let raw = (flags & 1 != 0).then(|| r.value()).transpose()?;
    let input = (flags & 2 != 0).then(|| r.value()).transpose()?;
    if tag == tag::STEP {
        let (output, export) = get_output(r)?;
        return Ok(Record::Step { task, parent, raw, input, output, export });
    }
    let deadline = (flags & 4 != 0).then(|| r.time()).transpose()?;
    Ok(Record::Entered { task, parent, raw, input, deadline, begin: get_begin(r)? })
}

fn get_output(r: &mut Reader<'_>) -> Read<(Output, Option<Export>)> {
    let kinds = r.byte()?;
    let output = match kinds & 3 {
        0 => Output::Input,
        1 => Output::Flow,
        2 => Output::Inline(r.value()?),
        3 => Output::Held,
        _ => return Err(DecodeError("an output is of an unknown kind")),
    };
    let export = match kinds >> 2 {
        0 => None,
        1 => Some(Export::Output),
        2 => Some(Export::Inline(r.value()?)),
        _ => return Err(DecodeError("an export is of an unknown kind")),
    };
    Ok((output, export))
}

pub(crate) fn get_begin(r: &mut Reader<'_>) -> Read<Begin> {
    Ok(match r.byte()? {
        0 => Begin::Ready,
        1 => Begin::Plain,
        2 => Begin::Call,
        3 => Begin::Wait(r.time()?),
        4 => Begin::Listen,
        5 => Begin::Child,
        6 => Begin::Local(r.option(Reader::value)?),
        7 => Begin::For(r.value()?),
        8 => Begin::Fork,
        9 => Begin::Try(r.option(Reader::time)?),
        10 => Begin::Extended(r.list(Reader::small)?),
        _ => return Err(DecodeError("a beginning is of an unknown kind")),
    })
}

pub(crate) fn get_next(r: &mut Reader<'_>) -> Read<Next> {
    Ok(match r.byte()? {
        0 => Next::Exit,
        1 => Next::End,
        2 => Next::Leave,
        3 => Next::Task(TaskId(r.small()?)),
        _ => return Err(DecodeError("a successor is of an unknown kind")),
    })
}

pub(crate) fn get_resource(r: &mut Reader<'_>) -> Read<Resource> {
    let kind = match r.byte()? {
        0 => ResourceKind::Function,
        1 => ResourceKind::Schema,
        2 => ResourceKind::Script,
        _ => return Err(DecodeError("a resource is of an unknown kind")),
    };
    Ok(Resource { kind, uri: r.text()?, text: r.text()? })
}

pub(crate) fn get_work(r: &mut Reader<'_>) -> Read<Work> {
    Ok(match r.byte()? {
        0 => Work::Enter { task: TaskId(r.small()?), parent: r.small()?, raw: r.option(Reader::value)? },
        1 => Work::Run(r.small()?),
        2 => Work::Done(r.small()?),
        _ => return Err(DecodeError("a piece of work is of an unknown kind")),
    })
}

pub(crate) fn get_kept(r: &mut Reader<'_>) -> Read<Kept> {
    Ok(match r.byte()? {
        0 => Kept::Outcome(Ok(r.value()?)),
        1 => Kept::Outcome(Err(r.fault()?)),
        2 => {
            let kind = TimerKind::of_byte(r.byte()?).ok_or(DecodeError("a timer is of an unknown kind"))?;
            Kept::Timer(kind, r.time()?)
        }
        3 => Kept::Event(r.value()?, r.number()?),
        4 => Kept::Child(get_ended(r)?),
        _ => return Err(DecodeError("a kept answer is of an unknown kind")),
    })
}

pub(crate) fn get_event(r: &mut Reader<'_>) -> Read<Event> {
    Event::restore_value(&r.value()?).map_err(|_| DecodeError("a signal is no event"))
}

pub(crate) fn get_ended(r: &mut Reader<'_>) -> Read<Ended> {
    Ok(match r.byte()? {
        0 => Ended::Completed(r.value()?),
        1 => Ended::Faulted(r.fault()?),
        2 => Ended::Cancelled,
        _ => return Err(DecodeError("an end is of an unknown kind")),
    })
}

fn get_fault(r: &mut Reader<'_>, last: &mut Option<Fault>) -> Read<Fault> {
    if r.flag()? {
        return last.clone().ok_or(DecodeError("a fault refers to none before it"));
    }
    let fault = r.fault()?;
    *last = Some(fault.clone());
    Ok(fault)
}

pub(crate) fn get_birth(r: &mut Reader<'_>) -> Read<Birth> {
    let (id, namespace) = (ExecutionId(r.array()?), r.text()?);
    let (workflow, version, digest) = (r.text()?, r.text()?, r.array()?);
    let (created, input) = (r.time()?, r.value()?);
    let (caused, pathed) = match r.byte()? {
        flags @ 0..4 => (flags & 1 != 0, flags & 2 != 0),
        _ => return Err(DecodeError("the flags of a birth are unknown")),
    };
    let path = if pathed { r.list(Reader::text)? } else { Vec::new() };
    let cause = if caused { Some(get_cause(r)?) } else { None };
    Ok(Birth {
        id,
        namespace,
        workflow,
        version,
        digest,
        created,
        input,
        cause,
        parent: r.option(|r| {
            Ok(Parent { execution: ExecutionId(r.array()?), visit: r.small()?, awaited: r.flag()? })
        })?,
        tags: r.list(|r| Ok((r.text()?, r.text()?)))?,
        path,
    })
}

fn get_cause(r: &mut Reader<'_>) -> Read<Cause> {
    Ok(Cause {
        trigger: r.text()?,
        generation: r.number()?,
        attempt: r.small()?,
        binding: r.text()?,
        source: r.text()?,
        id: r.text()?,
        buffered: r.flag()?,
    })
}
