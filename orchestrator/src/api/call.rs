//! One admitted request, as a route sees it.
//!
//! Owns the reading of path parameters, bodies and preconditions into types; ids and names are parsed here, at the
//! edge.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header};
use serde::de::DeserializeOwned;
use tidemill_dsl::ids::{ExecutionId, Namespace};

use super::ApiState;
use super::body::unhex;
use super::query::Query;
use super::server::Closing;
use crate::problem::{Mistake, Problem};
use crate::rooms::Rooms;

/// Longest name in a path.
const MAX_NAME: usize = 253;

/// One admitted request.
pub struct Call {
    /// What requests share.
    pub state: Arc<ApiState>,
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
    /// Query parameters.
    pub query: Query,
    /// The body, read.
    pub body: Bytes,
    /// The body, for routes that read it themselves (in a lock, which no one shares, because a body is not `Sync`).
    pub unread: Mutex<Option<Body>>,
    /// Ends streams.
    pub closing: Option<Closing>,
    /// Trace id.
    pub trace: String,
}

impl Call {
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

    /// `If-Match`: the digest that the current definition must have.
    pub fn if_match(&self) -> Result<Option<[u8; 32]>, Problem> {
        let Some(text) = self.header(header::IF_MATCH.as_str()) else {
            return Ok(None);
        };
        let tag = text.trim().trim_start_matches("W/").trim_matches('"');
        if tag == "*" {
            return Ok(None);
        }
        match unhex(tag).and_then(|bytes| bytes.try_into().ok()) {
            Some(digest) => Ok(Some(digest)),
            // An ETag that was never given matches nothing.
            None => Ok(Some([0; 32])),
        }
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
