//! Requests and the events they become.

use http::{HeaderName, HeaderValue};
use tidemill_dsl::expr::Template;
use tidemill_dsl::manifest::HmacScheme;

use super::*;

fn spec() -> Spec {
    Spec {
        path: "orders/in".into(),
        methods: vec!["POST".into(), "PUT".into()],
        auth: Auth::None,
        max_body: 64,
        overrides: EventOverrides::default(),
    }
}

fn send(spec: &Spec, method: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<String, String> {
    let map: HeaderMap = headers
        .iter()
        .map(|(n, v)| (n.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(v.as_bytes()).unwrap()))
        .collect();
    let body = Bytes::copy_from_slice(body);
    let request = Request {
        method,
        path: "/hooks/default/orders/in",
        query: Some("a=1&b=x%20y&b=z+&c"),
        headers: &map,
        body: &body,
        received: Time(1_764_000_000_120),
    };
    to_events(spec, "default", &request, "fresh")
        .map(|events| events.iter().map(|event| event.to_value().to_string()).collect::<Vec<_>>().join("\n"))
        .map_err(|problem| {
            format!("{} {}: {}; {}", problem.status, problem.code, problem.message, problem.help)
        })
}

#[test]
fn any_body_becomes_one_event() {
    insta::assert_snapshot!(
        send(&spec(), "PUT", &[("content-type", "application/json")], br#"{"n":1.5}"#).unwrap(),
        @r#"{"specversion":"1.0","id":"fresh","source":"/hooks/default/orders/in","type":"http.request","time":"2025-11-24T16:00:00.120Z","datacontenttype":"application/json","httpmethod":"PUT","data":{"n":1.5}}"#
    );
}

#[track_caller]
fn check(content_type: Option<&str>, body: &'static [u8], expected: &str) {
    let (data, kind) = payload(content_type, &Bytes::from_static(body));
    let data = match data {
        Data::None => "-".to_owned(),
        Data::Json(value) => value.to_string(),
        Data::Binary(bytes) => {
            assert_eq!(bytes, body);
            "bytes".to_owned()
        }
    };
    assert_eq!(format!("{} {data}", kind.unwrap_or("-")), expected, "{content_type:?}");
}

#[test]
fn bodies_are_json_text_or_bytes() {
    let json = Some("application/json");
    check(None, b"", "- -");
    check(None, b"[1]", "application/json [1]");
    check(None, b"on", "text/plain \"on\"");
    check(None, b"\xff", "application/octet-stream bytes");
    check(Some("application/json; charset=utf-8"), b"1.5", "application/json; charset=utf-8 1.5");
    check(Some("application/vnd.x+json"), b"\"t\"", "application/vnd.x+json \"t\"");
    check(json, b"{oops", "text/plain \"{oops\"");
    check(json, b"\xff", "application/octet-stream bytes");
    check(Some("text/plain"), b"1", "text/plain \"1\"");
    let form = Some("application/x-www-form-urlencoded");
    check(form, b"{\"a\":1}", "application/json {\"a\":1}");
    check(form, b"a=1", "application/x-www-form-urlencoded \"a=1\"");
    check(Some("image/png"), b"\xff\x00", "image/png bytes");
}

#[test]
fn ids_come_from_the_caller_first() {
    let id = |headers: &[(&str, &str)]| {
        let event = send(&spec(), "POST", headers, b"x").unwrap();
        Value::parse(event.as_bytes()).unwrap().get("id").unwrap().as_str().unwrap().to_owned()
    };
    assert_eq!(id(&[]), "fresh");
    assert_eq!(id(&[("webhook-id", "w")]), "w");
    assert_eq!(id(&[("webhook-id", "w"), ("Idempotency-Key", "k")]), "k");
    assert_eq!(id(&[("idempotency-key", "")]), "fresh");
    assert_eq!(id(&[("webhook-id", "w"), ("idempotency-key", "")]), "w");
    assert_eq!(id(&[("idempotency-key", "Bestellung \u{e4}")]), "Bestellung \u{e4}");
    let mut headers = HeaderMap::new();
    headers.insert("idempotency-key", HeaderValue::from_bytes(b"\xe4").unwrap());
    let (body, spec) = (Bytes::new(), spec());
    let request =
        Request { method: "POST", path: "/", query: None, headers: &headers, body: &body, received: Time(0) };
    let refused = to_events(&spec, "default", &request, "fresh").unwrap_err();
    assert_eq!((refused.status, refused.code), (400, "bad-id"), "a repeat would be another event");
}

#[test]
fn what_was_signed_at_a_time_is_one_event() {
    let hmac = |scheme| {
        let secrets = vec![auth::Secret("key".into())];
        Auth::Hmac(auth::Hmac { scheme, secrets, header: None, tolerance: std::time::Duration::from_mins(5) })
    };
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"key");
    let tag = |text: &str| {
        let tag = aws_lc_rs::hmac::sign(&key, text.as_bytes());
        tag.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    };
    let id = |scheme, signature: &str, more: &[(&str, &str)], body: &str| {
        let name = if scheme == HmacScheme::GitHub { "x-hub-signature-256" } else { "x-signature-256" };
        let headers = [&[(name, signature)], more].concat();
        let event = send(&Spec { auth: hmac(scheme), ..spec() }, "POST", &headers, body.as_bytes()).unwrap();
        Value::parse(event.as_bytes()).unwrap().get("id").unwrap().as_str().unwrap().to_owned()
    };
    let timed = |at: i64, body: &str| format!("t={at},v1={}", tag(&format!("{at}.{body}")));
    let (generic, now) = (HmacScheme::Generic, 1_764_000_000);
    let first = id(generic, &timed(now, "x"), &[], "x");
    assert!(first.starts_with("signed-") && first.len() == 39, "{first}");
    // What is not signed changes nothing.
    let padded = timed(now, "x").replace(",v1=", &format!(", v0=1, v1={}, v1=", "0".repeat(64)));
    assert_eq!(id(generic, &padded, &[], "x"), first);
    assert_ne!(id(generic, &timed(now + 1, "x"), &[], "x"), first);
    assert_ne!(id(generic, &timed(now, "y"), &[], "y"), first);
    assert_eq!(id(generic, &timed(now, "x"), &[("idempotency-key", "k")], "x"), "k");
    assert_eq!(id(generic, &tag("x"), &[], "x"), "fresh", "no time is signed");
    assert_eq!(id(HmacScheme::GitHub, &format!("sha256={}", tag("x")), &[], "x"), "fresh");
}

#[test]
fn cloud_events_pass_as_they_are() {
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "7"),
        ("ce-source", "/shop"),
        ("ce-type", "order"),
        ("ce-tidemillhop", "9"),
        ("content-type", "application/json"),
    ];
    let order = r#"{"specversion":"1.0","id":"7","source":"/shop","type":"order","#;
    assert_eq!(
        send(&spec(), "POST", &binary, b"{}").unwrap(),
        format!(r#"{order}"datacontenttype":"application/json","data":{{}}}}"#)
    );
    let structured = format!(r#"{order}"subject":"s"}}"#);
    let wide = Spec { max_body: 1000, ..spec() };
    let kind = [("content-type", "Application/CloudEvents+JSON")];
    assert_eq!(send(&wide, "POST", &kind, structured.as_bytes()).unwrap(), structured);
    let batch = format!("[{structured},{structured}]");
    let kind = [("content-type", "application/cloudevents-batch+json")];
    assert_eq!(send(&wide, "POST", &kind, batch.as_bytes()).unwrap(), format!("{structured}\n{structured}"));
}

#[test]
fn refusals() {
    let event = [("content-type", "application/cloudevents+json")];
    insta::assert_snapshot!(send(&spec(), "GET", &[], b"").unwrap_err(), @"405 method-not-allowed: this source does not take GET; send POST or PUT");
    insta::assert_snapshot!(send(&spec(), "POST", &[], &[b'x'; 65]).unwrap_err(), @"413 body-too-large: the body is larger than the limit maxBody of 64 bytes; send less, or raise maxBody of the source");
    insta::assert_snapshot!(send(&spec(), "POST", &event, b"{}").unwrap_err(), @"400 bad-event: it lacks `specversion`, `id`, `source`, `type`; an event has at least specversion, id, source and type");
    insta::assert_snapshot!(
        send(&spec(), "POST", &[("content-type", "application/cloudevents+avro")], b"{}").unwrap_err(),
        @"415 unsupported-event-format: the event format of `application/cloudevents+avro` is not read; send ce- header fields with any body, or a body of content type application/cloudevents+json or application/cloudevents-batch+json"
    );
    insta::assert_snapshot!(send(&spec(), "POST", &[("ce-specversion", "1.0")], b"{}").unwrap_err(), @"400 bad-event: it lacks `id`, `source`, `type`; an event has at least specversion, id, source and type");
    let locked = Spec { auth: Auth::Bearer(auth::Secret("t".into())), ..spec() };
    insta::assert_snapshot!(send(&locked, "POST", &[], b"{}").unwrap_err(), @"401 unauthenticated: credentials are missing; send Authorization: Bearer TOKEN as the source's auth asks");
    assert!(send(&locked, "POST", &[("authorization", "Bearer t")], b"{}").is_ok());
}

#[test]
fn the_event_block_replaces_attributes_of_wrapped_requests() {
    let kind = Template::compile(&Value::text("order.placed"), &[]).unwrap();
    let placed = Spec {
        overrides: EventOverrides { attributes: vec![("type", kind)], extensions: Vec::new() },
        ..spec()
    };
    assert!(send(&placed, "POST", &[], b"{}").unwrap().contains(r#""type":"order.placed""#));
}

#[test]
fn expressions_see_the_raw_request() {
    let headers = HeaderMap::from_iter([
        (HeaderName::from_static("x-a"), HeaderValue::from_static("1")),
        (HeaderName::from_static("x-b"), HeaderValue::from_static("2")),
    ]);
    let body = Bytes::from_static(b"{\"a\":1}");
    let request = Request {
        method: "POST",
        path: "/hooks/default/orders/in",
        query: Some("a=1&b=x%20y&b=z+&c&d=%zz"),
        headers: &headers,
        body: &body,
        received: Time(0),
    };
    insta::assert_snapshot!(raw(&request, &Data::Json(Value::parse(&body).unwrap())), @r#"{"body":{"a":1},"headers":{"x-a":"1","x-b":"2"},"query":{"a":"1","b":["x y","z "],"c":"","d":"%zz"},"method":"POST","path":"/hooks/default/orders/in"}"#);
}

/// A request of the golden file; `\xHH` in its body is a byte.
fn raw_request(text: &str) -> (String, String, HeaderMap, Bytes) {
    let (head, body) = text.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
    let field = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
    };
    let mut parts = body.trim_end_matches('\n').split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    (method.to_owned(), path.to_owned(), lines.map(field).collect(), bytes.into())
}

#[test]
fn golden_requests_and_their_events() {
    let wide = Spec { max_body: 1000, ..spec() };
    let mut count = 0;
    for section in include_str!("golden.txt").split("#### ").skip(1) {
        let (name, text) = section.split_once('\n').unwrap();
        if name == "becomes" {
            continue;
        }
        let events = include_str!("golden.txt").split_once(section).unwrap().1;
        let events = events.strip_prefix("#### becomes\n").unwrap().split("#### ").next().unwrap();
        let (method, path, headers, body) = raw_request(text);
        let (path, query) = path.split_once('?').map_or((&*path, None), |(path, query)| (path, Some(query)));
        let received = Time(1_764_000_000_120);
        let request = Request { method: &method, path, query, headers: &headers, body: &body, received };
        let found = to_events(&wide, "default", &request, "fresh")
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let found: Vec<String> = found.iter().map(|event| event.to_value().to_string()).collect();
        assert_eq!(found.join("\n"), events.trim_end(), "{name}");
        count += 1;
    }
    assert_eq!(count, 8);
}

#[test]
fn a_signed_id_goes_before_one_that_is_not() {
    let hmac = auth::Hmac {
        scheme: HmacScheme::StandardWebhooks,
        secrets: vec![auth::Secret("key".into())],
        header: None,
        tolerance: std::time::Duration::from_mins(5),
    };
    let signed = Spec { auth: Auth::Hmac(hmac), ..spec() };
    let check = |more: &[(&str, &str)], expected: &str| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"key");
        let made =
            format!("v1,{}", STANDARD.encode(aws_lc_rs::hmac::sign(&key, b"w.1764000000.{}").as_ref()));
        let own = [("webhook-id", "w"), ("webhook-timestamp", "1764000000"), ("webhook-signature", &*made)];
        let sent = send(&signed, "POST", &own.iter().chain(more).copied().collect::<Vec<_>>(), b"{}");
        let shown = sent.map(|event| Value::parse(event.as_bytes()).unwrap().get("id").unwrap().to_string());
        let shown = shown.unwrap_or_else(|error| error.split(':').next().unwrap().to_owned());
        assert_eq!(shown, expected, "{more:?}");
    };
    check(&[], "\"w\"");
    check(&[("idempotency-key", "k")], "\"w\"");
    let event = |id| [("ce-specversion", "1.0"), ("ce-id", id), ("ce-source", "/s"), ("ce-type", "t")];
    check(&event("w"), "\"w\"");
    check(&event("x"), "400 unsigned-id");
}
