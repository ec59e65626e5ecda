//! One admitted request, as a route sees it.
//!
//! Owns the reading of path parameters, bodies and preconditions into types; ids and names are parsed here, at the
//! edge.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, Method, Uri, header};
use serde::de::DeserializeOwned;
use tidemill_dsl::ids::{ExecutionId, Namespace};

use super::ApiState;
use super::body::{hex, unhex};
use super::query::Query;
use super::route::Route;
use super::server::{Closing, Peer};
use crate::apply::Match;
use crate::problem::{Mistake, Problem};
use crate::rooms::Rooms;

/// Longest name in a path.
const MAX_NAME: usize = 253;

/// Where the trace id of an answer stands.
pub(super) const TRACE: HeaderName = HeaderName::from_static("x-request-id");

/// One request on its way through the front door, and then admitted: what the door's checks find out is filled in.
pub struct Call {
    /// What requests share.
    pub state: Arc<ApiState>,
    /// The row of the table.
    pub route: &'static Route,
    /// The path's namespace; empty where the route has none.
    pub namespace: Namespace,
    /// Method.
    pub method: Method,
    /// Header fields.
    pub headers: HeaderMap,
    /// Path and query as sent.
    pub uri: Uri,
    /// Path parameters, decoded.
    pub params: Vec<(String, String)>,
    /// The path parameters are no text.
    pub misread: bool,
    /// Query parameters.
    pub query: Query,
    /// The body, read.
    pub body: Bytes,
    /// The body, for routes that read it themselves (in a lock, which no one shares, because a body is not `Sync`).
    pub unread: Mutex<Option<Body>>,
    /// Ends streams.
    pub closing: Option<Closing>,
    /// Who is at the other end of the connection; none where there is no connection.
    pub peer: Option<IpAddr>,
    /// Trace id.
    pub trace: String,
}

impl Call {
    /// A request as it came: nothing is judged, nothing of its body is read.
    pub fn new(state: Arc<ApiState>, route: &'static Route, request: Request) -> Call {
        let (mut parts, stream) = request.into_parts();
        // They are in the extensions by now: there is nothing to wait for.
        let params = RawPathParams::from_request_parts(&mut parts, &()).now_or_never();
        let params = params.map_or(Ok(Vec::new()), |read| {
            read.map(|params| params.iter().map(|(key, value)| (key.into(), value.into())).collect())
        });
        Call {
            trace: trace_of(&parts.headers),
            closing: parts.extensions.remove::<Closing>(),
            peer: parts.extensions.remove::<Peer>().map(|Peer(address)| address),
            namespace: Namespace::default(),
            method: parts.method,
            headers: parts.headers,
            uri: parts.uri,
            misread: params.is_err(),
            params: params.unwrap_or_default(),
            query: Query::default(),
            body: Bytes::new(),
            unread: Mutex::new(Some(stream)),
            state,
            route,
        }
    }

    /// The rooms.
    pub fn rooms(&self) -> &Arc<Rooms> {
        self.state.rooms()
    }

    /// A path parameter.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The path's `{name}`, bounded and free of control characters.
    pub fn name(&self) -> Result<Arc<str>, Problem> {
        let name = self.param("name");
        if name.is_empty() || name.len() > MAX_NAME || name.contains(|c: char| c.is_control() || c == '/') {
            return Err(Problem::bad(
                "bad-name",
                "the name in the path is empty, too long or has forbidden characters",
            ));
        }
        Ok(name.into())
    }

    /// The path's execution id.
    pub fn id(&self) -> Result<ExecutionId, Problem> {
        let text = self.param("id");
        text.parse().map_err(|_| Problem::not_found("execution", &text.chars().take(64).collect::<String>()))
    }

    /// The path under which everything of the namespace lies.
    pub fn base(&self) -> String {
        format!("/v1/namespaces/{}", self.namespace)
    }

    /// A header field's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The JSON body.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// The JSON body, or the default when there is none.
    pub fn read_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        if self.body.is_empty() { Ok(T::default()) } else { self.read() }
    }

    /// The body as text.
    pub fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(&self.body).map_err(|error| {
            let good = String::from_utf8_lossy(&self.body[..error.valid_up_to()]);
            let line = good.matches('\n').count() as u32 + 1;
            let column = good.rsplit('\n').next().map_or(0, |last| last.chars().count()) as u32 + 1;
            let message = "a byte that is no UTF-8".to_owned();
            let mistake = Mistake { line, column, message, ..Mistake::default() };
            Problem::bad("bad-body", "the body is no UTF-8").mistake(mistake)
        })
    }

    /// `If-Match`: what the current definition must be.
    pub fn if_match(&self) -> Option<Match> {
        let text = self.header(header::IF_MATCH.as_str())?;
        if text.trim() == "*" {
            return Some(Match::Any);
        }
        let tags = text.split(',').map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'));
        Some(Match::OneOf(tags.filter_map(|tag| unhex(tag)?.try_into().ok()).collect()))
    }

    /// `Prefer: wait=N` in seconds; unreadable preferences are ignored (RFC 7240).
    pub fn prefer_wait(&self) -> Option<Duration> {
        let all = self.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        all.flat_map(|text| text.split([',', ';'])).find_map(|part| {
            let (name, value) = part.trim().split_once('=')?;
            let seconds: u32 = value.trim().trim_matches('"').parse().ok()?;
            name.trim().eq_ignore_ascii_case("wait").then(|| Duration::from_secs(seconds.into()))
        })
    }

    /// Where the service is reached, as the caller wrote it: for links in answers.
    pub fn url(&self) -> String {
        match self.header(header::HOST.as_str()) {
            Some(host) if !host.is_empty() => format!("http://{host}"),
            _ => self.state.url.clone(),
        }
    }
}

/// The trace of a request: the caller's, if it sends a well-formed `traceparent`, else a fresh one.
fn trace_of(headers: &HeaderMap) -> String {
    let sent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    let id = sent.and_then(|text| text.split('-').nth(1)).filter(|id| {
        id.len() == 32
            && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            && id.bytes().any(|b| b != b'0')
    });
    match id {
        Some(id) => id.to_owned(),
        None => hex(&crate::ids::key()[..16]),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn traces_are_taken_over_when_well_formed() {
        let check = |sent: &str, expected: Option<&str>| {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("traceparent"),
                HeaderValue::from_str(sent).unwrap(),
            )]);
            let trace = trace_of(&headers);
            assert_eq!(trace.len(), 32);
            assert_eq!(expected.is_some_and(|e| e == trace), expected.is_some(), "{sent}");
        };
        check(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            Some("4bf92f3577b34da6a3ce929d0e0e4736"),
        );
        check("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None);
        check("nonsense", None);
    }
}
