//! The conformance kit where it lies beside the project, and what it leaves open.

use std::fs;
use std::path::Path;

use super::*;
use crate::value::{Map, Value};
use crate::yaml::{self, Node, NodeKind};

fn event(own: &[(&str, Value)]) -> Event {
    let mut map: Map = [("specversion", "1.0"), ("id", "1"), ("source", "/s"), ("type", "t")]
        .map(|(name, text)| (name.into(), Value::text(text)))
        .into_iter()
        .collect();
    map.extend(own.iter().map(|(name, value)| ((*name).into(), value.clone())));
    Event::from_value(&map.into()).unwrap()
}

/// `VALUE` as JSON, then the errors.
fn told(expression: &str, event: &Event) -> String {
    let expr = match Expr::parse(expression) {
        Ok(expr) => expr,
        Err(error) => return format!("{} {}", error.offset, error.message),
    };
    let outcome = expr.eval(event);
    let errors: Vec<String> = outcome.errors.iter().map(|error| format!(" {}", error.as_str())).collect();
    let errors = errors.concat();
    format!("{}{errors}", outcome.value.to_value())
}

/// The text of a scalar as it stands in the file: an expression may look like a number.
fn written<'t>(node: &Node, text: &'t str) -> std::borrow::Cow<'t, str> {
    match (&node.kind, node.as_str()) {
        (NodeKind::Scalar { .. }, Some(read)) => read.to_owned().into(),
        _ => text[node.span.start..node.span.end].trim().into(),
    }
}

fn case(test: &Node, text: &str) -> Result<(), String> {
    // The kit has cases whose key is misspelt.
    let Some(expression) = test.get("expression").map(|node| written(node, text)) else { return Ok(()) };
    let object = |key: &str| test.get(key).map(Node::to_value);
    let input = match (object("event"), object("eventOverrides")) {
        (Some(whole), _) => Event::from_value(&whole).map_err(|error| format!("{error:?}"))?,
        (None, own) => {
            let own = own.and_then(|own| own.as_object().cloned()).unwrap_or_default();
            event(&own.iter().map(|(name, value)| (&**name, value.clone())).collect::<Vec<_>>())
        }
    };
    let wanted = test.get("error").and_then(Node::as_str);
    let (value, errors) = match Expr::parse(&expression) {
        Err(_) => (Value::Bool(false), vec!["parse"]),
        Ok(expr) => {
            let outcome = expr.eval(&input);
            (outcome.value.to_value(), outcome.errors.iter().map(|error| error.as_str()).collect())
        }
    };
    let fits = object("result").is_none_or(|result| result == value);
    if fits && errors == wanted.into_iter().collect::<Vec<_>>() {
        return Ok(());
    }
    Err(format!("{expression}: {value} {errors:?}, wanted {:?} {wanted:?}", object("result")))
}

#[test]
fn the_conformance_kit_holds() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(kit) = here.ancestors().map(|a| a.join("shared/conformance/cesql")).find(|p| p.is_dir()) else {
        eprintln!("SKIPPED: shared/conformance/cesql is not beside the project");
        return;
    };
    let (mut count, mut wrong) = (0, Vec::new());
    for file in fs::read_dir(kit).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let node = yaml::parse(&text).unwrap();
        let NodeKind::List(tests) = &node.get("tests").unwrap().kind else { panic!("{}", file.display()) };
        count += tests.len();
        wrong.extend(tests.iter().filter_map(|test| case(test, &text).err()));
    }
    assert!(wrong.is_empty() && count >= 160, "{count} cases: {wrong:#?}");
}

#[test]
fn values_and_errors() {
    let event = event(&[
        ("subject", Value::text("in/a.csv")),
        ("flag", Value::Bool(true)),
        ("count", Value::from(7_i64)),
    ]);
    let check =
        |expression: &str, expected: &str| assert_eq!(told(expression, &event), expected, "{expression}");
    // Unary operators bind before LIKE and comparisons; equals bind from left to right.
    check("NOT FALSE = FALSE", "false");
    check("TRUE OR FALSE AND FALSE", "false");
    check("2 + 3 * 4 - 1 = 13 AND 7 % 4 = 3", "true");
    check("-7 % 4", "-3");
    check("-7 / 2", "-3");
    check("1 - -1", "2");
    check("4-1", "3");
    check("+4", "4");
    check("-count", "-7");
    // 32 bits.
    check("-2147483648", "-2147483648");
    check("2147483648", "0 2147483648 does not fit into 32 bits");
    check("2147483647 + 1", "0 math");
    check("-2147483648 / -1", "0 math");
    check("-2147483648 % -1", "0");
    check("--2147483648", "0 math");
    check("INT('2147483648')", "0 cast");
    check("INT('+12')", "12");
    // An operator over an error gives its zero; logic goes on with what it has.
    check("1 = 1 / 0", "false math");
    check("1 != 1 / 0", "false math");
    check("missing NOT IN (1, 2)", "false missingAttribute");
    check("missing NOT LIKE 'a'", "false missingAttribute");
    check("NOT (missing = 1)", "true missingAttribute");
    check("missing OR TRUE", "false missingAttribute");
    check("TRUE OR missing", "true");
    check("(missing = 1) OR TRUE", "true missingAttribute");
    check("missing + 1 / 0", "0 missingAttribute math");
    check("LENGTH(missing)", "0 missingAttribute");
    check("UPPER(missing)", "\"\" missingAttribute");
    check("NOPE(missing)", "false missingFunction");
    check("LENGTH('a', 'b')", "false missingFunction");
    check("'abc' AND TRUE", "false cast");
    check("'abc' < 1", "false cast");
    check("'abc' = 1", "false cast");
    check("1 IN ('abc', '1')", "false cast");
    check("count IN (missing, 7)", "false missingAttribute");
    // Attributes.
    check("SUBJECT LIKE 'in/%.csv' AND flag AND count = '7'", "true");
    check("EXISTS Subject AND NOT EXISTS other", "true");
    check("'7' = count AND count = 7", "true");
    check("data", "false missingAttribute");
    // Texts.
    check("'it\\'s' = \"it's\"", "true");
    check("'a\\nb'", "\"a\\\\nb\"");
    check("SUBSTRING('\u{e4}\u{1f600}b', 2, 1)", "\"\u{1f600}\"");
    check("SUBSTRING('abc', 3)", "\"c\"");
    check("SUBSTRING('abc', 4)", "\"\" functionEvaluation");
    check("SUBSTRING('abc', 1, -1)", "\"\" functionEvaluation");
    check("CONCAT(1, TRUE, 'x')", "\"1truex\"");
    check("concat_ws('-', 'a', 'b')", "\"a-b\"");
    check("RIGHT('abc', 0)", "\"\"");
    check("ABS(-2147483648)", "2147483647 math");
}

#[test]
fn texts_that_are_no_expressions() {
    let event = event(&[]);
    let check =
        |expression: &str, expected: &str| assert_eq!(told(expression, &event), expected, "{expression}");
    check("", "0 expected a value, found the end");
    check("  ", "0 expected a value, found the end");
    check("type =", "6 expected a value, found the end");
    check("type == 'a'", "5 unexpected `==`");
    check("a && b", "2 unexpected `&&`");
    check("data.x = 1", "4 unexpected `.`");
    check("type = 'a", "7 the text has no closing quote");
    check("type 'a'", "5 expected an operator or the end, found the text 'a'");
    check("my_ext = 1", "0 `my_ext` is no name of an attribute: letters and digits only");
    check("a1(2)", "0 `a1` cannot be the name of a function");
    check("type LIKE subject", "10 expected a text in quotes as the pattern of LIKE, found `subject`");
    check("type IN 'a'", "8 expected `(`, found the text 'a'");
    check("type IN ()", "9 expected a value, found `)`");
    check("ABC(", "4 expected a value, found the end");
    check("(1", "2 expected `)`, found the end");
    check("1 2", "2 expected an operator or the end, found `2`");
    check("AND", "0 expected the name of an attribute, found `AND`");
    check(&format!("{}1{}", "(".repeat(64), ")".repeat(64)), "1");
    check(&format!("{}1{}", "(".repeat(65), ")".repeat(65)), "65 more than 64 levels (limit cesql-nesting)");
    check(&format!("1{}", "+1".repeat(499)), "500");
    check(
        &format!("1{}", "+1".repeat(500)),
        "1000 the expression has more than 1000 tokens (limit cesql-tokens)",
    );
}

#[test]
fn a_filter_passes_when_it_is_true_without_errors() {
    let check = |expression: &str, expected: bool| {
        assert_eq!(Expr::parse(expression).unwrap().holds(&event(&[])), expected, "{expression}");
    };
    check("type = 't'", true);
    check("type = 'u'", false);
    check("1", false);
    check("'true'", false);
    check("(missing = 1) OR TRUE", false);
}

#[test]
fn what_an_expression_says_of_an_attribute() {
    let check = |expression: &str, expected: Option<&[&str]>| {
        let pins = Expr::parse(expression).unwrap().pins("type");
        let pins: Option<Vec<&str>> = pins.as_ref().map(|pins| pins.iter().map(|text| &**text).collect());
        assert_eq!(pins.as_deref(), expected, "{expression}");
    };
    check("type = 'a'", Some(&["a"]));
    check("TYPE = 'a' AND subject LIKE 'x%'", Some(&["a"]));
    check("type = 'b' OR type = 'a'", Some(&["a", "b"]));
    check("type IN ('b', 'a', 'b')", Some(&["a", "b"]));
    check("type NOT IN ('a', 'b')", None);
    check("type = 'a' OR subject = 'x'", None);
    check("NOT type = 'a'", None);
    check("type != 'a'", None);
}
