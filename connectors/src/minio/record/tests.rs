//! Records to events: golden pairs of what a server told and what a listing found.

use super::*;

fn mapping() -> Mapping {
    Mapping {
        authority: "127.0.0.1:9000".into(),
        bucket: "bkt".into(),
        events: vec!["s3:ObjectCreated:*".into(), "s3:ObjectRemoved:DeleteMarkerCreated".into()],
        ..Mapping::default()
    }
}

/// A notification about `object`, as MinIO sends it.
fn payload(name: &str, object: &str) -> Value {
    let text = format!(
        r#"{{"EventName":"s3:{name}","Key":"bkt/x","Records":[{{"eventVersion":"2.0","eventSource":"minio:s3","awsRegion":"",
        "eventTime":"2026-11-24T02:40:32.250Z","eventName":"s3:{name}","responseElements":{{"x-amz-request-id":"18EADADA37C91A08"}},
        "s3":{{"bucket":{{"name":"bkt"}},"object":{object}}}}}]}}"#
    );
    Value::parse(text.as_bytes()).unwrap()
}

fn record(name: &str, object: &str, form: KeyForm) -> Record {
    read(&payload(name, object), form).pop().unwrap().unwrap()
}

const PUT: &str = r#"{"key":"dir+a%2Fx+y%2Bz%2541%C3%A9%E6%97%A5.txt","size":5,"eTag":"5d41","sequencer":"18EADADA37E81C0F"}"#;
const PLAIN: &str =
    r#"{"key":"dir a/x y+z%41é日.txt","size":5,"eTag":"5d41","sequencer":"18EADADA37E81C0F"}"#;

fn version(key: &str, id: Option<&str>, etag: Option<&str>) -> Version {
    Version {
        key: key.to_owned(),
        id: id.map(str::to_owned),
        modified: Time::parse("2026-11-24T02:40:32.236Z").unwrap(),
        etag: etag.map(str::to_owned),
        size: 5,
    }
}

#[test]
fn a_notification_becomes_an_event() {
    let event = mapping().to_event(&record("ObjectCreated:Put", PUT, KeyForm::Encoded)).unwrap();
    insta::assert_snapshot!(event.to_value());
}

#[test]
fn a_listed_version_becomes_an_event() {
    let event = mapping().to_event(&listed(&mapping(), &version("a b", Some("v1"), Some("e-2")))).unwrap();
    insta::assert_snapshot!(event.to_value());
}

#[test]
fn keys_are_decoded_alike_on_every_way() {
    let (encoded, plain) = (
        record("ObjectCreated:Put", PUT, KeyForm::Encoded),
        record("ObjectCreated:Put", PLAIN, KeyForm::Plain),
    );
    assert_eq!(encoded, plain);
    assert_eq!(&*plain.key, "dir a/x y+z%41é日.txt");
}

#[test]
fn an_event_and_its_back_filled_twin_have_one_id() {
    let check = |name: &str, object: &str, found: &Version, same: bool| {
        let told = record(name, object, KeyForm::Encoded);
        assert_eq!(id(&told) == id(&listed(&mapping(), found)), same, "{name} {object}");
    };
    // 18EADADA37E81C0F is 2026-11-24T02:40:32.236248
    let key = "dir a/x y+z%41é日.txt";
    check("ObjectCreated:Put", PUT, &version(key, None, Some("5d41")), true);
    check("ObjectCreated:Copy", PUT, &version(key, None, Some("5d41")), true);
    check("ObjectCreated:Put", PUT, &version(key, None, Some("5d42")), false);
    check("ObjectCreated:PutTagging", PUT, &version(key, None, Some("5d41")), false);
    let versioned = r#"{"key":"k","eTag":"e","versionId":"v1","sequencer":"18EADADA37E81C0F"}"#;
    check("ObjectCreated:Put", versioned, &version("k", Some("v1"), Some("e")), true);
    check("ObjectCreated:Put", versioned, &version("k", Some("v2"), Some("e")), false);
    let marker = r#"{"key":"k","versionId":"v3","sequencer":"18EADADA37E81C0F"}"#;
    check("ObjectRemoved:DeleteMarkerCreated", marker, &version("k", Some("v3"), None), true);
    let one_of_many = r#"{"key":"k","versionId":"v3","sequencer":"18EADADA38E81C0F"}"#;
    check("ObjectRemoved:DeleteMarkerCreated", one_of_many, &version("k", Some("v3"), None), true);
    check("ObjectRemoved:Delete", marker, &version("k", Some("v3"), None), false);
}

#[test]
fn a_marker_without_a_version_is_not_back_filled() {
    let check = |found: &Version, tells: bool| assert_eq!(can_tell(found), tells, "{found:?}");
    check(&version("k", Some("v3"), None), true);
    check(&version("k", None, Some("e")), true);
    check(&version("k", None, None), false);
}

#[test]
fn happenings_that_leave_the_object_are_told_apart() {
    let text = payload("ObjectAccessed:Get", PUT).to_string();
    let read =
        |text: &str| id(&read(&Value::parse(text.as_bytes()).unwrap(), KeyForm::Encoded)[0].clone().unwrap());
    assert_eq!(read(&text), read(&text));
    assert_ne!(read(&text), read(&text.replace("18EADADA37C91A08", "18EADADA37C91A09")));
}

#[test]
fn which_records_are_a_sources() {
    let told = record("ObjectCreated:Put", PUT, KeyForm::Encoded);
    let check = |change: fn(&mut Mapping), takes: bool| {
        let mut mapping = mapping();
        change(&mut mapping);
        assert_eq!(mapping.takes(&told), takes, "{mapping:?}");
    };
    check(|_| {}, true);
    check(|m| m.bucket = "other".into(), false);
    check(|m| m.events = vec!["s3:ObjectCreated:Put".into()], true);
    check(|m| m.events = vec!["s3:ObjectCreated:Copy".into(), "s3:ObjectRemoved:*".into()], false);
    check(|m| m.prefix = Some("dir a/".into()), true);
    check(|m| m.prefix = Some("dir+a/".into()), false);
    check(|m| m.suffix = Some("日.txt".into()), true);
    check(|m| m.suffix = Some(".jpg".into()), false);
}

#[test]
fn poison_and_heartbeats() {
    let check = |text: &str, expected: &[&str]| {
        let found = read(&Value::parse(text.as_bytes()).unwrap(), KeyForm::Plain);
        let shown: Vec<_> = found.into_iter().map(|r| r.unwrap_err().to_string()).collect();
        assert_eq!(shown, expected);
    };
    check(r#"{"Records":null}"#, &[]);
    check("{}", &[]);
    check(r#"{"Records":[{}]}"#, &["read the record of /: it lacks `eventName`"]);
    check(
        r#"{"Records":[{"eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]}"#,
        &["read the record of b/k: `eventTime` is no instant"],
    );
}
