//! Names that do not exist, and text that is no jq.

use super::*;

fn check_error(text: &str, message: &str, offset: Option<usize>, help: Option<&str>) {
    let error = Expr::compile(text, &["input", "context"]).expect_err(text);
    assert_eq!(
        (error.message.as_str(), error.offset, error.help.as_deref()),
        (message, offset, help),
        "{text}"
    );
}

#[test]
fn unknown_names_are_refused_with_their_place() {
    check_error("$inputs.a", "unknown variable `$inputs`", Some(0), Some("did you mean `$input`?"));
    check_error(
        ".a | $zzzzz",
        "unknown variable `$zzzzz`",
        Some(5),
        Some("variables here: $input, $context"),
    );
    check_error("$ENV", "unknown variable `$ENV`", Some(0), Some("variables here: $input, $context"));
    check_error("{$contxt}", "unknown variable `$contxt`", Some(1), Some("did you mean `$context`?"));
    check_error("1 as $x | $y", "unknown variable `$y`", Some(10), Some("did you mean `$x`?"));
    check_error(
        "(1 as $x | $x) | $x",
        "unknown variable `$x`",
        Some(17),
        Some("variables here: $input, $context"),
    );
    check_error("map(lenght)", "unknown function `lenght/0`", Some(4), Some("did you mean `length`?"));
    check_error("map", "unknown function `map/0`", Some(0), Some("`map` takes 1 arguments"));
    check_error(
        "range(1;2;3;4)",
        "unknown function `range/4`",
        Some(0),
        Some("`range` takes 1 or 2 or 3 arguments"),
    );
    check_error("def f: 1; g", "unknown function `g/0`", Some(10), Some("did you mean `f`?"));
    check_error("\"\\(nope_nope)\"", "unknown function `nope_nope/0`", Some(3), None);
    check_error("@zzz \"a\"", "unknown function `@zzz/0`", Some(0), None);
    check_error("break $x", "unknown label `$x`", Some(6), None);
    check_error("reduce . as $x (1)", "reduce takes 2 filters", Some(0), None);
}

#[test]
fn what_reaches_outside_does_not_exist() {
    for name in [
        "halt",
        "halt_error",
        "env",
        "debug",
        "stderr",
        "input",
        "inputs",
        "input_filename",
        "input_line_number",
        "now",
        "localtime",
        "repl",
        "get_search_list",
        "_tick",
        "_guard",
        "_match",
        "_assign",
        "uuid",
        "modulemeta",
    ] {
        let error = Expr::compile(name, &[]).expect_err(name);
        assert_eq!(error.message, format!("unknown function `{name}/0`"));
    }
    for text in [
        "halt_error(1)",
        "debug(.)",
        "strflocaltime(\"%Y\")",
        "\"x\" | _match(\"a\"; \"\"; true)",
        "error_empty",
    ] {
        assert!(Expr::compile(text, &[]).is_err(), "{text}");
    }
    for text in ["import \"a\" as a; .", "include \"a\"; .", "a::b"] {
        assert!(Expr::compile(text, &[]).is_err(), "{text}");
    }
}

#[test]
fn programs_cannot_reach_the_functions_of_the_prelude() {
    check("def _tick: 7; def f: 1, f; [limit(3; f)]", "null", "[1,1,1]");
    check("def _charge: error(\"x\"); [2,1] | sort_by(.)", "null", "[1,2]");
    check("def map(f): \"own\"; map(1), ([1] | map_values(. + 1))", "null", "\"own\" [2]");
}

#[test]
fn mistakes_of_syntax_have_a_place() {
    check_error(".a +", "syntax error: expected term, found the end", Some(4), None);
    check_error("", "syntax error: expected term, found the end", Some(0), None);
    check_error(".a )", "syntax error: expected token, found `)`", Some(3), None);
    check_error("(.a", "syntax error: expected closing parenthesis, found the end", Some(3), None);
    check_error("if . then", "syntax error: expected term, found the end", Some(9), None);
    check_error(".a .b c", "syntax error: expected nothing, found `c`", Some(6), None);
    check_error("\"a", "syntax error: expected closing quote, found the end", Some(2), None);
    check_error("{a:}", "syntax error: expected term, found `}`", Some(3), None);
}

#[test]
fn arguments_are_found_and_only_those_used_are_looked_up() {
    struct Only(std::cell::RefCell<Vec<String>>);
    impl Arguments for Only {
        fn get(&self, name: &str) -> Option<Value> {
            self.0.borrow_mut().push(name.to_owned());
            (name == "a").then(|| Value::from(1i64))
        }
    }
    let args = Only(std::cell::RefCell::default());
    let expr = Expr::compile("[$a, ($a | . + 1)] | map(.)", &["a", "b"]).expect("compiles");
    assert_eq!(expr.eval(&Value::Null, &args).map(|value| value.to_string()), Ok("[1,2]".to_owned()));
    assert_eq!(*args.0.borrow(), ["a"]);
    assert_eq!((expr.uses("a"), expr.uses("b"), expr.text()), (true, false, "[$a, ($a | . + 1)] | map(.)"));
    for text in ["$b", "$b | map(.)"] {
        let fault =
            Expr::compile(text, &["b"]).expect("compiles").eval(&Value::Null, &args).expect_err("no value");
        assert!(fault.to_string().contains("variable $b has no value here"), "{fault}");
    }
}

#[test]
fn expressions_can_be_shared_between_threads() {
    fn check<T: Send + Sync + Clone>() {}
    check::<Expr>();
    check::<Template>();
}
