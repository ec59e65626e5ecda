//! HTTP sources from outside: who is let in, what a body becomes, what the caller gets, and their limits.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tidemill_integration_tests::http::{Answer, Client};
use tidemill_integration_tests::server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::contract::{call, problem};
use crate::support::{BASE, LOOPBACK, apply, folder, get, secret, try_apply, until};

pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn source(name: &str, fields: &str) -> String {
    format!("kind: Source\nmetadata: {{name: {name}}}\nspec: {{http: {{path: {name}, {fields}}}}}\n---\n")
}

pub(crate) async fn send(server: &Server, hook: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    call(server, "POST", &format!("/hooks/default/{hook}"), headers, body).await
}

fn tag(key: &str, text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A token with these claims beside `nbf` and `exp`, signed by `sign` under `header`.
fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let mut claims = claims.clone();
    (claims["nbf"], claims["exp"]) = ((now() - 5).into(), (now() + 300).into());
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let head = format!("{}.{}", text(header.to_string().as_bytes()), text(claims.to_string().as_bytes()));
    let signature = sign(head.as_bytes());
    format!("{head}.{}", text(&signature))
}

/// What a refusal tells, apart from its trace and its path.
fn told(answer: &Answer) -> Value {
    let mut body = answer.json();
    (body["traceId"], body["instance"]) = (Value::Null, Value::Null);
    body
}

const PLAIN: &str = "auth: {none: {}}";
const STANDARD_HOOK: &str = "auth: {hmac: {scheme: standardWebhooks, secrets: [old, new]}}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_auth_lets_its_own_in_and_tells_others_nothing() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    secret(&server, "old", json!("old-key")).await;
    secret(&server, "new", json!("new-key")).await;
    secret(&server, "login", json!({"username": "ann", "password": "p:w"})).await;
    secret(&server, "shared", json!("a text of thirty-two bytes or more")).await;
    let set = [
        source("open", PLAIN),
        source("bearer", "auth: {bearer: {secret: old}}"),
        source("basic", "auth: {basic: {secret: login}}"),
        source("github", "auth: {hmac: {scheme: github, secrets: [old, new]}}"),
        source("generic", "auth: {hmac: {scheme: generic, secrets: [new], header: X-Shop-Sign}}"),
        source("standard", STANDARD_HOOK),
        source("jwt", "auth: {jwt: {issuer: 'https://id', audience: shop, key: {secret: shared}}}"),
    ];
    apply(&server, &set.concat()).await;
    let at = now();
    let body = r#"{"n":1}"#;
    let github = format!("sha256={}", hex(&tag("new-key", body)));
    let timed = format!("t={at},v1={}", hex(&tag("new-key", &format!("{at}.{body}"))));
    let standard = format!("v1,{}", STANDARD.encode(tag("old-key", &format!("w1.{at}.{body}"))));
    let by = |text: &[u8]| tag("a text of thirty-two bytes or more", std::str::from_utf8(text).unwrap());
    let good = token(&json!({"alg": "HS256"}), &json!({"iss": "https://id", "aud": "shop"}), by);
    let other = token(&json!({"alg": "HS256"}), &json!({"iss": "https://id", "aud": "bank"}), by);
    let basic = format!("Basic {}", STANDARD.encode("ann:p:w"));
    let (good, other, at) = (format!("Bearer {good}"), format!("Bearer {other}"), at.to_string());
    let signed = [("webhook-id", "w1"), ("webhook-timestamp", &*at), ("webhook-signature", &*standard)];
    let check = async |hook: &str, good: &[(&str, &str)], bad: &[(&str, &str)], challenge: &str| {
        let taken = send(&server, hook, good, body).await;
        assert_eq!(taken.status, 202, "{hook}: {}", taken.json());
        let (wrong, missing) = (send(&server, hook, bad, body).await, send(&server, hook, &[], body).await);
        for refused in [&wrong, &missing] {
            problem(refused, 401, hook);
            assert_eq!(refused.header("www-authenticate"), Some(challenge), "{hook}");
            assert!(!String::from_utf8_lossy(&refused.body).contains("-key"), "{hook}");
        }
        let status = get(&server, &format!("/sources/{hook}")).await["status"].clone();
        assert_eq!(
            (&status["eventsAccepted"], &status["refused"]),
            (&json!(1), &json!(2)),
            "{hook}: {status}"
        );
        assert_eq!(status["lastError"]["code"], "unauthenticated", "{hook}: {status}");
        told(&wrong)
    };
    let bearer =
        check("bearer", &[("authorization", "Bearer old-key")], &[("authorization", "Bearer x")], "Bearer")
            .await;
    let basic_challenge = r#"Basic realm="tidemill", charset="UTF-8""#;
    let wrong = [("authorization", "Basic YW5uOnB3")];
    let alike = [
        check("basic", &[("authorization", &*basic)], &wrong, basic_challenge).await,
        check(
            "github",
            &[("x-hub-signature-256", &*github)],
            &[("x-hub-signature-256", "sha256=00")],
            "Signature",
        )
        .await,
        check("generic", &[("x-shop-sign", &*timed)], &[("x-shop-sign", "t=1")], "Signature").await,
        check("standard", &signed, &signed[..2], "Signature").await,
        check("jwt", &[("authorization", &*good)], &[("authorization", &*other)], "Bearer").await,
    ];
    assert!(alike.iter().filter(|told| **told == bearer).count() >= 3, "{alike:?}");
    assert_eq!(send(&server, "open", &[], body).await.status, 202);
    assert_eq!(server.metric("tidemill_hook_refused_total").await as u64, 12);
    let why = get(&server, "/sources/jwt").await["status"]["lastError"]["message"].clone();
    assert_ne!(why, "", "the operator learns why");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_signed_once_is_one_event_and_secrets_rotate_in_place() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    secret(&server, "new", json!("new-key")).await;
    secret(&server, "token", json!("first")).await;
    apply(
        &server,
        &[source("standard", STANDARD_HOOK), source("bearer", "auth: {bearer: {secret: token}}")].concat(),
    )
    .await;
    let (at, body) = (now().to_string(), r#"{"n":1}"#);
    let made = |key: &str| format!("v1,{}", STANDARD.encode(tag(key, &format!("w1.{at}.{body}"))));
    let signed = |signature: &str, more: &[(&'static str, &'static str)]| -> Vec<(String, String)> {
        let own = [("webhook-id", "w1"), ("webhook-timestamp", &*at), ("webhook-signature", signature)];
        own.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let post = async |headers: Vec<(String, String)>| {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(k, v)| (&**k, &**v)).collect();
        send(&server, "standard", &headers, body).await
    };
    // A secret that is named and not there yet: nobody is let in, and the source says so.
    assert_eq!(post(signed(&made("new-key"), &[])).await.status, 503);
    until("the source tells", SOON, async || {
        get(&server, "/sources/standard").await["status"]["lastError"]["code"] == "secret-absent"
    })
    .await;
    secret(&server, "old", json!("old-key")).await;
    let first = post(signed(&made("old-key"), &[])).await.json();
    assert_eq!((&first["accepted"], &first["events"][0]["id"]), (&json!(1), &json!("w1")));
    // Caught and sent again under another name that nobody signed: the same event.
    let again = post(signed(&made("old-key"), &[("idempotency-key", "other")])).await.json();
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(1)));
    let event = [("ce-specversion", "1.0"), ("ce-id", "x"), ("ce-source", "/s"), ("ce-type", "t")];
    problem(&post(signed(&made("new-key"), &event)).await, 400, "an id in a field that is not signed");
    secret(&server, "old", json!("newest-key")).await;
    problem(&post(signed(&made("old-key"), &[])).await, 401, "the replaced secret");
    for key in ["newest-key", "new-key"] {
        assert_eq!(post(signed(&made(key), &[])).await.status, 202, "{key}");
    }
    for (round, (own, other)) in [("first", "second"), ("second", "first")].into_iter().enumerate() {
        secret(&server, "token", json!(own)).await;
        let answer = send(&server, "bearer", &[("authorization", &format!("Bearer {own}"))], body).await;
        assert_eq!(answer.status, 202, "round {round}");
        let answer = send(&server, "bearer", &[("authorization", &format!("Bearer {other}"))], body).await;
        problem(&answer, 401, "another token");
    }
}

/// A server that tells a key set, and counts how often it was asked.
fn issuer(set: Arc<Mutex<Value>>, asked: Arc<Mutex<usize>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            *asked.lock().unwrap() += 1;
            let body = set.lock().unwrap().to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_an_issuer_are_fetched_by_age_and_never_for_a_token() {
    let folder = folder();
    let server = Server::start(folder.path(), &[LOOPBACK]).await;
    let (own, foreign) = (key(), key());
    let (set, asked) = (Arc::new(Mutex::new(json!({"keys": [public(&own, "k1")]}))), Arc::default());
    let address = issuer(set.clone(), Arc::clone(&asked));
    let jwt =
        |uri: String| format!("auth: {{jwt: {{issuer: 'https://id', audience: [shop], jwksUri: '{uri}'}}}}");
    let absent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hooks = [
        source("jwt", &jwt(format!("http://{address}/keys"))),
        source("dark", &jwt(format!("http://{absent}/"))),
    ];
    apply(&server, &hooks.concat()).await;
    let claims = json!({"iss": "https://id", "aud": "shop"});
    let check = async |hook: &str, key: &EcdsaKeyPair, kid: &str, status: u16| {
        let by = |text: &[u8]| key.sign(&SystemRandom::new(), text).unwrap().as_ref().to_vec();
        let token = token(&json!({"alg": "ES256", "kid": kid}), &claims, by);
        let answer = send(&server, hook, &[("authorization", &format!("Bearer {token}"))], "{}").await;
        assert_eq!(answer.status, status, "{kid}: {}", answer.json());
    };
    check("jwt", &own, "k1", 202).await;
    check("jwt", &foreign, "k1", 401).await;
    for kid in ["k2", "k3", "http://169.254.169.254/"] {
        check("jwt", &own, kid, 401).await;
    }
    assert_eq!(*asked.lock().unwrap(), 1, "a token makes nobody fetch keys");
    check("dark", &own, "k1", 503).await;
    let status = get(&server, "/sources/dark").await["status"].clone();
    assert_eq!(status["lastError"]["code"], "http-jwks", "{status}");
}

fn key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

fn public(key: &EcdsaKeyPair, kid: &str) -> Value {
    let point: &[u8] = key.public_key().as_ref();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": text(&point[1..33]), "y": text(&point[33..])})
}

const ANSWERING: &str = "
kind: Function
metadata: {name: held}
spec: {process: {command: [sh, -c, 'until [ -e GO ]; do sleep 0.05; done; echo 7']}}
---
document: {dsl: '1.0.3', namespace: default, name: total, version: '1.0.0'}
do:
  - check:
      if: ${ .price < 0 }
      raise: {error: {type: 'https://shop.example/errors/price', status: 422, title: Bad Price}}
  - slow: {if: '${ .slow == true }', call: 'held:1@default', output: {as: '${ $input }'}}
  - sum: {set: {sum: '${ (.price // 0) * 2 }'}}
---
kind: Trigger
metadata: {name: total}
spec: {source: price, target: {workflow: total}, input: '${ .data }'}
---
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_gets_the_output_the_error_or_the_place_to_look() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    let go = folder.path().join("go");
    let set = ANSWERING.replace("GO", &go.display().to_string());
    apply(&server, &(set + &source("price", "auth: {none: {}}, respond: output, timeout: 1s"))).await;
    let json_type = ("content-type", "application/json");
    let good = send(&server, "price", &[json_type, ("idempotency-key", "a")], r#"{"price": 4}"#).await;
    assert_eq!((good.status, good.json()), (200, json!({"sum": 8})));
    assert_eq!(good.header("content-type"), Some("application/json"));
    let again = send(&server, "price", &[json_type, ("idempotency-key", "a")], r#"{"price": 4}"#).await;
    assert_eq!((again.status, again.json()), (200, json!({"sum": 8})), "a repeat gets the same");
    let bad = send(&server, "price", &[json_type], r#"{"price": -1}"#).await;
    problem(&bad, 422, "the workflow's error");
    assert_eq!(bad.json()["type"], "https://shop.example/errors/price");
    let late = send(&server, "price", &[json_type], r#"{"price": 1, "slow": true}"#).await;
    assert_eq!((late.status, &late.json()["accepted"]), (202, &json!(1)));
    let place = late.header("location").unwrap().to_owned();
    // A caller who goes away: what it asked for goes on.
    let body = r#"{"price": 3, "slow": true}"#;
    let mut gone = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /hooks/default/price HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    gone.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    until("both run", SOON, async || running(&server).await == 2).await;
    drop(gone);
    std::fs::write(&go, "").unwrap();
    until("both end", SOON, async || running(&server).await == 0).await;
    let (_, shown) = server.client().get(&place).await.unwrap();
    assert_eq!((&shown["status"], &shown["output"]), (&json!("completed"), &json!({"sum": 2})));
    let ended = get(&server, "/executions?status=completed").await;
    assert_eq!(ended["items"].as_array().unwrap().len(), 3);
}

async fn running(server: &Server) -> usize {
    get(server, "/executions?status=running").await["items"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_leave_at_once_leave_nothing_stuck() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    apply(&server, &(ANSWERING.to_owned() + &source("price", PLAIN))).await;
    for number in 0..100 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head =
            "POST /hooks/default/price HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
        let text = format!("{head}idempotency-key: {number}\r\ncontent-length: 11\r\n\r\n{{\"price\":1}}");
        stream.write_all(text.as_bytes()).await.unwrap();
    }
    let kind = [("content-type", "application/json")];
    assert_eq!(send(&server, "price", &kind, r#"{"price":1}"#).await.status, 202);
    let status = async |word: &str| {
        let list = get(&server, &format!("/executions?pageSize=1000&status={word}")).await;
        list["items"].as_array().unwrap().len()
    };
    until("what was taken ends", SOON, async || {
        let taken = get(&server, "/sources/price").await["status"]["eventsAccepted"].as_u64().unwrap_or(0);
        status("pending").await + status("running").await == 0 && status("completed").await as u64 >= taken
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_sizes_rates_and_paths_have_limits_with_names() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    secret(&server, "token", json!("t")).await;
    let rated = "kind: Source\nmetadata: {name: rated}\n\
                 spec: {limits: {rate: 2/m}, http: {path: rated, auth: {none: {}}, methods: [PUT, get]}}\n---\n";
    let set = [
        source("small", "auth: {none: {}}, maxBody: 1KiB"),
        source("locked", "auth: {bearer: {secret: token}}, maxBody: 1KiB"),
        rated.to_owned(),
        source("heads", "auth: {none: {}}, methods: [HEAD, OPTIONS]"),
    ];
    apply(&server, &set.concat()).await;
    let large = send(&server, "small", &[], &"x".repeat(1025)).await;
    problem(&large, 413, "a large body");
    assert!(large.json()["detail"].as_str().unwrap().contains("limit maxBody"), "{}", large.json());
    assert_eq!(send(&server, "small", &[], &"x".repeat(1024)).await.status, 202);
    let wrong = send(&server, "rated", &[], "x").await;
    problem(&wrong, 405, "a method that is not stated");
    assert_eq!(wrong.header("allow"), Some("PUT, GET"));
    let get_one = async || call(&server, "GET", "/hooks/default/rated?a=1", &[], "").await;
    assert_eq!((get_one().await.status, get_one().await.status), (202, 202));
    let held = get_one().await;
    problem(&held, 429, "the rate");
    let after = held.header("retry-after").and_then(|after| after.parse::<u64>().ok());
    assert!(after.is_some_and(|after| (1..=30).contains(&after)), "{after:?}");
    assert!(held.json()["detail"].as_str().unwrap().contains("source.limits.rate"), "{}", held.json());
    for (method, status) in [("OPTIONS", 202), ("DELETE", 405)] {
        let answer = call(&server, method, "/hooks/default/heads", &[], "").await;
        assert_eq!(answer.status, status, "{method}");
    }
    // Who is not let in sends no body: the answer comes before it.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /hooks/default/locked HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(SOON, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    let other = source("twin", PLAIN).replace("path: twin", "path: small");
    let refused = try_apply(&server, &other).await;
    assert_eq!(
        (refused.status, &refused.json()["errors"][0]["code"]),
        (422, &json!("E0520")),
        "{}",
        refused.json()
    );
    let no_key = "auth: {jwt: {issuer: i, audience: a, jwks: {keys: [{kty: RSA, n: AQAB}]}}}";
    let refused = try_apply(&server, &source("keys", no_key)).await;
    assert_eq!(
        (refused.status, &refused.json()["errors"][0]["code"]),
        (422, &json!("E1043")),
        "{}",
        refused.json()
    );
    assert_eq!(server.metric(r#"tidemill_limit_met_total{limit="source.maxBody"}"#).await as u64, 1);
    assert_eq!(server.metric(r#"tidemill_limit_met_total{limit="source.limits.rate"}"#).await as u64, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_body_becomes_an_event_as_it_is() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]).await;
    apply(&server, &source("in", PLAIN)).await;
    let check = async |kind: &str, body: &[u8], expected: Value| {
        let headers = [("content-type", kind)];
        let headers = if kind.is_empty() { &[] } else { &headers[..] };
        let mut client: Client = server.client();
        let answer = client.call("POST", "/hooks/default/in", headers, body).await.unwrap().json();
        let id = answer["events"][0]["id"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let (_, event) = client.get(&format!("{BASE}/events/%2Fhooks%2Fdefault%2Fin/{id}")).await.unwrap();
        let shown = json!([event["datacontenttype"], event["data"], event["data_base64"]]);
        assert_eq!(shown, expected, "{kind}");
    };
    check("", b"", json!([null, null, null])).await;
    check("application/json", b"[1.10]", json!(["application/json", [1.10], null])).await;
    check("text/plain", b"on", json!(["text/plain", "on", null])).await;
    let form = "application/x-www-form-urlencoded";
    check(form, b"a=1&b=%20", json!([form, "a=1&b=%20", null])).await;
    check("image/png", b"\xff\x00", json!(["image/png", null, "/wA="])).await;
}
