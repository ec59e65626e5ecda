//! Reading `filters` of a trigger.
//!
//! Owns the form of the dialects with their diagnostics. What they mean stands in [`crate::filter`].

use std::sync::Arc;

use super::{codes, read};
use crate::cesql::Expr;
use crate::codes as shared;
use crate::event::is_attribute_name;
use crate::filter::{Attributes, DIALECTS, Filter};
use crate::reader::{Place, Sink, with_guess};
use crate::value::Value;

/// A list of filters; empty lists are refused except at the top.
pub(super) fn read_filters(place: &Place, sink: &Sink) -> Option<Vec<Filter>> {
    let items = place.list(sink)?;
    let read: Vec<Option<Filter>> = items.iter().map(|item| read_filter(item, sink)).collect();
    read.into_iter().collect()
}

fn read_filter(place: &Place, sink: &Sink) -> Option<Filter> {
    let entries = place.entries(sink)?;
    let [(dialect, inner)] = &entries[..] else {
        let message = format!("a filter has exactly one dialect, not {} keys", entries.len());
        return read::wrong(place, sink, codes::DIALECT, &message);
    };
    match &**dialect {
        "exact" => attributes(inner, sink).map(Filter::Exact),
        "prefix" => attributes(inner, sink).map(Filter::Prefix),
        "suffix" => attributes(inner, sink).map(Filter::Suffix),
        "all" => read::list(inner, sink, read_filter).map(Filter::All),
        "any" => read::list(inner, sink, read_filter).map(Filter::Any),
        "not" => read_filter(inner, sink).map(|filter| Filter::Not(Box::new(filter))),
        "sql" => sql(inner, sink).map(Filter::Sql),
        other => {
            let found = inner.key_error(codes::DIALECT, format!("unknown dialect `{other}`"));
            sink.push(read::explained(with_guess(found, other, DIALECTS)));
            None
        }
    }
}

fn sql(place: &Place, sink: &Sink) -> Option<Expr> {
    let text = place.text(sink)?;
    let refuse = |offset, message: String, help: Option<&str>| {
        let found = place.error_at(sink, Some(offset), codes::SQL, message);
        sink.push(match help {
            Some(help) => found.help(help),
            None => read::explained(found),
        });
        None
    };
    let expr = match Expr::parse(&text) {
        Ok(expr) => expr,
        Err(error) => return refuse(error.offset, error.message, error.help),
    };
    match expr.unknown_function() {
        Some((offset, message)) => refuse(offset, message, None),
        None => Some(expr),
    }
}

fn attributes(place: &Place, sink: &Sink) -> Option<Attributes> {
    let entries = place.entries(sink)?;
    if entries.is_empty() {
        sink.push(place.error(shared::EMPTY, "a filter tests at least one attribute"));
        return None;
    }
    let read: Vec<Option<_>> =
        entries.into_iter().map(|(name, place)| attribute(name, &place, sink)).collect();
    Some(Attributes::new(read.into_iter().collect::<Option<Vec<_>>>()?))
}

fn attribute(name: Arc<str>, place: &Place, sink: &Sink) -> Option<(Arc<str>, Arc<str>)> {
    if !is_attribute_name(&name) || &*name == "data" {
        let found = place.key_error(codes::ATTRIBUTE, format!("`{name}` is no attribute name"));
        sink.push(read::explained(found));
        return None;
    }
    let text = match place.node.to_value() {
        Value::String(text) => text,
        value @ (Value::Number(_) | Value::Bool(_)) => value.to_string().into(),
        _ => return place.wrong(sink, "a string"),
    };
    if text.is_empty() {
        sink.push(place.error(shared::WRONG_VALUE, format!("the text for `{name}` is empty")));
        return None;
    }
    Some((name, text))
}
