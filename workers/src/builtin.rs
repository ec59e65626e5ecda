//! Functions that come with Tidemill: echo, sleep, fail (tests and demos).
//!
//! Owns their meaning. Whether they are answered on the spot is the pool's affair.

use std::time::Duration;

use tidemill_dsl::duration;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::order::{Call, Order, Outcome};
use tidemill_dsl::value::Value;
use tokio_util::sync::CancellationToken;

use crate::{BoxFuture, Function};

/// A built-in function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    /// Returns its input.
    Echo,
    /// Waits for the duration its input names, then returns the input: a text (`PT1S`, `100ms`), a number of
    /// seconds, `{duration: ...}`, or an object of days, hours, minutes, seconds, milliseconds (also `ms`).
    Sleep,
    /// Fails with the error its input holds (the input itself or its member `error`), else with a runtime error.
    Fail,
}

impl Builtin {
    /// The builtin of a manifest's `builtin: NAME`.
    pub fn named(name: &str) -> Option<Builtin> {
        match name {
            "echo" => Some(Builtin::Echo),
            "sleep" => Some(Builtin::Sleep),
            "fail" => Some(Builtin::Fail),
            _ => None,
        }
    }

    /// The outcome, if none has to be waited for.
    pub fn at_once(self, input: &Value) -> Option<Outcome> {
        match self {
            Builtin::Echo => Some(Outcome::Done(input.clone())),
            Builtin::Fail => Some(Outcome::Failed(error_of(input))),
            Builtin::Sleep => match how_long(input) {
                Err(fault) => Some(Outcome::Failed(fault)),
                Ok(Duration::ZERO) => Some(Outcome::Done(input.clone())),
                Ok(_) => None,
            },
        }
    }

    async fn perform(self, order: Order) -> Outcome {
        let Call::Function { input, .. } = order.what else {
            return Outcome::Failed(Fault::runtime("a request was handed to a function"));
        };
        if let Some(outcome) = self.at_once(&input) {
            return outcome;
        }
        if let Ok(pause) = how_long(&input) {
            tokio::time::sleep(pause).await;
        }
        Outcome::Done(input)
    }
}

impl Function for Builtin {
    fn call(&self, order: Order, stop: CancellationToken) -> BoxFuture<'_, Outcome> {
        Box::pin(crate::cut_off(stop, self.perform(order)))
    }
}

fn error_of(input: &Value) -> Fault {
    let names = ["type", "status", "title", "detail"];
    let error = input.get("error").unwrap_or(input);
    match error {
        Value::String(text) => Fault::runtime(text.clone()),
        Value::Object(map) if names.iter().any(|name| map.contains_key(*name)) => Fault::from_value(error),
        _ => Fault::runtime("the builtin `fail` fails always"),
    }
}

fn how_long(input: &Value) -> Result<Duration, Fault> {
    let told = input.get("duration").unwrap_or(input);
    let read = match told {
        Value::Number(_) => told
            .as_f64()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .ok_or_else(|| "a number of seconds is not negative".to_owned()),
        Value::String(text) => duration::parse_human(text)
            .or_else(|_| duration::parse_iso(text))
            .map_err(|error| error.to_string()),
        Value::Object(map) => match map.get("ms") {
            Some(ms) => ms
                .as_i64()
                .and_then(|ms| u64::try_from(ms).ok())
                .map(Duration::from_millis)
                .ok_or_else(|| "`ms` is a whole number, not negative".to_owned()),
            None => duration::parse_object(told).map_err(|error| error.to_string()),
        },
        _ => Err("expected a duration such as PT1S, 100ms or {seconds: 1}".to_owned()),
    };
    read.map_err(|error| Fault::validation(format!("cannot read how long to sleep: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{json, order_with};

    #[test]
    fn durations() {
        let check = |input: &str, expected: Option<u64>| {
            let said = how_long(&json(input)).ok();
            assert_eq!(said, expected.map(Duration::from_millis), "{input}");
        };
        check(r#""PT1.5S""#, Some(1500));
        check(r#""100ms""#, Some(100));
        check(r#"{"duration":"2s"}"#, Some(2000));
        check(r#"{"duration":{"seconds":1}}"#, Some(1000));
        check(r#"{"seconds":1,"milliseconds":5}"#, Some(1005));
        check(r#"{"ms":7}"#, Some(7));
        check("0.25", Some(250));
        check("-1", None);
        check("null", None);
        check(r#"{"ms":-1}"#, None);
    }

    #[test]
    fn failures() {
        let check = |input: &str, status: i64, detail: Option<&str>| {
            let fault = error_of(&json(input));
            assert_eq!((fault.status, fault.detail.as_deref()), (status, detail), "{input}");
        };
        check("null", 500, Some("the builtin `fail` fails always"));
        check(r#"{"a":1}"#, 500, Some("the builtin `fail` fails always"));
        check(r#""no luck""#, 500, Some("no luck"));
        check(r#"{"status":404,"detail":"gone"}"#, 404, Some("gone"));
        check(r#"{"error":{"type":"https://example.com/x","status":418}}"#, 418, None);
    }

    #[tokio::test]
    async fn sleep_and_echo_give_their_input_back() {
        let input = json(r#"{"ms":1,"a":2}"#);
        for builtin in [Builtin::Echo, Builtin::Sleep] {
            let said = builtin.call(order_with(input.clone()), CancellationToken::new()).await;
            assert_eq!(said, Outcome::Done(input.clone()));
        }
    }

    #[tokio::test]
    async fn a_sleep_is_cut_off() {
        let stop = CancellationToken::new();
        stop.cancel();
        let said = Builtin::Sleep.call(order_with(json("3600")), stop).await;
        assert!(matches!(said, Outcome::Failed(_)));
    }
}
