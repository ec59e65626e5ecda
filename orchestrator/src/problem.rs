//! Problems: every refusal as RFC 9457 `application/problem+json`.
//!
//! Owns the body, its codes' type URIs and the header fields that go with a status. Decides nothing about when a
//! request is refused.

use std::borrow::Cow;
use std::time::Duration;

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use tidemill_dsl::diagnostic::Diagnostic;
use tidemill_dsl::event::{EventError, Refusal};
use utoipa::ToSchema;

use crate::error::Error;

/// Media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What the type URI of a problem begins with; its code follows.
const TYPE: &str = "urn:tidemill:problem:";

/// When to try again where nothing better is known.
const RETRY: Duration = Duration::from_secs(1);

/// Why a request is refused, before it is rendered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable code in words and hyphens.
    pub code: Cow<'static, str>,
    /// What is wrong: a sentence for people.
    pub detail: String,
    /// Type URI, where it is not made from the code.
    pub kind: Option<String>,
    /// Every mistake at its place, for bodies that are definitions or JSON.
    pub errors: Vec<Mistake>,
    /// `Retry-After`.
    pub after: Option<Duration>,
}

/// One mistake of a body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mistake {
    /// JSON pointer of the value in its document.
    pub pointer: String,
    /// Line in the text as sent, from 1.
    pub line: u32,
    /// Column in the text as sent, from 1, in characters.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Stable code, for example `E0312`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A problem as sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemBody<'a> {
    /// Type URI: the code as a URN, or the language's error type.
    #[serde(rename = "type")]
    pub kind: Cow<'a, str>,
    /// Title of the status.
    pub title: &'a str,
    /// HTTP status.
    pub status: u16,
    /// What is wrong.
    pub detail: &'a str,
    /// Path of the request.
    pub instance: &'a str,
    /// Stable code.
    pub code: &'a str,
    /// Trace of the request, also in the service's log.
    pub trace_id: &'a str,
    /// Mistakes with their places, where the body has places.
    #[serde(skip_serializing_if = "<[Mistake]>::is_empty")]
    pub errors: &'a [Mistake],
}

impl Problem {
    /// A problem with this status, code and detail.
    pub fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Problem {
        let code = Cow::Borrowed(code);
        Problem { status, code, detail: detail.into(), kind: None, errors: Vec::new(), after: None }
    }

    /// 400.
    pub fn bad(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(400, code, detail)
    }

    /// 404 for a thing of a kind.
    pub fn not_found(what: &'static str, name: &str) -> Problem {
        Error::not_found(what, name).into()
    }

    /// 422.
    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(422, code, detail)
    }

    /// The same with one mistake at its place.
    #[must_use]
    pub fn mistake(mut self, mistake: Mistake) -> Problem {
        self.errors.push(mistake);
        self
    }

    /// The answer: body, media type, `Retry-After`.
    pub fn respond(&self, instance: &str, trace: &str) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = match &self.kind {
            Some(kind) => Cow::Borrowed(kind.as_str()),
            None => Cow::Owned(format!("{TYPE}{}", self.code)),
        };
        let body = ProblemBody {
            kind,
            title: status.canonical_reason().unwrap_or("Error"),
            status: self.status,
            detail: &self.detail,
            instance,
            code: &self.code,
            trace_id: trace,
            errors: &self.errors,
        };
        let bytes = serde_json::to_vec(&body).unwrap_or_else(|_| br#"{"status":500}"#.to_vec());
        let mut response = Response::new(bytes.into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after));
        }
        if self.status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == 408 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Seconds of `Retry-After`: always there for 429, 503 and 507.
    fn retry_after(&self) -> Option<u64> {
        let after = self.after.or(matches!(self.status, 429 | 503 | 507).then_some(RETRY))?;
        Some(after.as_millis().div_ceil(1000).max(1) as u64)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let text = error.to_string();
        let detail = if text.starts_with("cannot ") { text } else { format!("cannot {text}") };
        let base = Problem {
            status: error.status(),
            code: Cow::Borrowed(error.code()),
            detail,
            kind: None,
            errors: Vec::new(),
            after: None,
        };
        match error {
            Error::Conflict { code: "etag", .. } => Problem { status: 412, ..base },
            Error::Conflict { detail, .. } => Problem { detail, ..base },
            Error::Refused(found) => Problem { errors: found.iter().map(Mistake::from).collect(), ..base },
            Error::Input(fault) => Problem { kind: Some(fault.kind.to_string()), ..base },
            Error::Busy { after, .. } | Error::Quota { after, .. } => Problem { after: Some(after), ..base },
            Error::Full => Problem { after: Some(Duration::from_secs(5)), ..base },
            _ => base,
        }
    }
}

impl From<&Diagnostic> for Mistake {
    fn from(found: &Diagnostic) -> Mistake {
        Mistake {
            pointer: found.pointer.clone(),
            line: found.span.line.max(1),
            column: found.span.column.max(1),
            message: found.message.clone(),
            help: found.help.clone(),
            code: Some(found.code.into()),
        }
    }
}

impl From<EventError> for Problem {
    fn from(error: EventError) -> Problem {
        let (status, code) = match error.refusal {
            Refusal::Invalid => (400, "bad-event"),
            Refusal::Unsupported => (415, "unsupported-event-format"),
            Refusal::TooLarge => (413, "event-too-large"),
        };
        let pointer = match (error.index, &error.attribute) {
            (Some(index), Some(attribute)) => format!("/{index}/{attribute}"),
            (Some(index), None) => format!("/{index}"),
            (None, Some(attribute)) => format!("/{attribute}"),
            (None, None) => String::new(),
        };
        let mistake = Mistake {
            pointer,
            line: 1,
            column: 1,
            message: error.message.clone(),
            help: error.help.clone(),
            code: None,
        };
        Problem::new(status, code, format!("cannot {error}")).mistake(mistake)
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Problem {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        let (line, column) = (error.line().max(1) as u32, error.column().max(1) as u32);
        let mistake = Mistake { line, column, message: message.clone(), ..Mistake::default() };
        Problem::bad("bad-body", format!("cannot read the body: {message} (line {line}, column {column})"))
            .mistake(mistake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_status_code_and_retry() {
        let check = |error: Error, status: u16, code: &str, retry: Option<u64>| {
            let problem = Problem::from(error);
            assert_eq!((problem.status, &*problem.code, problem.retry_after()), (status, code, retry));
        };
        check(Error::not_found("workflow", "a"), 404, "not-found", None);
        check(Error::conflict("state", "it has ended"), 409, "state", None);
        check(Error::conflict("etag", "changed"), 412, "etag", None);
        check(Error::bad("query", "no"), 400, "query", None);
        check(Error::Full, 507, "disk-full", Some(5));
        check(Error::Unavailable("stop".into()), 503, "unavailable", Some(1));
        let busy =
            Error::Busy { code: "buffer-full", detail: "full".into(), after: Duration::from_millis(1500) };
        check(busy, 429, "buffer-full", Some(2));
    }

    #[test]
    fn the_body_has_what_the_contract_names() {
        let problem = Problem::not_found("workflow", "a");
        let response = problem.respond("/v1/x", "t1");
        assert_eq!(response.headers()["content-type"], MEDIA_TYPE);
        assert_eq!(problem.detail, "cannot find workflow `a`");
    }
}
