//! Sinks of kind `http` against a real server: what is sent, and what its answers mean.

use std::time::Duration;

use tidemill_dsl::ids::Time;
use tidemill_dsl::order::{Call, Order, Outcome, SINK_FUNCTION};
use tidemill_workers::Clock;
use tidemill_workers::egress::Policy;
use tidemill_workers::registry::Registry;
use tokio_util::sync::CancellationToken;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::{done, fault, json, order, secrets};

const EVENT: &str =
    r#"{"specversion":"1.0","id":"7","source":"/shop","type":"order.paid","subject":"a b","data":{"n":1}}"#;
const NOW: i64 = 1_764_000_000_000;

/// Sends [`EVENT`] to a server that gives `answer`: the outcome, and the requests that came.
async fn send(answer: ResponseTemplate, more: &str, deadline: Option<Time>) -> (Outcome, Vec<Request>) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let policy = Policy { allow_loopback: true, ..Policy::default() };
    let registry = Registry::new(policy, secrets(), Clock::new(|| Time(NOW)));
    let input = json(&format!(r#"{{"event":{EVENT},"url":"{}/in"{more}}}"#, server.uri()));
    let what = Call::Function { name: SINK_FUNCTION.into(), version: "http".into(), input };
    let order = Order { what, deadline, ..order(1, json("null")) };
    let outcome = registry.call(order, CancellationToken::new()).await;
    (outcome, server.received_requests().await.unwrap())
}

fn header(request: &Request, name: &str) -> String {
    request.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn an_event_goes_in_binary_mode() {
    let (outcome, requests) = send(ResponseTemplate::new(202), "", None).await;
    assert_eq!(done(outcome), json(r#"{"status":202}"#));
    let request = &requests[0];
    let expected = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "7"),
        ("ce-source", "/shop"),
        ("ce-type", "order.paid"),
        ("ce-subject", "a%20b"),
        ("webhook-signature", ""),
    ];
    for (name, value) in expected {
        assert_eq!(header(request, name), value, "{name}");
    }
    assert_eq!((request.method.as_str(), request.url.path()), ("POST", "/in"));
    assert_eq!(request.body, br#"{"n":1}"#);
    assert!(!header(request, "idempotency-key").is_empty());
}

#[tokio::test]
async fn a_signed_event_goes_in_structured_mode() {
    let (outcome, requests) = send(ResponseTemplate::new(204), r#","sign":"token""#, None).await;
    assert_eq!(done(outcome), json(r#"{"status":204}"#));
    let request = &requests[0];
    assert_eq!(header(request, "content-type"), "application/cloudevents+json");
    assert_eq!(json(&String::from_utf8_lossy(&request.body)), json(EVENT));
    assert_eq!(header(request, "webhook-id"), order(1, json("null")).execution.to_string());
    assert_eq!(header(request, "webhook-timestamp"), (NOW / 1000).to_string());
    // Its form is proved beside the code, with the example of the specification.
    let signature = header(request, "webhook-signature");
    assert!(signature.starts_with("v1,") && signature.len() == 47, "{signature}");
    assert!(!format!("{request:?}").contains("s3cret-token"));
}

#[tokio::test]
async fn what_an_event_says_names_no_secret() {
    let access = r#","access":{"auth":{"bearer":{"secret":"token"}},"headers":{"x-a":"b"}}"#;
    let (outcome, requests) =
        send(ResponseTemplate::new(204), &format!(r#"{access},"headers":{{"x-n":7}}"#), None).await;
    done(outcome);
    for (name, value) in [("authorization", "Bearer s3cret-token"), ("x-a", "b"), ("x-n", "7")] {
        assert_eq!(header(&requests[0], name), value, "{name}");
    }
    let made = r#","headers":{"x-stolen":{"secret":"token"}}"#;
    let (outcome, requests) = send(ResponseTemplate::new(204), made, None).await;
    let fault = fault(outcome);
    assert_eq!((fault.status, requests.len()), (400, 0), "{fault:?}");
}

#[tokio::test]
async fn answers_other_than_success_are_failures() {
    let check = async |answer: ResponseTemplate, status: i64| {
        let (outcome, requests) = send(answer, "", None).await;
        assert_eq!(fault(outcome).status, status);
        assert_eq!(requests.len(), 1, "sent once, redirects are not followed");
    };
    check(ResponseTemplate::new(307).insert_header("location", "/elsewhere"), 307).await;
    check(ResponseTemplate::new(410), 410).await;
    check(ResponseTemplate::new(429).insert_header("retry-after", "7"), 429).await;
    check(ResponseTemplate::new(503), 503).await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_told() {
    let late = ResponseTemplate::new(200).set_delay(Duration::from_mins(1));
    let (outcome, _) = send(late, "", Some(Time(NOW + 50))).await;
    assert_eq!(fault(outcome).status, 408);
    let (outcome, requests) = send(ResponseTemplate::new(200), r#","sign":"absent""#, None).await;
    let fault = fault(outcome);
    assert_eq!((fault.status, requests.len()), (403, 0), "{fault:?}");
    assert!(fault.detail.is_some_and(|detail| detail.contains("`absent` does not exist")));
}
