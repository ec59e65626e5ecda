//! `eval cesql` and `eval pattern`: what a trigger's rule is made of, tried without a trigger.

use tidemill_dsl::cesql::{ErrorKind, Expr, SyntaxError};
use tidemill_dsl::diagnostic::Diagnostic;
use tidemill_dsl::event::Event;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::filter::Clause;
use tidemill_dsl::pattern::{self, Pattern};
use tidemill_dsl::reader::{Place, Sink};
use tidemill_dsl::value::{Map, Value};
use tidemill_dsl::yaml;

use super::super::args::{CesqlArgs, Form, PatternArgs};
use super::super::exit::{FAILURE, Failure, OK, Outcome, USAGE};
use super::super::{input, output};
use super::lines;

/// `eval cesql`. The answer goes to standard output in any case: an expression always gives a value.
pub(super) fn cesql(args: &CesqlArgs, form: Option<Form>) -> Outcome {
    if args.jsonl {
        return lines(args.input.as_deref(), |line| {
            reply(request(line).and_then(|request| cesql_request(&request, args.expression.as_deref())))
        });
    }
    let next = "tidemill eval cesql \"type = 'a'\" --input EVENT";
    let Some(expression) = &args.expression else {
        return Err(Failure::new(USAGE, "evaluate without an expression").try_next(next));
    };
    let given = match &args.input {
        Some(path) => Some(input::json(Some(&input::read(path)?), Value::Null)?),
        None => None,
    };
    let event = event(given.as_ref()).map_err(|fault| failed(&fault))?;
    output::object(form.or(Some(Form::Json)), &evaluated(expression, &event), "/value");
    match Expr::parse(expression) {
        Ok(_) => Ok(OK),
        Err(error) => Err(Failure::whole(FAILURE, shown(expression, &error)).try_next(next)),
    }
}

/// `eval pattern`.
pub(super) fn pattern(args: &PatternArgs, form: Option<Form>) -> Outcome {
    if args.jsonl {
        return lines(args.input.as_deref(), |line| {
            reply(request(line).and_then(|request| pattern_request(&request, args.pattern.as_deref())))
        });
    }
    let next = "tidemill eval pattern '{country: [de]}' --input PAYLOAD";
    let Some(text) = &args.pattern else {
        return Err(Failure::new(USAGE, "judge without a pattern").try_next(next));
    };
    let data = match &args.input {
        Some(path) => input::json(Some(&input::read(path)?), Value::Null)?,
        None => Value::Null,
    };
    match read(text) {
        Ok(pattern) => {
            output::object(form.or(Some(Form::Json)), &judged(&pattern, &data), "/match");
            Ok(OK)
        }
        Err(found) => {
            let told: String = found.iter().map(|d| d.render("pattern", text)).collect();
            Err(Failure::whole(FAILURE, told.trim_end()).try_next(next))
        }
    }
}

fn reply(answer: Result<Value, Fault>) -> Value {
    answer.unwrap_or_else(|fault| Value::object([("error", fault.to_value())]))
}

fn request(line: &str) -> Result<Value, Fault> {
    Value::parse(line.as_bytes()).map_err(|error| bad(&error.to_string()))
}

fn bad(what: &str) -> Fault {
    Fault::configuration(format!("cannot read the request: {what}"))
}

fn failed(fault: &Fault) -> Failure {
    Failure::whole(
        FAILURE,
        format!("error: {}", fault.detail.as_deref().unwrap_or("the event cannot be read")),
    )
    .try_next("give a CloudEvent as JSON: {\"type\": \"order.paid\", \"source\": \"/shop\", \"id\": \"1\"}")
}

/// `{"expression", "event"}` to `{"value", "type", "errors"}`.
fn cesql_request(request: &Value, default: Option<&str>) -> Result<Value, Fault> {
    let expression = request.get("expression").and_then(Value::as_str).or(default);
    let expression = expression.ok_or_else(|| bad("it has no text `expression`"))?;
    Ok(evaluated(expression, &event(request.get("event").filter(|event| !event.is_null()))?))
}

fn evaluated(expression: &str, event: &Event) -> Value {
    let told = |value: Value, kind: &str, errors: &[ErrorKind]| {
        let errors = Value::array(errors.iter().map(|error| Value::text(error.as_str())));
        Value::object([("value", value), ("type", Value::text(kind)), ("errors", errors)])
    };
    match Expr::parse(expression) {
        Ok(expr) => {
            let outcome = expr.eval(event);
            told(outcome.value.to_value(), outcome.value.kind(), &outcome.errors)
        }
        Err(_) => told(Value::Bool(false), "boolean", &[ErrorKind::Parse]),
    }
}

/// The event; attributes that every event has may be left out.
fn event(given: Option<&Value>) -> Result<Event, Fault> {
    let mut map = match given {
        None => Map::new(),
        Some(Value::Object(map)) => (**map).clone(),
        Some(_) => return Err(bad("the event is no object")),
    };
    for (key, default) in [("specversion", "1.0"), ("id", "test"), ("source", "/test"), ("type", "test")] {
        map.entry(key.into()).or_insert_with(|| Value::text(default));
    }
    Event::from_value(&map.into()).map_err(|error| bad(&error.to_string()))
}

/// The mistake with a mark below its place.
fn shown(expression: &str, error: &SyntaxError) -> String {
    let line_start = expression[..error.offset].rfind('\n').map_or(0, |at| at + 1);
    let line = expression[line_start..].lines().next().unwrap_or_default();
    let blanks = " ".repeat(expression[line_start..error.offset].chars().count());
    let help = error.help.map(|help| format!("\n  = help: {help}")).unwrap_or_default();
    format!("error: {}\n  |\n  | {line}\n  | {blanks}^{help}", error.message)
}

/// `{"pattern", "data"}` to `{"match", "clauses"}`.
fn pattern_request(request: &Value, default: Option<&str>) -> Result<Value, Fault> {
    let text = match (request.get("pattern"), default) {
        (Some(Value::String(text)), _) => text.to_string(),
        (Some(pattern), _) => pattern.to_string(),
        (None, Some(text)) => text.to_owned(),
        (None, None) => return Err(bad("it has no `pattern`")),
    };
    let pattern = read(&text).map_err(|found| {
        let first = found.first().map(|d| format!("[{}] {}", d.code, d.message)).unwrap_or_default();
        Fault::configuration(format!("cannot read the pattern: {first}"))
    })?;
    Ok(judged(&pattern, request.get("data").unwrap_or(&Value::Null)))
}

fn read(text: &str) -> Result<Pattern, Vec<Diagnostic>> {
    let node = yaml::parse(text)?;
    let sink = Sink::new(text);
    let pattern = pattern::read(&Place::root(&node), &sink);
    pattern.ok_or_else(|| sink.into_diagnostics())
}

fn judged(pattern: &Pattern, data: &Value) -> Value {
    let clauses = pattern.clauses("", data).into_iter().map(clause);
    Value::object([
        ("match", Value::Bool(pattern.holds(data))),
        ("clauses", Value::array(clauses.collect::<Vec<_>>())),
    ])
}

fn clause(clause: Clause) -> Value {
    let mut map = Map::with_capacity(4);
    map.insert("path".into(), Value::text(clause.path));
    map.insert("test".into(), Value::text(clause.test));
    map.extend(clause.actual.map(|actual| ("actual".into(), actual)));
    map.insert("verdict".into(), Value::text(clause.verdict.as_str()));
    map.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_requests() {
        let ask = |answer: fn(&Value, Option<&str>) -> Result<Value, Fault>, line: &str| {
            reply(request(line).and_then(|request| answer(&request, None))).to_string()
        };
        let cesql = |line: &str, expected: &str| assert_eq!(ask(cesql_request, line), expected, "{line}");
        cesql(r#"{"expression": "1 + 1"}"#, r#"{"value":2,"type":"integer","errors":[]}"#);
        cesql(
            r#"{"expression": "subject", "event": {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}}"#,
            r#"{"value":false,"type":"boolean","errors":["missingAttribute"]}"#,
        );
        cesql(r#"{"expression": "ABC("}"#, r#"{"value":false,"type":"boolean","errors":["parse"]}"#);
        cesql(
            r#"{"expression": "CONCAT(type, myint)", "event": {"type": "t", "myint": 3}}"#,
            r#"{"value":"t3","type":"string","errors":[]}"#,
        );
        let pattern = |line: &str, expected: &str| assert_eq!(ask(pattern_request, line), expected, "{line}");
        pattern(
            r#"{"pattern": {"a": ["x", {"prefix": "\ud83d\ude00"}]}, "data": {"a": "\ud83d\ude00!"}}"#,
            r#"{"match":true,"clauses":[{"path":"/a","test":"equals \"x\", or begins with \"😀\"","actual":"😀!","verdict":"pass"}]}"#,
        );
        pattern(
            r#"{"pattern": {"a": [1]}}"#,
            r#"{"match":false,"clauses":[{"path":"/a","test":"equals 1","verdict":"fail"}]}"#,
        );
        for line in [r#"{"pattern": {"a": 1}}"#, r#"{"pattern": []}"#, "{}", "{"] {
            assert!(ask(pattern_request, line).starts_with(r#"{"error":{"type":"#), "{line}");
        }
    }

    #[test]
    fn a_mistake_is_shown_with_its_place() {
        let check = |expression: &str, expected: &str| {
            assert_eq!(shown(expression, &Expr::parse(expression).unwrap_err()), expected);
        };
        check(
            "type = 'a' AND",
            "error: expected a value, found the end\n  |\n  | type = 'a' AND\n  |               ^",
        );
        check("a\n && b", "error: unexpected `&&`\n  |\n  |  && b\n  |  ^\n  = help: the operator is AND");
    }
}
