//! Positions that an operator sets by hand, judged before they are saved.
//!
//! Pure. Owns which partitions a source of each kind has and what their positions look like. A position that cannot be
//! read would otherwise be told by the source, when nobody looks any more, or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::{self, KafkaSource, MinioVia, SourceKind};

use crate::{cron, kafka};

/// What an operator asks for: one position, or one by partition. No text is none: the source begins anew.
#[derive(Clone, Debug, Default)]
pub struct Seek {
    /// For the whole source.
    pub position: Option<Arc<str>>,
    /// By partition.
    pub positions: BTreeMap<Arc<str>, Option<Arc<str>>>,
}

/// The positions to save, by partition; none removes one. `saved` are the partitions with a position. The error says what
/// is wrong, for people.
pub fn places(
    source: &manifest::Source,
    saved: &[Arc<str>],
    seek: Seek,
) -> Result<BTreeMap<Arc<str>, Option<Arc<str>>>, String> {
    let Seek { position, mut positions } = seek;
    if let Some(position) = position {
        let all = match &source.kind {
            SourceKind::Kafka(kafka) => partitions(kafka, saved)?,
            SourceKind::Cron(_) => vec![cron::POSITION.into()],
            _ => vec!["".into()],
        };
        positions.extend(all.into_iter().map(|partition| (partition, Some(position.clone()))));
    }
    if positions.is_empty() {
        return Err("a seek names `position`, or `positions` by partition".to_owned());
    }
    for (partition, position) in &positions {
        judge(source, partition, position.as_deref())?;
    }
    Ok(positions)
}

/// All partitions that were read of the topics as they are now.
fn partitions(kafka: &KafkaSource, saved: &[Arc<str>]) -> Result<Vec<Arc<str>>, String> {
    let all: Vec<Arc<str>> = saved
        .iter()
        .filter(|name| kafka::partition(name).is_some_and(|(topic, _)| has(kafka, topic)))
        .cloned()
        .collect();
    if all.is_empty() {
        return Err("no partition has a position yet; `start` says where the source begins".to_owned());
    }
    Ok(all)
}

fn has(kafka: &KafkaSource, topic: &str) -> bool {
    kafka.topics.iter().any(|own| **own == *topic)
}

fn judge(source: &manifest::Source, partition: &str, position: Option<&str>) -> Result<(), String> {
    let of_one = |name: &str, kind: &str| match position {
        _ if partition != name => Err(format!("the source has no partition `{partition}`; state `position`")),
        Some(text) if Time::parse(text).is_none() => {
            Err(format!("the position of a {kind} source is an RFC 3339 instant"))
        }
        _ => Ok(()),
    };
    match &source.kind {
        SourceKind::Http(_) => Err("an http source has no position".to_owned()),
        SourceKind::Cron(_) => of_one(cron::POSITION, "cron"),
        SourceKind::Minio(minio) => match &minio.via {
            MinioVia::Listen { .. } | MinioVia::Webhook { .. } => of_one("", "minio"),
            MinioVia::Carried { .. } => {
                Err("the source has no position; seek the Source that carries its records".to_owned())
            }
        },
        SourceKind::Kafka(kafka) => {
            if !kafka::partition(partition).is_some_and(|(topic, _)| has(kafka, topic)) {
                return Err(format!(
                    "`{partition}` is no partition of the source; they are written TOPIC/NUMBER, of {}",
                    kafka.topics.join(", ")
                ));
            }
            if position.is_none_or(|text| kafka::Place::parse(text).is_some()) {
                return Ok(());
            }
            let what = "an offset, `earliest`, `latest` or an RFC 3339 instant";
            Err(format!("the position `{}` of {partition} is not {what}", position.unwrap_or_default()))
        }
        // Its positions are several forms of text, which it judges itself.
        SourceKind::Mysql(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::source;

    #[track_caller]
    fn check(kind: &str, position: Option<&str>, positions: &[(&str, Option<&str>)], expected: &str) {
        let seek = Seek {
            position: position.map(Into::into),
            positions: positions.iter().map(|(name, at)| ((*name).into(), at.map(Into::into))).collect(),
        };
        let saved = ["t/0".into(), "t/1".into(), "old/0".into(), "".into()];
        let told = places(&source(kind), &saved, seek).map_or_else(|why| why, |found| format!("{found:?}"));
        assert_eq!(told, expected, "{kind}");
    }

    const KAFKA: &str = "kafka: {brokers: ['b:1'], topics: [t]}";
    const CRON: &str = "cron: {schedule: '@daily'}";
    const MINIO: &str = "minio: {endpoint: 'http://m:1', bucket: bkt, credentials: {secret: k}, via: ";

    #[test]
    fn positions_are_judged_by_the_kind() {
        check(KAFKA, Some("earliest"), &[], r#"{"t/0": Some("earliest"), "t/1": Some("earliest")}"#);
        check(KAFKA, None, &[("t/7", Some("120"))], r#"{"t/7": Some("120")}"#);
        check(KAFKA, None, &[("t/0", None)], r#"{"t/0": None}"#);
        let at = "2026-01-01T00:00:00Z";
        check(KAFKA, None, &[("t/0", Some(at))], r#"{"t/0": Some("2026-01-01T00:00:00Z")}"#);
        for bad in ["x", "-3", ""] {
            let expected = format!(
                "the position `{bad}` of t/0 is not an offset, `earliest`, `latest` or an RFC 3339 instant"
            );
            check(KAFKA, None, &[("t/0", Some(bad))], &expected);
        }
        let no = |name: &str| {
            format!("`{name}` is no partition of the source; they are written TOPIC/NUMBER, of t")
        };
        for bad in ["other/0", "t", "t/x", "t/-1", ""] {
            check(KAFKA, None, &[(bad, Some("1"))], &no(bad));
        }
        check(
            "kafka: {brokers: ['b:1'], topics: [new]}",
            Some("latest"),
            &[],
            "no partition has a position yet; `start` says where the source begins",
        );
        check(CRON, Some(at), &[], r#"{"fired": Some("2026-01-01T00:00:00Z")}"#);
        check(CRON, Some("now"), &[], "the position of a cron source is an RFC 3339 instant");
        check(CRON, None, &[("a/0", None)], "the source has no partition `a/0`; state `position`");
        let (listen, proxy) =
            (format!("{MINIO}{{listen: {{}}}}}}"), format!("{MINIO}{{kafka: {{source: k}}}}}}"));
        check(&listen, Some(at), &[], r#"{"": Some("2026-01-01T00:00:00Z")}"#);
        check(&listen, Some("5"), &[], "the position of a minio source is an RFC 3339 instant");
        check(&proxy, Some(at), &[], "the source has no position; seek the Source that carries its records");
        check("http: {path: p, auth: {none: {}}}", Some(at), &[], "an http source has no position");
        check(CRON, None, &[], "a seek names `position`, or `positions` by partition");
    }
}
