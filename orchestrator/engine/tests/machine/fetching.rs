//! Functions and schemas from elsewhere: fetched before the task begins, recorded once, kept by the execution.

use tidemill_dsl::order::Outcome;
use tidemill_engine::{Effect, Input, Status, Verdict, fold, resume};

use crate::harness::{Run, json};

const URL: &str = "https://f.test/double.yaml";
const DOUBLE: &str =
    "input: {from: .n}\ndo:\n- a: {set: {r: '${ . * 2 }'}}\n- b: {set: {r: '${ .r }', c: '${ $context }'}}\n";

fn call(url: &str, with: &str) -> String {
    format!("do:\n- f: {{call: '{url}', with: {with}}}\n- z: {{set: '${{ [., $context] }}'}}\n")
}

#[test]
fn a_function_by_url_is_fetched_then_run_without_inner_entries() {
    let mut run = Run::start(&call(URL, "{n: '${ .k }'}"), "{\"k\":4}");
    run.is(Status::Running);
    assert_eq!(run.words(), "+W");
    assert_eq!(run.entries().last().map(|entry| entry.kind), Some("task.created"));
    run.fetched("f", URL, DOUBLE);
    run.expect("[{\"r\":8,\"c\":{}},{}]", "+W +f -f +z -z -W");
    let folded = fold(&run.program, &run.log).unwrap();
    assert_eq!(folded, run.x);
}

#[test]
fn what_was_fetched_is_kept_and_never_fetched_again() {
    let each = format!(
        "do:\n- l: {{for: {{in: '[1, 2, 3]'}}, do: [{{f: {{call: '{URL}', with: {{n: '${{ $item }}'}}}}}}]}}\n"
    );
    let mut run = Run::start(&each, "{}");
    run.fetched("f", URL, DOUBLE);
    assert_eq!(run.end(), "{\"r\":6,\"c\":{}}");
    let calls = run.effects.iter().filter(|effect| matches!(effect, Effect::Call { .. })).count();
    assert_eq!(calls, 1);
}

#[test]
fn a_catalogued_function_is_the_file_below_the_catalogs_endpoint() {
    let check = |endpoint: &str| {
        let text = format!(
            "use: {{catalogs: {{mine: {{endpoint: {endpoint}}}}}}}\ndo: [{{f: {{call: 'double:1.2.0@mine', with: {{n: 3}}}}}}]\n"
        );
        let mut run = Run::start(&text, "{}");
        run.fetched("f", "https://c.test/base/functions/double/1.2.0/function.yaml", DOUBLE);
        run.expect("{\"r\":6,\"c\":{}}", "+W +f -f -W");
    };
    check("'https://c.test/base'");
    check("'https://c.test/base/'");
    check("{uri: 'https://c.test/base'}");
}

#[test]
fn functions_call_functions_and_an_error_in_them_is_the_tasks_error() {
    let outer =
        "do:\n- in: {call: 'https://f.test/inner', with: {n: '${ .n + 1 }'}}\n- o: {set: {o: '${ .r }'}}\n";
    let inner = "{call: http, with: {method: get, endpoint: 'http://h/{n}'}}";
    let mut run = Run::start(&call(URL, "{n: 1}"), "{}");
    run.fetched("f", URL, outer).fetched("f", "https://f.test/inner", inner);
    let sent = run.sent("f").unwrap();
    assert!(format!("{sent:?}").contains("http://h/2"), "{sent:?}");
    run.fail("f", 404);
    run.expect("404 communication /do/0/f", "+W +f !f !W");
    run.retry(None, None);
    run.done("f", "{\"r\":7}");
    assert_eq!(run.end(), "[{\"o\":7},{}]");
    assert!(run.words().ends_with("~W +f -f +z -z -W"), "{}", run.words());
}

#[test]
fn a_request_that_fails_is_the_tasks_error_and_is_made_again_by_a_retry() {
    let mut run = Run::start(&call(URL, "{}"), "{}");
    run.fail("f", 503).expect("503 communication /do/0/f", "+W +f !f !W");
    run.retry(None, None);
    run.fetched("f", URL, "{set: {ok: 1}}");
    assert_eq!(run.end(), "[{\"ok\":1},{}]");

    let tried = format!(
        "do:\n- t: {{try: [{{f: {{call: '{URL}'}}}}], catch: {{retry: {{delay: PT1S, limit: {{attempt: {{count: 1}}}}}}}}}}\n"
    );
    let mut run = Run::start(&tried, "{}");
    run.fail("f", 500).pass(1000).fetched("f", URL, "{set: {ok: 1}}");
    run.expect("{\"ok\":1}", "+W +t +f !f ~t +f -f -t -W");
}

#[test]
fn a_file_that_is_no_task_is_a_configuration_error_that_says_why() {
    for (text, part) in [
        ("{set: {a: 1}, wait: PT1S}", "E0502"),
        ("[]", "E0203"),
        ("{", "E0101"),
        ("{call: other}", "E0601"),
        ("{set: '${ $secrets.x }'}", "E0403"),
        ("{call: http, with: {method: get, endpoint: {uri: 'http://h', authentication: {use: x}}}}", "E0601"),
        ("{call: 'x:1@mine'}", "E0602"),
    ] {
        let mut run = Run::start(&call(URL, "{}"), "{}");
        run.fetched("f", URL, text);
        assert_eq!(run.end(), "400 configuration /do/0/f", "{text}");
        let error = run.entries().into_iter().rev().find_map(|entry| entry.error).unwrap();
        assert!(error.detail.as_deref().unwrap().contains(part), "{text}: {error}");
    }
}

#[test]
fn a_fetched_function_reads_no_secrets_of_the_caller() {
    let text = format!("use: {{secrets: [key]}}\ndo: [{{f: {{call: '{URL}'}}}}]\n");
    let mut run = Run::start(&text, "{}");
    run.fetched(
        "f",
        URL,
        "{call: http, with: {method: get, endpoint: 'http://h/', headers: {k: '${ $secrets.key }'}}}",
    );
    let fault = run.sent("f").unwrap_err();
    assert_eq!((fault.status, fault.instance.as_deref()), (403, Some("")));
}

#[test]
fn a_script_from_elsewhere_is_fetched_once_and_kept_over_retries() {
    let script = "run: {script: {language: js, source: {endpoint: 'https://s.test/x.js'}, arguments: [a]}}";
    let catch = "catch: {retry: {limit: {attempt: {count: 1}}}}";
    let text = format!("do:\n- t: {{try: [{{f: {{{script}}}}}], {catch}}}\n- g: {{{script}}}\n");
    let mut run = Run::start(&text, "{}");
    run.fetched("f", "https://s.test/x.js", "console.log('${ .n }')");
    let sent = |run: &Run, name: &str| format!("{:?}", run.sent(name).unwrap());
    assert!(
        sent(&run, "f").contains("Script(JavaScript, \"console.log('${ .n }')\")"),
        "{}",
        sent(&run, "f")
    );
    run.fail("f", 500);
    assert!(sent(&run, "f").contains("console.log"));
    run.done("f", "1");
    assert!(sent(&run, "g").contains("console.log"));
    run.done("g", "2").expect("2", "+W +t +f !f ~t +f -f -t +g -g -W");
    assert_eq!(fold(&run.program, &run.log).unwrap(), run.x);
}

#[test]
fn schemas_from_elsewhere_validate_input_output_and_export() {
    let schema =
        |uri: &str| format!("{{schema: {{format: json, resource: {{endpoint: {{uri: '{uri}'}}}}}}}}");
    let (i, o, e) = (schema("https://s.test/i"), schema("https://s.test/o"), schema("https://s.test/e"));
    let text = format!(
        "do: [{{a: {{set: {{n: '${{ .n }}'}}, input: {i}, output: {o}, export: {}}}}}]\n",
        e.replace("{schema", "{as: '{c: .n}', schema")
    );
    let run = |input: &str| {
        let mut run = Run::start(&text, input);
        run.fetched("a", "https://s.test/i", "{\"required\": [\"n\"]}");
        run.fetched("a", "https://s.test/o", "properties: {n: {maximum: 9}}");
        run.fetched("a", "https://s.test/e", "properties: {c: {minimum: 2}}");
        run
    };
    run("{\"n\":5}").expect("{\"n\":5}", "+W +a -a -W");
    for input in ["{}", "{\"n\":10}", "{\"n\":1}"] {
        run(input).expect("400 validation /do/0/a", "+W +a !a !W");
    }
}

#[test]
fn a_schema_of_the_workflow_is_fetched_before_its_first_task() {
    let text = "input: {schema: {resource: {endpoint: 'https://s.test/w'}}, from: '{m: .n}'}\noutput: {schema: {resource: {endpoint: 'https://s.test/x'}}}\ntimeout: {after: PT1M}\ndo: [{a: {wait: PT0S}}]\n";
    let run = |input: &str| {
        let mut run = Run::start(text, input);
        run.is(Status::Running);
        run.fetched("t", "https://s.test/w", "{required: [n]}").fetched(
            "t",
            "https://s.test/x",
            "{required: [m]}",
        );
        run
    };
    run("{\"n\":1}").expect("{\"m\":1}", "+W +a -a -W");
    run("{\"k\":1}").expect("400 validation -", "+W !W");

    let mut run = Run::start(text, "{}");
    run.fail("t", 404).expect("404 communication -", "+W !W");
    run.retry(Some("{\"n\":2}"), None);
    run.fetched("t", "https://s.test/w", "{required: [n]}").fetched("t", "https://s.test/x", "{}");
    run.expect("{\"m\":2}", "+W !W ~W +a -a -W");
    let mut run = Run::start(text, "{}");
    run.cancel();
    run.expect("cancelled", "+W xW");
}

#[test]
fn a_text_that_is_no_schema_is_a_configuration_error() {
    let mut run = Run::start(
        "do: [{a: {set: {n: 1}, output: {schema: {resource: {endpoint: 'https://s.test/i'}}}}}]\n",
        "{}",
    );
    run.fetched("a", "https://s.test/i", "{type: nothing}");
    run.expect("400 configuration /do/0/a", "+W +a !a !W");
}

#[test]
fn branches_that_need_the_same_keep_what_came_first() {
    let text =
        format!("do:\n- f: {{fork: {{branches: [{{a: {{call: '{URL}'}}}}, {{b: {{call: '{URL}'}}}}]}}}}\n");
    let mut run = Run::start(&text, "{}");
    let (visit, attempt) = run.call("b");
    run.fetched("a", URL, "{set: {first: 1}}");
    let later = Outcome::Done(json("\"e3NldDoge2xhdGU6IDF9fQ==\""));
    let again = Input::Outcome { visit, attempt, outcome: later };
    assert_eq!(run.feed(again.clone()), Verdict::Applied);
    assert_eq!(run.end(), "[{\"first\":1},{\"first\":1}]");
    assert_eq!(run.feed(again), Verdict::Stale);
}

#[test]
fn what_arrives_while_suspended_is_recorded_and_used_on_resume() {
    let mut run = Run::start(&call(URL, "{n: 2}"), "{}");
    run.suspend();
    run.fetched("f", URL, DOUBLE);
    run.is(Status::Suspended);
    assert!(resume(&run.program, &run.x).effects.is_empty());
    run.resume();
    assert_eq!(run.end(), "[{\"r\":4,\"c\":{}},{}]");
    // The request after it would be for what the function needs, not for the function again.
    let mut run = Run::start(&call(URL, "{n: 2}"), "{}");
    run.suspend();
    run.fail("f", 500);
    run.resume();
    run.expect("500 communication /do/0/f", "+W |W ^W +f !f !W");
}

#[test]
fn a_waiting_function_is_interrupted_without_inner_entries() {
    let text = format!("do:\n- f: {{call: '{URL}', timeout: {{after: PT9S}}}}\n");
    let inside = "{do: [{w: {wait: PT1H}}]}";
    let mut run = Run::start(&text, "{}");
    run.fetched("f", URL, inside).is(Status::Waiting);
    let waiting = run.x.waiting_for(&run.program);
    assert_eq!((&*waiting[0].name, &*waiting[0].reference), ("f", "/do/0/f"));
    run.pass(9000).expect("408 timeout /do/0/f", "+W +f !f !W");

    let mut run = Run::start(&text, "{}");
    run.cancel();
    run.expect("cancelled", "+W +f xf xW");
    let mut run = Run::start(&text, "{}");
    run.fetched("f", URL, inside);
    run.suspend();
    run.resume();
    run.pass(1).cancel();
    run.expect("cancelled", "+W +f |W ^W xf xW");
}

#[test]
fn a_function_that_calls_itself_meets_the_limit_of_nesting() {
    let mut run = Run::start(&call(URL, "{}"), "{}");
    run.fetched("f", URL, &format!("{{do: [{{again: {{call: '{URL}'}}}}]}}"));
    assert_eq!(run.end(), "400 configuration /do/0/f");
    let error = run.entries().into_iter().rev().find_map(|entry| entry.error).unwrap();
    assert!(error.detail.as_deref().unwrap().contains("limit nesting"), "{error}");
}

#[test]
fn an_answer_that_is_no_text_is_refused() {
    let mut run = Run::start(&call(URL, "{}"), "{}");
    run.done("f", "\"/w==\"");
    assert_eq!(run.end(), "400 configuration /do/0/f");
}

/// What a task waits for that could begin only with what came while the execution was suspended.
#[test]
fn what_a_kept_answer_lets_begin_is_waited_for_after_the_resume() {
    let schema = "input: {schema: {resource: {endpoint: 'https://s.test/i'}}}";
    let check = |body: &str, go_on: &dyn Fn(&mut Run), end: &str| {
        let mut run = Run::start(&format!("do: [{{a: {{{schema}, {body}}}}}]\n"), "{}");
        run.suspend();
        run.fetched("a", "https://s.test/i", "{}");
        run.is(Status::Suspended);
        run.resume();
        go_on(&mut run);
        assert_eq!(run.end(), end, "{body}");
    };
    let heard = |run: &mut Run| assert!(run.post(1, "e", "1"));
    check("listen: {to: {one: {with: {type: e}}}}", &heard, "[1]");
    check(
        "wait: PT1S",
        &|run| {
            let _ = run.pass(1000);
        },
        "{}",
    );
    check("set: {v: 1}", &|_| {}, "{\"v\":1}");
    let late = |run: &mut Run| {
        let _ = run.pass(2000);
    };
    check("timeout: {after: PT2S}, listen: {to: {one: {with: {type: e}}}}", &late, "408 timeout /do/0/a");
}
