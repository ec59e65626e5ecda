//! Members of bodies that may be written in two ways: one text or several, a rate as text or as a number a second.
//!
//! Owns the reading only; every other form is refused with what is expected.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// One text, or a list of texts.
pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Texts;
    impl<'de> Visitor<'de> for Texts {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a list of texts")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(vec![text.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
            let mut all = Vec::new();
            while let Some(item) = items.next_element()? {
                all.push(item);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_any(Texts)
}

/// A rate as text (`100/s`), or as a number of steps a second; its text.
pub(super) fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Rate;
    impl Visitor<'_> for Rate {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a rate such as 100/s, or a number a second")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Option<String>, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Option<String>, E> {
            Ok(Some(format!("{number}/s")))
        }

        fn visit_unit<E: Error>(self) -> Result<Option<String>, E> {
            Ok(None)
        }
    }
    deserializer.deserialize_any(Rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_read() {
        let texts = |json: &str| {
            texts(&mut serde_json::Deserializer::from_str(json)).map_err(|error| error.to_string())
        };
        assert_eq!(texts("\"a\""), Ok(vec!["a".to_owned()]));
        assert_eq!(texts("[\"a\",\"b\"]"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert!(texts("7").unwrap_err().contains("a text or a list of texts"));
        let rate = |json: &str| {
            rate(&mut serde_json::Deserializer::from_str(json)).map_err(|error| error.to_string())
        };
        assert_eq!(rate("\"5/m\""), Ok(Some("5/m".to_owned())));
        assert_eq!(rate("10"), Ok(Some("10/s".to_owned())));
        assert!(rate("[]").unwrap_err().contains("a rate such as 100/s"));
    }
}
