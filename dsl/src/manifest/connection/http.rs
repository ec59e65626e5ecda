//! How to reach an HTTP service: the fields that a connection and a sink share.
//!
//! Owns the fields and their mistakes. Calls nothing, reads no secret.

use std::sync::Arc;

use super::super::function::{check_header, read_auth, settings};
use super::super::{CallAuth, Setting, codes, read};
use super::tls::{Tls, read_tls};
use crate::codes as shared;
use crate::reader::{Place, Reader, Sink};
use crate::value::Value;

/// How to reach an HTTP service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConnection {
    /// Absolute, http or https. What is called through the connection lies below it.
    pub url: Arc<str>,
    /// What goes with each request.
    pub access: HttpAccess,
}

/// What goes with each request besides what it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpAccess {
    /// Who one is.
    pub auth: Option<CallAuth>,
    /// Header fields, names as written.
    pub headers: Vec<(Arc<str>, Setting)>,
    /// Whom to trust, and the client's own certificate; for https alone.
    pub tls: Option<Tls>,
}

impl HttpAccess {
    /// From a value as a manifest has it: `{auth?, headers?, tls?}`. The error says what is wrong with it.
    pub fn of(value: &Value) -> Result<HttpAccess, String> {
        let text = value.to_string();
        let first = |found: Vec<crate::diagnostic::Diagnostic>| {
            found.into_iter().next().map_or_else(|| "it is not readable".to_owned(), |found| found.message)
        };
        let node = crate::yaml::parse(&text).map_err(first)?;
        let sink = Sink::new(&text);
        let read = Reader::open(Place::root(&node), &sink, "the access of a sink").and_then(|mut reader| {
            let access = read_access(&mut reader);
            reader.finish();
            access
        });
        read.filter(|_| !sink.has_errors()).ok_or_else(|| first(sink.into_diagnostics()))
    }

    /// Whether a request carries what a foreign host must not see.
    pub fn has_secrets(&self) -> bool {
        self.auth.is_some() || self.headers.iter().any(|(_, value)| matches!(value, Setting::Secret(_)))
    }
}

/// The fields of an http connection.
pub(in crate::manifest) fn read_http(reader: &mut Reader) -> Option<HttpConnection> {
    let sink = reader.sink();
    let place = reader.need("url");
    let url = place.as_ref().and_then(|place| read::url(place, sink));
    let access = read_access(reader);
    let texts = access.iter().flat_map(|access| &access.headers).filter_map(|(name, value)| match value {
        Setting::Text(text) => Some((name, text)),
        Setting::Secret(_) => None,
    });
    for (name, text) in texts {
        if text.contains("${") {
            let message = format!("the header `{name}` is an expression, and a Connection has no event");
            sink.push(reader.place().error(shared::WRONG_VALUE, message).help("state it in the sink"));
        }
    }
    if let (Some(place), Some(url), Some(access)) = (&place, &url, &access)
        && (url.contains('?') || access.tls.is_some() && !url.starts_with("https://"))
    {
        let message = if url.contains('?') {
            "the URL of a connection has no query: that belongs to the `url` of the sink"
        } else {
            "`tls` needs an https URL"
        };
        return read::wrong(place, sink, codes::URL, message);
    }
    Some(HttpConnection { url: url?, access: access? })
}

/// `auth`, `headers` and `tls`.
pub(in crate::manifest) fn read_access(reader: &mut Reader) -> Option<HttpAccess> {
    let sink = reader.sink();
    let auth = reader.take("auth").map(|place| read_auth(place, sink));
    let headers = reader.take("headers").map_or(Some(Vec::new()), |place| settings(&place, sink, header));
    let tls = reader.take("tls").map(|place| {
        let tls = Reader::open(place.clone(), sink, "tls").and_then(read_tls)?;
        let name = tls.server_name.as_deref();
        if name.is_some_and(|name| !is_host_name(name)) {
            let message = "`serverName` is no name of a host";
            return read::wrong(&place, sink, shared::WRONG_VALUE, message);
        }
        Some(tls)
    });
    let auth = auth.map_or(Some(None), |auth| auth.map(Some));
    let tls = tls.map_or(Some(None), |tls| tls.map(Some));
    Some(HttpAccess { auth: auth?, headers: headers?, tls: tls? })
}

/// A name, not an address: an address would be called in place of the judged one.
fn is_host_name(name: &str) -> bool {
    let good =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let last = name.rsplit('.').next().unwrap_or("");
    name.len() <= 253
        && name.split('.').all(good)
        && last.bytes().any(|b| b.is_ascii_alphabetic() && !last.starts_with("0x"))
}

/// What is wrong with a header field of a sink.
fn header(name: &str, value: &Setting) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if lower == "content-type" || lower.starts_with("ce-") || lower.starts_with("webhook-") {
        return Some(format!("the header `{name}` is the event's own"));
    }
    check_header(name, value)
}
