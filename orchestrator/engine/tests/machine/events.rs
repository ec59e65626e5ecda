//! `emit`, `listen`, `run.workflow`.

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::ExecutionId;
use tidemill_engine::{Awaited, Effect, Ended, Input, Status, Verdict, resume};

use crate::harness::{Run, json, pure};

fn listen(with: &str, read: &str) -> String {
    format!("do:\n- l:\n    listen: {{to: {{one: {{with: {{{with}}}}}}}{read}}}\n")
}

#[test]
fn listen_gives_an_array() {
    let mut run = Run::start(&listen("type: order", ""), "{}");
    run.is(Status::Waiting);
    assert_eq!(run.x.waiting_for(&run.program)[0].what, Awaited::Event(Some("order".into())));
    assert!(!run.post(1, "other", "{}"));
    assert!(run.post(2, "order", r#"{"n":1}"#));
    run.expect(r#"[{"n":1}]"#, "+W +l -l -W");
}

#[test]
fn listen_reads_data_envelope_or_raw() {
    let read = |read: &str| {
        let mut run = Run::start(&listen("type: order", read), "{}");
        run.post(2, "order", r#"{"n":1}"#);
        run.end()
    };
    assert_eq!(read(", read: data"), r#"[{"n":1}]"#);
    assert_eq!(
        read(", read: envelope"),
        r#"[{"specversion":"1.0","id":"2","source":"/test","type":"order","data":{"n":1}}]"#
    );
    assert_eq!(read(", read: raw"), r#"["{\"n\":1}"]"#);
}

#[test]
fn filters_are_literal_pattern_or_expression() {
    let takes =
        |with: &str, kind: &str, data: &str| Run::start(&listen(with, ""), r#"{"k":1}"#).post(5, kind, data);
    for (with, kind, data, expected) in [
        ("type: order", "order", "{}", true),
        ("type: 'or.*'", "order", "{}", true),
        ("type: 'or.*'", "xorder", "{}", false),
        ("type: order, data: '${ .n == $input.k }'", "order", r#"{"n":1}"#, true),
        ("type: order, data: '${ .n == $input.k }'", "order", r#"{"n":2}"#, false),
        ("type: order, data: '${ .n > 0 }'", "order", "\"text\"", true),
        ("type: order, data: '${ .n.m }'", "order", r#"{"n":1}"#, false),
        ("type: order, subject: x", "order", "{}", false),
        ("source: /test", "io.serverlessworkflow.task.started.v1", "{}", false),
        ("type: io.serverlessworkflow.task.started.v1", "io.serverlessworkflow.task.started.v1", "{}", true),
    ] {
        if with.contains(".n > 0") {
            assert!(!takes(with, kind, data), "a failing test matches nothing");
        } else {
            assert_eq!(takes(with, kind, data), expected, "{with} on {kind} {data}");
        }
    }
}

#[test]
fn two_listens_need_two_events() {
    let mut run = Run::start(
        "do:\n- a: {listen: {to: {one: {with: {type: e}}}}}\n- b: {listen: {to: {one: {with: {type: e}}}}}\n",
        "{}",
    );
    assert!(run.post(1, "e", "1"));
    assert!(!run.post(1, "e", "1"));
    run.is(Status::Waiting);
    assert!(run.post(2, "e", "2"));
    run.expect("[2]", "+W +a -a +b -b -W");
}

#[test]
fn events_before_the_start_are_not_seen() {
    let mut run = Run::start(&listen("type: e", ""), "{}");
    let since = resume(&run.program, &run.x).subscriptions[0].since;
    assert_eq!(Some(since), run.x.started());
    run.now = tidemill_dsl::ids::Time(run.now.0 - 2);
    assert!(!run.post(1, "e", "1"));
}

#[test]
fn emit_gives_the_event_it_published() {
    let body = "do:\n- e: {emit: {event: {with: {type: order, source: /shop, data: {n: '${ .n }'}, region: eu}}}}\n- z: {set: {e: '${ . }'}}\n";
    let run = Run::start(body, r#"{"n":4}"#);
    let Some(Effect::Emit(event)) = run.effects.iter().find(|e| matches!(e, Effect::Emit(_))) else {
        panic!("no event")
    };
    assert_eq!((&*event.kind, &*event.source, event.id.len()), ("order", "/shop", 26));
    assert_eq!(event.extensions.get("region"), Some(&json("\"eu\"")));
    let expected = format!(
        r#"{{"e":{{"specversion":"1.0","id":"{}","source":"/shop","type":"order","time":"2025-11-24T16:00:00.000Z","region":"eu","data":{{"n":4}}}}}}"#,
        event.id
    );
    assert_eq!(run.end(), expected);
    let again = Run::start(body, r#"{"n":4}"#);
    assert_eq!(again.end(), expected);
}

#[test]
fn emit_keeps_the_authors_attributes() {
    pure(
        "do:\n- e: {emit: {event: {with: {type: t, source: s, id: i, time: '2020-01-01T00:00:00Z'}}}}\n",
        "{}",
        r#"{"specversion":"1.0","id":"i","source":"s","type":"t","time":"2020-01-01T00:00:00Z"}"#,
        "+W +e -e -W",
    );
    pure(
        "do:\n- e: {emit: {event: {with: {type: '${ .none }', source: s}}}}\n",
        "{}",
        "400 expression /do/0/e",
        "+W +e !e !W",
    );
}

#[test]
fn emits_that_lead_to_one_another_end_with_the_cycles_name() {
    let body = "do:\n- e: {emit: {event: {with: {type: order, source: /shop}}}}\n";
    let check_at = |hops: usize, path: &[&str], expected: Option<&str>| {
        let mut run = Run::pending(body, "{}");
        run.x = tidemill_engine::create(&run.program, {
            let mut birth = (**run.x.birth()).clone();
            birth.path = path.iter().map(|name| (*name).into()).collect();
            birth.into()
        });
        run.hops = hops;
        run.feed(Input::Begin);
        let counted = run.effects.contains(&Effect::LimitMet("hop-count"));
        assert_eq!(counted, expected.is_some(), "{path:?}");
        match expected {
            Some(text) => {
                run.expect("400 configuration /do/0/e", "+W +e !e !W");
                let Some(Ended::Faulted(fault)) = run.x.result() else { panic!("it has no fault") };
                assert!(fault.detail.as_deref().is_some_and(|detail| detail.ends_with(text)), "{fault}");
            }
            None => assert!(run.effects.iter().any(|effect| matches!(effect, Effect::Emit(_)))),
        }
        assert_eq!(tidemill_engine::fold(&run.program, &run.log).unwrap(), run.x, "the path is stored");
    };
    let check = |path: &[&str], expected: Option<&str>| check_at(16, path, expected);
    let long: Vec<String> = (0..16).map(|n| format!("w{n}")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    check(&[], None);
    check(&long[..15], None);
    check(&long, Some(&format!("the way is {} -> t", long.join(" -> "))));
    check(&["t", "u"].repeat(8), Some("(limit hop-count: 16); the cycle is t -> u -> t"));
    check(&["t"; 16], Some("the cycle is t -> t"));
    check_at(17, &["t"; 16], None);
    check_at(1, &[], None);
    check_at(
        1,
        &["t"],
        Some("1 emitted events have led to one another (limit hop-count: 1); the cycle is t -> t"),
    );
}

#[test]
fn another_namespace_is_not_run() {
    let body = CHILD.replace("namespace: test", "namespace: other");
    let run = Run::start(&body, r#"{"n":1}"#);
    run.expect("403 authorization /do/0/r", "+W +r !r !W");
    let run = Run::start(&body.replace("run: {", "run: {await: false, "), r#"{"n":1}"#);
    run.expect("403 authorization /do/0/r", "+W +r !r !W");
}

fn child(run: &Run) -> (u32, ExecutionId) {
    let found = run.effects.iter().rev().find_map(|effect| match effect {
        Effect::StartChild { visit, child, .. } => Some((*visit, *child)),
        _ => None,
    });
    found.expect("a child was started")
}

const CHILD: &str =
    "do:\n- r: {run: {workflow: {namespace: test, name: w, version: 1.0.0, input: {n: '${ .n }'}}}}\n";

#[test]
fn a_child_is_awaited() {
    let mut run = Run::start(CHILD, r#"{"n":1}"#);
    run.is(Status::Running);
    let (visit, id) = child(&run);
    assert_eq!(resume(&run.program, &run.x).effects, run.effects);
    let other = ExecutionId::derived(run.now, &[b"other"]);
    let ended = Ended::Completed(json("5"));
    assert_eq!(run.feed(Input::ChildEnded { visit, child: other, ended: ended.clone() }), Verdict::Stale);
    assert_eq!(run.feed(Input::ChildEnded { visit, child: id, ended: ended.clone() }), Verdict::Applied);
    assert_eq!(run.feed(Input::ChildEnded { visit, child: id, ended }), Verdict::Stale);
    run.expect("5", "+W +r -r -W");
    let told: Vec<_> = run.entries().into_iter().filter_map(|entry| entry.child).collect();
    assert_eq!(told, [id]);
}

#[test]
fn a_childs_fault_is_the_tasks() {
    let mut run = Run::start(CHILD, r#"{"n":1}"#);
    let (visit, child) = child(&run);
    let ended = Ended::Faulted(Fault::timeout("late").with_instance("/do/9/inner"));
    run.feed(Input::ChildEnded { visit, child, ended });
    run.expect("408 timeout /do/0/r", "+W +r !r !W");
}

#[test]
fn a_child_that_is_not_awaited() {
    let body = CHILD.replace("run: {", "run: {await: false, ");
    let run = Run::start(&body, r#"{"n":1}"#);
    run.expect(r#"{"n":1}"#, "+W +r -r -W");
    let started =
        run.effects.iter().find(|effect| matches!(effect, Effect::StartChild { awaited: false, .. }));
    assert!(matches!(started, Some(Effect::StartChild { input, .. }) if *input == json(r#"{"n":1}"#)));
}

#[test]
fn cancel_reaches_awaited_children() {
    let mut run = Run::start(CHILD, r#"{"n":1}"#);
    let (_, id) = child(&run);
    run.cancel();
    assert!(run.effects.contains(&Effect::CancelChild { child: id }));
    run.expect("cancelled", "+W +r xr xW");
}
