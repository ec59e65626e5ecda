//! `buffer` of a trigger: peak shaving.
//!
//! Owns its fields. Holds no delivery.

use super::super::{codes, read};
use super::optional;
use crate::duration::Rate;
use crate::expr::Template;
use crate::reader::{Place, Reader, Sink};

/// Peak shaving of one trigger.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Starts per time.
    pub rate: Option<Rate>,
    /// Starts that may come at once on top of the rate; none: as many as the rate gives in a tenth of a second,
    /// at least one.
    pub burst: Option<u32>,
    /// Executions of this trigger that may be open.
    pub concurrency: Option<u32>,
    /// Deliveries that may wait.
    pub capacity: u32,
    /// Key of those that go one after another.
    pub order_by: Option<Template>,
    /// What happens at capacity.
    pub when_full: WhenFull,
    /// Higher goes first.
    pub priority: i32,
}

/// Deliveries a buffer holds when nothing is said (limit `buffer-capacity`).
const CAPACITY: u32 = 1_000_000;

/// What happens at a buffer's capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The source is held; HTTP gets 429 after a second.
    #[default]
    Wait,
    /// 429, or a negative acknowledgement.
    Reject,
    /// To the dead letters, cause `buffer-full`.
    Divert,
}

/// Reads `buffer`.
pub(in crate::manifest) fn read_buffer(place: Place, sink: &Sink) -> Option<Buffer> {
    let mut reader = Reader::open(place, sink, "buffer")?;
    let many = || 1..=i64::from(u32::MAX);
    let rate = optional(reader.take("rate"), |place| read::rate(&place, sink));
    let burst = optional(reader.take("burst"), |place| read::count(&place, sink, many()));
    let concurrency = optional(reader.take("concurrency"), |place| read::count(&place, sink, many()));
    let capacity = reader.take("capacity").map_or(Some(CAPACITY), |place| read::count(&place, sink, many()));
    let order_by = optional(reader.take("orderBy"), |place| read::template(&place, sink));
    let when_full = reader.choice(
        "whenFull",
        &[("wait", WhenFull::Wait), ("reject", WhenFull::Reject), ("divert", WhenFull::Divert)],
    );
    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
    let priority = reader.take("priority").map_or(Some(0), |place| read::integer(&place, sink, range));
    reader.refuse("queue", codes::LATER_QUEUE, "named queues are not supported by this release");
    reader.finish();
    Some(Buffer {
        rate: rate?,
        burst: burst?,
        concurrency: concurrency?,
        capacity: capacity?,
        order_by: order_by?,
        when_full,
        priority: i32::try_from(priority?).unwrap_or(0),
    })
}
