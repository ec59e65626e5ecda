//! Tests of expressions: what they give, what is refused, and that limits hold.

use super::*;

struct Given(Value);

impl Arguments for Given {
    fn get(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }
}

fn value(json: &str) -> Value {
    Value::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// Evaluates `text` on `input` with `$x` = 5 and `$o` = {"a":[1,2]}; all results, or the fault.
fn run(text: &str, input: &str) -> Result<String, String> {
    let expr = Expr::compile(text, &["x", "o"]).map_err(|error| error.to_string())?;
    let args = Given(value(r#"{"x":5,"o":{"a":[1,2]}}"#));
    let results = expr.eval_all(&value(input), &args, 10_000).map_err(|fault| fault.to_string())?;
    Ok(results.iter().map(Value::to_string).collect::<Vec<_>>().join(" "))
}

fn check(text: &str, input: &str, expected: &str) {
    assert_eq!(run(text, input).as_deref(), Ok(expected), "{input} | {text}");
}

fn check_fault(text: &str, input: &str, part: &str) {
    match run(text, input) {
        Ok(got) => panic!("{input} | {text} gave {got}"),
        Err(fault) => assert!(fault.contains(part), "{input} | {text}: {fault}"),
    }
}

#[test]
fn paths_and_construction() {
    check(".", "[1]", "[1]");
    check(".a.b[0]", r#"{"a":{"b":[7]}}"#, "7");
    check(".a + 1", r#"{"a":1}"#, "2");
    check("$o.a[-1], $x", "null", "2 5");
    check("{a: .b, c, $x, (\"d\" + \"e\"): [.b, 1]}", r#"{"b":1,"c":2}"#, r#"{"a":1,"c":2,"x":5,"de":[1,1]}"#);
}
