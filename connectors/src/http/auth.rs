//! Who may send to an HTTP source: bearer, basic, signed bodies and signed tokens.
//!
//! Owns the schemes and their tolerance. Every comparison of something secret takes equal time; messages never
//! hold what was sent or what was expected. Why a caller is refused is told to the operator alone.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use tidemill_dsl::manifest::HmacScheme as Scheme;

use super::jwt::{self, Jwt};
use super::{HttpProblem, Request, header};

/// How senders prove who they are.
#[derive(Clone)]
pub enum Auth {
    /// They do not.
    None,
    /// `Authorization: Bearer TOKEN`.
    Bearer(Secret),
    /// `Authorization: Basic`, user name and password.
    Basic {
        /// User name.
        username: Arc<str>,
        /// Password.
        password: Secret,
    },
    /// A signature over the body, HMAC with SHA-256.
    Hmac(Hmac),
    /// `Authorization: Bearer TOKEN`, signed by an issuer.
    Jwt(Jwt),
}

/// Text that is never shown.
#[derive(Clone)]
pub struct Secret(pub Arc<str>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Auth::None => "none",
            Auth::Bearer(_) => "bearer",
            Auth::Basic { .. } => "basic",
            Auth::Hmac(_) => "hmac",
            Auth::Jwt(_) => "jwt",
        })
    }
}

/// Signed bodies.
#[derive(Clone)]
pub struct Hmac {
    /// How the signature is made and sent. Standard Webhooks: `webhook-signature: v1,BASE64 ...` over
    /// `id.timestamp.body`, secrets in base64 after `whsec_` or as they are without it; GitHub:
    /// `x-hub-signature-256: sha256=HEX` over the body; generic: hex or base64, with or without `sha256=`, over the
    /// body, or `t=SECONDS,v1=HEX` over `SECONDS.body`.
    pub scheme: Scheme,
    /// Any of these; several while a secret is being replaced.
    pub secrets: Vec<Secret>,
    /// The header field with the signature; the scheme's own when absent. Unused by Standard Webhooks.
    pub header: Option<Arc<str>>,
    /// How far a signed time may lie from now, both ways.
    pub tolerance: Duration,
}

impl Auth {
    /// Whether the head of a request alone tells who sends it: nothing of the body is then read before.
    pub fn is_by_head(&self) -> bool {
        !matches!(self, Auth::Hmac(_))
    }

    /// What `WWW-Authenticate` says.
    pub fn challenge(&self) -> &'static str {
        match self {
            Auth::Basic { .. } => r#"Basic realm="tidemill", charset="UTF-8""#,
            Auth::Hmac(_) => "Signature",
            Auth::None | Auth::Bearer(_) | Auth::Jwt(_) => "Bearer",
        }
    }

    /// What a signature over a time and a body is known by, for requests that name no id: what was signed once is one
    /// event. None where no time is signed.
    pub(super) fn signed_once(&self, request: &Request<'_>) -> Option<String> {
        let Auth::Hmac(hmac) = self else { return None };
        let text = header(request.headers, header_of(hmac)).filter(|_| hmac.scheme == Scheme::Generic)?;
        let seconds = text.split(',').next()?.trim().strip_prefix("t=")?;
        let mut digest = digest::Context::new(&digest::SHA256);
        for part in [seconds.as_bytes(), b".", request.body] {
            digest.update(part);
        }
        Some(digest.finish().as_ref()[..16].iter().fold(String::from("signed-"), |mut id, byte| {
            let _ = write!(id, "{byte:02x}");
            id
        }))
    }

    /// Whether its signature covers `webhook-id`.
    pub(super) fn signs_id(&self) -> bool {
        matches!(self, Auth::Hmac(hmac) if hmac.scheme == Scheme::StandardWebhooks)
    }
}

/// Judges who sends a request.
pub fn verify(auth: &Auth, request: &Request<'_>) -> Result<(), HttpProblem> {
    match auth {
        Auth::None => Ok(()),
        Auth::Bearer(token) => {
            let sent =
                credentials(request, "bearer").ok_or_else(|| missing("Authorization: Bearer TOKEN"))?;
            equal(sent.as_bytes(), token.0.as_bytes())
        }
        Auth::Basic { username, password } => {
            let sent = credentials(request, "basic").ok_or_else(|| missing("Authorization: Basic"))?;
            let sent = STANDARD.decode(sent).map_err(|_| wrong("the credentials are no base64"))?;
            equal(&sent, format!("{username}:{}", password.0).as_bytes())
        }
        Auth::Hmac(hmac) if hmac.scheme == Scheme::StandardWebhooks => standard_webhooks(hmac, request),
        Auth::Hmac(hmac) => over_body(hmac, request),
        Auth::Jwt(jwt) => {
            let token =
                credentials(request, "bearer").ok_or_else(|| missing("Authorization: Bearer TOKEN"))?;
            jwt::verify(jwt, token, request.received).map_err(wrong)
        }
    }
}

fn credentials<'a>(request: &Request<'a>, scheme: &str) -> Option<&'a str> {
    let (sent, rest) = header(request.headers, "authorization")?.split_once(' ')?;
    sent.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// Compares digests of both sides, so that neither content nor length tells by time.
fn equal(sent: &[u8], expected: &[u8]) -> Result<(), HttpProblem> {
    let digest = |bytes| digest::digest(&digest::SHA256, bytes);
    if expected.is_empty() {
        return Err(wrong("the secret is empty"));
    }
    constant_time::verify_slices_are_equal(digest(sent).as_ref(), digest(expected).as_ref())
        .map_err(|_| wrong("the credentials are not those of the secret"))
}

fn standard_webhooks(hmac: &Hmac, request: &Request<'_>) -> Result<(), HttpProblem> {
    let field = |name| header(request.headers, name).filter(|text| !text.is_empty());
    let (Some(id), Some(timestamp), Some(signatures)) =
        (field("webhook-id"), field("webhook-timestamp"), field("webhook-signature"))
    else {
        return Err(missing("webhook-id, webhook-timestamp and webhook-signature"));
    };
    in_time(hmac, timestamp, request)?;
    let mut signed = format!("{id}.{timestamp}.").into_bytes();
    signed.extend_from_slice(request.body);
    let sent: Vec<Vec<u8>> = signatures
        .split_whitespace()
        .filter_map(|part| STANDARD.decode(part.strip_prefix("v1,")?).ok())
        .collect();
    let keys = hmac.secrets.iter().map(|secret| match secret.0.strip_prefix("whsec_") {
        Some(text) => STANDARD.decode(text).unwrap_or_default(),
        None => secret.0.as_bytes().to_vec(),
    });
    any_signs(keys, &signed, &sent)
}

/// A signed time lies within the tolerance of now: what was caught cannot be sent again later.
fn in_time(hmac: &Hmac, seconds: &str, request: &Request<'_>) -> Result<(), HttpProblem> {
    let seconds: i64 = seconds.parse().map_err(|_| wrong("the signed time is no number of seconds"))?;
    let apart = request.received.0.abs_diff(seconds.saturating_mul(1000));
    if u128::from(apart) > hmac.tolerance.as_millis() {
        let message = format!("the signed time is more than {} s from now", hmac.tolerance.as_secs());
        let help = "set the sender's clock, or send what is left over signed anew";
        return Err(HttpProblem::new(401, "signature-stale", message, help));
    }
    Ok(())
}

/// `t=SECONDS,v1=HEX,...` over `SECONDS.body`; none if the text has another form.
fn timed(hmac: &Hmac, text: &str, request: &Request<'_>) -> Option<Result<(), HttpProblem>> {
    let mut parts = text.split(',').map(str::trim);
    let seconds = parts.next()?.strip_prefix("t=")?;
    let sent: Vec<Vec<u8>> = parts.filter_map(|part| unhex(part.strip_prefix("v1=")?)).collect();
    let signed = [seconds.as_bytes(), &b"."[..], &request.body[..]].concat();
    let keys = hmac.secrets.iter().map(|secret| secret.0.as_bytes().to_vec());
    Some(in_time(hmac, seconds, request).and_then(|()| any_signs(keys, &signed, &sent)))
}

/// The header field with the signature.
fn header_of(hmac: &Hmac) -> &str {
    let default = if hmac.scheme == Scheme::GitHub { "x-hub-signature-256" } else { "x-signature-256" };
    hmac.header.as_deref().unwrap_or(default)
}

fn over_body(hmac: &Hmac, request: &Request<'_>) -> Result<(), HttpProblem> {
    let name = header_of(hmac);
    let text = header(request.headers, name).map(str::trim).ok_or_else(|| missing(name))?;
    if hmac.scheme == Scheme::Generic
        && let Some(judged) = timed(hmac, text, request)
    {
        return judged;
    }
    let sent = match (hmac.scheme, text.strip_prefix("sha256=")) {
        (Scheme::GitHub, None) => return Err(wrong(FORM)),
        (Scheme::GitHub, Some(hex)) => unhex(hex),
        (_, stripped) => {
            let text = stripped.unwrap_or(text);
            unhex(text).or_else(|| STANDARD.decode(text).ok())
        }
    };
    let keys = hmac.secrets.iter().map(|secret| secret.0.as_bytes().to_vec());
    any_signs(keys, request.body, &[sent.ok_or_else(|| wrong(FORM))?])
}

/// Whether any key made any of the signatures. An empty key signs nothing.
fn any_signs(
    keys: impl Iterator<Item = Vec<u8>>,
    signed: &[u8],
    signatures: &[Vec<u8>],
) -> Result<(), HttpProblem> {
    let mut holds = false;
    for key in keys.filter(|key| !key.is_empty()) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        for signature in signatures {
            holds |= hmac::verify(&key, signed, signature).is_ok();
        }
    }
    if holds { Ok(()) } else { Err(wrong("no secret of the source made the signature over this body")) }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn missing(what: &str) -> HttpProblem {
    let help = format!("send {what} as the source's auth asks");
    let problem = HttpProblem::new(401, "unauthenticated", "credentials are missing", &help);
    HttpProblem { why: "the caller sent no credentials", ..problem }
}

/// The form of a signature.
const FORM: &str = "the signature has another form than the scheme's";

/// The same to every caller, whatever is wrong; `why` is the operator's.
fn wrong(why: &'static str) -> HttpProblem {
    let help = "compare the sender's secret with the one the source names";
    let problem = HttpProblem::new(401, "unauthenticated", "credentials or signature do not hold", help);
    HttpProblem { why, guessed: true, ..problem }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderName, HeaderValue};
    use tidemill_dsl::ids::Time;

    use super::*;

    const NOW: i64 = 1_614_265_330;

    #[track_caller]
    fn check(auth: &Auth, headers: &[(&str, &str)], body: &str, expected: Result<(), &str>) {
        let map: HeaderMap = headers
            .iter()
            .map(|(n, v)| (n.parse::<HeaderName>().unwrap(), v.parse::<HeaderValue>().unwrap()))
            .collect();
        let body = Bytes::copy_from_slice(body.as_bytes());
        let request = Request {
            method: "POST",
            path: "/hooks/default/x",
            query: None,
            headers: &map,
            body: &body,
            received: Time(NOW * 1000),
        };
        let result = verify(auth, &request);
        assert!(result.as_ref().err().is_none_or(|problem| problem.status == 401));
        assert_eq!(result.map_err(|problem| problem.code), expected, "{headers:?}");
    }

    fn secret(text: &str) -> Secret {
        Secret(text.into())
    }

    const NO: Result<(), &str> = Err("unauthenticated");

    #[test]
    fn bearer() {
        let auth = Auth::Bearer(secret("t0ken"));
        check(&auth, &[("authorization", "Bearer t0ken")], "", Ok(()));
        check(&auth, &[("authorization", "bearer  t0ken ")], "", Ok(()));
        for sent in ["Bearer t0kem", "Bearer t0ken2", "Bearer ", "Basic t0ken", "t0ken", ""] {
            check(&auth, &[("authorization", sent)], "", NO);
        }
        check(&auth, &[], "", NO);
        check(&Auth::Bearer(secret("")), &[("authorization", "Bearer ")], "", NO);
        check(&Auth::None, &[], "", Ok(()));
    }

    #[test]
    fn basic() {
        let auth = Auth::Basic { username: "ann".into(), password: secret("p:w") };
        let sent = |text: &str| format!("Basic {}", STANDARD.encode(text));
        check(&auth, &[("authorization", &sent("ann:p:w"))], "", Ok(()));
        for text in ["ann:p", "bob:p:w", "annp:w", ""] {
            check(&auth, &[("authorization", &sent(text))], "", NO);
        }
        check(&auth, &[("authorization", "Basic %%%")], "", NO);
    }

    fn signed(scheme: Scheme, secrets: &[&str], header: Option<&str>) -> Auth {
        Auth::Hmac(Hmac {
            scheme,
            secrets: secrets.iter().map(|text| secret(text)).collect(),
            header: header.map(Into::into),
            tolerance: Duration::from_mins(5),
        })
    }

    fn tag(key: &[u8], text: &str) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    #[test]
    fn standard_webhooks_signatures() {
        // The example of the Standard Webhooks specification.
        let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", r#"{"test": 2432232314}"#);
        let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let auth = signed(Scheme::StandardWebhooks, &["whsec_b2xk", key], None);
        let send = |time: i64, signature: &str, body: &str, expected| {
            let time = time.to_string();
            let headers =
                [("webhook-id", id), ("webhook-timestamp", time.as_str()), ("webhook-signature", signature)];
            check(&auth, &headers, body, expected);
        };
        send(NOW, good, body, Ok(()));
        send(NOW, &format!("v1,AAAA v2,x {good}"), body, Ok(()));
        send(NOW, good, "{}", NO);
        send(NOW, "v1,", body, NO);
        send(NOW, good.trim_start_matches("v1,"), body, NO);
        send(NOW + 1, good, body, NO);
        send(NOW - 301, good, body, Err("signature-stale"));
        send(NOW + 301, good, body, Err("signature-stale"));
        send(i64::MIN, good, body, Err("signature-stale"));
        check(&auth, &[("webhook-id", id), ("webhook-signature", good)], body, NO);
        let raw = signed(Scheme::StandardWebhooks, &["plain"], None);
        let signature = format!("v1,{}", STANDARD.encode(tag(b"plain", &format!("{id}.{NOW}.x"))));
        let time = NOW.to_string();
        let headers = [("webhook-id", id), ("webhook-timestamp", &time), ("webhook-signature", &signature)];
        check(&raw, &headers, "x", Ok(()));
    }

    #[test]
    fn github_signatures() {
        // The example of GitHub's documentation.
        let auth = signed(Scheme::GitHub, &["It's a Secret to Everybody"], None);
        let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let name = "X-Hub-Signature-256";
        check(&auth, &[(name, good)], "Hello, World!", Ok(()));
        check(&auth, &[(name, good)], "Hello, World", NO);
        check(&auth, &[(name, &good[7..])], "Hello, World!", NO);
        check(&auth, &[(name, "sha256=")], "Hello, World!", NO);
        check(&auth, &[], "Hello, World!", NO);
    }

    #[test]
    fn generic_signatures() {
        let auth = signed(Scheme::Generic, &["old", "new"], Some("X-My-Sign"));
        let made = tag(b"new", "body");
        for text in
            [hex(&made), format!("sha256={}", hex(&made)), STANDARD.encode(&made), hex(&tag(b"old", "body"))]
        {
            check(&auth, &[("x-my-sign", &text)], "body", Ok(()));
            check(&auth, &[("x-signature-256", &text)], "body", NO);
            check(&auth, &[("x-my-sign", &text)], "other", NO);
        }
        check(&signed(Scheme::Generic, &["new"], None), &[("x-signature-256", &hex(&made))], "body", Ok(()));
        check(&signed(Scheme::Generic, &[""], None), &[("x-signature-256", &hex(&tag(b"x", "")))], "", NO);
        check(&signed(Scheme::Generic, &[], None), &[("x-signature-256", &hex(&made))], "body", NO);
    }

    #[test]
    fn generic_signatures_may_sign_a_time() {
        let auth = signed(Scheme::Generic, &["old", "new"], None);
        let send = |form: &str, at: i64, key: &str, expected| {
            let made = hex(&tag(key.as_bytes(), &format!("{at}.body")));
            let text = form.replace("AT", &at.to_string()).replace("SIGN", &made);
            check(&auth, &[("x-signature-256", &text)], "body", expected);
        };
        send("t=AT,v1=SIGN", NOW, "new", Ok(()));
        send("t=AT, v0=00, v1=00, v1=SIGN", NOW - 299, "old", Ok(()));
        send("t=AT,v1=SIGN", NOW, "other", NO);
        send("t=AT,v1=SIGN", NOW - 301, "new", Err("signature-stale"));
        send("t=AT,v1=SIGN", NOW + 301, "new", Err("signature-stale"));
        send("t=AT", NOW, "new", NO);
        send("t=,v1=SIGN", NOW, "new", NO);
        send("SIGN", NOW, "new", NO);
        let github = signed(Scheme::GitHub, &["new"], Some("x-signature-256"));
        let made = format!("t={NOW},v1={}", hex(&tag(b"new", &format!("{NOW}.body"))));
        check(&github, &[("x-signature-256", &made)], "body", NO);
    }

    #[test]
    fn callers_learn_nothing_of_what_is_wrong() {
        let told = |problem: &HttpProblem| (problem.message.clone(), problem.help.clone());
        let (one, other) = (wrong(FORM), wrong("the secret is empty"));
        assert_eq!(told(&one), told(&other));
        assert!(one.why != other.why && !told(&one).1.contains(one.why));
    }
}
