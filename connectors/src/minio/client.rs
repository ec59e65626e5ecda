//! Requests to a server that speaks S3, about one bucket.
//!
//! Owns addresses, signing at the time of sending, time-outs, and what a refusal means. Knows no events.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, Response};
use tidemill_dsl::ids::Time;

use super::sign::{self, Keys, Signed};
use super::xml;
use crate::SourceError;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take, or the head of a stream.
const ANSWER: Duration = Duration::from_secs(20);
/// The largest answer that is read (limit `minio-answer`): a page of a listing is far below.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// How far apart clocks may seem that agree, in milliseconds.
const CLOCKS_AGREE: i64 = 2_000;

/// The makers of S3 servers, as far as they differ here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vendor {
    /// MinIO, and those that do as it does: listen streams, webhook targets.
    Minio,
    /// Amazon S3: no listen stream.
    Aws,
    /// Ceph's gateway: no listen stream, targets are topics.
    Ceph,
}

impl Vendor {
    /// By the `server` field of an answer.
    fn of(server: &str) -> Vendor {
        match server {
            "AmazonS3" => Vendor::Aws,
            ceph if ceph.contains("Ceph") => Vendor::Ceph,
            _ => Vendor::Minio,
        }
    }
}

/// Why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum S3Error {
    /// No answer.
    #[error("reach {endpoint}: {why}")]
    Unreachable { endpoint: Arc<str>, why: String },
    /// An answer that is a refusal.
    #[error("{code}: {message}")]
    Refused { status: u16, code: String, message: String },
    /// An answer that cannot be read.
    #[error("read the answer of {endpoint}: {why}")]
    Answer { endpoint: Arc<str>, why: String },
}

impl S3Error {
    /// As the end of a run. Trying again can help: servers come back, keys and buckets are made.
    pub(super) fn error(&self) -> SourceError {
        let (code, help) = self.meaning();
        SourceError { code: code.into(), message: self.to_string(), help: help.to_owned(), permanent: false }
    }

    fn meaning(&self) -> (&'static str, &'static str) {
        let code = match self {
            S3Error::Unreachable { .. } => {
                return ("minio-unreachable", "start the server, or correct `endpoint`; it is tried again");
            }
            S3Error::Answer { .. } => return ("minio-answer", "`endpoint` must name the S3 API of a server"),
            S3Error::Refused { code, .. } => code.as_str(),
        };
        match code {
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" => {
                ("minio-auth", "correct the secret of `credentials`: `{accessKey, secretKey}`")
            }
            "AccessDenied" => (
                "minio-denied",
                "the key needs s3:ListBucketVersions, s3:ListenBucketNotification, s3:GetBucketNotification and s3:PutBucketNotification",
            ),
            "NoSuchBucket" => ("minio-bucket", "make the bucket; the source goes on when it is there"),
            "RequestTimeTooSkewed" => ("minio-clock", "set the clock of this machine or of the server"),
            "AuthorizationHeaderMalformed" => ("minio-region", "state the `region` of the server"),
            "NotImplemented" | "MethodNotAllowed" => (
                "minio-unsupported",
                "this server has no listen stream or no notifications: use another `via`",
            ),
            _ => ("minio-refused", "see what the server says; it is tried again"),
        }
    }

    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, S3Error::Unreachable { .. })
    }
}

/// How to reach the bucket.
#[derive(Clone, Debug)]
pub struct Place {
    /// `http://host:port` or `https://host:port`.
    pub endpoint: Arc<str>,
    /// The region that requests are signed for.
    pub region: Arc<str>,
    /// Who signs.
    pub keys: Keys,
    /// Whether the bucket stands in the path.
    pub path_style: bool,
    /// The bucket.
    pub bucket: Arc<str>,
}

impl Place {
    /// `host:port` as in the `source` of events.
    pub fn authority(&self) -> &str {
        self.endpoint.split_once("://").map_or(&*self.endpoint, |(_, rest)| rest)
    }
}

/// An answer: its text, and the server's time when it has one.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) date: Option<Time>,
}

/// A client for one bucket.
pub(super) struct Client {
    http: reqwest::Client,
    place: Place,
    clock: Arc<dyn Fn() -> Time + Send + Sync>,
}

impl Client {
    pub(super) fn new(
        place: Place,
        clock: Arc<dyn Fn() -> Time + Send + Sync>,
    ) -> Result<Client, SourceError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .no_gzip()
            .http1_only()
            .build();
        let http = http.map_err(|error| S3Error::Unreachable {
            endpoint: place.endpoint.clone(),
            why: error.to_string(),
        });
        Ok(Client { http: http.map_err(|error| error.error())?, place, clock })
    }

    /// GET of the bucket with a query.
    pub(super) async fn get(&self, parameters: &[(&str, &str)]) -> Result<Answer, S3Error> {
        self.whole(Method::GET, parameters, Bytes::new()).await
    }

    /// PUT of a body to the bucket with a query.
    pub(super) async fn put(&self, parameters: &[(&str, &str)], body: String) -> Result<Answer, S3Error> {
        self.whole(Method::PUT, parameters, body.into()).await
    }

    /// GET whose answer is a stream without an end.
    pub(super) async fn stream(&self, parameters: &[(&str, &str)]) -> Result<(Response, Vendor), S3Error> {
        let response = self.send(Method::GET, parameters, Bytes::new()).await?;
        let server = response.headers().get("server").and_then(|value| value.to_str().ok());
        let vendor = Vendor::of(server.unwrap_or_default());
        Ok((self.accepted(response).await?, vendor))
    }

    async fn whole(
        &self,
        method: Method,
        parameters: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, S3Error> {
        let response = self.send(method, parameters, body).await?;
        let response = self.accepted(response).await?;
        let date = date(&response);
        let text = tokio::time::timeout(ANSWER, self.text(response)).await.map_err(|_| self.late())??;
        Ok(Answer { text, date })
    }

    async fn send(
        &self,
        method: Method,
        parameters: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response, S3Error> {
        let (scheme, authority) = self.place.endpoint.split_once("://").unwrap_or(("http", ""));
        let (host, path) = if self.place.path_style {
            (authority.to_owned(), format!("/{}", self.place.bucket))
        } else {
            (format!("{}.{authority}", self.place.bucket), "/".to_owned())
        };
        let own = if scheme == "https" { ":443" } else { ":80" };
        let signed_host = host.strip_suffix(own).unwrap_or(&host);
        let (path, query) = (sign::encode_path(&path), sign::query(parameters));
        let (payload, stamp) = (sign::sha256(&body), sign::stamp((self.clock)()));
        let signed = Signed {
            method: method.as_str(),
            host: signed_host,
            path: &path,
            query: &query,
            payload: &payload,
        };
        let authorization = sign::authorization(&self.place.keys, &self.place.region, &signed, &stamp);
        let request = self
            .http
            .request(method, format!("{scheme}://{host}{path}?{query}"))
            .header("authorization", authorization)
            .header("x-amz-content-sha256", payload)
            .header("x-amz-date", stamp)
            .body(body);
        let sent = tokio::time::timeout(ANSWER, request.send()).await.map_err(|_| self.late())?;
        sent.map_err(|error| self.unreachable(&error))
    }

    /// The answer, or the refusal that it is.
    async fn accepted(&self, response: Response) -> Result<Response, S3Error> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = tokio::time::timeout(ANSWER, self.text(response)).await.map_err(|_| self.late())??;
        let (code, message) = xml::refusal(&text)
            .unwrap_or_else(|| (status.to_string(), "the server says nothing more".to_owned()));
        Err(S3Error::Refused { status: status.as_u16(), code, message })
    }

    async fn text(&self, mut response: Response) -> Result<String, S3Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES {
                let why = format!("it is larger than the limit `minio-answer` of {ANSWER_BYTES} bytes");
                return Err(self.unreadable(why));
            }
        }
        String::from_utf8(bytes).map_err(|_| self.unreadable("it is no UTF-8".to_owned()))
    }

    pub(super) fn unreadable(&self, why: String) -> S3Error {
        S3Error::Answer { endpoint: self.place.endpoint.clone(), why }
    }

    /// What the client says, to its first cause.
    pub(super) fn unreachable(&self, error: &reqwest::Error) -> S3Error {
        S3Error::Unreachable { endpoint: self.place.endpoint.clone(), why: first_cause(error) }
    }

    /// No answer in time.
    pub(super) fn late(&self) -> S3Error {
        let why = format!("no answer within {} s", ANSWER.as_secs());
        S3Error::Unreachable { endpoint: self.place.endpoint.clone(), why }
    }
}

/// How far the server's clock is ahead of this one's, in milliseconds: 0 when its answer, which tells whole seconds,
/// does not show that they differ.
pub(super) fn ahead(date: Option<Time>, now: Time) -> i64 {
    let apart = date.map_or(0, |date| date.0 - now.0);
    if apart.abs() <= CLOCKS_AGREE { 0 } else { apart }
}

/// The server's time when it answered, in whole seconds.
pub(super) fn date(response: &Response) -> Option<Time> {
    let text = response.headers().get("date")?.to_str().ok()?;
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Time(at.as_millisecond()))
}

/// The first cause of an error of the client.
pub(super) fn first_cause(error: &reqwest::Error) -> String {
    let mut why: &dyn std::error::Error = error;
    while let Some(cause) = why.source() {
        why = cause;
    }
    why.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_codes_that_help() {
        let check = |code: &str, expected: &str| {
            let refused = S3Error::Refused { status: 403, code: code.to_owned(), message: "no".to_owned() };
            let error = refused.error();
            assert_eq!((&*error.code, error.permanent), (expected, false));
            assert!(!error.help.is_empty() && error.message.starts_with(code));
        };
        check("SignatureDoesNotMatch", "minio-auth");
        check("InvalidAccessKeyId", "minio-auth");
        check("AccessDenied", "minio-denied");
        check("NoSuchBucket", "minio-bucket");
        check("NotImplemented", "minio-unsupported");
        check("SlowDown", "minio-refused");
    }

    #[test]
    fn clocks() {
        let check =
            |date: Option<i64>, expected: i64| assert_eq!(ahead(date.map(Time), Time(10_000)), expected);
        check(None, 0);
        check(Some(9_000), 0);
        check(Some(15_000), 5_000);
        check(Some(5_000), -5_000);
    }

    #[test]
    fn vendors() {
        let check = |server: &str, expected: Vendor| assert_eq!(Vendor::of(server), expected, "{server}");
        check("MinIO", Vendor::Minio);
        check("", Vendor::Minio);
        check("AmazonS3", Vendor::Aws);
        check("Ceph Object Gateway (squid)", Vendor::Ceph);
    }
}
