//! `target` and `deadLetter` of a trigger.
//!
//! Owns their forms. Looks no name up.

use std::sync::Arc;

use super::super::{Reference, codes, read};
use super::sink::{SinkTarget, read_sink};
use crate::diagnostic::Span;
use crate::ids::is_label;
use crate::reader::{Place, Reader, Sink};

/// What a trigger starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A workflow.
    Workflow {
        /// Its name.
        name: Arc<str>,
        /// Its version; none: the highest.
        version: Option<Arc<str>>,
    },
    /// A function.
    Function {
        /// Its name.
        name: Arc<str>,
        /// Version number or alias; none: the newest.
        version: Option<Arc<str>>,
    },
    /// A sink: the event itself is sent.
    Sink(SinkTarget),
}

/// What becomes of a dead letter. The store keeps the entry in every case but [`DeadLetter::Drop`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeadLetter {
    /// It is stored.
    #[default]
    Store,
    /// It is stored and given to this target.
    Target(Target),
    /// It is dropped and counted.
    Drop,
}

impl DeadLetter {
    /// Whom it is given to.
    pub fn target(&self) -> Option<&Target> {
        match self {
            DeadLetter::Target(target) => Some(target),
            DeadLetter::Store | DeadLetter::Drop => None,
        }
    }
}

pub(super) fn read_target(place: Place, sink: &Sink) -> Option<Target> {
    let mut reader = Reader::open(place, sink, "a target")?;
    let target = target_of(&mut reader, false);
    reader.finish();
    match target? {
        DeadLetter::Target(target) => Some(target),
        DeadLetter::Store | DeadLetter::Drop => None,
    }
}

pub(super) fn read_dead_letter(place: Place, sink: &Sink) -> Option<DeadLetter> {
    let mut reader = Reader::open(place, sink, "deadLetter")?;
    let target = target_of(&mut reader, true);
    reader.finish();
    target
}

/// A target, or for dead letters also `queue` and `none`.
fn target_of(reader: &mut Reader, dead_letter: bool) -> Option<DeadLetter> {
    let sink = reader.sink();
    let keys: &[&'static str] = if dead_letter {
        &["workflow", "function", "sink", "queue", "none"]
    } else {
        &["workflow", "function", "sink"]
    };
    let version = reader.take("version");
    let refused = reader.refuse(
        "alias",
        codes::LATER_WORKFLOW_ALIAS,
        "aliases of workflows are not supported by this release",
    );
    let (kind, place) = read::one_of(reader, keys, "the target")?;
    if let Some(version) = version.as_ref().filter(|_| kind != "workflow") {
        let found = version.key_error(codes::TARGET, format!("`version` does not go with `{kind}`"));
        sink.push(found.help("the version of a function follows its name: `charge:3`"));
        return None;
    }
    let target = match kind {
        "workflow" => Target::Workflow {
            name: read::label(&place, sink)?,
            version: match version {
                Some(place) => Some(workflow_version(&place, sink)?),
                None => None,
            },
        },
        "function" => function_target(&place, sink)?,
        "sink" => Target::Sink(read_sink(place, sink)?),
        "none" => {
            Reader::open(place, sink, "none")?.finish();
            return Some(DeadLetter::Drop);
        }
        _ => {
            let message = "named queues are not supported by this release";
            sink.push(read::explained(place.key_error(codes::LATER_QUEUE, message)));
            return None;
        }
    };
    (!refused).then_some(DeadLetter::Target(target))
}

fn workflow_version(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    if &*text == "latest" || semver::Version::parse(&text).is_ok() {
        return Some(text);
    }
    read::wrong(place, sink, codes::TARGET, &format!("`{text}` is no semantic version"))
}

fn function_target(place: &Place, sink: &Sink) -> Option<Target> {
    let text = place.text(sink)?;
    let (name, version) =
        text.split_once(':').map_or((&*text, None), |(name, version)| (name, Some(version)));
    if is_label(name) && version.is_none_or(is_label) {
        return Some(Target::Function { name: name.into(), version: version.map(Arc::from) });
    }
    read::wrong(
        place,
        sink,
        codes::TARGET,
        &format!("`{text}` is neither NAME nor NAME:VERSION nor NAME:ALIAS"),
    )
}

impl Target {
    pub(super) fn reference(&self, span: Span, pointer: &str) -> Option<Reference> {
        let (kind, name, version) = match self {
            Target::Workflow { name, version } => ("Workflow", name, version),
            Target::Function { name, version } => ("Function", name, version),
            Target::Sink(sink) => return sink.reference(span, pointer),
        };
        let (name, version, pointer) = (name.clone(), version.clone(), pointer.into());
        Some(Reference { kind, name, version, of: None, span, pointer })
    }
}
