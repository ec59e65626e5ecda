//! Texts that are valid and rarely meant: warnings about single values (dsl.md sections 3 and 5).
//!
//! Owns the questions about one text; those about tasks are in [`crate::check`]. Refuses nothing.

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::expr::{Expr, whole};
use crate::reader::{Place, Sink};
use crate::value::Value;
use crate::yaml::NodeKind;

use super::scope::ARGUMENTS;
use super::values::each_scalar;

/// Words that YAML 1.1 reads as booleans.
const BOOLEANS: [&str; 4] = ["yes", "no", "on", "off"];

/// Every text at or below a place where texts are literals unless they hold `${ }`.
pub(super) fn texts(sink: &Sink, place: &Place, loose: bool) {
    each_scalar(place, &mut |place| {
        let NodeKind::Scalar { value, text, plain } = &place.node.kind else { return };
        if *plain {
            word(sink, place, text, value);
        }
        if value.is_null() || place.node.as_str().is_none() {
            return;
        }
        unclosed(sink, place, text);
        // In mode loose it is evaluated.
        if !loose {
            bare(sink, place, text);
        }
    });
}

fn tell(sink: &Sink, place: &Place, code: &'static str, message: String, help: impl Into<String>) {
    let d = Diagnostic::warning(code, place.node.span, message).at(place.pointer.clone());
    sink.push(d.help(help));
}

/// `yes`, `010` and their like.
fn word(sink: &Sink, place: &Place, text: &str, value: &Value) {
    if BOOLEANS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        let meant = matches!(&*text.to_ascii_lowercase(), "yes" | "on");
        let help = format!("write `{meant}`, or put the word in quotes if the text is meant");
        return tell(sink, place, codes::YAML_WORD, format!("`{text}` is a text, no boolean"), help);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let padded = digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    if padded && matches!(value, Value::Number(_)) {
        let message = format!("`{text}` is the number {value}");
        let help = "write it without leading zeros, or in quotes if the digits are meant as text";
        tell(sink, place, codes::YAML_WORD, message, help);
    }
}

/// Text that looks like an expression and is none, because nothing closes it.
fn unclosed(sink: &Sink, place: &Place, text: &str) {
    let last = text.rfind("${").map(|at| (at, &text[at..]));
    if let Some((at, rest)) = last.filter(|(_, rest)| !rest.contains('}')) {
        let span = place.error_at(sink, Some(at), codes::UNCLOSED, "").span;
        let message = format!("`{}` is text: no `}}` closes it", rest.lines().next().unwrap_or(rest));
        let d = Diagnostic::warning(codes::UNCLOSED, span, message).at(place.pointer.clone());
        sink.push(d.help("close the expression, if one is meant"));
    }
}

/// A literal such as `.order.id` or `$context.id`.
fn bare(sink: &Sink, place: &Place, text: &str) {
    let path = text
        .strip_prefix('.')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '['));
    let argument = text.strip_prefix('$').is_some_and(|rest| {
        let name = rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        ARGUMENTS.contains(&name)
    });
    let number = [".inf", ".nan"].iter().any(|word| text.eq_ignore_ascii_case(word));
    if (path || argument) && !number && !text.contains("${") && Expr::compile(text, &ARGUMENTS).is_ok() {
        let message = format!("`{text}` is a literal text here, no expression");
        tell(sink, place, codes::BARE, message, format!("write `${{ {text} }}` for its value"));
    }
}

/// A whole expression over several lines where the official schema takes one line only.
pub(super) fn lines(sink: &Sink, place: &Place, text: &str) {
    if whole(text).is_some() && text.trim().contains('\n') {
        let message = "the expression has line breaks, which the official schema refuses here".to_owned();
        tell(sink, place, codes::LINES, message, "write it on one line, or begin the text with `>-`");
    }
}

/// A condition with a single `=` outside its texts.
pub(super) fn condition(sink: &Sink, place: &Place, jq: &str) {
    let bytes = jq.as_bytes();
    let mut in_text = false;
    for (at, byte) in bytes.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| bytes[before]);
        match byte {
            b'"' if before != Some(b'\\') => in_text = !in_text,
            b'=' if !in_text
                && bytes.get(at + 1) != Some(&b'=')
                && !before.is_some_and(|b| b"=!<>|+-*/%?".contains(&b)) =>
            {
                let message = format!("the condition `{}` assigns, so it always holds", jq.trim());
                return tell(sink, place, codes::ASSIGNMENT, message, "to compare, write `==`");
            }
            _ => {}
        }
    }
}

/// Placeholders of a URI template that are no names of properties.
pub(super) fn placeholders(sink: &Sink, place: &Place, text: &str) {
    if text.contains("${") {
        return;
    }
    for name in text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name) {
        if !name.contains(['.', '$', '[', ' ']) {
            continue;
        }
        let path = name.trim().trim_start_matches('.');
        let expression = if path.starts_with('$') { path.to_owned() } else { format!(".{path}") };
        let message = format!("`{{{name}}}` stands for a property whose whole name is `{name}`");
        tell(
            sink,
            place,
            codes::PLACEHOLDER,
            message,
            format!("for a value inside write `${{ {expression} }}`"),
        );
    }
}
