//! What a call sends: `with` evaluated when the call is handed out (dsl.md section 12, "HTTP and OpenAPI calls").
//!
//! With `secrets` the only place where secrets are read. What is made here leaves with the order and never enters the execution.

pub(crate) mod process;

use std::sync::Arc;

use base64::Engine as _;
use sha2::Digest as _;
use tidemill_dsl::expr::{Arguments, NoArguments, Template, expand_uri};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Visit;
use tidemill_dsl::order::{Call, HttpRequest, Masks, Order};
use tidemill_dsl::program::{Auth, FunctionCall, HttpCall, HttpOutput, Kind, Need, Program};
use tidemill_dsl::value::Value;

use crate::execution::{Attempts, Execution, Frame, Phase, ROOT, State, call_number};
use crate::scope::{Place, Scope, Site};
use crate::secrets::{self, Watched};

/// Evaluates an open call into the order to hand out. An error is the call's outcome: nothing is sent.
///
/// `values` gives the value of a secret of the execution's namespace by its name. A secret that is missing or not
/// declared is an authorization error, 403.
pub fn prepare(
    program: &Program,
    execution: &Execution,
    visit: Visit,
    values: &dyn Arguments,
) -> Result<Order, Fault> {
    let whole = execution.link.0.clone();
    let program = whole.as_deref().unwrap_or(program);
    if visit == ROOT {
        return fetch_for_workflow(program, execution, values);
    }
    let frame = execution.open_frame(visit).ok_or_else(|| Fault::runtime("the call is no longer open"))?;
    let task = program.task(frame.task);
    let site = Site::of(frame);
    // A fetched function declares no secrets: it reads none of the caller's.
    let read = Watched::new(if frame.task.is_linked() { &NoArguments } else { values });
    let scope = Scope { secrets: Some(&read), ..Scope::of_task(program, execution, Place::Body, &site) };
    let what = match (&frame.state, &task.kind) {
        (State::Fetch(_), _) => resource(program, &task.needs, (&site.raw, &scope)),
        (_, Kind::Http(call)) => secrets::named_by(task, &scope)
            .and_then(|()| http(call, &site, &scope))
            .map(|request| Call::Http(Box::new(request))),
        (_, Kind::Function(call)) => {
            secrets::named_by(task, &scope).and_then(|()| function(call, &site, &scope))
        }
        (_, Kind::RunProcess(run)) => secrets::named_by(task, &scope)
            .and_then(|()| process::prepare(run, &site, &scope))
            .map(|run| Call::Process(Box::new(run))),
        _ => Err(Fault::runtime("the task is no call")),
    };
    let order = order_of(program, execution, frame, what, &read);
    order.map_err(|fault| fault.with_instance(&task.reference))
}

/// The order of an open call, or why it cannot be made; neither shows a secret.
fn order_of(
    program: &Program,
    execution: &Execution,
    frame: &Frame,
    what: Result<Call, Fault>,
    read: &Watched<'_>,
) -> Result<Order, Fault> {
    let what = read.hide(what)?;
    let fetches = matches!(frame.state, State::Fetch(_));
    let shown = execution.public(frame.visit).map_or(frame.task, |frame| frame.task);
    Ok(Order {
        namespace: execution.birth.namespace.clone(),
        execution: execution.birth.id,
        visit: frame.visit,
        attempt: call_number(frame).unwrap_or(frame.attempt),
        key: key(program, execution, frame.visit),
        task: program.task(shown).reference.clone(),
        deadline: execution.deadline(frame.visit),
        masks: if fetches { Masks::default() } else { read.masks(&what) },
        what,
    })
}

/// The request for a schema of the workflow's input or output.
fn fetch_for_workflow(program: &Program, x: &Execution, values: &dyn Arguments) -> Result<Order, Fault> {
    let gone = || Fault::runtime("the call is no longer open");
    let attempt = x.own_request().ok_or_else(gone)?;
    let read = Watched::new(values);
    let scope = Scope { secrets: Some(&read), ..Scope::of_workflow(program, x, Place::WorkflowInput) };
    let what = resource(program, &program.needs, (&x.birth.input, &scope));
    Ok(Order {
        namespace: x.birth.namespace.clone(),
        execution: x.birth.id,
        visit: ROOT,
        attempt,
        key: u64::from(attempt),
        task: "".into(),
        deadline: None,
        masks: Masks::default(),
        what: read.hide(what)?,
    })
}

/// The request for the first thing that is needed and was not fetched.
fn resource(program: &Program, needs: &[Need], (input, scope): (&Value, &Scope<'_>)) -> Result<Call, Fault> {
    let need = program.missing(needs).ok_or_else(|| Fault::runtime("the call is no longer open"))?;
    secrets::known(&need.written, scope)?;
    Ok(Call::Http(Box::new(HttpRequest {
        method: "GET".into(),
        uri: need.uri.to_string(),
        headers: vec![(
            "accept".into(),
            "application/yaml, application/json, text/*;q=0.9, */*;q=0.5".into(),
        )],
        authorization: need.auth.as_ref().map(|auth| authorization(auth, input, scope)).transpose()?,
        body: None,
        output: HttpOutput::Raw,
        redirect: true,
    })))
}

/// Whom an open call calls, for people: `charge:2`, or `GET https://example.org/x` without its query. None where that
/// depends on a secret, or the task is no call.
pub fn callee(program: &Program, execution: &Execution, visit: Visit) -> Option<String> {
    let frame = execution.open_frame(visit)?;
    let whole = execution.link.0.clone();
    let program = whole.as_deref().unwrap_or(program);
    let task = program.task(frame.task);
    if matches!(frame.state, State::Fetch(_)) {
        return program.missing(&task.needs).map(|need| format!("GET {}", need.uri));
    }
    match &task.kind {
        Kind::Function(call) => Some(format!("{}:{}", call.name, call.version)),
        Kind::Http(call) => {
            let site = Site::of(frame);
            let scope = Scope::of_task(program, execution, Place::Body, &site);
            let method = text("method", &call.method.eval(&site.input, &scope).ok()?).ok()?.to_uppercase();
            let uri = uri(&call.uri, &site, &scope).ok()?;
            let shown = uri.split(['?', '#']).next().unwrap_or_default();
            // Credentials within a URI are nobody's business.
            let hidden = shown.split_once("://").filter(|(_, rest)| rest.contains('@'));
            Some(match hidden.and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?.1))) {
                Some((scheme, rest)) => format!("{method} {scheme}://{rest}"),
                None => format!("{method} {shown}"),
            })
        }
        Kind::RunProcess(run) => Some(process::callee(run).to_owned()),
        _ => None,
    }
}

/// The number of a call's idempotency key ([`Order::key`]): the visit, or, within a `try` that may retry, a hash of the
/// way from that `try` to the call.
fn key(program: &Program, execution: &Execution, visit: Visit) -> u64 {
    let mut way = Vec::new();
    let mut hashed = None;
    let mut at = visit;
    while let Some(frame) = execution.frame(at) {
        way.push((frame.ordinal, frame.task.0));
        if let Some(parent) = execution.frame(frame.parent)
            && retries(program, parent)
        {
            hashed = Some((parent.visit, way.len()));
        }
        at = frame.parent;
    }
    let Some((outermost, length)) = hashed else {
        return visit.into();
    };
    let mut hash = sha2::Sha256::new();
    hash.update(outermost.to_be_bytes());
    for (ordinal, task) in &way[..length] {
        hash.update(ordinal.to_be_bytes());
        hash.update(task.to_be_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    u64::from_be_bytes(first)
}

fn retries(program: &Program, frame: &Frame) -> bool {
    let body = matches!(&frame.state, State::Try(Attempts { phase: Phase::Body, .. }));
    body && matches!(&program.task(frame.task).kind, Kind::Try(attempt) if attempt.retry.is_some())
}

fn function(call: &FunctionCall, site: &Site, scope: &Scope<'_>) -> Result<Call, Fault> {
    let input = match &call.with {
        Some(with) => with.eval(&site.input, scope)?,
        None => site.input.clone(),
    };
    Ok(Call::Function { name: call.name.clone(), version: call.version.clone(), input })
}

fn http(call: &HttpCall, site: &Site, scope: &Scope<'_>) -> Result<HttpRequest, Fault> {
    let eval = |template: &Template| template.eval(&site.input, scope);
    let query = call.query.as_ref().map(eval).transpose()?;
    let headers = call.headers.as_ref().map(eval).transpose()?;
    Ok(HttpRequest {
        method: text("method", &eval(&call.method)?)?.to_uppercase(),
        uri: with_query(uri(&call.uri, site, scope)?, query.as_ref())?,
        headers: match headers {
            Some(headers) => pairs("headers", &headers)?,
            None => Vec::new(),
        },
        authorization: call.auth.as_ref().map(|auth| authorization(auth, &site.input, scope)).transpose()?,
        body: call.body.as_ref().map(eval).transpose()?,
        output: call.output,
        redirect: call.redirect,
    })
}

/// A text without expressions is a URI template over the input; anything else is used as it evaluates.
fn uri(template: &Template, site: &Site, scope: &Scope<'_>) -> Result<String, Fault> {
    if let Some(Value::String(text)) = template.constant() {
        return expand_uri(text, &site.input);
    }
    text("endpoint", &template.eval(&site.input, scope)?)
}

fn text(field: &str, value: &Value) -> Result<String, Fault> {
    match value {
        Value::String(text) => Ok(text.to_string()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        _ => Err(Fault::expression(format!("`{field}` cannot be a value of kind {}", value.kind()))),
    }
}

/// Name and text of each member; an array stands for several, null for none.
fn pairs(field: &str, value: &Value) -> Result<Vec<(String, String)>, Fault> {
    let Some(map) = value.as_object() else {
        return Err(Fault::expression(format!(
            "`{field}` gives no object but a value of kind {}",
            value.kind()
        )));
    };
    let mut pairs = Vec::with_capacity(map.len());
    for (name, value) in map {
        match value {
            Value::Null => {}
            Value::Array(items) => {
                for item in items.iter() {
                    pairs.push((name.to_string(), text(name, item)?));
                }
            }
            other => pairs.push((name.to_string(), text(name, other)?)),
        }
    }
    Ok(pairs)
}

/// Adds to the endpoint's own query, before a fragment.
fn with_query(uri: String, query: Option<&Value>) -> Result<String, Fault> {
    let pairs = match query {
        None | Some(Value::Null) => return Ok(uri),
        Some(query) => pairs("query", query)?,
    };
    if pairs.is_empty() {
        return Ok(uri);
    }
    let (base, fragment) = uri.split_once('#').map_or((&*uri, None), |(base, rest)| (base, Some(rest)));
    let mut out = base.to_owned();
    for (name, value) in pairs {
        let separator = match out.split_once('?') {
            None => "?",
            Some((_, own)) if own.is_empty() || own.ends_with('&') => "",
            Some(_) => "&",
        };
        out.push_str(separator);
        encode(&name, &mut out);
        out.push('=');
        encode(&value, &mut out);
    }
    if let Some(fragment) = fragment {
        out.push('#');
        out.push_str(fragment);
    }
    Ok(out)
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

fn authorization(auth: &Auth, input: &Value, scope: &Scope<'_>) -> Result<String, Fault> {
    let eval = |field: &str, template: &Template| text(field, &template.eval(input, scope)?);
    match auth {
        Auth::Basic { username, password } => {
            Ok(basic(&eval("username", username)?, &eval("password", password)?))
        }
        Auth::Bearer { token } => Ok(format!("Bearer {}", eval("token", token)?)),
        Auth::Secret { scheme, secret } => from_secret(scheme, secret, scope),
    }
}

/// `basic: {use: NAME}` reads username and password, `bearer: {use: NAME}` the token.
fn from_secret(scheme: &str, name: &Arc<str>, scope: &Scope<'_>) -> Result<String, Fault> {
    let declared = scope.program.secrets.contains(name);
    let found = scope.secrets.filter(|_| declared).and_then(|secrets| secrets.get(name));
    let value = found.ok_or_else(|| secrets::absent(name, declared))?;
    let member = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| Fault::authentication(format!("the secret `{name}` has no text `{key}`")))
    };
    match scheme {
        "basic" => Ok(basic(member("username")?, member("password")?)),
        _ => Ok(format!("Bearer {}", value.as_str().map_or_else(|| member("token"), Ok)?)),
    }
}

fn basic(username: &str, password: &str) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    format!("Basic {encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_is_added_and_encoded() {
        let check = |uri: &str, query: &str, expected: &str| {
            let query = Value::parse(query.as_bytes()).unwrap();
            assert_eq!(with_query(uri.into(), Some(&query)), Ok(expected.to_owned()), "{uri} {query}");
        };
        check("http://h/p", r#"{"a":1,"b":"x y/z"}"#, "http://h/p?a=1&b=x%20y%2Fz");
        check("http://h/p?c=d", r#"{"a":[1,true]}"#, "http://h/p?c=d&a=1&a=true");
        check("http://h/p#top", r#"{"a":"ä","n":null}"#, "http://h/p?a=%C3%A4#top");
        check("http://h/p", "{}", "http://h/p");
        assert!(with_query("http://h".into(), Some(&Value::parse(br#"{"a":{}}"#).unwrap())).is_err());
    }
}
