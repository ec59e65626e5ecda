//! Values that manifests share: names, durations, sizes, rates, secrets, templates.
//!
//! Owns taking them from a place with a diagnostic for each mistake. Knows no kind of manifest.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::codes;
use crate::codes as shared;
use crate::duration::{Rate, parse_human, parse_rate, parse_size};
use crate::expr::Template;
use crate::ids::is_label;
use crate::reader::{Place, Reader, Sink};
use crate::value::Value;
use crate::yaml::NodeKind;

/// A name that must be a DNS label.
pub(super) fn label(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    if is_label(&text) {
        return Some(text);
    }
    let message =
        format!("`{text}` is no name: at most 63 of a-z, 0-9 and `-`, with a letter or digit at both ends");
    let help = "names are DNS labels, for example `big-invoice`";
    sink.push(place.error(shared::WRONG_NAME, message).help(help));
    None
}

/// Text of a quantity; a number without a unit is reported, `example` as in "30s".
fn quantity(place: &Place, sink: &Sink, example: &str) -> Option<Arc<str>> {
    if place.node.as_str().is_none() {
        let name = place.pointer.rsplit('/').next().unwrap_or_default();
        let message = format!("`{name}` must be a string, not {}", place.node.describe());
        let found = place.error(shared::WRONG_TYPE, message);
        sink.push(found.help(format!("write it with its unit, for example `{example}`")));
    }
    place.node.as_str().map(Arc::from)
}

/// Text that is not empty.
pub(super) fn some_text(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    if text.is_empty() {
        sink.push(place.error(shared::WRONG_VALUE, "the text is empty"));
        return None;
    }
    Some(text)
}

/// A list with at least one item, each read by `item`.
pub(super) fn list<T>(
    place: &Place,
    sink: &Sink,
    item: impl Fn(&Place, &Sink) -> Option<T>,
) -> Option<Vec<T>> {
    let items = place.list(sink)?;
    if items.is_empty() {
        sink.push(place.error(shared::EMPTY, "the list is empty"));
        return None;
    }
    let read: Vec<Option<T>> = items.iter().map(|place| item(place, sink)).collect();
    read.into_iter().collect()
}

/// A duration above zero.
pub(super) fn duration(place: &Place, sink: &Sink) -> Option<Duration> {
    match parse_human(&quantity(place, sink, "30s")?) {
        Ok(duration) if !duration.is_zero() => Some(duration),
        Ok(_) => wrong(place, sink, codes::DURATION, "the duration is zero"),
        Err(error) => wrong(place, sink, codes::DURATION, &error.to_string()),
    }
}

/// A size in bytes, above zero; a bare number is bytes.
pub(super) fn size(place: &Place, sink: &Sink) -> Option<u64> {
    let number = matches!(&place.node.kind, NodeKind::Scalar { value: Value::Number(_), .. });
    let size = if number {
        place.integer(sink).map(|bytes| u64::try_from(bytes).unwrap_or(0))
    } else {
        match parse_size(&quantity(place, sink, "1MiB")?) {
            Ok(size) => Some(size),
            Err(error) => wrong(place, sink, codes::SIZE, &error.to_string()),
        }
    };
    if size == Some(0) { wrong(place, sink, codes::SIZE, "the size is not above zero") } else { size }
}

/// A rate.
pub(super) fn rate(place: &Place, sink: &Sink) -> Option<Rate> {
    match parse_rate(&quantity(place, sink, "100/s")?) {
        Ok(rate) => Some(rate),
        Err(error) => wrong(place, sink, codes::RATE, &error.to_string()),
    }
}

/// A whole number within a range.
pub(super) fn count(place: &Place, sink: &Sink, range: RangeInclusive<i64>) -> Option<u32> {
    integer(place, sink, range).and_then(|number| u32::try_from(number).ok())
}

/// A whole number within a range, which may be below zero.
pub(super) fn integer(place: &Place, sink: &Sink, range: RangeInclusive<i64>) -> Option<i64> {
    let number = place.integer(sink)?;
    if range.contains(&number) {
        return Some(number);
    }
    let (least, most) = (range.start(), range.end());
    let found = place.error(codes::RANGE, format!("{number} is not within {least} to {most}"));
    sink.push(found.help(format!("write a number from {least} to {most}")));
    None
}

/// A number within a range, fractions included.
pub(super) fn fraction(place: &Place, sink: &Sink, range: RangeInclusive<f64>) -> Option<f64> {
    let NodeKind::Scalar { value: Value::Number(number), .. } = &place.node.kind else {
        return place.wrong(sink, "a number");
    };
    let number = number.as_f64();
    if range.contains(&number) {
        return Some(number);
    }
    wrong(place, sink, codes::RANGE, &format!("{number} is not within {} to {}", range.start(), range.end()))
}

/// `{secret: NAME}`.
pub(super) fn secret(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let mut reader = Reader::open(place.clone(), sink, "a reference to a secret")?;
    let name = reader.need("secret").and_then(|place| secret_name(&place, sink));
    reader.finish();
    name
}

/// The name of a secret: letters, digits, `-`, `_` and `.`, at most 63.
pub(super) fn secret_name(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let name = place.text(sink)?;
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if (1..=63).contains(&name.len()) && name.bytes().all(good) && !name.starts_with('.') {
        return Some(name);
    }
    wrong(place, sink, shared::WRONG_NAME, &format!("`{name}` is no name of a secret"))
}

/// A value in which strings may hold `${ }`; expressions have no variables here.
pub(super) fn template(place: &Place, sink: &Sink) -> Option<Template> {
    match Template::compile(&place.node.to_value(), &[]) {
        Ok(template) => Some(template),
        Err(error) => {
            let node = place.node.pointer(&error.pointer).unwrap_or(place.node);
            let at = Place { node, key: node.span, pointer: format!("{}{}", place.pointer, error.pointer) };
            let found = at.error_at(sink, error.error.offset, shared::EXPR_SYNTAX, error.error.message);
            sink.push(match error.error.help {
                Some(help) => found.help(help),
                None => found,
            });
            None
        }
    }
}

/// The one key of `keys` that the map has, taken; none or several are reported.
pub(super) fn one_of<'a>(
    reader: &mut Reader<'a, '_>,
    keys: &[&'static str],
    what: &str,
) -> Option<(&'static str, Place<'a>)> {
    let mut found: Vec<_> = keys.iter().filter_map(|key| Some((*key, reader.take(key)?))).collect();
    let list = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let sink = reader.sink();
    if let Some((second, place)) = found.get(1) {
        let message =
            format!("{what} is already given by `{}`, `{second}` cannot stand beside it", found[0].0);
        sink.push(place.key_error(codes::ONE_KIND, message).help(format!("keep one of {list}")));
        return None;
    }
    let one = found.pop();
    if one.is_none() {
        let message = format!("{what} is missing: one of {list}");
        sink.push(reader.place().error(codes::ONE_KIND, message).help(format!("add one of the keys {list}")));
    }
    one
}

/// An absolute http or https URL without credentials and fragment.
pub(super) fn url(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let authority = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(""));
    let clean = !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#' || c == '\\');
    match authority {
        Some(authority) if clean && !authority.contains('@') && is_authority(authority) => Some(text),
        _ => wrong(place, sink, codes::URL, &format!("`{text}` is no absolute http or https URL")),
    }
}

fn is_authority(text: &str) -> bool {
    address(text).is_some_and(|(host, port)| !host.is_empty() && port.is_none_or(|port| port != 0))
}

/// Splits `host` or `host:port`; none when it is neither. A port is 0 when it is no number of 16 bits.
pub(super) fn address(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, tail) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?; // tidy: address type
            (host, tail.strip_prefix(':').or(if tail.is_empty() { Some("-") } else { None })?)
        }
        None => text.rsplit_once(':').unwrap_or((text, "-")),
    };
    let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if !host.chars().all(good) || (!text.starts_with('[') && host.contains(':')) {
        return None;
    }
    Some((host, (port != "-").then(|| port.parse().unwrap_or(0))))
}

/// Reports a mistake at a value.
pub(super) fn wrong<T>(place: &Place, sink: &Sink, code: &'static str, message: &str) -> Option<T> {
    sink.push(explained(place.error(code, message)));
    None
}

/// The same with the explanation of its code as help, where it has none.
pub(super) fn explained(found: crate::diagnostic::Diagnostic) -> crate::diagnostic::Diagnostic {
    match shared::explain(found.code) {
        Some(code) if found.help.is_none() => found.help(code.text),
        _ => found,
    }
}
