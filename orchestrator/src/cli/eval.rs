//! `eval`: expressions and patterns as workflows and triggers judge them, tried without one. With `--jsonl` one request
//! a line in, one answer a line out, in order.
//!
//! Owns the forms of requests and answers. Evaluation is the language's.

mod rules;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use tidemill_dsl::expr::{Arguments, Expr};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::value::Value;

use super::args::{EvalArgs, EvalVerb, Form, Shared};
use super::exit::{FAILURE, Failure, OK, Outcome, USAGE};
use super::input;
use super::output;

/// Stack of the thread that evaluates, that of a lane: expressions recurse.
const STACK: usize = 128 * 1024 * 1024;
/// Results of `all` at most (limit `eval-results`).
const RESULTS: usize = 100_000;

/// Named values, without `$`.
struct Named(BTreeMap<String, Value>);

impl Arguments for Named {
    fn get(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }
}

pub(super) fn run(verb: EvalVerb, shared: &Shared) -> Outcome {
    let form = shared.output;
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || match verb {
        EvalVerb::Jq(args) if args.jsonl => lines(args.input.as_deref(), |line| answer(line, &args)),
        EvalVerb::Jq(args) => one(&args, form),
        EvalVerb::Cesql(args) => rules::cesql(&args, form),
        EvalVerb::Pattern(args) => rules::pattern(&args, form),
    });
    let thread = thread.map_err(|error| Failure::new(FAILURE, format!("start a thread: {error}")))?;
    thread.join().unwrap_or_else(|_| Err(Failure::new(FAILURE, "evaluate: the evaluator failed")))
}

fn one(args: &EvalArgs, form: Option<Form>) -> Outcome {
    let Some(expression) = &args.expression else {
        return Err(Failure::new(USAGE, "evaluate without an expression")
            .try_next("tidemill eval jq '.a + 1' --input FILE"));
    };
    let input = match &args.input {
        Some(path) => input::json(Some(&input::read(path)?), Value::Null)?,
        None => Value::Null,
    };
    let mut named = BTreeMap::new();
    for argument in &args.argument {
        let (name, value) = input::pair(argument, "an argument")?;
        named.insert(name.trim_start_matches('$').to_owned(), input::json(Some(value), Value::Null)?);
    }
    let results = evaluate(expression, &input, &Named(named), args.all).map_err(|fault| {
        let text = format!("error: {}", fault.detail.as_deref().unwrap_or("the expression failed"));
        Failure::whole(FAILURE, text).try_next("tidemill eval jq '.' --input FILE to see the input")
    })?;
    for result in results {
        output::object(form.or(Some(Form::Json)), &result, "");
    }
    Ok(OK)
}

fn lines(input: Option<&Path>, answer: impl Fn(&str) -> Value) -> Outcome {
    let file = match input.filter(|path| path.as_os_str() != "-") {
        Some(path) => {
            let opened = std::fs::File::open(path);
            Some(opened.map_err(|error| Failure::new(USAGE, format!("read {}: {error}", path.display())))?)
        }
        None => None,
    };
    let lines: Box<dyn Iterator<Item = std::io::Result<String>>> = match file {
        Some(file) => Box::new(std::io::BufReader::new(file).lines()),
        None => Box::new(std::io::stdin().lock().lines()),
    };
    for line in lines {
        let line = line.map_err(|error| Failure::new(USAGE, format!("read the requests: {error}")))?;
        if !line.trim().is_empty() {
            output::line(&answer(&line).to_string());
        }
    }
    Ok(OK)
}

/// `{"expression", "input", "arguments", "all"}` to `{"value"}`, `{"values"}` or `{"error"}`.
fn answer(line: &str, args: &EvalArgs) -> Value {
    match requested(line, args) {
        Ok(answer) => answer,
        Err(fault) => Value::object([("error", fault.to_value())]),
    }
}

fn requested(line: &str, args: &EvalArgs) -> Result<Value, Fault> {
    let bad = |what: &str| Fault::configuration(format!("cannot read the request: {what}"));
    let request = Value::parse(line.as_bytes()).map_err(|error| bad(&error.to_string()))?;
    let expression = request.get("expression").and_then(Value::as_str).or(args.expression.as_deref());
    let expression = expression.ok_or_else(|| bad("it has no text `expression`"))?;
    let input = request.get("input").cloned().unwrap_or_default();
    let members = request.get("arguments").and_then(Value::as_object);
    let named = members
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.trim_start_matches('$').to_owned(), value.clone()));
    let all = args.all || request.get("all").and_then(Value::as_bool).unwrap_or_default();
    let mut results = evaluate(expression, &input, &Named(named.collect()), all)?;
    Ok(if all {
        Value::object([("values", Value::array(results))])
    } else {
        Value::object([("value", results.pop().unwrap_or_default())])
    })
}

/// Evaluates bare jq, or jq in `${ }`, to one result or to all of them.
fn evaluate(expression: &str, input: &Value, named: &Named, all: bool) -> Result<Vec<Value>, Fault> {
    let known: Vec<&str> = named.0.keys().map(String::as_str).collect();
    let trimmed = expression.trim();
    let bare = trimmed.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).unwrap_or(trimmed);
    let compiled = Expr::compile(bare, &known).map_err(|error| Fault::expression(error.message))?;
    if all {
        compiled.eval_all(input, named, RESULTS)
    } else {
        compiled.eval(input, named).map(|value| vec![value])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_requests() {
        let args = EvalArgs { expression: None, input: None, argument: vec![], all: false, jsonl: true };
        let check = |request: &str, expected: &str| {
            let got = answer(request, &args).to_string();
            let fits = got == expected
                || expected.ends_with("...") && got.starts_with(expected.trim_end_matches("..."));
            assert!(fits, "{request}\n{got}\n{expected}");
        };
        check(r#"{"expression": ".a + 1", "input": {"a": 1}}"#, r#"{"value":2}"#);
        check(
            r#"{"expression": "${ .a }", "input": {"a": 12345678901234567890}}"#,
            r#"{"value":12345678901234567890}"#,
        );
        check(r#"{"expression": "$x + .", "input": 1, "arguments": {"$x": 2}}"#, r#"{"value":3}"#);
        check(r#"{"expression": ".[]", "input": [1, 2], "all": true}"#, r#"{"values":[1,2]}"#);
        check(r#"{"expression": "empty", "all": true}"#, r#"{"values":[]}"#);
        let fault =
            r#"{"error":{"type":"https://open-workflow-specification.org/spec/1.0.0/errors/expression",..."#;
        check(r#"{"expression": ".a +", "input": {}}"#, fault);
        check(r#"{"expression": "$nobody"}"#, fault);
        check(r#"{"expression": "error(\"no\")"}"#, fault);
        check(
            "{",
            r#"{"error":{"type":"https://open-workflow-specification.org/spec/1.0.0/errors/configuration",..."#,
        );
    }
}
