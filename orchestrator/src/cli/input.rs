//! What is read from the command line and from standard input: JSON values, answers to questions.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use tidemill_dsl::value::Value;

use super::exit::{Failure, INTERRUPTED, LINT, USAGE};

/// A JSON value given as text, as `@FILE` or as `-` for standard input; `default` if none was given.
pub(super) fn json(given: Option<&str>, default: Value) -> Result<Value, Failure> {
    let Some(given) = given else { return Ok(default) };
    let (name, text) = match given {
        "-" => ("standard input".to_owned(), read(Path::new("-"))?),
        _ => match given.strip_prefix('@') {
            Some(path) => (path.to_owned(), read(Path::new(path))?),
            None => ("the value given".to_owned(), given.to_owned()),
        },
    };
    Value::parse(text.as_bytes()).map_err(|error| {
        Failure::new(LINT, format!("read {name} as JSON: {error}"))
            .try_next(r#"write it like '{"name": "value"}', or @FILE"#)
    })
}

/// The text of a file, or of standard input for `-`.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|error| {
        Failure::new(USAGE, format!("read {}: {error}", path.display()))
            .try_next("name a text file that is there")
    })
}

/// Asks before something is destroyed. Without a terminal there is nobody to ask, so `--yes` is needed.
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(
            Failure::new(USAGE, format!("{question} without being told to")).try_next("the same with --yes")
        );
    }
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "{question}? [y/N] ").and_then(|()| err.flush());
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Failure::whole(INTERRUPTED, "nothing was changed"))
    }
}

/// `NAME=VALUE`.
pub(super) fn pair<'a>(text: &'a str, what: &str) -> Result<(&'a str, &'a str), Failure> {
    text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
        Failure::new(USAGE, format!("read `{text}` as {what}")).try_next("write it like NAME=VALUE")
    })
}

/// The value of a secret: a JSON object, list or string if it is one, else the text (so `4711` stays a text).
pub(super) fn secret(text: &str) -> Value {
    let json = text.trim_start().starts_with(['{', '[', '"']);
    let value = if json { Value::parse(text.as_bytes()).ok() } else { None };
    value.unwrap_or_else(|| Value::text(text.trim_end_matches(['\n', '\r'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_given() {
        let check = |given: Option<&str>, expected: Result<&str, u8>| {
            let got = json(given, Value::object::<&str>([])).map(|v| v.to_string()).map_err(|f| f.code);
            assert_eq!(got, expected.map(str::to_owned), "{given:?}");
        };
        check(None, Ok("{}"));
        check(Some(r#"{"a": 1.5}"#), Ok(r#"{"a":1.5}"#));
        check(Some("null"), Ok("null"));
        check(Some("{"), Err(LINT));
        check(Some("@/there/is/no/such/file"), Err(USAGE));
    }

    #[test]
    fn secrets_are_json_or_text() {
        let check = |text: &str, expected: &str| assert_eq!(secret(text).to_string(), expected, "{text}");
        check("t0p\n", r#""t0p""#);
        check("4711", r#""4711""#);
        check("{broken", r#""{broken""#);
        check(r#"{"token": "x"}"#, r#"{"token":"x"}"#);
    }

    #[test]
    fn nobody_to_ask_is_a_usage_failure() {
        // The test runner gives no terminal.
        assert_eq!(confirm("cancel it", false).err().map(|f| f.code), Some(USAGE));
        assert!(confirm("cancel it", true).is_ok());
    }
}
