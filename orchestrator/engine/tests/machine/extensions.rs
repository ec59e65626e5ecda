//! Extensions: order, `exit`, `$task`, faults, what is dropped, what is never extended.

use tidemill_engine::Status;

use crate::harness::{Run, pure};

/// A definition with these extensions and tasks.
fn body(extensions: &str, tasks: &str) -> String {
    format!("use: {{extensions: {extensions}}}\ndo: {tasks}\n")
}

#[track_caller]
fn check(extensions: &str, tasks: &str, end: &str, words: &str) {
    pure(&body(extensions, tasks), "{\"k\":1}", end, words);
}

const TWO: &str = "[{x: {extend: all, before: [{xb: {set: {n: 1}}}], after: [{xa: {set: {n: 2}}}]}}, {y: {extend: set, before: [{yb: {set: {n: 3}}}], after: [{ya: {set: {n: 4}}}]}}]";

#[test]
fn before_lists_then_the_task_then_after_lists_in_declaration_order() {
    check(TWO, "[{a: {set: {v: '${ .k }'}}}]", "{\"v\":1}", "+W +a +xb -xb +yb -yb +xa -xa +ya -ya -a -W");
    // A wait is extended by `all` alone.
    let mut run = Run::start(&body(TWO, "[{w: {wait: PT1S}}]"), "{}");
    run.is(Status::Waiting);
    run.pass(1000).expect("{}", "+W +w +xb -xb +xa -xa -w -W");
}

#[test]
fn outputs_of_extension_tasks_are_dropped_and_each_list_begins_with_the_data_of_the_task() {
    let lists = "[{x: {extend: set, before: [{p: {set: {k: 5}}}, {q: {set: {k: '${ .k + 1 }'}, export: {as: '{q: .k}'}}}], after: [{r: {set: {r: '${ [., $context.q] }'}, export: {as: '$context + .'}}}]}}]";
    check(
        lists,
        "[{a: {set: {v: '${ .k }'}}}, {d: {set: '${ $context }'}}]",
        // The last task is extended too: its own `before` has replaced the context.
        "{\"q\":6}",
        "+W +a +p -p +q -q +r -r -a +d +p -p +q -q +r -r -d -W",
    );
}

#[test]
fn an_exit_from_before_replaces_the_task_by_its_output() {
    let mock = "[{x: {extend: call, when: '$task.call == \"http\"', before: [{m: {set: {code: 200, body: {n: 1}}, then: exit}}, {no: {set: {no: 1}}}], after: [{xa: {set: {z: 1}}}]}}, {y: {extend: call, before: [{yb: {set: {y: 1}}}]}}]";
    let tasks = "[{c: {call: http, with: {method: get, endpoint: 'http://h/'}, output: {as: .body}, export: {as: '{n: .n}'}, then: end}}, {no: {set: {no: 1}}}]";
    check(mock, tasks, "{\"n\":1}", "+W +c +m -m +xa -xa -c -W");
}

#[test]
fn an_exit_deeper_in_before_and_one_from_after_leave_only_their_list() {
    let deeper = "[{x: {extend: set, before: [{d: {do: [{e: {wait: PT0S, then: exit}}, {no: {wait: PT0S}}]}}, {f: {wait: PT0S}}], after: [{g: {wait: PT0S, then: exit}}, {no: {wait: PT0S}}]}}]";
    check(deeper, "[{a: {set: {v: 1}}}]", "{\"v\":1}", "+W +a +d +e -e -d +f -f +g -g -a -W");
    let skipped = "[{x: {extend: set, before: [{s: {if: 'false', wait: PT0S, then: exit}}]}}]";
    check(skipped, "[{a: {set: {v: 1}}}]", "{\"v\":1}", "+W +a -a -W");
    let chosen = "[{x: {extend: set, before: [{s: {switch: [{c: {when: '.k == 1', then: exit}}]}}, {no: {wait: PT0S}}]}}]";
    check(chosen, "[{a: {set: {v: 1}}}]", "{\"k\":1}", "+W +a +s -s -a -W");
}

#[test]
fn when_and_the_lists_see_the_extended_task_as_task() {
    let lists = "[{x: {extend: all, when: '$task.name == \"a\" and $task.reference == \"/do/0/a\" and $task.set.v == 1 and .k == 1', before: [{b: {do: [{c: {set: '${ [$task.name, $task.input] }', export: {as: '{seen: ., out: $task.output}'}}}]}}], after: [{d: {set: {x: 1}, export: {as: '$context + {raw: $task.output}'}}}]}}]";
    let tasks = "[{a: {set: {v: 1}, input: {from: '{k: .k, z: 2}'}, output: {as: '{o: .v}'}}}, {e: {set: '${ [., $context] }'}}]";
    check(
        lists,
        tasks,
        "[{\"o\":1},{\"seen\":[\"a\",{\"k\":1}],\"out\":null,\"raw\":{\"v\":1}}]",
        "+W +a +b +c -c -b +d -d -a +e -e -W",
    );
}

#[test]
fn each_kind_is_extended_by_its_word_and_composite_means_do_and_fork() {
    let kinds = [
        ("call", "call: 'x:1@default'"),
        ("composite", "do: [{i: {wait: PT1S}}]"),
        ("composite", "fork: {branches: [{i: {wait: PT1S}}]}"),
        ("emit", "emit: {event: {with: {type: e}}}"),
        ("for", "for: {in: '[1]'}, do: [{i: {wait: PT1S}}]"),
        ("listen", "listen: {to: {one: {with: {type: e}}}}"),
        ("raise", "raise: {error: {type: 'https://e', status: 400}}"),
        ("run", "run: {workflow: {namespace: n, name: w, version: latest}}"),
        ("set", "set: {v: 1}"),
        ("switch", "switch: [{c: {then: exit}}]"),
        ("try", "try: [{i: {wait: PT1S}}], catch: {}"),
        ("wait", "wait: PT1S"),
    ];
    for (word, task) in kinds {
        for (other, _) in kinds {
            let lists = format!("[{{x: {{extend: {other}, before: [{{b: {{set: {{x: 1}}}}}}]}}}}]");
            let run = Run::start(&body(&lists, &format!("[{{t: {{{task}}}}}]")), "{}");
            let extended = run.words().starts_with("+W +t +b -b");
            assert_eq!(extended, other == word, "{task} by {other}: {}", run.words());
        }
    }
}

#[test]
fn skipped_tasks_and_extension_tasks_are_not_extended() {
    let all = "[{x: {extend: all, before: [{b: {do: [{i: {call: f}}]}}]}}]";
    let run = body(all, "[{s: {set: {v: 1}, if: 'false'}}, {a: {set: {v: 1}}}]")
        .replace("use: {", "use: {functions: {f: {set: {f: 1}}}, ");
    pure(&run, "{}", "{\"v\":1}", "+W +a +b +i +f -f -i -b -a -W");
}

#[test]
fn the_body_of_a_function_is_extended_like_any_task() {
    let set = "[{x: {extend: set, before: [{b: {wait: PT0S}}]}}]";
    let run = body(set, "[{c: {call: f}}]").replace("use: {", "use: {functions: {f: {set: {f: 1}}}, ");
    pure(&run, "{}", "{\"f\":1}", "+W +c +f +b -b -f -c -W");
}

#[test]
fn a_fault_in_an_extension_is_caught_around_the_extended_task_never_by_it() {
    let fail = "raise: {error: {type: 'https://e', status: 418}}";
    for (list, words) in
        [("before", "+W +o +t +x !x !t -o +h -h -W"), ("after", "+W +o +t +i -i +x !x !t -o +h -h -W")]
    {
        let lists =
            format!("[{{e: {{extend: try, when: '$task.name == \"t\"', {list}: [{{x: {{{fail}}}}}]}}}}]");
        let tasks = "[{o: {try: [{t: {try: [{i: {wait: PT0S}}], catch: {do: [{no: {wait: PT0S}}]}}}], catch: {as: e, do: [{h: {set: '${ $e | [.status, .instance] }'}}]}}}]";
        let end = format!("[418,\"/use/extensions/0/e/{list}/0/x\"]");
        let run = Run::start(&body(&lists, tasks), "{}");
        assert_eq!(run.end(), end);
        assert_eq!(run.words().replace("+h -h -o", "-o +h -h"), words, "{list}");
    }
    let lists = format!("[{{e: {{extend: set, before: [{{x: {{{fail}}}}}]}}}}]");
    check(&lists, "[{a: {set: {v: 1}}}]", "418 e /use/extensions/0/e/before/0/x", "+W +a +x !x !a !W");
}

#[test]
fn a_when_that_fails_is_an_expression_error_at_the_extended_task() {
    let lists = "[{e: {extend: set, when: '.k.z', before: [{x: {wait: PT0S}}]}}]";
    check(lists, "[{a: {set: {v: 1}}}]", "400 expression /do/0/a", "+W +a !a !W");
}

#[test]
fn each_iteration_branch_and_attempt_is_extended_anew() {
    let lists = "[{e: {extend: set, before: [{b: {wait: PT0S}}], after: [{c: {wait: PT0S}}]}}]";
    let each = "[{l: {for: {in: '[1, 2]'}, do: [{s: {set: {v: '${ $item }'}}}]}}]";
    check(lists, each, "{\"v\":2}", "+W +l +s +b -b +c -c -s +s +b -b +c -c -s -l -W");
    let fork = "[{f: {fork: {branches: [{s: {set: {v: 1}, export: {as: .}}}, {t: {set: {v: 2}}}]}}}, {z: {wait: PT0S, output: {as: '[., $context]'}}}]";
    let run = Run::start(&body(lists, fork), "{}");
    assert_eq!(run.end(), "[[{\"v\":1},{\"v\":2}],{\"v\":1}]", "{}", run.words());
    let tried = "[{t: {try: [{s: {set: {v: '${ .k.z }'}}}], catch: {retry: {limit: {attempt: {count: 1}}}, do: [{h: {wait: PT0S}}]}}}]";
    let run = Run::start(&body(lists, tried), "{\"k\":1}");
    assert_eq!(run.words(), "+W +t +s +b -b !s ~t +s +b -b !s +h -h -t -W");
}

#[test]
fn open_extensions_survive_suspend_timeouts_cancel_and_retry() {
    let lists =
        "[{e: {extend: set, before: [{b: {call: 'x:1@default'}}], after: [{c: {call: 'x:1@default'}}]}}]";
    let tasks = "[{a: {set: {v: 1}, timeout: {after: PT5S}}}, {z: {wait: PT0S}}]";
    let mut run = Run::start(&body(lists, tasks), "{}");
    run.suspend();
    run.done("b", "1");
    run.resume();
    run.is(Status::Running);
    run.fail("c", 500);
    run.expect("500 communication /use/extensions/0/e/after/0/c", "+W +a +b |W ^W -b +c !c !a !W");
    run.retry(None, None);
    run.done("c", "1");
    assert_eq!(run.end(), "{\"v\":1}");
    assert!(run.words().ends_with("~W +a +c -c -a +z -z -W"), "{}", run.words());

    let mut run = Run::start(&body(lists, tasks), "{}");
    run.pass(5000).expect("408 timeout /do/0/a", "+W +a +b xb !a !W");
    let mut run = Run::start(&body(lists, tasks), "{}");
    run.done("b", "1").cancel();
    run.expect("cancelled", "+W +a +b -b +c xc xa xW");
}

#[test]
fn an_end_inside_an_extension_ends_the_workflow_and_one_of_the_task_waits_for_after() {
    let lists = "[{e: {extend: set, before: [{b: {wait: PT0S, output: {as: '{e: 1}'}, then: end}}]}}]";
    check(lists, "[{a: {set: {v: 1}}}]", "{\"e\":1}", "+W +a +b -b xa -W");
    let lists = "[{e: {extend: set, after: [{c: {wait: PT0S}}]}}]";
    check(lists, "[{a: {set: {v: 1}, then: end}}, {no: {wait: PT0S}}]", "{\"v\":1}", "+W +a +c -c -a -W");
}
