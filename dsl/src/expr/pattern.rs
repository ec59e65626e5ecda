//! The regular expressions of jq, on an engine whose time is linear in the text.

use std::cell::RefCell;
use std::collections::BTreeMap;

use regex::{Captures, Regex, RegexBuilder};

use super::jv::{Fail, broken, fail};
use super::limits;
use super::show::shown;
use crate::value::Value;

/// The most bytes of a pattern (security, 5b).
pub(super) const MAX_PATTERN: usize = 10 << 10;

/// The most bytes a compiled pattern may take.
const MAX_COMPILED: usize = 1 << 20;

/// How many compiled patterns a thread keeps.
const KEPT: usize = 32;

thread_local! {
    static COMPILED: RefCell<BTreeMap<(String, String), Regex>> = const { RefCell::new(BTreeMap::new()) };
}

/// All matches of a pattern as jq's match objects, or (`only_test`) whether there is one.
pub(super) fn matches(v: &Value, pattern: &Value, flags: &Value, only_test: &Value) -> Result<Value, Fail> {
    let Value::String(text) = v else {
        return fail(format_args!("{} cannot be matched, as it is not a string", shown(v)));
    };
    let Value::String(pattern) = pattern else {
        return fail(format_args!("{} cannot be matched, as it is not a string", shown(pattern)));
    };
    let flags = match flags {
        Value::Null => "",
        Value::String(flags) => flags,
        other => return fail(format_args!("{} is not a string", shown(other))),
    };
    let regex = compiled(pattern, flags)?;
    if !limits::step(1 + text.len() / 16) {
        return broken();
    }
    if only_test.is_truthy() {
        return Ok(regex.is_match(text).into());
    }
    let (global, skip_empty) = (flags.contains('g'), flags.contains('n'));
    let names: Vec<Option<&str>> = regex.capture_names().skip(1).collect();
    let mut places = Places { text, byte: 0, count: 0 };
    let mut found = Vec::new();
    for captures in regex.captures_iter(text) {
        let whole = captures.get_match();
        if skip_empty && whole.is_empty() {
            continue;
        }
        if !limits::build(64 + whole.len() + names.len() * 64) || !limits::step(1) {
            return broken();
        }
        found.push(match_object(&captures, &names, &mut places));
        if !global {
            break;
        }
    }
    Ok(found.into())
}

fn match_object(captures: &Captures, names: &[Option<&str>], places: &mut Places) -> Value {
    let whole = captures.get_match();
    let start = places.count_to(whole.start());
    let place = |part: &str| Value::from(part.chars().count() as u64);
    let groups = names.iter().enumerate().map(|(at, name)| {
        let group = captures.get(at + 1);
        let offset = group.map_or(Value::from(-1i64), |group| {
            let between = whole.as_str().get(..group.start().saturating_sub(whole.start()));
            Value::from(start + between.map_or(0, |between| between.chars().count() as u64))
        });
        Value::object([
            ("offset", offset),
            ("length", group.map_or(Value::from(0u64), |group| place(group.as_str()))),
            ("string", group.map(|group| group.as_str()).into()),
            ("name", (*name).into()),
        ])
    });
    Value::object([
        ("offset", Value::from(start)),
        ("length", place(whole.as_str())),
        ("string", Value::from(whole.as_str())),
        ("captures", Value::array(groups)),
    ])
}

/// Counts code points up to rising byte offsets.
struct Places<'a> {
    text: &'a str,
    byte: usize,
    count: u64,
}

impl Places<'_> {
    fn count_to(&mut self, byte: usize) -> u64 {
        self.count += self.text[self.byte..byte].chars().count() as u64;
        self.byte = byte;
        self.count
    }
}

fn compiled(pattern: &str, flags: &str) -> Result<Regex, Fail> {
    let key = (pattern.to_owned(), flags.to_owned());
    if let Some(regex) = COMPILED.with_borrow(|kept| kept.get(&key).cloned()) {
        return Ok(regex);
    }
    if pattern.len() > MAX_PATTERN {
        return fail(format_args!("pattern is longer than {MAX_PATTERN} bytes (regular expression size)"));
    }
    if !limits::step(1000) {
        return broken();
    }
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED);
    for flag in flags.chars() {
        match flag {
            'g' | 'n' | 'l' => {}
            'i' => drop(builder.case_insensitive(true)),
            'x' => drop(builder.ignore_whitespace(true)),
            's' | 'p' => drop(builder.dot_matches_new_line(true)),
            _ => return fail(format_args!("{flags} is not a valid modifier string")),
        }
    }
    match builder.build() {
        Ok(regex) => {
            COMPILED.with_borrow_mut(|kept| {
                if kept.len() >= KEPT {
                    kept.pop_first();
                }
                kept.insert(key, regex.clone());
            });
            Ok(regex)
        }
        Err(error) => fail(format_args!("{pattern} (at offset 0) is not a valid regex: {error}")),
    }
}
