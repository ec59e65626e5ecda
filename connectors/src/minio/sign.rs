//! Signature version 4 of AWS, as S3 servers check it.
//!
//! Pure: from the parts of a request to the header fields that prove who sends it. Sends nothing.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac};
use tidemill_dsl::ids::Time;

use crate::http::auth::Secret;

/// Who signs.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The access key; no secret.
    pub access: Arc<str>,
    /// The secret key.
    pub secret: Secret,
}

/// What of a request is signed.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// As sent in `host`, with a port that is not the scheme's own.
    pub(super) host: &'a str,
    /// Encoded by [`encode_path`].
    pub(super) path: &'a str,
    /// Made by [`query`].
    pub(super) query: &'a str,
    /// SHA-256 of the body in hex.
    pub(super) payload: &'a str,
}

/// The value of `x-amz-date` at an instant.
pub(super) fn stamp(at: Time) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    instant.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The value of `authorization` for a request sent at `stamp`.
pub(super) fn authorization(keys: &Keys, region: &str, request: &Signed<'_>, stamp: &str) -> String {
    const NAMES: &str = "host;x-amz-content-sha256;x-amz-date";
    let Signed { method, host, path, query, payload } = request;
    let canonical = format!(
        "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{stamp}\n\n{NAMES}\n{payload}"
    );
    let day = stamp.get(..8).unwrap_or(stamp);
    let scope = format!("{day}/{region}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let first = format!("AWS4{}", keys.secret.0);
    let key = [day, region, "s3", "aws4_request"]
        .iter()
        .fold(first.into_bytes(), |key, part| mac(&key, part.as_bytes()));
    let signature = hex(&mac(&key, text.as_bytes()));
    format!("AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={NAMES},Signature={signature}", keys.access)
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

/// SHA-256 in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn encode(text: &str, keep: &[u8]) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// A path with each segment encoded.
pub(super) fn encode_path(path: &str) -> String {
    encode(path, b"/")
}

/// A query: encoded and in the order that is signed.
pub(super) fn query(parameters: &[(&str, &str)]) -> String {
    let mut pairs: Vec<_> =
        parameters.iter().map(|(name, value)| (encode(name, b""), encode(value, b""))).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the S3 manual, "Signature Calculations for the Authorization Header".
    #[test]
    fn the_published_examples() {
        let keys = Keys {
            access: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into()),
        };
        let check = |parameters: &[(&str, &str)], signature: &str| {
            let query = query(parameters);
            let payload = sha256(b"");
            let request = Signed {
                method: "GET",
                host: "examplebucket.s3.amazonaws.com",
                path: "/",
                query: &query,
                payload: &payload,
            };
            let signed = authorization(&keys, "us-east-1", &request, "20130524T000000Z");
            assert!(signed.ends_with(&format!("Signature={signature}")), "{signed}");
        };
        check(&[("lifecycle", "")], "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
        check(
            &[("prefix", "J"), ("max-keys", "2")],
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        );
    }

    #[test]
    fn texts() {
        assert_eq!(stamp(Time(1_369_353_600_000)), "20130524T000000Z");
        assert_eq!(encode_path("/a b/c+d~é"), "/a%20b/c%2Bd~%C3%A9");
        assert_eq!(query(&[("b", "x/y"), ("a", ""), ("a", "*")]), "a=&a=%2A&b=x%2Fy");
    }
}
