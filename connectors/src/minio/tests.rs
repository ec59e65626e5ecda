//! The hook and the carrier: who may call, and what of a notification is the source's.

use http::HeaderMap;

use super::*;

const BODY: &str = r#"{"EventName":"s3:ObjectCreated:Put","Key":"bkt/a b","Records":[
    {"eventTime":"2026-11-24T02:40:32.250Z","eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"bkt"},"object":{"key":"a+b","eTag":"e"}}},
    {"eventTime":"2026-11-24T02:40:32.250Z","eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"other"},"object":{"key":"c"}}},
    {"eventName":"s3:ObjectCreated:Put"}]}"#;

fn hook() -> Hook {
    Hook {
        path: "uploads".into(),
        auth: Auth::Bearer(auth::Secret("s3cret".into())),
        mapping: Mapping {
            bucket: "bkt".into(),
            events: vec!["s3:ObjectCreated:*".into()],
            ..Mapping::default()
        },
    }
}

fn call(authorization: Option<&str>, body: &str) -> Result<(Vec<Event>, Vec<Poison>), u16> {
    let headers: HeaderMap = authorization
        .into_iter()
        .map(|value| (http::header::AUTHORIZATION, value.parse().unwrap()))
        .collect();
    let body = Bytes::copy_from_slice(body.as_bytes());
    let request = Request {
        method: "POST",
        path: "/hooks/default/uploads",
        query: None,
        headers: &headers,
        body: &body,
        received: tidemill_dsl::ids::Time(0),
    };
    called(&hook(), &request).map_err(|problem| problem.status)
}

#[test]
fn the_bearer_of_the_token_is_heard() {
    let (events, poison) = call(Some("Bearer s3cret"), BODY).unwrap();
    let subjects: Vec<_> = events.iter().map(|event| event.subject.as_deref().unwrap()).collect();
    assert_eq!((subjects, poison.len()), (vec!["a b"], 1));
    for refused in [None, Some("Bearer wrong"), Some("Bearer "), Some("Basic s3cret"), Some("s3cret")] {
        assert_eq!(call(refused, BODY), Err(401), "{refused:?}");
    }
    assert_eq!(call(Some("Bearer s3cret"), "{}"), Err(400));
    assert_eq!(call(Some("Bearer s3cret"), "no json"), Err(400));
}

#[test]
fn a_carried_notification_is_the_same_event() {
    let called = call(Some("Bearer s3cret"), BODY).unwrap();
    let data = Data::Json(Value::parse(BODY.as_bytes()).unwrap());
    let carrier = Event { data, ..called.0[0].clone() };
    assert_eq!(carried(&hook().mapping, &carrier), called);
    let none = Event { data: Data::None, ..carrier };
    assert_eq!(carried(&hook().mapping, &none), (vec![], vec![]));
}
