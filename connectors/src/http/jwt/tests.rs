//! Tokens of every kind of key, and every way in which one does not hold. Signed here by hand, not by the library that
//! reads them.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;

const NOW: i64 = 1_764_000_000;
const SHARED_KEY: &str = "a text of thirty-two bytes or more";

/// The claims of a token that holds.
fn good() -> Value {
    serde_json::json!({"iss": "https://id.example.com", "aud": "orders", "nbf": NOW - 5, "exp": NOW + 300, "sub": "ann"})
}

fn signed(header: &str, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let head = format!("{}.{}", text(header.as_bytes()), text(claims.to_string().as_bytes()));
    let signature = sign(head.as_bytes());
    format!("{head}.{}", text(&signature))
}

fn shared(key: &'static str) -> impl Fn(&[u8]) -> Vec<u8> {
    move |text| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), text).as_ref().to_vec()
}

fn jwt(keys: KeySet) -> Jwt {
    Jwt {
        issuer: "https://id.example.com".into(),
        audience: vec!["orders".into(), "stock".into()],
        leeway: Duration::from_mins(1),
        keys: Keys::Known(Arc::new(keys)),
    }
}

#[track_caller]
fn check(keys: &KeySet, token: &str, expected: Result<(), &str>) {
    let found = verify(&jwt(keys.clone()), token, Time(NOW * 1000));
    match (found, expected) {
        (Ok(()), Ok(())) => {}
        (Err(found), Err(part)) => assert!(found.contains(part), "{found}, expected {part}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_text_that_both_sides_share() {
    let keys = KeySet::of_secret(SHARED_KEY).unwrap();
    let hs = r#"{"alg":"HS256","typ":"JWT"}"#;
    let token = signed(hs, &good(), shared(SHARED_KEY));
    check(&keys, &token, Ok(()));
    check(
        &keys,
        &signed(hs, &good(), shared("another text of more than thirty-two bytes")),
        Err("signature"),
    );
    let (head, _) = token.rsplit_once('.').unwrap();
    check(&keys, &format!("{head}."), Err("signature"));
    for broken in ["", "a.b", "a.b.c", head, &token[1..], &format!("{token}.x")] {
        check(&keys, broken, Err("no signed token"));
    }
    check(&keys, &signed(r#"{"alg":"none"}"#, &good(), |_| Vec::new()), Err("no signed token"));
    let extended = r#"{"alg":"HS256","crit":["b64"],"b64":false}"#;
    check(&keys, &signed(extended, &good(), shared(SHARED_KEY)), Err("crit"));
    let at = Jwt { keys: Keys::At("https://id.example.com/keys".into()), ..jwt(keys) };
    assert!(verify(&at, &token, Time(NOW * 1000)).is_err());
}

#[test]
fn claims_must_be_there_and_hold() {
    let keys = KeySet::of_secret(SHARED_KEY).unwrap();
    let with = |name: &str, value: Value, expected: Result<(), &str>| {
        let mut claims = good();
        claims[name] = value;
        check(&keys, &signed(r#"{"alg":"HS256"}"#, &claims, shared(SHARED_KEY)), expected);
    };
    with("iss", "https://id.example.com/".into(), Err("iss"));
    with("iss", Value::Null, Err("iss"));
    with("aud", "stock".into(), Ok(()));
    with("aud", serde_json::json!(["other", "orders"]), Ok(()));
    with("aud", serde_json::json!(["other"]), Err("aud"));
    with("aud", Value::Null, Err("aud"));
    with("exp", (NOW - 59).into(), Ok(()));
    with("exp", (NOW - 60).into(), Err("expired"));
    with("exp", "soon".into(), Err("no exp"));
    with("exp", Value::Null, Err("no exp"));
    with("nbf", (NOW + 60).into(), Ok(()));
    with("nbf", (NOW + 61).into(), Err("not hold yet"));
    with("nbf", Value::Null, Err("no nbf"));
    with("exp", serde_json::json!(NOW as f64 + 0.5), Ok(()));
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A public key as PEM, a key set of it, and tokens that its private key signs.
struct Pair {
    pem: String,
    sign: Sign,
}

fn rsa() -> Pair {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()));
    let sign = move |text: &[u8]| {
        let mut made = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut made).unwrap();
        made
    };
    Pair { pem, sign: Box::new(sign) }
}

#[test]
fn a_public_key_in_pem() {
    let pair = rsa();
    let keys = KeySet::of_secret(&pair.pem).unwrap();
    let rs = r#"{"alg":"RS256","kid":"any"}"#;
    check(&keys, &signed(rs, &good(), &pair.sign), Ok(()));
    check(&keys, &signed(rs, &good(), rsa().sign), Err("signature"));
    // The public text of the key is no shared one.
    let leaked: &'static str = Box::leak(pair.pem.into_boxed_str());
    for key in [leaked, leaked.trim()] {
        check(&keys, &signed(r#"{"alg":"HS256"}"#, &good(), shared(key)), Err("no key has"));
    }
}

#[test]
fn a_key_set_has_keys_by_kid_and_curve() {
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let point = ec.public_key().as_ref().to_vec();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let own = serde_json::json!({"kty": "EC", "crv": "P-256", "kid": "e1", "use": "sig", "alg": "ES256",
                                 "x": text(&point[1..33]), "y": text(&point[33..])});
    let edge =
        serde_json::json!({"kty": "OKP", "crv": "Ed25519", "kid": "e2", "x": text(ed.public_key().as_ref())});
    let mut sealing = own.clone();
    (sealing["use"], sealing["kid"]) = ("enc".into(), "e3".into());
    let open = serde_json::json!({"kty": "oct", "kid": "e4", "k": text(SHARED_KEY.as_bytes())});
    let set = |keys: &[&Value]| KeySet::of_jwks(serde_json::json!({ "keys": keys }).to_string().as_bytes());
    let unknown = serde_json::json!({"kty": "NEW", "kid": "e5"});
    let keys = set(&[&unknown, &sealing, &open, &own, &edge]).unwrap();
    assert_eq!(keys.0.len(), 2);
    let by_ec = |text: &[u8]| ec.sign(&SystemRandom::new(), text).unwrap().as_ref().to_vec();
    let by_ed = |text: &[u8]| ed.sign(text).as_ref().to_vec();
    check(&keys, &signed(r#"{"alg":"ES256","kid":"e1"}"#, &good(), by_ec), Ok(()));
    check(&keys, &signed(r#"{"alg":"ES256"}"#, &good(), by_ec), Ok(()));
    check(&keys, &signed(r#"{"alg":"EdDSA","kid":"e2"}"#, &good(), by_ed), Ok(()));
    check(&keys, &signed(r#"{"alg":"ES256","kid":"e2"}"#, &good(), by_ec), Err("no key has"));
    check(&keys, &signed(r#"{"alg":"ES256","kid":"e3"}"#, &good(), by_ec), Err("no key has"));
    check(&keys, &signed(r#"{"alg":"HS256","kid":"e4"}"#, &good(), shared(SHARED_KEY)), Err("no key has"));
    check(&keys, &signed(r#"{"alg":"EdDSA","kid":"e2"}"#, &good(), by_ec), Err("signature"));
    for (keys, part) in
        [(vec![], "no public key"), (vec![&open], "no public key"), (vec![&own; 65], "jwks-keys")]
    {
        let error = set(&keys).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_is_no_key_is_refused() {
    let check = |text: &str, part: &str| {
        let error = KeySet::of_secret(text).unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
    };
    check("hunter2", "at least 32 bytes");
    check("-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----", "no public key");
    check("{\"hunter2\"}", "no JSON");
    check("{\"k\": \"hunter2\"}", "`keys`");
    let huge = format!("{{\"keys\": [\"{}\"]}}", "x".repeat(MAX_SET));
    check(&huge, "jwks-size");
}
