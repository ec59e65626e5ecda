//! `http` of a source: a route that takes calls.
//!
//! Owns its fields. Verifies no signature and serves nothing.

use std::sync::Arc;
use std::time::Duration;

use super::super::{Metadata, codes, read};
use crate::codes as shared;
use crate::diagnostic::Diagnostic;
use crate::reader::{Place, Reader, Sink};

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

/// Who may call a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpAuth {
    /// Everyone; must be stated.
    None,
    /// Whoever has the token.
    Bearer {
        /// The secret that holds it.
        secret: Arc<str>,
    },
    /// Whoever has user name and password.
    Basic {
        /// The secret that holds them.
        secret: Arc<str>,
    },
    /// Whoever signs with one of the keys.
    Hmac {
        /// How the signature is made.
        scheme: HmacScheme,
        /// The secrets that hold the keys, several for rotation.
        secrets: Vec<Arc<str>>,
        /// The header field of the signature, lower case; for `generic`, where none is stated: `x-signature-256`.
        header: Option<Arc<str>>,
        /// How old a signed time may be.
        tolerance: Duration,
    },
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacScheme {
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    StandardWebhooks,
    /// GitHub: `x-hub-signature-256`.
    GitHub,
    /// HMAC-SHA-256 of the body in hex in a header field.
    Generic,
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

pub(super) fn read(place: Place, sink: &Sink, meta: &Metadata) -> Option<HttpSource> {
    let mut reader = Reader::open(place, sink, "an http source")?;
    let path = reader.need("path").and_then(|place| hook_path(&place, sink, &meta.namespace));
    let methods =
        reader.take("methods").map_or(Some(vec!["POST".into()]), |place| read::list(&place, sink, method));
    let auth = reader.take("auth");
    let respond = reader.choice("respond", &[("accepted", Respond::Accepted), ("output", Respond::Output)]);
    let timeout =
        reader.take("timeout").map_or(Some(Duration::from_secs(30)), |place| read::duration(&place, sink));
    let max_body = reader.take("maxBody").map_or(Some(1024 * 1024), |place| {
        let size = read::size(&place, sink)?;
        let message = "maxBody is larger than the limit `request-body` of 10 MiB";
        if size > MAX_BODY { read::wrong(&place, sink, codes::SIZE, message) } else { Some(size) }
    });
    let auth = auth.or_else(|| {
        let missing = reader.place().error(shared::MISSING_KEY, "an http source lacks the key `auth`");
        sink.push(
            missing.help("state who may call: bearer, basic or hmac; `auth: {none: {}}` lets everyone in"),
        );
        None
    });
    let auth = auth.and_then(|place| read_auth(place, sink));
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

fn read_auth(place: Place, sink: &Sink) -> Option<HttpAuth> {
    let mut reader = Reader::open(place, sink, "auth")?;
    let kind =
        read::one_of(&mut reader, &["none", "bearer", "basic", "hmac", "jwt", "mtls"], "the authentication");
    reader.finish();
    let (kind, place) = kind?;
    match kind {
        "none" => {
            let found =
                Diagnostic::warning(codes::OPEN_HOOK, place.key, "the hook takes calls from everyone");
            sink.push(read::explained(found.at(place.pointer.clone())));
            Reader::open(place, sink, "none")?.finish();
            Some(HttpAuth::None)
        }
        "bearer" => read::secret(&place, sink).map(|secret| HttpAuth::Bearer { secret }),
        "basic" => read::secret(&place, sink).map(|secret| HttpAuth::Basic { secret }),
        "hmac" => read_hmac(place, sink),
        later => {
            let message = format!("{later} authentication is not supported by this release");
            sink.push(read::explained(place.key_error(codes::LATER_AUTH, message)));
            None
        }
    }
}

fn read_hmac(place: Place, sink: &Sink) -> Option<HttpAuth> {
    let schemes = [
        ("standardWebhooks", HmacScheme::StandardWebhooks),
        ("github", HmacScheme::GitHub),
        ("generic", HmacScheme::Generic),
    ];
    let mut reader = Reader::open(place, sink, "hmac")?;
    let scheme = reader.need("scheme").and_then(|place| place.choice(sink, &schemes));
    let secrets = reader.need("secrets").and_then(|place| read::list(&place, sink, read::secret_name));
    let header = reader.take("header").map(|place| {
        let text = place.text(sink)?;
        let good =
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let message = format!("`{text}` is no name of a header field");
        if good {
            Some(text.to_ascii_lowercase())
        } else {
            read::wrong(&place, sink, codes::HEADER, &message)
        }
    });
    let tolerance =
        reader.take("tolerance").map_or(Some(Duration::from_mins(5)), |p| read::duration(&p, sink));
    reader.finish();
    let header = match header {
        Some(header) => Some(header?.into()),
        None => None,
    };
    Some(HttpAuth::Hmac { scheme: scheme?, secrets: secrets?, header, tolerance: tolerance? })
}
