//! Flow: then, switch, do, for, end, exit, jumps back.

use crate::harness::{Run, pure};

#[test]
fn switch_takes_the_first_case_that_holds() {
    let body = "do:\n- s:\n    switch:\n    - other: {then: c}\n    - big: {when: .n > 10, then: b}\n    - some: {when: .n > 5, then: a}\n- a: {set: {r: a}, then: end}\n- b: {set: {r: b}, then: end}\n- c: {set: {r: c}}\n";
    pure(body, r#"{"n":11}"#, r#"{"r":"b"}"#, "+W +s -s +b -b -W");
    pure(body, r#"{"n":6}"#, r#"{"r":"a"}"#, "+W +s -s +a -a -W");
    pure(body, r#"{"n":1}"#, r#"{"r":"c"}"#, "+W +s -s +c -c -W");
}

#[test]
fn switch_without_a_match_goes_its_own_way() {
    let body = "do:\n- s:\n    switch:\n    - big: {when: .n > 10, then: a}\n    then: b\n- a: {set: {r: a}}\n- b: {set: {r: '${ .n }'}}\n";
    pure(body, r#"{"n":1}"#, r#"{"r":1}"#, "+W +s -s +b -b -W");
}

#[test]
fn directives() {
    let list = |then: &str| {
        format!(
            "do:\n- o:\n    do:\n    - a: {{set: {{r: a}}, then: {then}}}\n    - b: {{set: {{r: b}}}}\n- z: {{set: {{r: '${{ .r + \"z\" }}'}}}}\n"
        )
    };
    pure(&list("continue"), "{}", r#"{"r":"bz"}"#, "+W +o +a -a +b -b -o +z -z -W");
    pure(&list("exit"), "{}", r#"{"r":"az"}"#, "+W +o +a -a -o +z -z -W");
    pure(&list("end"), "{}", r#"{"r":"a"}"#, "+W +o +a -a xo -W");
    pure(&list("b"), "{}", r#"{"r":"bz"}"#, "+W +o +a -a +b -b -o +z -z -W");
}

#[test]
fn end_gives_the_output_of_its_task_to_the_workflow() {
    pure(
        "do:\n- o:\n    do:\n    - a: {set: {r: 1}, output: {as: .r}, then: end}\n    output: {as: '{never: true}'}\noutput: {as: '{last: .}'}\n",
        "{}",
        r#"{"last":1}"#,
        "+W +o +a -a xo -W",
    );
}

#[test]
fn jumps_back_are_loops() {
    pure(
        "do:\n- a: {set: {n: '${ .n + 1 }'}}\n- s: {switch: [{more: {when: .n < 3, then: a}}]}\n",
        r#"{"n":0}"#,
        r#"{"n":3}"#,
        "+W +a -a +s -s +a -a +s -s +a -a +s -s -W",
    );
}

#[test]
fn for_chains_its_iterations() {
    pure(
        "do:\n- f:\n    for: {each: x, in: .items, at: i}\n    do:\n    - a: {set: {items: [], sum: '${ (.sum // 0) + $x }', at: '${ $i }'}}\n",
        r#"{"items":[1,2,3]}"#,
        r#"{"items":[],"sum":6,"at":2}"#,
        "+W +f +a -a +a -a +a -a -f -W",
    );
    pure(
        "do:\n- f: {for: {in: .items}, do: [{a: {set: {v: '${ [$item, $index] }'}}}]}\n",
        r#"{"items":[5]}"#,
        r#"{"v":[5,0]}"#,
        "+W +f +a -a -f -W",
    );
}

#[test]
fn for_over_nothing_gives_its_input() {
    pure(
        "do:\n- f: {for: {in: .items}, do: [{a: {set: {v: 1}}}]}\n",
        r#"{"items":[]}"#,
        r#"{"items":[]}"#,
        "+W +f -f -W",
    );
}

#[test]
fn while_is_tested_before_each_iteration() {
    let body = "do:\n- f:\n    for: {each: x, in: '[1,2,3,4]'}\n    while: '(.sum // 0) + $x < 7 and $index < 9'\n    do:\n    - a: {set: {sum: '${ (.sum // 0) + $x }'}}\n";
    pure(body, "{}", r#"{"sum":6}"#, "+W +f +a -a +a -a +a -a -f -W");
    pure(body, r#"{"sum":9}"#, r#"{"sum":9}"#, "+W +f -f -W");
}

#[test]
fn exit_ends_one_iteration() {
    pure(
        "do:\n- f:\n    for: {each: x, in: '[1,2]'}\n    do:\n    - a: {set: {v: '${ $x }'}, then: exit}\n    - b: {set: {v: never}}\n",
        "{}",
        r#"{"v":2}"#,
        "+W +f +a -a +a -a -f -W",
    );
}

#[test]
fn a_loop_of_skipped_tasks_passes_through() {
    pure(
        "do:\n- f: {for: {in: '[1,2]'}, do: [{a: {if: 'false', set: {v: 1}}}]}\n",
        r#"{"k":1}"#,
        r#"{"k":1}"#,
        "+W +f -f -W",
    );
}

#[test]
fn what_for_takes_must_be_a_list() {
    pure(
        "do:\n- f: {for: {in: .x}, do: [{a: {set: {v: 1}}}]}\n",
        r#"{"x":1}"#,
        "400 expression /do/0/f",
        "+W +f !f !W",
    );
}

#[test]
fn outside_steps_cost_one_transition_each_and_one_more() {
    let tasks: Vec<String> = (0..10).map(|n| format!("- c{n}: {{call: 'noop:1@default'}}\n")).collect();
    let tasks = tasks.concat();
    let mut run = Run::start(&format!("do:\n{tasks}"), r#"{"a":[1,2,3]}"#);
    for n in 0..10 {
        let value = run.x.birth().input.clone();
        let (visit, attempt) = run.call(&format!("c{n}"));
        let outcome = tidemill_dsl::order::Outcome::Done(value);
        run.feed(tidemill_engine::Input::Outcome { visit, attempt, outcome });
    }
    assert_eq!(run.end(), r#"{"a":[1,2,3]}"#);
    assert_eq!(run.log.len(), 11);
    let bytes: Vec<usize> = run.log[1..].iter().map(|transition| transition.body.len()).collect();
    assert!(bytes.iter().all(|bytes| *bytes <= 10), "pass-through data is not written again: {bytes:?}");
}

#[test]
fn pure_tasks_are_one_transition() {
    let tasks: Vec<String> = (0..100).map(|n| format!("- t{n}: {{set: {{n: {n}}}}}\n")).collect();
    let tasks = tasks.concat();
    let run = Run::start(&format!("do:\n{tasks}"), "{}");
    assert_eq!((run.end().as_str(), run.log.len()), (r#"{"n":99}"#, 1));
    assert_eq!(run.log[0].count, 302);
}
