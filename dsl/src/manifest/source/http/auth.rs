//! `auth` of an http source: who may call.
//!
//! Owns the kinds and their fields. Holds no secret and verifies nothing.

use std::sync::Arc;
use std::time::Duration;

use super::super::super::{codes, read};
use crate::diagnostic::Diagnostic;
use crate::reader::{Place, Reader, Sink};
use crate::value::Value;
use crate::yaml::NodeKind;

/// Longest leeway of the times of a token.
const MAX_LEEWAY: Duration = Duration::from_mins(5);

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
        /// How far a signed time may lie from now, both ways.
        tolerance: Duration,
    },
    /// Whoever has a token that one of the keys signed.
    Jwt(JwtAuth),
}

/// Which signed tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtAuth {
    /// What `iss` must be.
    pub issuer: Arc<str>,
    /// What `aud` must be, or hold: one of these.
    pub audience: Vec<Arc<str>>,
    /// How far `exp` and `nbf` may be off.
    pub leeway: Duration,
    /// Whose signatures count.
    pub keys: JwtKeys,
}

/// Where the keys of tokens are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKeys {
    /// A key set at this URL.
    At(Arc<str>),
    /// This key set, an object with `keys`.
    Set(Value),
    /// A secret: a public key in PEM, a key set, or a text that both sides share.
    Secret(Arc<str>),
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacScheme {
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    StandardWebhooks,
    /// GitHub: `x-hub-signature-256`.
    GitHub,
    /// HMAC-SHA-256 of the body, in hex or base64 in a header field; or `t=SECONDS,v1=HEX`, made over `SECONDS.body`.
    Generic,
}

pub(super) fn read(place: Place, sink: &Sink) -> Option<HttpAuth> {
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
        "jwt" => read_jwt(place, sink).map(HttpAuth::Jwt),
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

fn read_jwt(place: Place, sink: &Sink) -> Option<JwtAuth> {
    let mut reader = Reader::open(place, sink, "jwt")?;
    let issuer = reader.need("issuer").and_then(|place| read::some_text(&place, sink));
    let audience = reader.need("audience").and_then(|place| match &place.node.kind {
        NodeKind::List(_) => read::list(&place, sink, read::some_text),
        _ => read::some_text(&place, sink).map(|one| vec![one]),
    });
    let leeway = reader.take("leeway").map_or(Some(Duration::from_mins(1)), |place| {
        let leeway = read::duration(&place, sink)?;
        let message = "leeway is longer than the limit `jwt-leeway` of 5m";
        if leeway > MAX_LEEWAY { read::wrong(&place, sink, codes::DURATION, message) } else { Some(leeway) }
    });
    let keys = read::one_of(&mut reader, &["jwksUri", "jwks", "key"], "the keys");
    reader.finish();
    let keys = match keys? {
        ("jwksUri", place) => read::url(&place, sink).map(JwtKeys::At),
        ("jwks", place) if place.node.get("secret").is_none() => key_set(&place, sink).map(JwtKeys::Set),
        (_, place) => read::secret(&place, sink).map(JwtKeys::Secret),
    };
    Some(JwtAuth { issuer: issuer?, audience: audience?, leeway: leeway?, keys: keys? })
}

/// A key set in place; what its keys are is the verifier's to say.
fn key_set(place: &Place, sink: &Sink) -> Option<Value> {
    let mut reader = Reader::open(place.clone(), sink, "a key set")?;
    let keys = reader.need("keys").and_then(|place| read::list(&place, sink, key));
    reader.finish();
    keys.map(|_| place.node.to_value())
}

fn key(place: &Place, sink: &Sink) -> Option<()> {
    let kind = place.entries(sink)?.into_iter().find(|(name, _)| &**name == "kty");
    let text = kind.as_ref().and_then(|(_, place)| place.node.as_str());
    if text.is_some_and(|text| ["RSA", "EC", "OKP"].contains(&text)) {
        return Some(());
    }
    let message = "a key of a set is a public one: `kty` is RSA, EC or OKP";
    read::wrong(place, sink, codes::KEY, message)
}
