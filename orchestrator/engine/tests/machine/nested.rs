//! Control and errors through nested, forked, called, extended and waiting work (dsl.md section 12).

use tidemill_engine::{Effect, Ended, Input, Status, Verdict, resume};

use crate::harness::{Run, json};

/// Places in which a call can stand: the task `o`, and what `use` holds for it.
const PLACES: [(&str, &str, &str); 8] = [
    ("do", "o: {do: [{c: CALL}]}", ""),
    ("for", "o: {for: {in: '[1]'}, do: [{c: CALL}]}", ""),
    ("fork", "o: {fork: {branches: [{c: CALL}]}}", ""),
    ("try", "o: {try: [{c: CALL}], catch: {errors: {with: {status: 1}}}}", ""),
    (
        "catch",
        "o: {try: [{r: {raise: {error: {type: 'https://e', status: 1}}}}], catch: {do: [{c: CALL}]}}",
        "",
    ),
    ("function", "o: {call: f}", "functions: {f: CALL}"),
    ("before", "o: {wait: PT0S}", "extensions: [{e: {extend: wait, before: [{c: CALL}]}}]"),
    ("after", "o: {wait: PT0S}", "extensions: [{e: {extend: wait, after: [{c: CALL}]}}]"),
];

/// A call in each place, `s` before it and `z` after it.
fn places() -> impl Iterator<Item = (&'static str, String, &'static str)> {
    PLACES.iter().map(|(name, task, used)| {
        let text = format!(
            "use: {{{used}}}\ndo: [{{s: {{set: {{v: 1}}}}}}, {{{task}}}, {{z: {{set: {{z: 1}}}}}}]\n"
        );
        (*name, text.replace("CALL", "{call: 'x:1@default'}"), if *name == "function" { "f" } else { "c" })
    })
}

#[test]
fn a_retry_goes_on_with_the_failed_task_in_every_nested_place() {
    for (place, text, call) in places() {
        let mut run = Run::start(&text, "{}");
        run.fail(call, 503);
        run.is(Status::Faulted);
        assert_eq!(run.retry(None, None), Verdict::Applied, "{place}");
        run.done(call, "1");
        assert_eq!(run.end(), "{\"z\":1}", "{place}");
        let words = run.words();
        let count = |word: &str| words.split(' ').filter(|other| *other == word).count();
        assert_eq!((count("+s"), count("+r").min(1), count("+z")), (1, count("+r"), 1), "{place}: {words}");
        assert_eq!(count(&format!("+{call}")), 2, "{place}: {words}");
    }
}

#[test]
fn an_error_is_caught_around_every_nested_place_with_the_task_as_its_instance() {
    for (place, text, call) in places() {
        let (used, tasks) = text.split_once("do: ").unwrap();
        let tasks = tasks.trim_end();
        let text = format!(
            "{used}do: [{{t: {{try: {tasks}, catch: {{as: e, do: [{{h: {{set: '${{ [$e.status, $e.instance] }}'}}}}]}}}}}}]\n"
        );
        let mut run = Run::start(&text, "{}");
        run.fail(call, 418);
        let reference = run.program.tasks.iter().find(|task| &*task.name == call).unwrap().reference.clone();
        assert_eq!(run.end(), format!("[418,\"{reference}\"]"), "{place}");
    }
}

#[test]
fn a_timeout_interrupts_everything_inside_and_is_caught_around_its_task_alone() {
    for (place, text, call) in places() {
        let text = text.replace("{o: {", "{o: {timeout: {after: PT5S}, ");
        let mut run = Run::start(&text, "{}");
        run.pass(5000);
        assert_eq!(run.end(), "408 timeout /do/1/o", "{place}");
        assert!(run.words().contains(&format!("x{call} ")), "{place}: {}", run.words());
        assert!(run.effects.iter().any(|effect| matches!(effect, Effect::Abort { .. })), "{place}");
    }
}

#[test]
fn a_cancel_reaches_every_nested_place_and_nothing_runs_after_it() {
    for (place, text, call) in places() {
        let mut run = Run::start(&text, "{}");
        run.cancel();
        run.is(Status::Cancelled);
        let words = run.words();
        assert!(words.contains(&format!("x{call} ")) && words.ends_with("xo xW"), "{place}: {words}");
        assert!(run.effects.iter().any(|effect| matches!(effect, Effect::Abort { .. })), "{place}");
    }
}

/// Everything that can be waited for, side by side.
const ALL: &str = "do:
- f:
    fork:
      branches:
      - call: {do: [{c: {call: 'x:1@default'}}]}
      - timer: {do: [{w: {wait: PT2S}}]}
      - event: {do: [{l: {listen: {to: {one: {with: {type: e}}}}}}]}
      - child: {do: [{r: {run: {workflow: {namespace: test, name: w, version: latest}}}}]}
      - delay: {try: [{d: {call: 'x:1@default'}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 1}}}}}
- z: {set: '${ . }'}
";

fn all() -> Run {
    let mut run = Run::start(ALL, "{}");
    run.fail("d", 500);
    run
}

fn end_child(run: &mut Run) {
    let started = run.effects.iter().find_map(|effect| match effect {
        Effect::StartChild { visit, child, .. } => Some((*visit, *child)),
        _ => None,
    });
    let (visit, child) = started.expect("a child was started");
    let ended = Ended::Completed(json("\"child\""));
    assert_eq!(run.feed(Input::ChildEnded { visit, child, ended }), Verdict::Applied);
}

#[test]
fn while_suspended_nothing_moves_and_what_came_is_used_on_resume() {
    let straight = || {
        let mut run = all();
        run.done("c", "\"call\"");
        assert!(run.post(1, "e", "\"event\""));
        end_child(&mut run);
        run.pass(2000).done("d", "\"again\"");
        run
    };
    let mut run = all();
    run.suspend();
    let before = run.words();
    run.done("c", "\"call\"");
    assert!(run.post(1, "e", "\"event\""));
    end_child(&mut run);
    run.pass(2000);
    assert_eq!(run.words(), before);
    run.is(Status::Suspended);
    run.resume();
    run.is(Status::Running);
    run.done("d", "\"again\"");
    assert_eq!(run.end(), straight().end());
    assert_eq!(run.end(), "[\"call\",{},[\"event\"],\"child\",\"again\"]");
    // A call in flight was not made again: two calls of `d`, one of `c`.
    assert_eq!(run.effects.iter().filter(|effect| matches!(effect, Effect::Call { .. })).count(), 3);
}

#[test]
fn a_cancel_cuts_off_everything_that_is_waited_for() {
    for suspended in [false, true] {
        let mut run = all();
        if suspended {
            run.suspend();
        }
        run.cancel();
        run.is(Status::Cancelled);
        let wanted = resume(&run.program, &run.x);
        assert!(wanted.due.is_empty() && wanted.subscriptions.is_empty() && wanted.effects.is_empty());
        let cut = |effect: &&Effect| matches!(effect, Effect::Abort { .. } | Effect::CancelChild { .. });
        assert_eq!(run.effects.iter().filter(cut).count(), 2);
        assert!(run.words().ends_with(" xcall xf xW"), "{}", run.words());
    }
}

#[test]
fn a_cancelled_run_goes_on_with_everything_that_was_open_when_it_is_retried() {
    let mut run = all();
    run.done("c", "\"call\"");
    run.cancel();
    assert_eq!(run.retry(None, None), Verdict::Applied);
    assert!(run.post(1, "e", "\"event\""));
    let restarted: Vec<_> =
        run.effects.iter().filter(|effect| matches!(effect, Effect::StartChild { .. })).collect();
    assert_eq!(restarted.len(), 2);
    run.effects.retain({
        let mut seen = 0;
        move |effect| {
            seen += usize::from(matches!(effect, Effect::StartChild { .. }));
            seen != 1 || !matches!(effect, Effect::StartChild { .. })
        }
    });
    end_child(&mut run);
    run.pass(2000).done("d", "\"again\"");
    assert_eq!(run.end(), "[\"call\",{},[\"event\"],\"child\",\"again\"]");
}

#[test]
fn the_four_forms_of_every_standard_error_are_equal_where_errors_are_caught_and_raised() {
    let names = [
        "configuration",
        "validation",
        "expression",
        "authentication",
        "authorization",
        "timeout",
        "communication",
        "runtime",
    ];
    let forms: Vec<String> = ["https://open-workflow-specification.org", "https://serverlessworkflow.io"]
        .iter()
        .flat_map(|host| [format!("{host}/spec/1.0.0/errors/"), format!("{host}/dsl/errors/types/")])
        .collect();
    let caught = |raised: &str, wanted: &str| {
        let text = format!(
            "do: [{{t: {{try: [{{r: {{raise: {{error: {{type: '{raised}', status: 400}}}}}}}}], catch: {{errors: {{with: {{type: '{wanted}'}}}}}}}}}}]\n"
        );
        Run::start(&text, "1").end() == "1"
    };
    for name in names {
        for raised in &forms {
            for wanted in &forms {
                assert!(
                    caught(&format!("{raised}{name}"), &format!("{wanted}{name}")),
                    "{raised} {wanted} {name}"
                );
            }
        }
        let (first, other) = (format!("{}{name}", forms[0]), format!("{}other", forms[0]));
        assert!(!caught(&first, &other) && !caught(&other, &first), "{name}");
    }
}

/// Bytes of log, records and calls of a run.
fn work(text: &str, input: &str) -> (usize, usize, usize) {
    let mut run = Run::pending(text, input);
    run.checked = false;
    run.feed(Input::Begin);
    loop {
        let Some(call) = run.x.open_calls().next() else { break };
        let outcome = tidemill_dsl::order::Outcome::Done(json("1"));
        run.feed(Input::Outcome { visit: call.visit, attempt: call.attempt, outcome });
    }
    run.is(Status::Completed);
    let bytes = run.log.iter().map(|transition| transition.body.len()).sum();
    let records = run.log.iter().map(|t| tidemill_engine::decode(&t.body).expect("own records").len()).sum();
    (bytes, records, run.effects.len())
}

#[test]
fn work_grows_with_items_branches_and_depth_not_with_their_square() {
    let linear = |what: &str, small: (usize, usize, usize), large: (usize, usize, usize), times: usize| {
        let grown = |small: usize, large: usize| large <= (small * times) * 5 / 4;
        assert!(
            grown(small.0, large.0) && grown(small.1, large.1) && grown(small.2, large.2),
            "{what}: {small:?} {large:?}"
        );
    };
    let each = "do: [{l: {for: {in: '${ [range(.)] }'}, do: [{s: {set: {n: '${ $item }'}}}, {c: {call: 'x:1@default'}}]}}]\n";
    linear("for", work(each, "400"), work(each, "4000"), 10);
    let pure = "do: [{l: {for: {in: '${ [range(.)] }'}, do: [{s: {set: {n: '${ $item }'}}}]}}]\n";
    linear("pure for", work(pure, "1000"), work(pure, "10000"), 10);
    let fork = |count: usize| {
        let branches: Vec<String> =
            (0..count).map(|n| format!("{{b{n}: {{call: 'x:1@default'}}}}")).collect();
        work(&format!("do: [{{f: {{fork: {{branches: [{}]}}}}}}]\n", branches.join(", ")), "{}")
    };
    linear("fork", fork(32), fork(256), 8);
    let nest = |depth: usize| {
        let text = format!(
            "do: {}[{{c: {{call: 'x:1@default'}}}}]{}\n",
            "[{d: {do: ".repeat(depth),
            "}}]".repeat(depth)
        );
        work(&text, "{\"data\":[1,2,3]}")
    };
    linear("depth", nest(4), nest(31), 8);
}
