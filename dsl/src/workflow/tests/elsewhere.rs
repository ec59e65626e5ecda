//! Extensions, mode loose, and what a definition has from elsewhere: catalogs, functions by URL, schemas.

use super::{check, told, workflow};
use crate::expr::NoArguments;
use crate::program::{Kind, Next, Program};
use crate::value::Value;

fn program(body: &str) -> std::sync::Arc<Program> {
    let checked = check(&workflow(body));
    let told = told(&checked);
    checked.program.unwrap_or_else(|| panic!("{body}\n{told:#?}"))
}

#[test]
fn mistakes() {
    let refused = |used: &str, task: &str, expected: &[&str]| {
        let text = workflow(&format!("use:\n  {used}\ndo:\n  - a: {task}\n"));
        let told: Vec<String> = told(&check(&text));
        let codes: Vec<&str> = told.iter().map(|line| line.split(' ').next().unwrap_or_default()).collect();
        assert_eq!(codes, expected, "{text}\n{told:#?}");
    };
    let set = "{set: {b: 1}}";
    refused("extensions: {e: {extend: all}}", set, &["E0203"]);
    refused("extensions: [{e: {}}]", set, &["E0202"]);
    refused("extensions: [{e: {extend: fork}}]", set, &["E0204"]);
    refused("extensions: [{e: {extend: all}, f: {extend: all}}]", set, &["E0207"]);
    refused("extensions: [{e: {extend: all, befor: []}}]", set, &["E0201"]);
    refused("extensions: [{e: {extend: all, when: '$item'}}]", set, &["E0402"]);
    refused("extensions: [{e: {extend: all, after: [{x: {wait: PT1S, then: y}}]}}]", set, &["E0504"]);
    refused("extensions: [{e: {extend: all, before: [{x: {wait: P1Y}}]}}]", set, &["E0701"]);
    refused("extensions: []", set, &[]);
    refused("catalogs: {c: {}}", set, &["E0202"]);
    refused("catalogs: {c: {endpoint: 'ftp://h'}}", set, &["E0703"]);
    refused("catalogs: {c: {endpoint: 'https://h/${ .a }'}}", set, &["E0703"]);
    refused("catalogs: {c: {endpoint: {uri: 'https://h', authentication: {use: x}}}}", set, &["E0601"]);
    refused("catalogs: {c: {endpoint: 'https://h'}}", "{call: 'f:1@d'}", &["E0602"]);
    refused("catalogs: {c: {endpoint: 'https://h'}}", "{call: 'f@c'}", &["E0208"]);
    refused("catalogs: {}", "{call: 'https://h/{x}'}", &["E0703"]);
    refused("catalogs: {}", "{call: 'file:///etc/passwd'}", &["E0703"]);
    let schema = |resource: &str| format!("{{set: {{b: 1}}, output: {{schema: {{{resource}}}}}}}");
    refused("errors: {}", &schema("resource: {endpoint: 'https://h'}, document: {}"), &["E0205"]);
    refused("errors: {}", &schema("resource: {name: x}"), &["E0202"]);
    refused("errors: {}", &schema("resource: {endpoint: '${ .a }'}"), &["E0703"]);
    refused("errors: {}", &schema("resource: {endpoint: 'https://h', more: 1}"), &["E0201"]);
}

#[test]
fn extensions_are_numbered_by_kind_and_not_for_their_own_tasks() {
    let program = program(
        "use:
  extensions:
  - x: {extend: all, before: [{xb: {set: {n: 1}, then: exit}}]}
  - y: {extend: composite, after: [{ya: {wait: PT0S, then: exit}}]}
  - z: {extend: call}
  functions: {f: {set: {n: 1}}}
do:
- a: {do: [{b: {call: f}}]}
",
    );
    let of = |name: &str| {
        let task = program.tasks.iter().find(|task| &*task.name == name).expect(name);
        (task.extensions.clone(), task.then, &*task.reference)
    };
    assert_eq!(of("a"), (vec![0, 1], Next::Exit, "/do/0/a"));
    assert_eq!(of("b"), (vec![0, 2], Next::Exit, "/do/0/a/do/0/b"));
    assert_eq!(of("f"), (vec![0], Next::Exit, "/use/functions/f"));
    assert_eq!(of("xb"), (vec![], Next::Leave, "/use/extensions/0/x/before/0/xb"));
    assert_eq!(of("ya"), (vec![], Next::Exit, "/use/extensions/1/y/after/0/ya"));
}

#[test]
fn what_a_task_needs_from_elsewhere_in_order() {
    let schema = |uri: &str| format!("{{schema: {{resource: {{endpoint: '{uri}'}}}}}}");
    let program = program(&format!(
        "use: {{catalogs: {{c: {{endpoint: 'https://h/c/'}}}}}}
input: {}
do:
- a: {{call: 'f:2@c', input: {}, output: {}}}
- b: {{call: 'https://h/f.yaml', export: {}}}
- c: {{call: 'f:2@default'}}
",
        schema("https://h/1"),
        schema("https://h/2"),
        schema("https://h/3"),
        schema("https://h/4"),
    ));
    let needs =
        |needs: &[crate::program::Need]| needs.iter().map(|need| need.uri.to_string()).collect::<Vec<_>>();
    assert_eq!(needs(&program.needs), ["https://h/1"]);
    let catalogued = "https://h/c/functions/f/2/function.yaml";
    assert_eq!(needs(&program.tasks[0].needs), ["https://h/2", "https://h/3", catalogued]);
    assert_eq!(needs(&program.tasks[1].needs), ["https://h/4", "https://h/f.yaml"]);
    assert!(matches!(program.tasks[2].kind, Kind::Function(_)));
}

#[test]
fn loose_mode_tries_every_string_as_an_expression() {
    let check = |mode: &str, text: &str, expected: &str| {
        let text = text.replace('\'', "''");
        let program =
            program(&format!("evaluate: {{mode: {mode}}}\ndo: [{{a: {{set: {{v: '{text}'}}}}}}]\n"));
        let Kind::Set(template) = &program.tasks[0].kind else { panic!() };
        let input = Value::parse(br#"{"a":{"b":[1,2]},"s":"x"}"#).unwrap();
        let value =
            template.eval(&input, &NoArguments).map(|value| value.get("v").cloned().unwrap().to_string());
        assert_eq!(value.unwrap_or_else(|fault| fault.status.to_string()), expected, "{mode} {text}");
    };
    for (text, strict, loose) in [
        (".a.b", r#"".a.b""#, "[1,2]"),
        (" .a.b | length ", r#"" .a.b | length ""#, "2"),
        ("${ .a.b }", "[1,2]", "[1,2]"),
        ("n = ${ .a.b[0] }", r#""n = 1""#, r#""n = 1""#),
        ("hello", r#""hello""#, r#""hello""#),
        ("PT5S", r#""PT5S""#, r#""PT5S""#),
        ("https://h/p", r#""https://h/p""#, r#""https://h/p""#),
        ("", r#""""#, r#""""#),
        ("  ", r#""  ""#, r#""  ""#),
        ("12", r#""12""#, "12"),
        // It compiles and fails, or has several results: it stays a string.
        (".s.x", r#"".s.x""#, r#"".s.x""#),
        (".a.b[]", r#"".a.b[]""#, r#"".a.b[]""#),
        ("$nope", r#""$nope""#, r#""$nope""#),
        // What stands in ${ } is an expression in both modes.
        ("${ .s.x }", "400", "400"),
    ] {
        check("strict", text, strict);
        check("loose", text, loose);
    }
}

#[test]
fn loose_mode_reaches_every_field_that_is_evaluated() {
    program(
        "evaluate: {mode: loose, language: jq}
use: {errors: {e: {type: 'https://e', status: .code}}}
do:
- a: {set: .x}
- b: {wait: .duration}
- c: {call: http, with: {method: .method, endpoint: .url, headers: .headers, query: {q: .q}, body: .}}
- d: {raise: {error: e}}
- f: {try: [{g: {call: 'f:1@default', with: .x}}], catch: {retry: {limit: {attempt: {count: .n}}}}}
",
    );
    let strict = check(&workflow("do: [{a: {set: .x}}]\n"));
    assert_eq!(told(&strict), ["E0404 6:16 `set` is a map or one expression, not a literal"]);
}
