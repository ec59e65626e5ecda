//! Data flow: the order of section 4 and the scope table of section 3 (dsl.md).

use crate::harness::{Run, json, pure};

#[test]
fn set_replaces_the_data() {
    pure(
        "do:\n- a: {set: {x: 1}}\n- b: {set: {y: '${ .x + 1 }'}}\n",
        "{\"z\":0}",
        "{\"y\":2}",
        "+W +a -a +b -b -W",
    );
}

#[test]
fn input_output_export_in_order() {
    pure(
        "input: {from: .start}\ndo:\n- a:\n    input: {from: '.n'}\n    set: {seen: '${ . }', input: '${ $input }', raw: '${ $task.input.n }'}\n    output: {as: '{out: .seen, raw: $task.output.input}'}\n    export: {as: '{ctx: ., o: $output.out, i: $input}'}\n- b: {set: {context: '${ $context }', data: '${ . }'}}\noutput: {as: '{b: ., c: $context.o}'}\n",
        r#"{"start":{"n":7}}"#,
        r#"{"b":{"context":{"ctx":{"out":7,"raw":7},"o":7,"i":7},"data":{"out":7,"raw":7}},"c":7}"#,
        "+W +a -a +b -b -W",
    );
}

#[test]
fn workflow_arguments() {
    pure(
        "input: {from: '{n: $workflow.input.n}'}\ndo:\n- a:\n    set:\n      raw: ${ $workflow.input }\n      id: ${ $workflow.id | length }\n      name: ${ $workflow.definition.document.name }\n      at: ${ $workflow.startedAt.epoch.milliseconds }\n      task: ${ [$task.name, $task.reference, ($task.set | type), ($task.definition.set | type)] }\n      runtime: ${ $runtime.name }\n",
        r#"{"n":1,"m":2}"#,
        r#"{"raw":{"n":1,"m":2},"id":26,"name":"t","at":1764000000000,"task":["a","/do/0/a","object","object"],"runtime":"tidemill"}"#,
        "+W +a -a -W",
    );
}

#[test]
fn context_begins_empty_and_export_replaces_it() {
    pure(
        "do:\n- a:\n    set: {c: '${ $context }'}\n    export: {as: '{a: 1}'}\n- b:\n    set: {c: '${ $context }'}\n    export: {as: '{b: 2}'}\n- c: {set: {c: '${ $context }'}}\n",
        "{}",
        r#"{"c":{"b":2}}"#,
        "+W +a -a +b -b +c -c -W",
    );
}

#[test]
fn a_skipped_task_passes_its_raw_input_and_ignores_then() {
    pure(
        "do:\n- a: {if: .go, set: {x: 1}, then: end}\n- b: {set: {x: '${ .x }', seen: true}}\n",
        r#"{"x":5}"#,
        r#"{"x":5,"seen":true}"#,
        "+W +b -b -W",
    );
}

#[test]
fn schemas_see_raw_input_and_transformed_output() {
    let schema = |part: &str, key: &str| {
        format!(
            "do:\n- a:\n    {part}: {{schema: {{document: {{type: object, required: [{key}]}}}}{}}}\n    set: {{y: 1}}\n",
            if part == "input" { ", from: '{}'" } else { ", as: '{z: .y}'" }
        )
    };
    pure(&schema("input", "x"), r#"{"x":1}"#, r#"{"y":1}"#, "+W +a -a -W");
    pure(&schema("input", "x"), "{}", "400 validation /do/0/a", "+W +a !a !W");
    pure(&schema("output", "z"), "{}", r#"{"z":1}"#, "+W +a -a -W");
    pure(&schema("output", "y"), "{}", "400 validation /do/0/a", "+W +a !a !W");
    pure(&schema("export", "z"), "{}", r#"{"y":1}"#, "+W +a -a -W");
    pure(&schema("export", "y"), "{}", "400 validation /do/0/a", "+W +a !a !W");
}

#[test]
fn workflow_schemas() {
    let input = "input: {schema: {document: {required: [x]}}, from: .x}\ndo:\n- a: {set: '${ {v: .} }'}\n";
    pure(input, r#"{"x":1}"#, r#"{"v":1}"#, "+W +a -a -W");
    pure(input, "{}", "400 validation -", "+W !W");
    let output = "do:\n- a: {set: {x: 1}}\noutput: {as: .x, schema: {document: {type: string}}}\n";
    pure(output, "{}", "400 validation -", "+W +a -a !W");
}

#[test]
fn failing_expressions_fault_the_task() {
    for (part, words) in [
        ("if: .x.y", "+W +a !a !W"),
        ("input: {from: .x.y}", "+W +a !a !W"),
        ("output: {as: .v.y}", "+W +a !a !W"),
        ("export: {as: .v.y}", "+W +a !a !W"),
    ] {
        pure(
            &format!("do:\n- a:\n    {part}\n    set: {{v: 1}}\n"),
            r#"{"x":1}"#,
            "400 expression /do/0/a",
            words,
        );
    }
    pure("do:\n- a: {set: {v: '${ .x, .x }'}}\n", "{}", "400 expression /do/0/a", "+W +a !a !W");
}

#[test]
fn a_local_function_sees_only_its_with() {
    let body = "use:\n  functions:\n    f:\n      do:\n      - in: {set: {got: '${ . }', ctx: '${ $context }'}, export: {as: '{inner: true}'}}\ndo:\n- a: {set: {n: 1}, export: {as: '{outer: true}'}}\n- b: {call: f, with: {m: '${ .n + 1 }'}}\n- c: {set: {b: '${ . }', ctx: '${ $context }'}}\n";
    pure(
        body,
        "{}",
        r#"{"b":{"got":{"m":2},"ctx":{}},"ctx":{"outer":true}}"#,
        "+W +a -a +b +f +in -in -f -b +c -c -W",
    );
    let run = Run::start(body, "{}");
    let references: Vec<_> =
        run.entries().iter().filter_map(|e| Some(e.task.as_ref()?.reference.to_string())).collect();
    assert!(references.contains(&"/use/functions/f/do/0/in".to_owned()), "{references:?}");
}

#[test]
fn history_shows_inputs_and_outputs() {
    let run =
        Run::start("do:\n- a: {input: {from: .x}, set: '${ {v: .} }'}\n- b: {wait: PT0S}\n", r#"{"x":3}"#);
    let told: Vec<String> = run
        .entries()
        .iter()
        .map(|e| format!("{} {} {:?} {:?}", e.sequence, e.kind, e.input.as_ref(), e.output.as_ref()))
        .collect();
    assert_eq!(
        told,
        [
            r#"1 workflow.started Some({"x":3}) None"#,
            "2 task.created None None",
            "3 task.started Some(3) None",
            r#"4 task.completed None Some({"v":3})"#,
            "5 task.created None None",
            r#"6 task.started Some({"v":3}) None"#,
            r#"7 task.completed None Some({"v":3})"#,
            r#"8 workflow.completed None Some({"v":3})"#,
        ]
    );
    assert_eq!(run.log.len(), 1);
    assert_eq!(run.x.birth().input, json(r#"{"x":3}"#));
}

#[test]
fn what_a_call_is_authenticated_with_is_told_without_its_secret() {
    let check = |auth: &str, expected: &str| {
        let text = format!(
            "use: {{secrets: [key]}}\ndo:\n- c: {{call: http, with: {{method: get, endpoint: {{uri: 'http://h'{auth}}}}}, output: {{as: $authorization}}, export: {{as: '{{a: $authorization}}'}}}}\n- z: {{set: {{a: '${{ $authorization }}', c: '${{ $context.a }}'}}}}\n"
        );
        let mut run = Run::start(&text, "{}");
        run.done("c", "1");
        assert_eq!(run.end(), format!("{{\"a\":null,\"c\":{expected}}}"), "{auth}");
    };
    check("", "null");
    let of = |scheme: &str| format!("{{\"scheme\":\"{scheme}\",\"parameter\":\"***\"}}");
    check(", authentication: {basic: {username: u, password: '${ $secrets.key }'}}", &of("Basic"));
    check(", authentication: {bearer: {token: t}}", &of("Bearer"));
    check(", authentication: {basic: {use: key}}", &of("Basic"));
    check(", authentication: {bearer: {use: key}}", &of("Bearer"));
}

/// Every way in which an expression fails is an error of type expression, 400, at the task.
#[test]
fn expressions_fail_at_their_task() {
    for failing in [
        "{set: {v: '${ .n.x }'}}",
        "{set: {v: '${ .l[] }'}}",
        "{set: {v: '${ empty }'}}",
        "{set: {v: '${ 1 / 0 }'}}",
        "{set: {v: '${ error(\"no\") }'}}",
        "{set: {v: '${ last(range(1e18)) }'}}",
        "{set: {v: '${ [limit(20; repeat(\"x\"))] | reduce range(40) as $i (.; . + .) }'}}",
        "{wait: '${ \"soon\" }'}",
        "{wait: '${ .l }'}",
        "{for: {in: .n}, do: [{b: {set: {c: 1}}}]}",
        "{set: {v: 1}, if: '.n.x'}",
        "{set: {v: 1}, input: {from: .n.x}}",
        "{set: {v: 1}, output: {as: .v.x}}",
        "{set: {v: 1}, export: {as: .v.x}}",
        "{switch: [{c: {when: .n.x, then: end}}]}",
        "{emit: {event: {with: {type: t, data: '${ .n.x }'}}}}",
        "{raise: {error: {type: t, status: 400, detail: '${ .n.x }'}}}",
    ] {
        let run = Run::start(&format!("do:\n- a: {failing}\n"), r#"{"n":1,"l":[1,2]}"#);
        assert_eq!(run.end(), "400 expression /do/0/a", "{failing}");
    }
}
