//! Tests of expressions: what they give, what is refused, and that limits hold.

mod differences;
mod jq;
mod limits;
mod names;
mod templates;

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

/// The arguments of these tests: `$x` = 5 and `$o` = {"a":[1,2]}.
fn given() -> Given {
    Given(value(r#"{"x":5,"o":{"a":[1,2]}}"#))
}

/// All results of `text` on `input`, or the fault or error.
fn run(text: &str, input: &str) -> Result<String, String> {
    let expr = Expr::compile(text, &["x", "o"]).map_err(|error| error.to_string())?;
    let results = expr.eval_all(&value(input), &given(), 10_000).map_err(|fault| {
        assert_eq!((fault.standard(), fault.status), (Some(crate::fault::Standard::Expression), 400));
        fault.to_string()
    })?;
    Ok(results.iter().map(Value::to_string).collect::<Vec<_>>().join(" "))
}

fn check(text: &str, input: &str, expected: &str) {
    assert_eq!(run(text, input).as_deref(), Ok(expected), "{input} | {text}");
}

fn check_fault(text: &str, input: &str, part: &str) {
    match run(text, input) {
        Ok(got) => panic!("{input} | {text} gave {}", &got[..got.len().min(200)]),
        Err(fault) => assert!(fault.contains(part), "{input} | {text}: {fault}"),
    }
}
