//! `fork`: joins, races, contexts.

use tidemill_engine::{Effect, Status};

use crate::harness::{Run, pure};

#[test]
fn outputs_stand_in_the_order_of_declaration() {
    let body = "do:\n- f:\n    fork:\n      branches:\n      - a: {call: 'x:1@default'}\n      - b: {set: {b: '${ .n }'}}\n      - c: {call: 'x:1@default'}\n";
    let mut run = Run::start(body, r#"{"n":1}"#);
    run.is(Status::Running);
    run.done("c", "\"c\"").done("a", "\"a\"");
    run.expect(r#"["a",{"b":1},"c"]"#, "+W +f +a +b +c -b -c -a -f -W");
}

#[test]
fn compete_takes_the_first_success() {
    let body = "do:\n- f:\n    fork:\n      compete: true\n      branches:\n      - slow: {wait: PT30S}\n      - call: {call: 'x:1@default'}\n      - fast: {do: [{one: {set: {r: 1}}}]}\n";
    let run = Run::start(body, "{}");
    run.expect(r#"{"r":1}"#, "+W +f +slow +call +fast +one -one -fast xcall xslow -f -W");
    assert_eq!(run.effects.len(), 1, "the call is not begun: {:?}", run.effects);
}

#[test]
fn compete_of_simple_branches() {
    pure(
        "do:\n- f: {fork: {compete: true, branches: [{r: {set: {c: [r]}}}, {g: {set: {c: [g]}}}, {b: {set: {c: [b]}}}]}}\n",
        "{}",
        r#"{"c":["r"]}"#,
        "+W +f +r +g +b -r xb xg -f -W",
    );
}

#[test]
fn compete_survives_faults_until_the_last() {
    let body = "do:\n- f: {fork: {compete: true, branches: [{a: {call: 'x:1@default'}}, {b: {call: 'x:1@default'}}]}}\n";
    let mut run = Run::start(body, "{}");
    let (visit, _) = run.call("a");
    run.done("b", "2");
    run.expect("2", "+W +f +a +b -b xa -f -W");
    assert!(run.effects.contains(&Effect::Abort { visit }));
    let mut run = Run::start(body, "{}");
    run.fail("a", 501).done("b", "2");
    run.expect("2", "+W +f +a +b !a -b -f -W");
    let mut run = Run::start(body, "{}");
    run.fail("b", 501).fail("a", 502);
    run.expect("502 communication /do/0/f/fork/branches/0/a", "+W +f +a +b !b !a !f !W");
}

#[test]
fn a_fault_cancels_the_siblings() {
    let body = "do:\n- f:\n    fork:\n      branches:\n      - a: {do: [{in: {call: 'x:1@default'}}]}\n      - b: {call: 'x:1@default'}\n";
    let mut run = Run::start(body, "{}");
    run.fail("b", 500);
    run.expect("500 communication /do/0/f/fork/branches/1/b", "+W +f +a +b +in !b xin xa !f !W");
}

#[test]
fn contexts_are_copies_merged_in_order() {
    let branch =
        |name: &str, export: &str| format!("      - {name}: {{set: {{v: '${{ $context }}'}}{export}}}\n");
    let body = |compete: &str| {
        format!(
            "do:\n- s: {{set: {{x: 1}}, export: {{as: '{{base: 1, k: 0}}'}}}}\n- f:\n    fork:\n{compete}      branches:\n{}{}{}- z: {{set: {{f: '${{ . }}', c: '${{ $context }}'}}}}\n",
            branch("a", ", export: {as: '{k: 1, a: 1}'}"),
            branch("b", ", export: {as: '{k: 2}'}"),
            branch("c", ""),
        )
    };
    let base = r#"{"v":{"base":1,"k":0}}"#;
    let all = format!(r#"{{"f":[{base},{base},{base}],"c":{{"base":1,"k":2,"a":1}}}}"#);
    pure(&body(""), "{}", &all, "+W +s -s +f +a +b +c -a -b -c -f +z -z -W");
    let one = format!(r#"{{"f":{base},"c":{{"k":1,"a":1}}}}"#);
    pure(&body("      compete: true\n"), "{}", &one, "+W +s -s +f +a +b +c -a xc xb -f +z -z -W");
}

#[test]
fn exports_within_a_branch_reach_the_join() {
    pure(
        "do:\n- f:\n    fork:\n      branches:\n      - a: {do: [{one: {set: {v: 1}, export: {as: '{one: .v}'}}}, {two: {set: {c: '${ $context.one }'}}}]}\n      - b: {fork: {branches: [{c: {set: {v: 2}, export: {as: '{c: .v}'}}}]}}\n- z: {set: {f: '${ . }', c: '${ $context }'}}\n",
        "{}",
        r#"{"f":[{"c":1},[{"v":2}]],"c":{"one":1,"c":2}}"#,
        "+W +f +a +b +one -one +c +two -two -a -c -b -f +z -z -W",
    );
}

#[test]
fn skipped_branches_pass_their_input() {
    let body = |compete: bool| {
        format!(
            "do:\n- f: {{fork: {{compete: {compete}, branches: [{{a: {{if: 'false', set: {{v: 1}}}}}}, {{b: {{if: .b, set: {{v: 2}}}}}}]}}}}\n"
        )
    };
    pure(&body(false), r#"{"b":true}"#, r#"[{"b":true},{"v":2}]"#, "+W +f +b -b -f -W");
    pure(&body(true), r#"{"b":true}"#, r#"{"v":2}"#, "+W +f +b -b -f -W");
    pure(&body(false), "{}", "[{},{}]", "+W +f -f -W");
    pure(&body(true), "{}", "{}", "+W +f -f -W");
}

#[test]
fn end_in_a_branch_ends_all() {
    let body = "do:\n- f:\n    fork:\n      branches:\n      - a: {call: 'x:1@default'}\n      - b: {do: [{in: {set: {r: 1}, then: end}}]}\n- z: {set: {never: 1}}\n";
    pure(body, "{}", r#"{"r":1}"#, "+W +f +a +b +in -in xb xa xf -W");
    let body = "do:\n- f: {fork: {branches: [{a: {call: 'x:1@default'}}, {b: {set: {r: 1}, then: end}}]}}\n";
    pure(body, "{}", r#"{"r":1}"#, "+W +f +a +b -b xa xf -W");
    let body = "do:\n- f: {fork: {branches: [{a: {set: {r: 0}}}, {b: {set: {r: 1}, then: exit}}]}}\n";
    pure(body, "{}", r#"[{"r":0},{"r":1}]"#, "+W +f +a +b -a -b -f -W");
}
