//! What of a batch is written as JSON is written on the thread that submits it: the writer's time is the dearest.
//!
//! Owns the batch on its way to the writer. Decides nothing.

use crate::Completion;
use crate::batch::{Batch, Part};

use super::codec;

/// A batch with its JSON ready, in the order the writer needs it.
pub(super) struct Prepared {
    pub(super) batch: Batch,
    /// One for each arrival.
    pub(super) events: Vec<Vec<u8>>,
    /// One for each summary of a shard part.
    pub(super) ended: Vec<Option<Vec<u8>>>,
    /// Records: what the writer's cap counts.
    pub(super) records: usize,
    /// Bytes of bodies, about.
    pub(super) bytes: usize,
    pub(super) done: Completion,
}

impl Prepared {
    pub(super) fn new(batch: Batch, done: Completion) -> Prepared {
        let (mut events, mut ended) = (Vec::new(), Vec::new());
        let (mut records, mut bytes) = (1, 0);
        for part in &batch.parts {
            match part {
                Part::Shard(part) => {
                    ended.extend(part.summaries.iter().map(|s| s.result.as_ref().map(codec::write_ended)));
                    records += part.transitions.len() + part.summaries.len() + part.due.len();
                    bytes += part.transitions.iter().map(|t| t.body.len()).sum::<usize>();
                    bytes += part.states.iter().map(|s| s.body.len()).sum::<usize>();
                }
                Part::Ingress(part) => {
                    events.extend(part.arrivals.iter().map(|a| a.event.to_json()));
                    records +=
                        part.arrivals.iter().map(|a| 1 + a.starts.len() + a.deliveries.len()).sum::<usize>();
                }
                Part::Create(_) => records += 1,
                Part::Inbox(items) => records += items.len(),
                Part::Buffer(changes) => records += changes.len(),
                Part::Definitions(changes) => records += changes.len(),
                Part::Operator(changes) => records += changes.len(),
            }
        }
        bytes +=
            events.iter().map(Vec::len).sum::<usize>() + ended.iter().flatten().map(Vec::len).sum::<usize>();
        Prepared { batch, events, ended, records, bytes, done }
    }
}
