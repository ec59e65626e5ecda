//! `http` of a source: a route that takes calls.
//!
//! Owns its fields. Verifies no signature and serves nothing.

mod auth;

use std::sync::Arc;
use std::time::Duration;

use super::super::{Metadata, codes, read};
use crate::codes as shared;
use crate::reader::{Place, Reader, Sink};
pub use auth::{HmacScheme, HttpAuth, JwtAuth, JwtKeys};

/// A route below `/hooks/{namespace}/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSource {
    /// The path behind `/hooks/{namespace}/`, without a leading slash.
    pub path: Arc<str>,
    /// Methods, upper case.
    pub methods: Vec<Arc<str>>,
    /// Who may call.
    pub auth: HttpAuth,
    /// What the caller gets.
    pub respond: Respond,
    /// How long a caller of `respond: output` waits.
    pub timeout: Duration,
    /// Largest body in bytes.
    pub max_body: u64,
}

/// What the caller of a route gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Respond {
    /// 202 after the commit.
    #[default]
    Accepted,
    /// The workflow's output.
    Output,
}

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// Largest body a route can take: that of any request.
const MAX_BODY: u64 = 10 * 1024 * 1024;
/// Longest wait of a caller for the output.
const MAX_WAIT: Duration = Duration::from_mins(1);

pub(super) fn read(place: Place, sink: &Sink, meta: &Metadata) -> Option<HttpSource> {
    let mut reader = Reader::open(place, sink, "an http source")?;
    let path = reader.need("path").and_then(|place| hook_path(&place, sink, &meta.namespace));
    let methods =
        reader.take("methods").map_or(Some(vec!["POST".into()]), |place| read::list(&place, sink, method));
    let auth = reader.take("auth");
    let respond = reader.choice("respond", &[("accepted", Respond::Accepted), ("output", Respond::Output)]);
    let timeout = reader.take("timeout").map_or(Some(Duration::from_secs(30)), |place| {
        let timeout = read::duration(&place, sink)?;
        let message = "timeout is longer than the limit `http-wait` of 60 s";
        if timeout > MAX_WAIT { read::wrong(&place, sink, codes::DURATION, message) } else { Some(timeout) }
    });
    let max_body = reader.take("maxBody").map_or(Some(1024 * 1024), |place| {
        let size = read::size(&place, sink)?;
        let message = "maxBody is larger than the limit `request-body` of 10 MiB";
        if size > MAX_BODY { read::wrong(&place, sink, codes::SIZE, message) } else { Some(size) }
    });
    let auth = auth.or_else(|| {
        let missing = reader.place().error(shared::MISSING_KEY, "an http source lacks the key `auth`");
        sink.push(
            missing
                .help("state who may call: bearer, basic, hmac or jwt; `auth: {none: {}}` lets everyone in"),
        );
        None
    });
    let auth = auth.and_then(|place| auth::read(place, sink));
    reader.finish();
    Some(HttpSource {
        path: path?,
        methods: methods?,
        auth: auth?,
        respond,
        timeout: timeout?,
        max_body: max_body?,
    })
}

/// The path of a hook: behind `/hooks/{namespace}/`, which may be written.
pub(super) fn hook_path(place: &Place, sink: &Sink, namespace: &str) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    let refuse = |why: &str| read::wrong(place, sink, codes::PATH, &format!("the path `{text}` {why}"));
    let rest = match text.strip_prefix("/hooks/") {
        Some(below) => match below.split_once('/') {
            Some((stated, rest)) if stated == namespace => rest,
            _ => return refuse(&format!("does not stand under `/hooks/{namespace}/`")),
        },
        None => text.strip_prefix('/').unwrap_or(&text),
    };
    let segment = |segment: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"._-~".contains(&b);
        !segment.is_empty() && segment.bytes().all(good) && segment.bytes().any(|b| b != b'.')
    };
    if rest.len() > 200 || !rest.split('/').all(segment) {
        return refuse(
            "has an empty segment, a segment of dots, or a character that paths of hooks do not take",
        );
    }
    Some(rest.into())
}

fn method(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    let upper = text.to_ascii_uppercase();
    if METHODS.contains(&&*upper) {
        return Some(upper.into());
    }
    read::wrong(place, sink, codes::METHOD, &format!("`{text}` is no HTTP method of a hook"))
}
