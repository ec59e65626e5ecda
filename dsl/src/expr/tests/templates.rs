//! Templates, and the short way around jaq.

use proptest::prelude::*;

use super::super::compile;
use super::*;

fn check_template(json: &str, expected: Result<&str, &str>) {
    let template =
        Template::compile(&value(json), &["x", "o"]).unwrap_or_else(|error| panic!("{json}: {error}"));
    let result = template.eval(&value(r#"{"a":{"b":1},"s":"text","n":null,"l":[1,"x"]}"#), &given());
    match (result, expected) {
        (Ok(result), Ok(expected)) => assert_eq!(result.to_string(), expected, "{json}"),
        (Err(fault), Err(part)) => assert!(fault.to_string().contains(part), "{json}: {fault}"),
        (got, _) => panic!("{json}: {got:?}"),
    }
}

#[test]
fn whole_expressions_keep_their_type_and_others_become_text() {
    check_template(r#""${ .a }""#, Ok(r#"{"b":1}"#));
    check_template(r#"" ${ .a.b } ""#, Ok("1"));
    check_template(r#""${ .a.b }!""#, Ok(r#""1!""#));
    check_template(r#""${ .s }${ .s }""#, Ok(r#""texttext""#));
    check_template(r#""<${ .l }> <${ .n }> <${ .s }>""#, Ok(r#""<[1,\"x\"]> <null> <text>""#));
    check_template(r#""${ \"}\" + .s }""#, Ok(r#""}text""#));
    check_template(
        r#"{"a":["${ .s }",".s",{"b":"${ $x }"}],"${ .s }":1}"#,
        Ok(r#"{"a":["text",".s",{"b":5}],"${ .s }":1}"#),
    );
    check_template(r#""${ .s""#, Ok(r#""${ .s""#));
    check_template(r#""$5 {x}""#, Ok(r#""$5 {x}""#));
    check_template(r"[1,null,true]", Ok("[1,null,true]"));
    check_template(r#""${ 1, 2 }""#, Err("more than one result"));
    check_template(r#"{"a":"${ empty }"}"#, Err("no result where a value is needed"));
    check_template(r#""a ${ .s.t }""#, Err("Cannot index string with string"));
    check_template(r#"{"a":"${ \"x\" * 700000 }","b":"${ \"x\" * 700000 }"}"#, Err("expression output"));
}

#[test]
fn constants_are_shared() {
    let constant = |json: &str| {
        let template = Template::compile(&value(json), &[]).unwrap_or_else(|error| panic!("{json}: {error}"));
        template.constant().cloned()
    };
    assert_eq!(constant(r#"{"a":[1,"x"]}"#), Some(value(r#"{"a":[1,"x"]}"#)));
    assert_eq!(constant(r#"{"a":["${ . }"]}"#), None);
}

#[test]
fn mistakes_in_templates_have_a_pointer() {
    let check = |json: &str, pointer: &str, message: &str| {
        let error = Template::compile(&value(json), &["x"]).expect_err(json);
        assert_eq!((error.pointer.as_str(), error.error.message.as_str()), (pointer, message), "{json}");
    };
    check(r#"{"a/b":[0,{"c~":"${ $y }"}]}"#, "/a~1b/1/c~0", "unknown variable `$y`");
    check(r#""x ${ .a | } y""#, "", "syntax error: expected term, found the end");
    check(r#""${}""#, "", "syntax error: expected term, found the end");
}

#[test]
fn bare_fields_take_both_forms() {
    for text in [".a.b", " .a.b ", "${ .a.b }", " ${.a.b}\n"] {
        let template = Template::bare(text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(template.eval(&value(r#"{"a":{"b":7}}"#), &NoArguments), Ok(Value::from(7i64)), "{text}");
        assert!(!template.uses("x"));
    }
    assert!(Template::bare("$x", &["x"]).is_ok_and(|template| template.uses("x")));
    assert!(Template::bare("a b", &[]).is_err());
    let none = Template::bare("empty", &[]).map(|template| template.eval_opt(&Value::Null, &NoArguments));
    assert_eq!(none, Ok(Ok(None)));
}

/// Programs that may have a plan.
fn any_program() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("."),
        Just(".a"),
        Just(".a.b"),
        Just(".[0]"),
        Just(".l[1]"),
        Just(".l[-1]"),
        Just("$x"),
        Just("$o.a[0]"),
        Just("1"),
        Just("2.5"),
        Just("\"t\""),
        Just("null"),
        Just("true"),
        Just("false"),
        Just("{}"),
        Just("[]"),
        Just("{a, $x}"),
        Just(".\"s\""),
        Just("(.a | not)"),
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let op = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "==", "!=", "<", ">=", "and", "or", "//", "|",
        ]);
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(l, op, r)| format!("({l} {op} {r})")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("[{l}, {r}]")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("{{a: {l}, \"b\": {r}}}")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("\"<\\({l})>\\({r})\"")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(c, l, r)| format!("(if {c} then {l} else {r} end)")),
        ]
    })
}

proptest! {
    #[test]
    fn plans_give_what_jaq_gives(text in any_program(), input in prop::sample::select(vec![
        r#"{"a":{"b":3},"l":[1,"two",null],"s":"str"}"#, r#"[[1,2],{"a":4}]"#, "null", "7", "\"word\"", r#"{"a":[1],"l":{}}"#,
    ])) {
        let known = ["x", "o"];
        let build = |short| compile::compile(&text, &known, short).map(|program| Expr(Arc::new(program)));
        let (short, long) = (build(true), build(false));
        let (Ok(short), Ok(long)) = (short, long) else {
            return Err(TestCaseError::fail("does not compile"));
        };
        prop_assert!(matches!(short.0.body, Body::Plan(_)));
        prop_assert!(matches!(long.0.body, Body::Filter(_)));
        let input = value(input);
        prop_assert_eq!(short.eval(&input, &given()), long.eval(&input, &given()));
    }
}

/// What one evaluation costs: `cargo test --release -p tidemill-dsl cost -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost_of_one_evaluation() {
    let input = value(r#"{"a":{"b":1},"c":[1,2,3],"s":"x"}"#);
    for text in [
        ".a",
        ".a.b + 1",
        "{a: .a.b, s: .s}",
        "[.c[] | . * 2] | add",
        ".a.b as $x | \"v\\($x)\"",
        ".s | test(\"x\")",
    ] {
        let rounds = 20_000u32;
        let start = std::time::Instant::now();
        for _ in 0..200 {
            let _ = Expr::compile(text, &["x"]);
        }
        let compiling = start.elapsed() / 200;
        let Ok(expr) = Expr::compile(text, &["x"]) else {
            continue;
        };
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            let _ = expr.eval(&input, &NoArguments);
        }
        println!("{text}: compile {compiling:?}, evaluate {:?}", start.elapsed() / rounds);
    }
}
