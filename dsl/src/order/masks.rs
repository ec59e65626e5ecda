//! What of an answer may not be shown: the secrets that the call was made with (language, section 12).
//!
//! Owns the forms in which a secret may come back. Reads no secrets itself.

use std::fmt;
use std::sync::Arc;

use super::Outcome;
use crate::fault::Fault;
use crate::value::{Map, Value};

/// What stands in place of a secret.
pub const MASK: &str = "***";
/// Shorter texts are not masked: they would hide what is no secret.
const SHORTEST: usize = 4;

/// The texts to hide in an outcome; prints without them.
#[derive(Clone, Default)]
pub struct Masks(Option<Arc<[String]>>);

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masks({})", self.0.as_ref().map_or(0, |texts| texts.len()))
    }
}

impl Masks {
    /// Hides every text in these values, at every depth, as it is and as it stands in a URI or in JSON.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a Value>) -> Masks {
        let mut texts = Vec::new();
        secrets.into_iter().for_each(|secret| leaves(secret, &mut texts));
        // The longest first, so that no part of one is left behind.
        texts.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        texts.dedup();
        Masks((!texts.is_empty()).then(|| texts.into()))
    }

    /// The text without the secrets.
    #[must_use]
    pub fn text(&self, text: String) -> String {
        let hidden = self.0.as_ref().and_then(|texts| text_without(&text, texts));
        hidden.map_or(text, |hidden| hidden.to_string())
    }

    /// The outcome without the secrets.
    #[must_use]
    pub fn hide(&self, outcome: Outcome) -> Outcome {
        let Some(texts) = &self.0 else { return outcome };
        match outcome {
            Outcome::Done(value) => Outcome::Done(value_without(&value, texts)),
            Outcome::Later => Outcome::Later,
            Outcome::Failed(fault) => {
                let hidden =
                    |text: Option<Arc<str>>| text.map(|text| text_without(&text, texts).unwrap_or(text));
                Outcome::Failed(Fault { title: hidden(fault.title), detail: hidden(fault.detail), ..fault })
            }
        }
    }
}

fn leaves(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() >= SHORTEST => {
            let json = value.to_string();
            let encoded: String = text.bytes().map(percent).collect();
            texts.extend([text.to_string(), json[1..json.len() - 1].to_owned(), encoded]);
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(item, texts)),
        Value::Object(map) => map.values().for_each(|item| leaves(item, texts)),
        _ => {}
    }
}

/// A byte as it stands in a part of a URI (RFC 3986).
fn percent(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

fn text_without(text: &str, secrets: &[String]) -> Option<Arc<str>> {
    let found = secrets.iter().any(|secret| text.contains(secret.as_str()));
    found.then(|| secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK)).into())
}

fn value_without(value: &Value, secrets: &[String]) -> Value {
    match value {
        Value::String(text) => text_without(text, secrets).map_or_else(|| value.clone(), Value::String),
        Value::Array(items) => {
            items.iter().map(|item| value_without(item, secrets)).collect::<Vec<_>>().into()
        }
        Value::Object(map) => {
            let member = |(key, item): (&Arc<str>, &Value)| {
                (text_without(key, secrets).unwrap_or_else(|| key.clone()), value_without(item, secrets))
            };
            map.iter().map(member).collect::<Map>().into()
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_in_every_form() {
        let secret =
            Value::parse(br#"{"user":"ann","token":"p\"ss/w rd","more":["p\"ss/w rd and more"]}"#).unwrap();
        let masks = Masks::of([&secret]);
        let check = |given: &str, expected: &str| {
            let hidden = masks.hide(Outcome::Done(Value::parse(given.as_bytes()).unwrap()));
            assert_eq!(hidden, Outcome::Done(Value::parse(expected.as_bytes()).unwrap()), "{given}");
        };
        check(r#"{"a":"x p\"ss/w rd y","b":[1,"ann"]}"#, r#"{"a":"x *** y","b":[1,"ann"]}"#);
        check(r#""http://h?q=p%22ss%2Fw%20rd""#, r#""http://h?q=***""#);
        check(r#""{\"t\":\"p\\\"ss/w rd\"}""#, r#""{\"t\":\"***\"}""#);
        check(r#"{"p\"ss/w rd and more":null}"#, r#"{"***":null}"#);
        let Outcome::Failed(fault) = masks.hide(Outcome::Failed(Fault::runtime("no p\"ss/w rd"))) else {
            panic!()
        };
        assert_eq!(fault.detail.as_deref(), Some("no ***"));
        assert!(!format!("{masks:?}").contains("ss/w"));
        assert_eq!(Masks::default().hide(Outcome::Done(Value::Null)), Outcome::Done(Value::Null));
    }
}
