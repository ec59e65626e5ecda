//! `raise` and `try`: what is caught, and what follows.

use crate::harness::{Run, pure};

const RAISE: &str = "raise: {error: {type: 'https://example.com/e', status: 418, title: T, detail: D}}";

#[test]
fn raise_faults_with_its_error() {
    pure(&format!("do:\n- r: {{{RAISE}}}\n"), "{}", "418 e /do/0/r", "+W +r !r !W");
    pure(
        "do:\n- o: {do: [{r: {raise: {error: {type: 'https://example.com/e', status: '${ .s }'}}}}]}\n",
        r#"{"s":499}"#,
        "499 e /do/0/o/do/0/r",
        "+W +o +r !r !o !W",
    );
}

#[test]
fn catch_runs_do_with_the_error() {
    let body = format!(
        "do:\n- t:\n    try: [{{r: {{{RAISE}}}}}]\n    catch:\n      as: e\n      do:\n      - h: {{set: {{status: '${{ $e.status }}', at: '${{ $e.instance }}', input: '${{ . }}'}}}}\n- z: {{set: {{z: '${{ . }}'}}}}\n"
    );
    pure(
        &body,
        r#"{"i":1}"#,
        r#"{"z":{"status":418,"at":"/do/0/t/try/0/r","input":{"i":1}}}"#,
        "+W +t +r !r +h -h -t +z -z -W",
    );
}

#[test]
fn filters() {
    let caught = |catch: &str, raised: &str| {
        let body = format!(
            "do:\n- t:\n    try: [{{r: {{raise: {{error: {{{raised}}}}}}}}}]\n    catch:\n      {catch}\n      do: [{{h: {{set: {{ok: true}}}}}}]\n"
        );
        Run::start(&body, r#"{"yes":true}"#).end() == r#"{"ok":true}"#
    };
    let timeout = "type: 'https://serverlessworkflow.io/dsl/errors/types/timeout', status: 408";
    for (catch, raised, expected) in [
        (
            "errors: {with: {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/timeout'}}",
            timeout,
            true,
        ),
        (
            "errors: {with: {type: 'https://serverlessworkflow.io/spec/1.0.0/errors/timeout', status: 408}}",
            timeout,
            true,
        ),
        (
            "errors: {with: {type: 'https://open-workflow-specification.org/dsl/errors/types/timeout', status: 409}}",
            timeout,
            false,
        ),
        (
            "errors: {with: {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/runtime'}}",
            timeout,
            false,
        ),
        ("errors: {with: {status: 408}}", timeout, true),
        ("errors: {with: {title: T}}", "type: 'https://e.com/x', status: 1, title: T", true),
        ("errors: {with: {title: T}}", "type: 'https://e.com/x', status: 1", false),
        ("errors: {with: {instance: /do/0/t/try/0/r}}", timeout, true),
        ("errors: {with: {status: 408}}\n      when: $error.status == 408", timeout, true),
        ("when: $error.status == 408 and .yes", timeout, true),
        ("when: $error.status == 1", timeout, false),
        ("exceptWhen: $error.status == 408", timeout, false),
        ("when: .yes\n      exceptWhen: .no", timeout, true),
    ] {
        assert_eq!(caught(catch, raised), expected, "{catch} on {raised}");
    }
}

#[test]
fn what_is_not_caught_goes_on() {
    pure(
        &format!(
            "do:\n- o:\n    try:\n    - t:\n        try: [{{r: {{{RAISE}}}}}]\n        catch: {{when: 'false', do: [{{no: {{set: {{a: 1}}}}}}]}}\n    catch: {{do: [{{h: {{set: {{s: '${{ $error.status }}'}}}}}}]}}\n"
        ),
        "{}",
        r#"{"s":418}"#,
        "+W +o +t +r !r !t +h -h -o -W",
    );
}

#[test]
fn an_error_in_the_handler_is_not_caught_again() {
    pure(
        &format!(
            "do:\n- t:\n    try: [{{r: {{{RAISE}}}}}]\n    catch: {{do: [{{h: {{set: {{a: '${{ $error.status.x }}'}}}}}}]}}\n"
        ),
        "{}",
        "400 expression /do/0/t/catch/do/0/h",
        "+W +t +r !r +h !h !t !W",
    );
}

#[test]
fn catch_without_do_gives_the_input() {
    let body = |catch: &str| {
        format!(
            "do:\n- t:\n    input: {{from: .i}}\n    try: [{{s: {{set: {{lost: 1}}}}}}, {{r: {{{RAISE}}}}}]\n    catch: {catch}\n- y: {{set: {{y: '${{ . }}'}}, then: end}}\n- z: {{set: {{z: '${{ . }}'}}}}\n"
        )
    };
    let input = r#"{"i":{"k":1}}"#;
    pure(&body("{}"), input, r#"{"y":{"k":1}}"#, "+W +t +s -s +r !r -t +y -y -W");
    pure(&body("{then: z}"), input, r#"{"z":{"k":1}}"#, "+W +t +s -s +r !r -t +z -z -W");
    pure(
        &body("{then: z, do: [{h: {set: {h: 1}}}]}"),
        input,
        r#"{"z":{"h":1}}"#,
        "+W +t +s -s +r !r +h -h -t +z -z -W",
    );
}

#[test]
fn a_try_without_errors_goes_its_own_way() {
    pure(
        "do:\n- t:\n    try: [{s: {set: {a: 1}}}]\n    catch: {then: end, do: [{h: {set: {h: 1}}}]}\n- z: {set: {z: '${ .a }'}}\n",
        "{}",
        r#"{"z":1}"#,
        "+W +t +s -s -t +z -z -W",
    );
}

#[test]
fn validation_and_expression_errors_are_caught() {
    pure(
        "do:\n- t:\n    try: [{s: {set: {a: '${ .x.y }'}}}]\n    catch: {errors: {with: {status: 400}}, do: [{h: {set: {t: '${ $error.type | split(\"/\") | last }'}}}]}\n",
        r#"{"x":1}"#,
        r#"{"t":"expression"}"#,
        "+W +t +s !s +h -h -t -W",
    );
}

#[test]
fn a_failing_catch_condition_faults_the_try() {
    pure(
        &format!(
            "do:\n- t:\n    try: [{{r: {{{RAISE}}}}}]\n    catch: {{when: $error.status.x, do: [{{h: {{set: {{a: 1}}}}}}]}}\n"
        ),
        "{}",
        "400 expression /do/0/t",
        "+W +t +r !r !t !W",
    );
}

#[test]
fn errors_of_calls_carry_the_task_as_instance() {
    let mut run = Run::start("do:\n- c: {call: 'x:1@default'}\n", "{}");
    run.fail("c", 404);
    run.expect("404 communication /do/0/c", "+W +c !c !W");
}

#[test]
fn a_fault_within_nested_forks_cancels_all_within_the_try() {
    let body = format!(
        "do:\n- t:\n    try:\n    - f: {{fork: {{branches: [{{a: {{wait: PT1H}}}}, {{b: {{do: [{{r: {{{RAISE}}}}}]}}}}]}}}}\n    catch: {{do: [{{h: {{set: {{ok: 1}}}}}}]}}\n"
    );
    pure(&body, "{}", r#"{"ok":1}"#, "+W +t +f +a +b +r !r !b xa !f +h -h -t -W");
}
