//! Signed tokens (JWT, RFC 7519): which keys count, and what a token must say.
//!
//! Owns the algorithms that a key may be used with, which follow from the key and never from the token, and the claims
//! that are asked for. Fetches nothing and reads no clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use tidemill_dsl::ids::Time;

/// Keys of one set (limit `jwks-keys`): each may have to be tried.
pub const MAX_KEYS: usize = 64;
/// Bytes of a key set (limit `jwks-size`).
pub const MAX_SET: usize = 256 * 1024;
/// Least bytes of a key that both sides share (RFC 7518, section 3.2).
const LEAST_SHARED: usize = 32;

/// Which tokens are taken.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// What `iss` must be.
    pub issuer: Arc<str>,
    /// `aud` must be or hold one of these.
    pub audience: Vec<Arc<str>>,
    /// How far `exp` and `nbf` may be off.
    pub leeway: Duration,
    /// Whose signatures count.
    pub keys: Keys,
}

/// The keys of tokens.
#[derive(Clone, Debug)]
pub enum Keys {
    /// To be fetched from this URL by whoever may call out; until then no token holds.
    At(Arc<str>),
    /// These.
    Known(Arc<KeySet>),
}

/// Keys that can be used.
#[derive(Clone)]
pub struct KeySet(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

/// Why there is no key set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the keys: {0}")]
pub struct KeyError(String);

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
const SHARED: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

impl KeySet {
    /// The keys of a secret's text: a public key in PEM, a key set, or else a text that both sides share.
    pub fn of_secret(text: &str) -> Result<KeySet, KeyError> {
        let trimmed = text.trim();
        if trimmed.starts_with("-----BEGIN ") {
            return of_pem(trimmed.as_bytes());
        }
        if trimmed.starts_with('{') {
            return KeySet::of_jwks(trimmed.as_bytes());
        }
        if text.len() < LEAST_SHARED {
            let why = format!("a shared key has at least {LEAST_SHARED} bytes, this one has {}", text.len());
            return Err(KeyError(why));
        }
        let key = DecodingKey::from_secret(text.as_bytes());
        Ok(KeySet(vec![Key { id: None, algorithms: SHARED.to_vec(), decoding: key }]))
    }

    /// The keys of a set (RFC 7517): public ones for signatures, of a kind that is known; others are left out.
    pub fn of_jwks(json: &[u8]) -> Result<KeySet, KeyError> {
        if json.len() > MAX_SET {
            return Err(KeyError(format!("the key set has more than {MAX_SET} bytes (limit jwks-size)")));
        }
        let set: Value = serde_json::from_slice(json).map_err(|_| KeyError("they are no JSON".into()))?;
        let all = set.get("keys").and_then(Value::as_array);
        let all = all.ok_or_else(|| KeyError("they are no key set: an object with `keys`".into()))?;
        if all.len() > MAX_KEYS {
            let why = format!("the set has {} keys (limit jwks-keys: {MAX_KEYS})", all.len());
            return Err(KeyError(why));
        }
        let keys: Vec<Key> = all.iter().filter_map(of_jwk).collect();
        if keys.is_empty() {
            return Err(KeyError("the set holds no public key for signatures".into()));
        }
        Ok(KeySet(keys))
    }
}

/// One public key in PEM; which kind it is tells the first reader that takes it.
fn of_pem(pem: &[u8]) -> Result<KeySet, KeyError> {
    let one = |key: DecodingKey, algorithms: &[Algorithm]| {
        Ok(KeySet(vec![Key { id: None, algorithms: algorithms.to_vec(), decoding: key }]))
    };
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        return one(key, &RSA);
    }
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        return one(key, &[Algorithm::ES256, Algorithm::ES384]);
    }
    match DecodingKey::from_ed_pem(pem) {
        Ok(key) => one(key, &[Algorithm::EdDSA]),
        Err(_) => Err(KeyError("the PEM text is no public key of kind RSA, EC or Ed25519".into())),
    }
}

fn of_jwk(value: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => RSA.to_vec(),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(_) => vec![Algorithm::EdDSA],
        // A shared key among them: what is public proves nothing then.
        _ => return None,
    };
    if let Some(stated) = value.get("alg").and_then(Value::as_str) {
        algorithms.retain(|algorithm| format!("{algorithm:?}") == stated);
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    (!algorithms.is_empty()).then_some(Key { id: jwk.common.key_id, algorithms, decoding: key })
}

/// Judges a token; the reason of a refusal is for the operator.
pub fn verify(jwt: &Jwt, token: &str, now: Time) -> Result<(), &'static str> {
    let Keys::Known(keys) = &jwt.keys else {
        return Err("the keys were not fetched");
    };
    let header = decode_header(token).map_err(|_| "it is no signed token of a known algorithm")?;
    if header.crit.is_some() {
        return Err("its header asks for an extension (crit)");
    }
    let fits = |key: &&Key| {
        key.algorithms.contains(&header.alg)
            && match (&header.kid, &key.id) {
                (Some(asked), Some(own)) => asked == own,
                _ => true,
            }
    };
    let mut keys = keys.0.iter().filter(fits).peekable();
    if keys.peek().is_none() {
        return Err("no key has its kid and algorithm");
    }
    let claims = keys.find_map(|key| decode::<Value>(token, &key.decoding, &signature_only(header.alg)).ok());
    claimed(jwt, &claims.ok_or("no key made its signature")?.claims, now)
}

/// What the library judges: the signature. The claims are compared with the time of the request, not of the machine.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// `iss`, `aud`, `exp` and `nbf` must be there and hold.
fn claimed(jwt: &Jwt, claims: &Value, now: Time) -> Result<(), &'static str> {
    if claims.get("iss").and_then(Value::as_str) != Some(&*jwt.issuer) {
        return Err("its iss is not the issuer of the source");
    }
    let wanted =
        |value: &Value| value.as_str().is_some_and(|own| jwt.audience.iter().any(|one| **one == *own));
    let holds = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(wanted),
        Some(one) => wanted(one),
        None => false,
    };
    if !holds {
        return Err("its aud is not the audience of the source");
    }
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64);
    let (now, leeway) = (now.0 as f64 / 1000.0, jwt.leeway.as_secs_f64());
    match (seconds("exp"), seconds("nbf")) {
        (None, _) => Err("it has no exp"),
        (_, None) => Err("it has no nbf"),
        (Some(exp), _) if now >= exp + leeway => Err("it has expired"),
        (_, Some(nbf)) if now < nbf - leeway => Err("it does not hold yet"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
