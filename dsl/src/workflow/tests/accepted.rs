//! Definitions that are taken, what they become, and warnings.

use std::fmt::Write as _;

use petgraph::visit::EdgeRef;

use super::{check, told, workflow};
use crate::check::graph;
use crate::program::{AttributeTest, Kind, Next, Program};

fn program(body: &str) -> std::sync::Arc<Program> {
    let checked = check(&workflow(body));
    let told = told(&checked);
    checked.program.unwrap_or_else(|| panic!("{body}\n{told:#?}"))
}

fn next(program: &Program, next: Next) -> &str {
    match next {
        Next::Task(id) => &program.task(id).name,
        Next::Exit => "(exit)",
        Next::Leave => "(leave)",
        Next::End => "(end)",
    }
}

/// `reference -> then / following`, one task a line.
fn flow(program: &Program) -> String {
    program.tasks.iter().fold(String::new(), |mut out, task| {
        let _ = writeln!(
            out,
            "{} -> {} / {}",
            task.reference,
            next(program, task.then),
            next(program, task.following)
        );
        out
    })
}

#[test]
fn references_and_successors() {
    let program = program(
        "use:
  functions:
    twice: {do: [{x: {set: {n: 1}}}]}
do:
  - a: {do: [{b: {set: {c: 1}}, }, {c: {set: {c: 1}, then: exit}}]}
  - f: {fork: {branches: [{b1: {set: {c: 1}}}, {b2: {do: [{d: {set: {c: 1}}}]}}]}, then: end}
  - t:
      try: [{b: {call: twice}}]
      catch: {do: [{h: {set: {c: 1}}}], then: a}
  - l: {for: {in: .x}, do: [{b: {set: {c: 1}}}], then: t}
",
    );
    insta::assert_snapshot!(flow(&program), @r"
    /use/functions/twice -> (exit) / (exit)
    /use/functions/twice/do/0/x -> (exit) / (exit)
    /do/0/a -> f / f
    /do/1/f -> (end) / t
    /do/2/t -> l / l
    /do/3/l -> t / (exit)
    /do/0/a/do/0/b -> c / c
    /do/0/a/do/1/c -> (exit) / (exit)
    /do/1/f/fork/branches/0/b1 -> (exit) / (exit)
    /do/1/f/fork/branches/1/b2 -> (exit) / (exit)
    /do/1/f/fork/branches/1/b2/do/0/d -> (exit) / (exit)
    /do/2/t/try/0/b -> (exit) / (exit)
    /do/2/t/catch/do/0/h -> (exit) / (exit)
    /do/3/l/do/0/b -> (exit) / (exit)
    ");
    let Kind::Try(parts) = &program.tasks.iter().find(|t| &*t.name == "t").unwrap().kind else { panic!() };
    assert_eq!(parts.then.map(|n| next(&program, n)), Some("a"));
    let edges: Vec<_> = graph(&program)
        .edge_references()
        .map(|e| {
            let name = |n: petgraph::graph::NodeIndex| program.tasks[n.index()].name.clone();
            format!("{} {:?} {}", name(e.source()), e.weight(), name(e.target()))
        })
        .collect();
    insta::assert_snapshot!(edges.join("\n"), @r"
    twice Enter x
    a Then f
    a Enter b
    f Enter b1
    f Enter b2
    t Then l
    t Caught a
    t Enter b
    t Enter h
    l Then t
    l Enter b
    b Then c
    b2 Enter d
    b Call twice
    ");
}

#[test]
fn default_case_is_tried_last() {
    let program = program(
        "do:
  - a:
      switch:
        - other: {then: c}
        - yes: {when: .x, then: b}
        - no: {when: '${ .y }', then: exit}
  - b: {set: {c: 1}}
  - c: {set: {c: 1}}
",
    );
    let Kind::Switch(cases) = &program.tasks[0].kind else { panic!() };
    let seen: Vec<_> = cases.iter().map(|c| (&*c.name, c.when.is_some(), next(&program, c.then))).collect();
    assert_eq!(seen, [("yes", true, "b"), ("no", true, "(exit)"), ("other", false, "c")]);
}

#[test]
fn filters_tell_literals_from_patterns() {
    let check = |kind: &str, expected: (Option<&str>, Option<&str>), pattern: bool| {
        let body = format!("do:\n  - a: {{listen: {{to: {{one: {{with: {{type: '{kind}'}}}}}}}}}}\n");
        let program = program(&body);
        let Kind::Listen(listen) = &program.tasks[0].kind else { panic!() };
        assert_eq!((listen.filter.event_type(), listen.filter.stated_type()), expected, "{kind}");
        let AttributeTest::Text { pattern: found, .. } = &listen.filter.with[0].1 else {
            return assert!(!pattern);
        };
        assert_eq!(found.is_some(), pattern, "{kind}");
        assert!(found.as_ref().is_none_or(|p| p.is_match("a.b.c") && !p.is_match("xa.b.cx")), "{kind}");
    };
    check("a.b.c", (Some("a.b.c"), Some("a.b.c")), false);
    check("a.b.*", (None, Some("a.b.*")), true);
    check("a|a.b.c", (None, Some("a|a.b.c")), true);
    check("*.c", (Some("*.c"), Some("*.c")), false);
    check("${ . == $input.type }", (None, None), false);
}

#[test]
fn warnings() {
    let check = |body: &str, expected: &[&str]| {
        let checked = check(&workflow(body));
        assert!(checked.program.is_some(), "{:?}", told(&checked));
        assert_eq!(told(&checked), expected, "{body}");
    };
    let set = "set: {x: '${ .x }'}";
    check(
        &format!("do:\n  - a: {{{set}, then: c}}\n  - b: {{{set}}}\n  - c: {{{set}}}\n"),
        &["W0551 8:5 the task `b` is never reached"],
    );
    check(
        &format!("do:\n  - a: {{{set}, then: c, if: .x}}\n  - b: {{{set}}}\n  - c: {{{set}}}\n"),
        &["W0553 7:30 `then` is not followed when `if` skips the task `a`"],
    );
    check(
        &format!("do:\n  - a: {{{set}, then: end}}\n  - b: {{do: [{{c: {{{set}}}}}]}}\n"),
        &["W0551 8:5 the task `b` is never reached"],
    );
    check(
        &format!("do:\n  - a: {{{set}}}\n  - b: {{{set}, then: a}}\n"),
        &["W0552 7:5 the loop that begins with the task `a` has no exit"],
    );
    check(
        &format!("do:\n  - a: {{{set}, then: a}}\n"),
        &["W0552 7:5 the loop that begins with the task `a` has no exit"],
    );
    check(&format!("timeout: {{after: PT1M}}\ndo:\n  - a: {{{set}, then: a}}\n"), &[]);
    check(
        &format!("do:\n  - a: {{switch: [{{x: {{when: .x, then: end}}}}]}}\n  - b: {{{set}, then: a}}\n"),
        &[],
    );
    check("do:\n  - a: {set: {b: 'x ${ .y'}}\n", &["W0451 7:21 `${ .y` is text: no `}` closes it"]);
    check(&format!("do:\n  - a: {{{set}}}\n  - b: {{{set}, if: .x, then: a}}\n"), &[]);
    check(
        &format!("do:\n  - a: {{do: [{{x: {{{set}, then: end, if: .x}}}}]}}\n  - b: {{{set}, then: a}}\n"),
        &[],
    );
}

#[test]
fn digest_is_that_of_the_text() {
    use sha2::Digest;
    let text = workflow("do:\n  - a: {set: {b: 1}}\n");
    let program = check(&text).program.unwrap();
    assert_eq!(program.digest[..], sha2::Sha256::digest(text.as_bytes())[..]);
    let many = format!("# first\n{text}---\n{text}");
    let documents = crate::yaml::parse_all(&many).unwrap();
    let digests: Vec<_> =
        documents.iter().map(|d| super::super::check_node(d, &many).program.unwrap().digest).collect();
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0][..], sha2::Sha256::digest(text.as_bytes())[..]);
}

#[test]
fn json_is_read_like_yaml() {
    let json = r#"{"document":{"dsl":"1.0.0","namespace":"n","name":"m","version":"1.0.0"},
        "do":[{"a":{"set":{"emoji":"\ud83d\ude00"}}}]}"#;
    let program = check(json).program.unwrap();
    assert_eq!(program.definition.pointer("/do/0/a/set/emoji").and_then(crate::Value::as_str), Some("😀"));
    assert_eq!(&*program.task(program.list(program.root).tasks[0]).reference, "/do/0/a");
}

#[test]
fn time_of_a_large_definition() {
    let one = "  - tID:\n      set: {x: '${ .a + ID }', y: plain text of some length that is here for its bytes}\n      if: .a > 3 and (.b | length) == 2\n";
    let body: String = (0..2000).map(|i| one.replace("ID", &i.to_string())).collect();
    let text = workflow(&format!("do:\n{body}"));
    let begun = std::time::Instant::now();
    let checked = check(&text);
    eprintln!("{} bytes: {:?}", text.len(), begun.elapsed());
    assert_eq!(checked.program.map(|p| p.tasks.len()), Some(2000), "{:?}", checked.diagnostics.first());
}
