//! `process` of a function: a program that is run per call or kept running.
//!
//! Owns its fields. Starts nothing.

use std::sync::Arc;
use std::time::Duration;

use super::super::{codes, read};
use super::{FunctionKind, FunctionLimits, Setting, read_limits, settings};
use crate::codes as shared;
use crate::reader::{Place, Reader, Sink};

/// A program that is run per call or kept running.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessFunction {
    /// Program and arguments.
    pub command: Vec<Arc<str>>,
    /// Per call, or kept.
    pub lifecycle: Lifecycle,
    /// How it is spoken to; follows from the life cycle.
    pub protocol: ProcessProtocol,
    /// Working directory.
    pub workdir: Option<Arc<str>>,
    /// Its environment; nothing else of the server's is handed on.
    pub environment: Vec<(Arc<str>, Setting)>,
    /// Instances kept without calls.
    pub min_instances: u32,
    /// Most instances.
    pub max_instances: u32,
    /// Calls at once per instance.
    pub concurrency: u32,
    /// After this long without calls an instance goes.
    pub idle: Duration,
    /// How long an instance may take to become ready.
    pub start_timeout: Duration,
}

/// How long a process lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifecycle {
    /// For one call.
    #[default]
    OneShot,
    /// Between calls.
    Resident,
}

/// How a process is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessProtocol {
    /// HTTP over a unix socket (resident).
    Http,
    /// JSON on standard input and output (one-shot).
    Json,
}

fn check_variable(name: &str, value: &Setting) -> Option<String> {
    let good = !name.is_empty() && !name.contains(['=', '\0']);
    if !good {
        return Some(format!("`{name}` is no name of an environment variable"));
    }
    if name.starts_with("TIDEMILL_") {
        return Some(format!("`{name}` is set by Tidemill"));
    }
    matches!(value, Setting::Text(text) if text.contains('\0'))
        .then(|| format!("the value of `{name}` holds a NUL"))
}

pub(super) fn read(place: Place, sink: &Sink, limits: &mut FunctionLimits) -> Option<FunctionKind> {
    let mut reader = Reader::open(place, sink, "a process function")?;
    let command = reader.need("command").and_then(|place| read::list(&place, sink, argument));
    let words = [("oneShot", Lifecycle::OneShot), ("resident", Lifecycle::Resident)];
    let lifecycle = reader.choice("lifecycle", &words);
    let protocol = read_protocol(reader.take("protocol"), lifecycle, sink);
    let workdir = reader.take("workdir").map(|place| read::some_text(&place, sink));
    let environment =
        reader.take("environment").map_or(Some(Vec::new()), |place| settings(&place, sink, check_variable));
    if let Some(own) = reader.take("limits").and_then(|place| read_limits(place, sink)) {
        limits.narrow(own);
    }
    let min = reader.take("minInstances");
    let min_instances = min.as_ref().map_or(Some(0), |place| read::count(place, sink, 0..=1000));
    let max_instances =
        reader.take("maxInstances").map_or(Some(1), |place| read::count(&place, sink, 1..=1000));
    let concurrency =
        reader.take("concurrency").map_or(Some(1), |place| read::count(&place, sink, 1..=10_000));
    let idle = reader.take("idle").map_or(Some(Duration::from_mins(5)), |place| read::duration(&place, sink));
    let start_timeout = reader
        .take("startTimeout")
        .map_or(Some(Duration::from_secs(10)), |place| read::duration(&place, sink));
    reader.finish();
    if let (Some(place), Some(min), Some(max)) = (min, min_instances, max_instances)
        && min > max
    {
        return read::wrong(
            &place,
            sink,
            codes::RANGE,
            &format!("minInstances {min} is above maxInstances {max}"),
        );
    }
    let workdir = match workdir {
        Some(workdir) => Some(workdir?),
        None => None,
    };
    Some(FunctionKind::Process(Box::new(ProcessFunction {
        command: command?,
        lifecycle,
        protocol: protocol?,
        workdir,
        environment: environment?,
        min_instances: min_instances?,
        max_instances: max_instances?,
        concurrency: concurrency?,
        idle: idle?,
        start_timeout: start_timeout?,
    })))
}

fn argument(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    if text.contains('\0') {
        read::wrong(place, sink, shared::WRONG_VALUE, "the argument holds a NUL")
    } else {
        Some(text)
    }
}

fn read_protocol(place: Option<Place>, lifecycle: Lifecycle, sink: &Sink) -> Option<ProcessProtocol> {
    let implied = match lifecycle {
        Lifecycle::OneShot => ProcessProtocol::Json,
        Lifecycle::Resident => ProcessProtocol::Http,
    };
    let Some(place) = place else { return Some(implied) };
    let stated = place.choice(sink, &[("http", ProcessProtocol::Http), ("json", ProcessProtocol::Json)])?;
    let message = "the protocol does not go with the life cycle: http with resident, json with oneShot";
    if stated == implied { Some(stated) } else { read::wrong(&place, sink, shared::WRONG_VALUE, message) }
}
