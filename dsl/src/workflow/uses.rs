//! `use`: named errors, retries, timeouts, authentications and functions, resolved where they are used.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::codes;
use crate::expr::Template;
use crate::program::{Auth, Backoff, Retry};
use crate::reader::{Place, Reader, Sink, with_guess};
use crate::value::Value;
use crate::yaml::NodeKind;

use super::extension::{self, Declared};
use super::scope::{Scope, Where};
use super::values::At;

/// One section of `use`: its entries by name, and which of them were used.
#[derive(Default)]
pub(super) struct Section<'a> {
    pub(super) entries: Vec<(Arc<str>, Place<'a>)>,
    used: RefCell<BTreeSet<usize>>,
}

impl<'a> Section<'a> {
    fn read(reader: &mut Reader<'a, 'a>, key: &'static str) -> Section<'a> {
        let entries = reader.take(key).and_then(|p| p.entries(reader.sink())).unwrap_or_default();
        Section { entries, used: RefCell::default() }
    }

    fn find(&self, name: &str) -> Option<(usize, &Place<'a>)> {
        self.entries.iter().enumerate().find(|(_, (n, _))| **n == *name).map(|(i, (_, p))| (i, p))
    }

    /// The entry that `place` names; an unknown name is reported, `what` as in "error".
    fn resolve(&self, sink: &Sink, place: &Place, what: &str) -> Option<Place<'a>> {
        let name = place.text(sink)?;
        if let Some((index, found)) = self.find(&name) {
            self.used.borrow_mut().insert(index);
            return Some(found.clone());
        }
        let d = place.error(codes::UNKNOWN_NAME, format!("no {what} `{name}` is declared under `use`"));
        sink.push(with_guess(d, &name, self.entries.iter().map(|(n, _)| &**n)));
        None
    }

    fn unused(&self) -> Vec<Place<'a>> {
        let used = self.used.borrow();
        let rest = self.entries.iter().enumerate().filter(|(i, _)| !used.contains(i));
        rest.map(|(_, (_, place))| place.clone()).collect()
    }
}

/// The part `use` of a definition.
#[derive(Default)]
pub(super) struct Uses<'a> {
    errors: Section<'a>,
    retries: Section<'a>,
    timeouts: Section<'a>,
    authentications: Section<'a>,
    /// Bodies of functions by name.
    pub(super) functions: Section<'a>,
    catalogs: Section<'a>,
    /// In declaration order.
    pub(super) extensions: Vec<Declared<'a>>,
    /// Declared secrets.
    pub(super) secrets: Vec<Arc<str>>,
}

impl<'a> Uses<'a> {
    /// Reads `use` of the document, if it is there.
    pub(super) fn read(document: &mut Reader<'a, 'a>) -> Uses<'a> {
        let Some(mut reader) = document.map("use", "`use`") else {
            return Uses::default();
        };
        let sink = reader.sink();
        let extensions = extension::declared(&mut reader);
        let secrets = reader.take("secrets").and_then(|p| p.list(sink)).unwrap_or_default();
        let uses = Uses {
            errors: Section::read(&mut reader, "errors"),
            retries: Section::read(&mut reader, "retries"),
            timeouts: Section::read(&mut reader, "timeouts"),
            authentications: Section::read(&mut reader, "authentications"),
            functions: Section::read(&mut reader, "functions"),
            catalogs: Section::read(&mut reader, "catalogs"),
            extensions,
            secrets: secrets.iter().filter_map(|p| p.text(sink)).collect(),
        };
        reader.finish();
        uses
    }

    /// A catalog.
    pub(super) fn catalog(&self, name: &str) -> Option<Place<'a>> {
        let (index, place) = self.catalogs.find(name)?;
        self.catalogs.used.borrow_mut().insert(index);
        Some(place.clone())
    }

    /// The catalogs that nothing used.
    pub(super) fn unused_catalogs(&self) -> Vec<Place<'a>> {
        self.catalogs.unused()
    }

    /// The names of the catalogs.
    pub(super) fn catalog_names(&self) -> impl Iterator<Item = &str> {
        self.catalogs.entries.iter().map(|(name, _)| &**name)
    }

    /// An authentication as written, a named one looked up.
    pub(super) fn written(&self, place: &Place) -> Value {
        let named = place.node.get("use").and_then(|node| node.as_str());
        let found = named.and_then(|name| self.authentications.find(name)).map(|(_, found)| found.node);
        found.unwrap_or(place.node).to_value()
    }

    /// The number of a function.
    pub(super) fn function(&self, name: &str) -> Option<usize> {
        self.functions.find(name).map(|(i, _)| i)
    }

    /// An error, inline or by name: an object that evaluates to the error.
    pub(super) fn error(&self, place: &Place, at: At) -> Option<Template> {
        if place.node.as_str().is_some() {
            let found = self.errors.resolve(at.sink, place, "error")?;
            return error(&found, at);
        }
        error(place, at)
    }

    /// A retry policy, inline or by name.
    pub(super) fn retry(&self, place: &Place, at: At) -> Option<Retry> {
        if place.node.as_str().is_some() {
            let found = self.retries.resolve(at.sink, place, "retry policy")?;
            return retry(&found, at);
        }
        retry(place, at)
    }

    /// `timeout` of a workflow or task, inline or by name.
    pub(super) fn timeout(&self, reader: &mut Reader, at: At) -> Option<Template> {
        let place = reader.take("timeout")?;
        if place.node.as_str().is_some() {
            let found = self.timeouts.resolve(at.sink, &place, "timeout")?;
            return timeout(&found, at);
        }
        timeout(&place, at)
    }

    /// `authentication` of an endpoint: inline, or `use: NAME`.
    pub(super) fn authentication(&self, place: &Place, at: At) -> Option<Auth> {
        if let Some(name) = place.node.get("use") {
            let mut reader = Reader::open(place.clone(), at.sink, "`authentication`")?;
            let named = reader.take("use")?;
            reader.finish();
            debug_assert_eq!(name.span, named.node.span);
            let found = self.authentications.resolve(at.sink, &named, "authentication")?;
            return self.policy(&found, at);
        }
        self.policy(place, at)
    }

    fn policy(&self, place: &Place, at: At) -> Option<Auth> {
        let mut reader = Reader::open(place.clone(), at.sink, "an authentication policy")?;
        let later = [
            ("digest", codes::LATER_DIGEST, "`digest` authentication is not supported by this release"),
            ("oauth2", codes::LATER_OAUTH2, "`oauth2` authentication is not supported by this release"),
            ("oidc", codes::LATER_OIDC, "`oidc` authentication is not supported by this release"),
        ];
        let refused = later.iter().filter(|(key, code, text)| reader.refuse(key, code, text)).count();
        let scheme = super::one_of(&mut reader, &["basic", "bearer"], refused > 0);
        reader.finish();
        let (scheme, place) = scheme?;
        let mut reader = Reader::open(place, at.sink, "an authentication policy")?;
        let auth = if reader.has("use") {
            let secret = reader.need("use").and_then(|p| self.secret(&p, at.sink));
            secret.map(|secret| Auth::Secret { scheme: scheme.into(), secret })
        } else if scheme == "basic" {
            let username = reader.need("username").and_then(|p| at.text(&p));
            let password = reader.need("password").and_then(|p| at.text(&p));
            username.zip(password).map(|(username, password)| Auth::Basic { username, password })
        } else {
            reader.need("token").and_then(|p| at.text(&p)).map(|token| Auth::Bearer { token })
        };
        reader.finish();
        auth
    }

    fn secret(&self, place: &Place, sink: &Sink) -> Option<Arc<str>> {
        let name = place.text(sink)?;
        if self.secrets.contains(&name) {
            return Some(name);
        }
        let d = place
            .error(codes::UNKNOWN_SECRET, format!("the secret `{name}` is not declared under `use.secrets`"));
        let d = with_guess(d, &name, self.secrets.iter().map(|n| &**n));
        let help = format!("declare it: `use: {{secrets: [{name}]}}`");
        sink.push(if d.help.is_some() { d } else { d.help(help) });
        None
    }

    /// Looks at what nothing used, so that its mistakes are told too.
    pub(super) fn check_unused(&self, sink: &'a Sink<'a>, scope: &Scope) {
        let body = At::new(sink, scope, Where::Body);
        self.errors.unused().iter().for_each(|p| drop(error(p, body)));
        let retry_scope = scope.with(&[&"error".into()]);
        let in_catch = At::new(sink, &retry_scope, Where::Body);
        self.retries.unused().iter().for_each(|p| drop(retry(p, in_catch)));
        self.timeouts.unused().iter().for_each(|p| drop(timeout(p, body)));
        let sent = At::new(sink, scope, Where::Sent);
        self.authentications.unused().iter().for_each(|p| drop(self.policy(p, sent)));
    }
}

fn error(place: &Place, at: At) -> Option<Template> {
    let mut reader = Reader::open(place.clone(), at.sink, "an error")?;
    let kind = reader.need("type").and_then(|p| at.text(&p));
    let status = reader.need("status").and_then(|p| status(&p, at));
    let before = at.sink.errors();
    for key in ["title", "detail", "instance"] {
        reader.take(key).and_then(|p| at.text(&p));
    }
    reader.finish();
    let sound = kind.is_some() && status.is_some() && at.sink.errors() == before;
    if sound { at.template(place) } else { None }
}

/// The status of an error or of an error filter.
pub(super) fn status(place: &Place, at: At) -> Option<Template> {
    let expression = place.node.as_str().is_some_and(|t| at.is_expression(t));
    let number = matches!(&place.node.kind, NodeKind::Scalar { value, .. } if value.as_i64().is_some());
    if !expression && !number {
        let message = format!("the status must be a whole number, not {}", place.node.describe());
        at.sink.push(place.error(codes::STATUS, message));
        return None;
    }
    at.template(place)
}

fn timeout(place: &Place, at: At) -> Option<Template> {
    let mut reader = Reader::open(place.clone(), at.sink, "a timeout")?;
    let after = reader.need("after").and_then(|p| at.duration(&p));
    reader.finish();
    after
}

fn retry(place: &Place, at: At) -> Option<Retry> {
    let mut reader = Reader::open(place.clone(), at.sink, "a retry policy")?;
    let before = at.sink.errors();
    let when = reader.take("when").and_then(|p| at.condition(&p));
    let except_when = reader.take("exceptWhen").and_then(|p| at.condition(&p));
    let delay = reader.take("delay").and_then(|p| at.duration(&p));
    let backoff = backoff(&mut reader);
    let (mut count, mut attempt_duration, mut duration) = (None, None, None);
    if let Some(mut limit) = reader.map("limit", "`limit`") {
        if let Some(mut attempt) = limit.map("attempt", "`attempt`") {
            count = attempt.take("count").and_then(|p| retries(&p, at));
            attempt_duration = attempt.take("duration").and_then(|p| at.duration(&p));
            attempt.finish();
        }
        duration = limit.take("duration").and_then(|p| at.duration(&p));
        limit.finish();
    }
    let jitter = reader.map("jitter", "`jitter`").and_then(|mut jitter| {
        let from = jitter.need("from").and_then(|p| at.duration(&p));
        let to = jitter.need("to").and_then(|p| at.duration(&p));
        jitter.finish();
        from.zip(to)
    });
    reader.finish();
    let retry = Retry { when, except_when, delay, backoff, count, attempt_duration, duration, jitter };
    (at.sink.errors() == before).then_some(retry)
}

fn retries(place: &Place, at: At) -> Option<Template> {
    let count = at.number(place)?;
    if count.constant().and_then(Value::as_i64).is_some_and(|n| n < 0) {
        at.sink.push(place.error(codes::WRONG_VALUE, "`count` must not be below zero"));
        return None;
    }
    Some(count)
}

fn backoff(reader: &mut Reader) -> Backoff {
    let Some(mut backoff) = reader.map("backoff", "`backoff`") else {
        return Backoff::default();
    };
    let chosen = super::one_of(&mut backoff, &["constant", "linear", "exponential"], false);
    backoff.finish();
    let Some((name, place)) = chosen else {
        return Backoff::default();
    };
    if let Some(empty) = Reader::open(place, reader.sink(), "a backoff") {
        empty.finish();
    }
    match name {
        "linear" => Backoff::Linear,
        "exponential" => Backoff::Exponential,
        _ => Backoff::Constant,
    }
}
