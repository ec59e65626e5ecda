//! `kind: Trigger`: rule, target and delivery policy.
//!
//! Owns the fields and what can be judged without the source and the target themselves.

mod buffer;
mod sink;
mod target;

use std::sync::Arc;

pub use buffer::{Buffer, WhenFull};
pub use sink::{SinkTarget, sent};
pub use target::{DeadLetter, Target};

pub(super) use buffer::read_buffer;
use target::{read_dead_letter, read_target};

use super::retry::RetryPolicy;
use super::{Head, Metadata, Raw, Reference, Source, codes, filters, open, read, retry};
use crate::codes as shared;
use crate::diagnostic::{Diagnostic, Span};
use crate::expr::Template;
use crate::filter::Filter;
use crate::matcher::MatchRule;
use crate::pattern::{self, Pattern};
use crate::reader::{Place, Sink};

/// A trigger. Its templates see the event's envelope.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// What it is called.
    pub meta: Metadata,
    /// Whether it fires.
    pub enabled: bool,
    /// The Source whose events it takes; none: every event of the namespace.
    pub source: Option<Arc<str>>,
    /// As stated; [`Trigger::check_integration`] compares it with the source.
    pub integration: Option<Integration>,
    /// All must pass.
    pub filters: Vec<Filter>,
    /// The payload matches it.
    pub data: Option<Pattern>,
    /// What it starts.
    pub target: Target,
    /// The input; none: the whole envelope.
    pub input: Option<Template>,
    /// Tags of the execution by name.
    pub tags: Vec<(Arc<str>, Template)>,
    /// What happens while an execution of it runs.
    pub overlap: Overlap,
    /// Peak shaving; none: started in the accepting commit.
    pub buffer: Option<Buffer>,
    /// As stated; none: `day` for a function or sink, no second execution for a workflow.
    pub retry: Option<RetryPolicy>,
    /// What becomes of dead letters besides being stored.
    pub dead_letter: DeadLetter,
    /// As written.
    pub raw: Raw,
    places: Places,
}

/// Where the names stand that something else must define.
#[derive(Clone, Debug, Default)]
struct Places {
    source: Span,
    integration: Span,
    target: Span,
    dead_letter: Span,
}

/// How source, rule and firing are joined (events-and-triggers.md section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integration {
    /// Binding and rule stand in one place.
    OneWay,
    /// A relation at the source and a rule here, kept equal.
    TwoWay,
    /// Another bus brings the events.
    Proxy,
}

impl Integration {
    const WORDS: [(&'static str, Integration); 3] =
        [("oneWay", Integration::OneWay), ("twoWay", Integration::TwoWay), ("proxy", Integration::Proxy)];

    /// As manifests and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Integration::OneWay => "oneWay",
            Integration::TwoWay => "twoWay",
            Integration::Proxy => "proxy",
        }
    }

    /// Where the rule is stored: `ruleHome` of the status.
    pub fn rule_home(self) -> &'static str {
        match self {
            Integration::OneWay => "engine",
            Integration::TwoWay => "both",
            Integration::Proxy => "broker",
        }
    }

    /// From where the trigger fires: `firesFrom` of the status.
    pub fn fires_from(self) -> &'static str {
        match self {
            Integration::OneWay => "engine",
            Integration::TwoWay => "source",
            Integration::Proxy => "broker",
        }
    }
}

/// What happens to an event while an execution of the trigger runs, judged per `orderBy` key when there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// Both run.
    #[default]
    Allow,
    /// The event is not delivered.
    Skip,
    /// It waits.
    Queue,
    /// The running one is cancelled.
    Replace,
}

impl Overlap {
    const WORDS: [(&'static str, Overlap); 4] = [
        ("allow", Overlap::Allow),
        ("skip", Overlap::Skip),
        ("queue", Overlap::Queue),
        ("replace", Overlap::Replace),
    ];
}

pub(super) fn read(head: Head, spec: Place, sink: &Sink) -> Option<Trigger> {
    let mut reader = open(spec, sink, "the spec of a Trigger")?;
    let enabled = reader.flag("enabled", true);
    let source = reader.take("source");
    let integration = reader.take("integration");
    let filters =
        reader.take("filters").map_or(Some(Vec::new()), |place| filters::read_filters(&place, sink));
    let data = optional(reader.take("data"), |place| pattern::read(&place, sink));
    let target = reader.need("target");
    let input = optional(reader.take("input"), |place| read::template(&place, sink));
    let tags = optional(reader.take("tags"), |place| read_tags(&place, sink));
    let overlap = reader.choice("overlap", &Overlap::WORDS);
    let buffer = optional(reader.take("buffer"), |place| read_buffer(place, sink));
    let retry = optional(reader.take("retry"), |place| retry::read(place, sink));
    let dead_letter = reader.take("deadLetter");
    reader.finish();
    let key = |place: &Option<Place>| place.as_ref().map(|place| place.node.span).unwrap_or_default();
    let places = Places {
        source: key(&source),
        integration: key(&integration),
        target: key(&target),
        dead_letter: key(&dead_letter),
    };
    let source = optional(source, |place| read::label(&place, sink));
    let integration = optional(integration, |place| place.choice(sink, &Integration::WORDS));
    let target = target.and_then(|place| read_target(place, sink));
    let dead_letter = dead_letter.map_or(Some(DeadLetter::Store), |place| read_dead_letter(place, sink));
    let trigger = Trigger {
        meta: head.meta,
        enabled,
        source: source?,
        integration: integration?,
        filters: filters?,
        data: data?,
        target: target?,
        input: input?,
        tags: tags?.unwrap_or_default(),
        overlap,
        buffer: buffer?,
        retry: retry?,
        dead_letter: dead_letter?,
        raw: head.raw,
        places,
    };
    if trigger.source.is_none() {
        trigger.check_integration(None).into_iter().for_each(|found| sink.push(found));
    }
    Some(trigger)
}

/// Reads what may be there: absent is `Some(None)`, a mistake `None`.
#[expect(clippy::option_option, reason = "absent, mistaken and there are three cases")]
fn optional<'a, T>(place: Option<Place<'a>>, read: impl FnOnce(Place<'a>) -> Option<T>) -> Option<Option<T>> {
    place.map_or(Some(None), |place| read(place).map(Some))
}

fn read_tags(place: &Place, sink: &Sink) -> Option<Vec<(Arc<str>, Template)>> {
    let good = |name: &str| {
        (1..=63).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    };
    let read = place.entries(sink)?.into_iter().map(|(name, place)| {
        if !good(&name) {
            let found = place.key_error(shared::WRONG_NAME, format!("`{name}` is no name of a tag"));
            sink.push(found.help("a tag is named by letters, digits, `_`, `-` and `.`, at most 63"));
            return None;
        }
        Some((name, read::template(&place, sink)?))
    });
    read.collect::<Vec<_>>().into_iter().collect()
}

impl Trigger {
    /// The rule for the matcher; `paused` by an operator counts as disabled.
    pub fn rule(&self, paused: bool) -> MatchRule {
        MatchRule {
            source: self.source.clone(),
            filters: self.filters.clone(),
            data: self.data.clone(),
            enabled: self.enabled && !paused,
        }
    }

    /// How source, rule and firing are joined: as the source implies, else as stated, else oneWay.
    pub fn integration_with(&self, source: Option<&Source>) -> Integration {
        source.map(|source| source.kind.integration()).or(self.integration).unwrap_or(Integration::OneWay)
    }

    /// The policy by which failed deliveries are tried again: as stated, else `day` for functions and sinks. A workflow
    /// is not started again unless the trigger states `retry`.
    pub fn retry_policy(&self) -> Option<RetryPolicy> {
        match (&self.retry, &self.target) {
            (Some(policy), _) => Some(policy.clone()),
            (None, Target::Function { .. } | Target::Sink(_)) => Some(RetryPolicy::day()),
            (None, Target::Workflow { .. }) => None,
        }
    }

    /// A stated integration that contradicts the source is an error that names both.
    pub fn check_integration(&self, source: Option<&Source>) -> Option<Diagnostic> {
        let stated = self.integration?;
        let implied = match source {
            Some(source) => source.kind.integration(),
            // Posted and emitted events: the poster may be another bus.
            None if stated == Integration::TwoWay => Integration::OneWay,
            None => return None,
        };
        let of = source.map_or("a trigger without source".into(), |source| {
            format!("the source `{}` of kind {}", source.meta.name, source.kind.name())
        });
        let message = format!(
            "`integration: {}` does not agree with {of}, which is {}",
            stated.as_str(),
            implied.as_str()
        );
        let found =
            Diagnostic::error(codes::INTEGRATION, self.places.integration, message).at("/spec/integration");
        (stated != implied).then(|| read::explained(found))
    }

    pub(super) fn references(&self) -> Vec<Reference> {
        let source = self.source.as_ref().map(|name| Reference {
            kind: "Source",
            name: name.clone(),
            version: None,
            of: None,
            span: self.places.source,
            pointer: "/spec/source".into(),
        });
        let dead_letter = match &self.dead_letter {
            DeadLetter::Target(target) => target.reference(self.places.dead_letter, "/spec/deadLetter"),
            DeadLetter::Store | DeadLetter::Drop => None,
        };
        source
            .into_iter()
            .chain(self.target.reference(self.places.target, "/spec/target"))
            .chain(dead_letter)
            .collect()
    }
}
