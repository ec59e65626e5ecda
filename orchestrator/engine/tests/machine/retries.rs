//! `catch.retry`: counts, delays, budgets, counters.

use tidemill_engine::{Awaited, Effect, Status, resume};

use crate::harness::Run;

fn body(retry: &str, rest: &str) -> String {
    format!("do:\n- t:\n    try: [{{c: {{call: 'x:1@default'}}}}]\n    catch:\n      retry: {retry}\n{rest}")
}

const HANDLER: &str = "      do: [{h: {set: {s: '${ $error.status }'}}}]\n";

#[test]
fn count_is_retries_after_the_first_run() {
    let mut run = Run::start(&body("{limit: {attempt: {count: 2}}}", HANDLER), "{}");
    run.fail("c", 501).fail("c", 502).fail("c", 503);
    run.expect(r#"{"s":503}"#, "+W +t +c !c ~t +c !c ~t +c !c +h -h -t -W");
    let attempts: Vec<u32> = run
        .entries()
        .iter()
        .filter(|e| e.kind == "task.retried")
        .filter_map(|e| Some(e.task.as_ref()?.attempt))
        .collect();
    assert_eq!(attempts, [2, 3]);
    let calls: Vec<u32> = run
        .effects
        .iter()
        .filter_map(|e| if let Effect::Call { attempt, .. } = e { Some(*attempt) } else { None })
        .collect();
    assert_eq!(calls, [1, 2, 3]);
}

#[test]
fn a_success_after_a_retry() {
    let mut run = Run::start(&body("{delay: PT2S, limit: {attempt: {count: 2}}}", HANDLER), "{}");
    run.fail("c", 501).is(Status::Running);
    assert_eq!(
        run.x.waiting_for(&run.program)[0].what,
        Awaited::Retry(tidemill_dsl::ids::Time(run.now.0 + 2000))
    );
    run.pass(1999);
    assert_eq!(run.x.open_calls().count(), 0);
    run.pass(1).done("c", "7");
    run.expect("7", "+W +t +c !c ~t +c -c -t -W");
}

#[test]
fn retry_alone_raises_the_last_error_again() {
    let mut run = Run::start(&body("{limit: {attempt: {count: 1}}}", ""), "{}");
    run.fail("c", 501).fail("c", 502);
    run.expect("502 communication /do/0/t/try/0/c", "+W +t +c !c ~t +c !c !t !W");
    let mut run = Run::start(&body("{limit: {attempt: {count: 1}}}", "      then: end\n"), "{}");
    run.fail("c", 501).fail("c", 502);
    run.expect("{}", "+W +t +c !c ~t +c !c -t -W");
}

#[test]
fn delays_follow_the_backoff() {
    let check = |retry: &str, expected: &[i64]| {
        let mut run = Run::start(&body(retry, HANDLER), "{}");
        for delay in expected {
            run.fail("c", 500);
            let due = resume(&run.program, &run.x).due;
            assert_eq!(due.iter().map(|due| due.at.0 - run.now.0).collect::<Vec<_>>(), [*delay], "{retry}");
            run.pass(*delay);
        }
    };
    check("{delay: PT1S}", &[1000, 1000, 1000]);
    check("{delay: PT1S, backoff: {linear: {}}}", &[1000, 2000, 3000]);
    check("{delay: PT1S, backoff: {exponential: {}}}", &[1000, 2000, 4000, 8000]);
    check("{delay: PT40M, backoff: {exponential: {}}}", &[2_400_000, 3_600_000, 3_600_000]);
}

#[test]
fn jitter_lies_in_its_range_and_is_hashed() {
    let delay = || {
        let mut run = Run::start(&body("{delay: PT1S, jitter: {from: PT0.1S, to: PT0.5S}}", HANDLER), "{}");
        run.fail("c", 500);
        resume(&run.program, &run.x).due[0].at.0 - run.now.0
    };
    assert!((1100..=1500).contains(&delay()));
    assert_eq!(delay(), delay());
}

#[test]
fn a_retry_beyond_the_budget_is_not_begun() {
    let mut run = Run::start(&body("{delay: PT2S, limit: {duration: PT5S}}", HANDLER), "{}");
    run.fail("c", 501).pass(2000).fail("c", 502).pass(2000).fail("c", 503);
    run.expect(r#"{"s":503}"#, "+W +t +c !c ~t +c !c ~t +c !c +h -h -t -W");
}

#[test]
fn an_attempt_is_cut_off() {
    let mut run = Run::start(&body("{limit: {attempt: {count: 1, duration: PT3S}}}", HANDLER), "{}");
    run.pass(3000);
    assert_eq!(run.x.open_calls().count(), 1);
    run.pass(2999).is(Status::Running);
    run.pass(1);
    run.expect(r#"{"s":408}"#, "+W +t +c xc ~t +c xc +h -h -t -W");
}

#[test]
fn conditions_of_the_policy() {
    let mut run = Run::start(&body("{when: $error.status == 501}", HANDLER), "{}");
    run.fail("c", 501).fail("c", 502);
    run.expect(r#"{"s":502}"#, "+W +t +c !c ~t +c !c +h -h -t -W");
    let mut run = Run::start(&body("{exceptWhen: $error.status == 502}", HANDLER), "{}");
    run.fail("c", 501).fail("c", 502);
    run.expect(r#"{"s":502}"#, "+W +t +c !c ~t +c !c +h -h -t -W");
}

#[test]
fn counters_begin_anew_when_the_try_is_entered_again() {
    let body = "do:\n- f:\n    for: {in: '[1,2]'}\n    do:\n    - t:\n        try: [{c: {call: 'x:1@default'}}]\n        catch: {retry: {limit: {attempt: {count: 1}}}, do: [{h: {set: {s: '${ $error.status }'}}}]}\n";
    let mut run = Run::start(body, "{}");
    run.fail("c", 501).fail("c", 502).fail("c", 503).fail("c", 504);
    run.expect(r#"{"s":504}"#, "+W +f +t +c !c ~t +c !c +h -h -t +t +c !c ~t +c !c +h -h -t -f -W");
}

#[test]
fn every_attempt_begins_with_the_first_task_and_the_input() {
    let body = "do:\n- t:\n    input: {from: .i}\n    try: [{s: {set: {n: '${ .n + 1 }'}}}, {c: {call: 'x:1@default'}}]\n    catch: {retry: {limit: {attempt: {count: 3}}}}\n";
    let mut run = Run::start(body, r#"{"i":{"n":1}}"#);
    run.fail("c", 500).done("c", "1");
    let inputs: Vec<String> = run
        .entries()
        .iter()
        .filter(|e| e.kind == "task.started")
        .map(|e| e.input.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(inputs, [r#"{"n":1}"#, r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":1}"#, r#"{"n":2}"#]);
}

#[test]
fn idempotency_keys_are_those_of_the_first_attempt() {
    let body = "do:\n- t:\n    try:\n    - f: {for: {in: '[1,2]'}, do: [{c: {call: 'x:1@default'}}]}\n    catch: {retry: {limit: {attempt: {count: 3}}}}\n- d: {call: 'x:1@default'}\n";
    let mut run = Run::start(body, "{}");
    let key = |run: &Run, name: &str| {
        let none = tidemill_dsl::expr::NoArguments;
        let order = tidemill_engine::prepare(&run.program, &run.x, run.call(name).0, &none);
        order.unwrap().idempotency_key()
    };
    let first = key(&run, "c");
    run.done("c", "1");
    let second = key(&run, "c");
    assert_ne!(first, second);
    run.fail("c", 500);
    assert_eq!(key(&run, "c"), first);
    run.done("c", "1");
    assert_eq!(key(&run, "c"), second);
    run.done("c", "1");
    let (visit, _) = run.call("d");
    assert_eq!(key(&run, "d"), format!("{}/{visit}", run.x.birth().id));
}
