//! The CloudEvent, version 1.0 (events-and-triggers.md section 2).
//!
//! Owns the envelope and its forms. The transports read and write it through the functions here; nothing here
//! knows a transport's client.

mod attribute;
mod envelope;
mod fault;
pub mod http;
pub mod kafka;
mod payload;

use std::sync::Arc;

pub use attribute::{HOP_PATH, HOPS, LIFECYCLE, is_media_type, is_reserved};
pub(crate) use attribute::{is_name as is_attribute_name, printable};
pub use fault::{EventError, Refusal};
pub use payload::is_json;

use crate::ids::Time;
use crate::value::{Map, Value};

/// The one version of the specification that is read and written.
pub const SPEC_VERSION: &str = "1.0";

/// How much may come in at once (security.md 5b).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one event (limit `event-size`).
    pub event: usize,
    /// Events of one batch (limit `event-batch`).
    pub batch: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { event: 1024 * 1024, batch: 100 }
    }
}

/// A CloudEvent 1.0.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `id`, not empty; unique within `source`.
    pub id: Arc<str>,
    /// `source`: a URI reference, not empty.
    pub source: Arc<str>,
    /// `type`, not empty.
    pub kind: Arc<str>,
    /// `subject`.
    pub subject: Option<Arc<str>>,
    /// `time`, RFC 3339 as it came.
    pub time: Option<Arc<str>>,
    /// `datacontenttype`.
    pub datacontenttype: Option<Arc<str>>,
    /// `dataschema`.
    pub dataschema: Option<Arc<str>>,
    /// Extension attributes: lower-case letters and digits; values are text, numbers or booleans.
    pub extensions: Map,
    /// The payload.
    pub data: Data,
}

/// An event's payload.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// None.
    None,
    /// `data`: a JSON value (text payloads are strings).
    Json(Value),
    /// `data_base64`: bytes.
    Binary(bytes::Bytes),
}

/// An event as it stands in the store: with its position and when it was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Position in the one `pos` counter (D9).
    pub pos: u64,
    /// When it was accepted.
    pub accepted: Time,
    /// The binding: a Source's name, or "" for `POST /events` and emitted events.
    pub binding: Arc<str>,
    /// The event.
    pub event: Arc<Event>,
}
