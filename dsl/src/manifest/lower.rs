//! A function or sink as a trigger's target: the workflow that it stands for.
//!
//! Owns its text. Such a target is run as a workflow with one call whose retries follow the policy (manifests.md,
//! Trigger), so that deliveries have one path. Equal arguments give equal text.

use std::time::Duration;

use sha2::Digest as _;

use super::retry::{Backoff, ErrorClass, RetryPolicy};
use super::trigger::SinkTarget;
use crate::order::SINK;
use crate::value::Value;

/// Longest name of a workflow.
const LABEL: usize = 63;

/// The name of the workflow that stands for a function: `function-NAME`, shortened with a hash where that is longer
/// than a name may be.
pub fn function_workflow_name(function: &str) -> String {
    let name = format!("function-{function}");
    if name.len() <= LABEL {
        return name;
    }
    let digest = sha2::Sha256::digest(function.as_bytes());
    let hash = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    format!("{}-{hash:08x}", name[..LABEL - 9].trim_end_matches('-'))
}

/// The text (JSON, which is YAML) of the workflow that stands for a function: one call, retried as the policy says
/// unless the error is permanent. `version` is a number, an alias, or `latest`.
pub fn function_workflow(
    namespace: &str,
    function: &str,
    version: Option<&str>,
    retry: &RetryPolicy,
) -> String {
    let call = format!("{function}:{}@default", version.unwrap_or("latest"));
    let call = Value::object([("call", Value::text(call))]);
    workflow(namespace, function_workflow_name(function), call, retry)
}

/// The same for a sink: the execution's input is the event that is sent.
pub fn sink_workflow(namespace: &str, sink: &SinkTarget, retry: &RetryPolicy) -> String {
    let (name, catalog) = SINK;
    let call = Value::text(format!("{name}:{}@{catalog}", sink.kind()));
    let call = Value::object([("call", call), ("with", sink.with())]);
    workflow(namespace, format!("sink-{}", sink.kind()), call, retry)
}

fn workflow(namespace: &str, name: String, call: Value, retry: &RetryPolicy) -> String {
    let tasks = match retry.retries() {
        0 => Value::array([task("call", call)]),
        retries => Value::array([task("deliver", attempts(call, retry, retries))]),
    };
    let document = Value::object([
        ("dsl", Value::text("1.0.3")),
        ("namespace", Value::text(namespace)),
        ("name", Value::text(name)),
        ("version", Value::text("1.0.0")),
    ]);
    Value::object([("document", document), ("do", tasks)]).to_string()
}

fn task(name: &str, body: Value) -> Value {
    Value::object([(name, body)])
}

/// `try` with the call. Delays that the language's own backoff cannot say are looked up by the number of the
/// attempt, which a task in front of the call counts in the context.
fn attempts(call: Value, retry: &RetryPolicy, retries: u32) -> Value {
    let (delay, backoff, counted) = match (&retry.backoff, retry.jitter > 0.0) {
        (Backoff::Constant(delay), _) => (delay.as_millis().to_string(), None, false),
        (growing, _) => (looked_up(growing, retries, 1.0), None, true),
    };
    let mut policy = vec![
        ("exceptWhen", Value::text(permanent())),
        ("delay", expression(&format!("[{delay}, {AFTER}] | max"))),
        (
            "limit",
            Value::object([
                ("attempt", Value::object([("count", Value::from(retries))])),
                ("duration", Value::text(format!("PT{}S", retry.max_age.as_secs().max(1)))),
            ]),
        ),
    ];
    policy.extend(backoff.map(|backoff: Value| ("backoff", backoff)));
    if retry.jitter > 0.0 {
        let most = match &retry.backoff {
            Backoff::Constant(delay) => millis((delay.as_millis() as f64 * retry.jitter) as u128),
            growing => expression(&looked_up(growing, retries, retry.jitter)),
        };
        policy.push(("jitter", Value::object([("from", millis(0)), ("to", most)])));
    }
    let count = Value::object([
        ("set", Value::text("${ . }")),
        ("export", Value::object([("as", Value::text("${ {attempt: (($context.attempt // 0) + 1)} }"))])),
    ]);
    let body =
        if counted { vec![task("count", count), task("call", call)] } else { vec![task("call", call)] };
    Value::object([("try", Value::array(body)), ("catch", Value::object([("retry", Value::object(policy))]))])
}

/// The milliseconds that a Retry-After asks for; 0 without one. The errors of calls over HTTP tell it in their detail.
const AFTER: &str = r#"([$error | select(.status == 429 or .status == 503) | .detail // "" | capture("\\(retry-after: (?<s>[0-9]{1,6})\\)").s | tonumber * 1000] | .[0] // 0)"#;

fn expression(millis: &str) -> Value {
    Value::text(format!("${{ {{milliseconds: ({millis})}} }}"))
}

fn millis(count: u128) -> Value {
    Value::object([("milliseconds", Value::from(u64::try_from(count).unwrap_or(u64::MAX)))])
}

/// An expression that gives the delay of the attempt just failed, times `share`. Every backoff but the linear one
/// reaches its last delay within a few hundred steps, so that a table says it.
fn looked_up(backoff: &Backoff, retries: u32, share: f64) -> String {
    if let Backoff::Linear { initial, step, max } = backoff {
        let [initial, step, max] = [initial, step, max].map(Duration::as_millis);
        return format!("([{initial} + {step} * ($context.attempt - 1), {max}] | min * {share} | floor)");
    }
    let mut table: Vec<u64> = Vec::new();
    for n in 1..=retries.min(1000) {
        let delay = (backoff.delay(n).as_millis() as f64 * share) as u64;
        table.push(delay);
    }
    // What repeats at the end is said once.
    while table.len() > 1 && table[table.len() - 1] == table[table.len() - 2] {
        table.pop();
    }
    let list = table.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let last = table.len();
    format!("[{list}][([$context.attempt, {last}] | min) - 1]")
}

fn permanent() -> String {
    let list = ErrorClass::PERMANENT.map(|status| status.to_string()).join(", ");
    format!("${{ [{list}] | any(. == $error.status) }}")
}

#[cfg(test)]
mod tests {
    use super::super::{KafkaConnection, KafkaSecurity, Link};
    use super::*;
    use crate::expr::{Arguments, Template};
    use crate::program::{Kind, Program};

    fn lowered(preset: &str) -> String {
        function_workflow("default", "charge", Some("3"), &RetryPolicy::preset(preset).unwrap())
    }

    #[test]
    fn one_try_needs_no_retry() {
        let expected = r#"{"document":{"dsl":"1.0.3","namespace":"default","name":"function-charge","version":"1.0.0"},"do":[{"call":{"call":"charge:3@default"}}]}"#;
        assert_eq!(lowered("none"), expected);
        let newest = function_workflow("default", "charge", None, &RetryPolicy::preset("none").unwrap());
        assert!(newest.contains("charge:latest@default"));
    }

    #[test]
    fn policies_become_retries() {
        let check = |preset: &str, parts: &[&str]| {
            let text = lowered(preset);
            for part in parts {
                assert!(text.contains(part), "{preset}: {part} is not in {text}");
            }
        };
        check(
            "fast",
            &[
                r#""delay":"${ {milliseconds: ([10000, ([$error "#,
                r#""count":2"#,
                r#""jitter":{"from":{"milliseconds":0},"to":{"milliseconds":10000}}"#,
            ],
        );
        check(
            "day",
            &[
                "[1000,2000,4000,8000,16000,32000,64000,128000,256000,512000][([$context.attempt, 10] | min) - 1]",
                r#""count":176"#,
                r#""duration":"PT86400S""#,
            ],
        );
        check("webhook", &["[5000,300000,1800000,7200000,18000000,36000000][", r#""count":7"#]);
        check("aws", &[r#""count":184"#, "[100,200,400,800,1600,3200,6400,12800,25600,42000]["]);
    }

    struct Failed {
        attempt: i64,
        status: i64,
    }

    impl Arguments for Failed {
        fn get(&self, name: &str) -> Option<Value> {
            match name {
                "context" => Some(Value::object([("attempt", Value::from(self.attempt))])),
                "error" => Some(Value::object([("status", Value::from(self.status))])),
                _ => Some(Value::Null),
            }
        }
    }

    fn compiled(policy: &RetryPolicy) -> std::sync::Arc<Program> {
        let text = function_workflow("default", "charge", None, policy);
        let checked = crate::workflow::check(&text);
        assert_eq!(checked.diagnostics, [], "{text}");
        checked.program.unwrap()
    }

    #[test]
    fn what_is_lowered_waits_as_the_policy_says() {
        let seconds = Duration::from_secs;
        let linear = Backoff::Linear { initial: seconds(1), step: seconds(10), max: seconds(60) };
        let own = RetryPolicy { attempts: Some(50), backoff: linear, ..RetryPolicy::day() };
        let presets = ["fast", "day", "webhook", "aws"].map(|name| RetryPolicy::preset(name).unwrap());
        for policy in presets.into_iter().chain([own]) {
            let program = compiled(&policy);
            let Kind::Try(attempts) = &program.task(program.list(program.root).tasks[0]).kind else {
                panic!("no try")
            };
            let retry = attempts.retry.as_ref().unwrap();
            let eval = |template: &Template, attempt: u32| {
                let failed = Failed { attempt: attempt.into(), status: 500 };
                crate::duration::parse_value(&template.eval(&Value::Null, &failed).unwrap()).unwrap()
            };
            for attempt in [1, 2, 3, 7, 9, 10, 11, 40, 49] {
                let Some(least) = policy.delay(attempt, 0) else {
                    continue;
                };
                assert_eq!(eval(retry.delay.as_ref().unwrap(), attempt), least, "{policy:?} {attempt}");
                let most = retry.jitter.as_ref().map_or(Duration::ZERO, |(_, to)| eval(to, attempt));
                assert_eq!(most, least.mul_f64(policy.jitter), "{policy:?} {attempt}");
            }
            let count = retry.count.as_ref().and_then(Template::constant).and_then(Value::as_i64);
            assert_eq!(count, Some(i64::from(policy.retries())));
        }
    }

    #[test]
    fn a_sink_is_a_call_with_the_event() {
        let check = |sink: SinkTarget, expected: &str| {
            let text = sink_workflow("default", &sink, &RetryPolicy::preset("none").unwrap());
            let (_, call) = text.split_once(r#"{"call":{"call":"#).unwrap();
            assert_eq!(call, format!("{expected}}}}}}}]}}"), "{text}");
            assert_eq!(crate::workflow::check(&text).diagnostics, [], "{text}");
            crate::workflow::check(&sink_workflow("default", &sink, &RetryPolicy::day())).program.unwrap();
        };
        let url = Value::text("https://h/in");
        check(
            SinkTarget::Http {
                connection: None,
                access: None,
                headers: None,
                url: Some(url),
                sign: Some("key".into()),
            },
            r#""sink:http@tidemill","with":{"event":"${ . }","url":"https://h/in","sign":"key""#,
        );
        let connection = Some("partner".into());
        let url = Some(Value::text("orders"));
        check(
            SinkTarget::Http { connection, access: None, headers: None, url, sign: None },
            r#""sink:http@tidemill","with":{"event":"${ . }","connection":"partner","url":"orders""#,
        );
        let connection = KafkaConnection {
            brokers: vec!["a:1".into(), "b:2".into()],
            security: KafkaSecurity::default(),
            options: vec![("acks".into(), "all".into())],
        };
        let topic = Value::text("${ .type }");
        check(
            SinkTarget::Kafka { connection: Link::Inline(connection), topic: topic.clone(), key: None },
            concat!(
                r#""sink:kafka@tidemill","with":{"event":"${ . }","topic":"${ .type }","client":{"acks":"all","#,
                r#""bootstrap.servers":"a:1,b:2","security.protocol":"plaintext"}"#
            ),
        );
        let key = Some(Value::text("${ .subject }"));
        check(
            SinkTarget::Kafka { connection: Link::Named("bus".into()), topic, key },
            r#""sink:kafka@tidemill","with":{"event":"${ . }","topic":"${ .type }","key":"${ .subject }","connection":"bus""#,
        );
    }

    #[test]
    fn a_retry_after_is_waited_for() {
        struct Told(&'static str, i64);
        impl Arguments for Told {
            fn get(&self, name: &str) -> Option<Value> {
                match name {
                    "context" => Some(Value::object([("attempt", Value::from(2))])),
                    "error" => {
                        let detail = Value::text(self.0);
                        Some(Value::object([("status", Value::from(self.1)), ("detail", detail)]))
                    }
                    _ => None,
                }
            }
        }
        for (preset, own) in [("fast", 10_000), ("day", 2000)] {
            let program = compiled(&RetryPolicy::preset(preset).unwrap());
            let Kind::Try(attempts) = &program.task(program.list(program.root).tasks[0]).kind else {
                panic!("no try")
            };
            let delay = attempts.retry.as_ref().unwrap().delay.as_ref().unwrap();
            let check = |told: Told, expected: u64| {
                let found = delay.eval(&Value::Null, &told).unwrap();
                let found = crate::duration::parse_value(&found).unwrap();
                assert_eq!(found, Duration::from_millis(expected), "{preset} {}", told.0);
            };
            let throttled = "http://h answered 429 Too Many Requests (retry-after: 70): wait";
            check(Told(throttled, 429), 70_000);
            check(Told(throttled, 503), 70_000);
            check(Told(throttled, 500), own);
            check(Told("http://h answered 503 (retry-after: 1)", 503), own.max(1000));
            check(Told("http://h answered 503 (retry-after: Fri, 31 Dec 1999 23:59:59 GMT)", 503), own);
            check(Told("", 429), own);
        }
    }

    #[test]
    fn permanent_errors_are_not_retried() {
        let program = compiled(&RetryPolicy::day());
        let Kind::Try(attempts) = &program.task(program.list(program.root).tasks[0]).kind else {
            panic!("no try")
        };
        let except = attempts.retry.as_ref().and_then(|retry| retry.except_when.clone()).unwrap();
        for (status, expected) in
            [(400, true), (404, true), (422, true), (408, false), (429, false), (503, false)]
        {
            let denied = except.eval(&Value::Null, &Failed { attempt: 1, status }).unwrap();
            assert_eq!(denied, Value::Bool(expected), "{status}");
        }
        compiled(&RetryPolicy::preset("none").unwrap());
    }

    #[test]
    fn names_stay_within_a_label() {
        assert_eq!(function_workflow_name("a"), "function-a");
        let long = function_workflow_name(&"a".repeat(63));
        assert!(long.len() <= 63 && crate::ids::is_label(&long), "{long}");
        assert_ne!(long, function_workflow_name(&"a".repeat(62)));
    }
}
