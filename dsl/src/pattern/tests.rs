//! Patterns against payloads.

use super::*;
use crate::filter::Verdict;
use crate::reader::{Place, Sink};
use crate::yaml;

fn pattern(text: &str) -> Pattern {
    let node = yaml::parse(text).unwrap();
    let sink = Sink::new(text);
    read(&Place::root(&node), &sink).unwrap_or_else(|| panic!("{text}: {:?}", sink.into_diagnostics()))
}

fn json(text: &str) -> Value {
    Value::parse(text.as_bytes()).unwrap()
}

/// Whether the payload matches, told by judgement and by explanation alike.
#[track_caller]
fn check(text: &str, payload: &str, expected: bool) {
    let (pattern, payload) = (pattern(text), json(payload));
    let clauses = pattern.clauses("/data", &payload);
    assert_eq!(pattern.holds(&payload), expected, "{text} {payload}");
    // The alternatives of an `$or` stand below the clause that sums them up.
    let failed = clauses.iter().any(|clause| {
        clause.verdict == Verdict::Fail
            && clause.path.split("/$or").count() <= 1 + usize::from(clause.path.ends_with("/$or"))
    });
    assert_eq!(!failed, expected, "{text} {payload} {clauses:?}");
}

#[test]
fn values() {
    check("{a: [x, 1, true, null]}", r#"{"a":"x"}"#, true);
    check("{a: [x, 1, true, null]}", r#"{"a":1.0}"#, true);
    check("{a: [x, 1, true, null]}", r#"{"a":true}"#, true);
    check("{a: [x, 1, true, null]}", r#"{"a":null}"#, true);
    check("{a: [x, 1, true, null]}", r#"{"a":"1"}"#, false);
    check("{a: [x, 1, true, null]}", "{}", false);
    check("{a: [null]}", "{}", false);
    check("{a: ['']}", r#"{"a":""}"#, true);
    check("{a: [x], b: [y]}", r#"{"a":"x","b":"y","c":"z"}"#, true);
    check("{a: [x], b: [y]}", r#"{"a":"x"}"#, false);
    check("{a: {b: {c: [1]}}}", r#"{"a":{"b":{"c":1}}}"#, true);
    check("{a: {b: {c: [1]}}}", r#"{"a":{"b":1}}"#, false);
    check("{a: [x]}", r#"{"a":{"x":1}}"#, false);
    check("{a: [x]}", "\"a\"", false);
    check("{a: [x]}", "null", false);
}

#[test]
fn every_test() {
    let of = |test: &str, value: &str, expected: bool| {
        check(&format!("{{a: [{test}]}}"), &format!("{{\"a\":{value}}}"), expected);
    };
    of("{prefix: in/}", "\"in/x\"", true);
    of("{prefix: in/}", "\"IN/x\"", false);
    of("{prefix: {equals-ignore-case: in/}}", "\"IN/x\"", true);
    of("{suffix: .png}", "\"x.png\"", true);
    of("{suffix: {equals-ignore-case: .PNG}}", "\"x.png\"", true);
    of("{suffix: '1'}", "1", false);
    of("{equals-ignore-case: Stra\u{df}e}", "\"STRA\u{df}E\"", true);
    of("{wildcard: 'dir/*.png'}", "\"dir/sub/x.png\"", true);
    of("{wildcard: 'dir/*.png'}", "\"dir/x.jpg\"", false);
    of("{exists: true}", "null", true);
    of("{exists: true}", "{\"b\":1}", false);
    of("{exists: false}", "null", false);
    of("{exists: false}", "{\"b\":1}", true);
    of("{anything-but: x}", "\"y\"", true);
    of("{anything-but: x}", "\"x\"", false);
    of("{anything-but: [x, 1]}", "1", false);
    of("{anything-but: [x, 1]}", "2", true);
    of("{anything-but: {prefix: in/}}", "\"out/\"", true);
    of("{anything-but: {prefix: [in/, out/]}}", "\"out/\"", false);
    of("{anything-but: {suffix: .png}}", "\"x.png\"", false);
    of("{anything-but: {equals-ignore-case: [a, b]}}", "\"B\"", false);
    of("{anything-but: {wildcard: '*/tmp/*'}}", "\"a/tmp/b\"", false);
    of("{numeric: ['>', 0, '<=', 5]}", "5", true);
    of("{numeric: ['>', 0, '<=', 5]}", "0", false);
    of("{numeric: ['=', 3.0e2]}", "300", true);
    of("{numeric: ['<', 12345678901234567891]}", "12345678901234567890", true);
    of("{numeric: ['>=', 1]}", "\"2\"", false);
    of("{cidr: 10.0.0.0/24}", "\"10.0.0.255\"", true);
    of("{cidr: 10.0.0.0/24}", "\"10.0.1.0\"", false);
    of("{cidr: 10.0.0.0/24}", "\"::1\"", false);
    of("{cidr: 0.0.0.0/0}", "\"255.1.2.3\"", true);
    of("{cidr: '2001:db8::/32'}", "\"2001:db8:1::1\"", true);
    of("{cidr: '::/0'}", "\"2001:db8::\"", true);
    of("{cidr: '2001:db8::/32'}", "\"2001:db9::1\"", false);
    of("{cidr: 10.0.0.0/24}", "\"no address\"", false);
    check("{a: [{anything-but: x}]}", "{}", false);
    check("{a: [{exists: false}]}", "{}", true);
    check("{a: {b: [{exists: false}]}}", "{}", true);
    check("{a: {b: [{exists: false}]}}", r#"{"a":1}"#, true);
    check("{a: [{exists: false}, x]}", r#"{"a":"x"}"#, true);
    check("{a: [{exists: false}]}", "null", true);
}

#[test]
fn alternatives() {
    let either = "{a: [x], $or: [{b: [1]}, {c: {d: [2]}}]}";
    check(either, r#"{"a":"x","b":1}"#, true);
    check(either, r#"{"a":"x","c":{"d":2}}"#, true);
    check(either, r#"{"a":"x","b":2}"#, false);
    check(either, r#"{"b":1}"#, false);
    check("{a: {$or: [{b: [1]}, {b: [2], $or: [{c: [3]}, {d: [4]}]}]}}", r#"{"a":{"b":2,"d":4}}"#, true);
    check("{a: {$or: [{b: [1]}, {b: [2], $or: [{c: [3]}, {d: [4]}]}]}}", r#"{"a":{"b":2,"d":3}}"#, false);
}

#[test]
fn arrays() {
    check("{a: [x]}", r#"{"a":["y","x"]}"#, true);
    check("{a: [x]}", r#"{"a":[["x"]]}"#, true);
    check("{a: [x]}", r#"{"a":[]}"#, false);
    check("{a: [{anything-but: x}]}", r#"{"a":["x","y"]}"#, true);
    check("{a: [{anything-but: x}]}", r#"{"a":["x"]}"#, false);
    let staff = r#"{"staff":[{"first":"Ann","last":"Bell"},{"first":"Cid","last":"Dee"}]}"#;
    check("{staff: {first: [Cid], last: [Dee]}}", staff, true);
    check("{staff: {first: [Ann], last: [Dee]}}", staff, false);
    check("{staff: {first: [Ann], $or: [{last: [Dee]}, {last: [Bell]}]}}", staff, true);
    check("{staff: {age: [{exists: false}]}}", staff, true);
    check("{staff: {age: [{exists: false}]}}", r#"{"staff":[{"age":1},{"first":"x"}]}"#, false);
    check("{staff: {age: [{exists: false}]}}", r#"{"staff":[]}"#, true);
    check("{a: {b: {c: [1], d: [2]}}}", r#"{"a":[{"b":[{"c":1},{"d":2}]},{"b":[{"c":1,"d":2}]}]}"#, true);
    check("{a: {b: {c: [1], d: [2]}}}", r#"{"a":[{"b":[{"c":1},{"d":2}]},{"b":[{"c":1,"d":3}]}]}"#, false);
    check("{a: [x]}", r#"[{"a":"y"},{"a":"x"}]"#, true);
}

#[test]
fn clauses_of_a_pattern() {
    let pattern = pattern(
        "{s3: {key: [{prefix: in/}, {exists: false}], size: [{numeric: ['>', 10]}]}, $or: [{a: [1]}, {b: [2]}]}",
    );
    let told = |payload: &str| -> Vec<String> {
        pattern
            .clauses("/data", &json(payload))
            .iter()
            .map(|c| {
                let actual = c.actual.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
                format!("{} {}: {} ({actual})", c.verdict.as_str(), c.path, c.test)
            })
            .collect()
    };
    assert_eq!(
        told(r#"{"s3":[{"key":"out/a","size":3},{"key":"in/b","size":9}],"a":1}"#),
        [
            "pass /data/s3/key: begins with \"in/\", or is not there (\"in/b\")",
            "fail /data/s3/size: is a number > 10 (9)",
            "pass /data/$or: at least one pattern holds (-)",
            "pass /data/$or/0/a: equals 1 (1)",
            "skip /data/$or/1/b: equals 2 (-)",
        ]
    );
}

#[test]
fn a_payload_that_is_no_json_has_no_fields() {
    for data in [Data::None, Data::Binary(bytes::Bytes::from_static(b"{\"a\":1}"))] {
        assert!(!pattern("{a: [1]}").matches(&data));
        assert!(pattern("{a: [{exists: false}]}").matches(&data));
        assert_eq!(pattern("{a: [1]}").explain("/data", &data)[0].verdict, Verdict::Fail);
    }
}
