//! The API as the command line calls it: one server, one namespace, JSON in and out.
//!
//! Owns requests, problems as failures, and paging. Knows no verb.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use tidemill_dsl::ids::Time;
use tidemill_dsl::value::Value;

use super::args::Shared;
use super::exit::{FAILURE, Failure, UNAVAILABLE, USAGE};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take; the longest wait of the API is 60 s.
const ANSWER: Duration = Duration::from_secs(90);
/// Items asked for at once.
const PAGE: usize = 200;

/// A server and a namespace.
pub(super) struct Client {
    base: Url,
    namespace: String,
    http: reqwest::Client,
}

/// What a request carries.
pub(super) enum Body {
    /// Nothing.
    None,
    /// A JSON value.
    Json(Value),
    /// Text of a media type.
    Text(&'static str, String),
}

/// An answer.
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// Its body as JSON; null if it is none.
    pub(super) body: Value,
}

impl Client {
    /// For the server and namespace of the command line.
    pub(super) fn new(shared: &Shared) -> Result<Client, Failure> {
        let base = Url::parse(&shared.server)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(base) = base else {
            let failure =
                Failure::new(USAGE, format!("use `{}` as the address of the server", shared.server));
            return Err(failure.try_next("--server http://127.0.0.1:8484"));
        };
        // Proxies of the environment are for the outside; the server is named by its own address.
        let http = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT).build();
        let http = http.map_err(|error| Failure::new(FAILURE, format!("set up the HTTP client: {error}")))?;
        Ok(Client { base, namespace: shared.namespace().to_owned(), http })
    }

    /// The same server, another namespace.
    pub(super) fn of_namespace(&self, namespace: &str) -> Client {
        Client { base: self.base.clone(), namespace: namespace.to_owned(), http: self.http.clone() }
    }

    /// The URL of path segments below the namespace; each segment is encoded as one.
    fn url(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut all = vec!["v1", "namespaces", self.namespace.as_str()];
        all.extend(segments);
        self.absolute(&all, query)
    }

    fn absolute(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends a request below the namespace and gives the answer, whatever its status.
    pub(super) async fn ask(
        &self,
        method: Method,
        (segments, query): (&[&str], &[(&str, &str)]),
        body: Body,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let mut request = self.http.request(method, self.url(segments, query)).timeout(ANSWER);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.send(with(request, body)).await?;
        let status = response.status().as_u16();
        let text = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        let body = Value::parse(&text).unwrap_or_default();
        Ok(Answer { status, body })
    }

    /// The same; a status that is no success is a failure.
    pub(super) async fn call(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
        body: Body,
    ) -> Result<Answer, Failure> {
        let answer = self.ask(method, (segments, query), body, &[]).await?;
        succeeded(answer)
    }

    /// Reads one thing.
    pub(super) async fn get(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Value, Failure> {
        Ok(self.call(Method::GET, segments, query, Body::None).await?.body)
    }

    /// Reads a text in the form it was stored.
    pub(super) async fn text(
        &self,
        segments: &[&str],
        query: &[(&str, &str)],
        accept: &str,
    ) -> Result<String, Failure> {
        let request = self.http.get(self.url(segments, query)).timeout(ANSWER).header("accept", accept);
        let response = self.send(request).await?;
        let status = response.status();
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            return Ok(text);
        }
        Err(Failure::of_problem(status.as_u16(), &Value::parse(text.as_bytes()).unwrap_or_default()))
    }

    /// Reads a list, page after page, at most `limit` items.
    pub(super) async fn list(
        &self,
        segments: &[&str],
        query: &[(&str, &str)],
        limit: usize,
    ) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let size = limit.saturating_sub(items.len()).clamp(1, PAGE).to_string();
            let mut query: Vec<(&str, &str)> = query.to_vec();
            query.push(("pageSize", &size));
            if let Some(token) = &token {
                query.push(("pageToken", token));
            }
            let page = self.get(segments, &query).await?;
            items.extend(page.get("items").and_then(Value::as_array).unwrap_or_default().iter().cloned());
            token = page.get("nextPageToken").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() || items.len() >= limit {
                items.truncate(limit);
                return Ok(items);
            }
        }
    }

    /// Opens a stream of server-sent events below the namespace.
    pub(super) async fn stream(&self, topics: &str) -> Result<Response, Failure> {
        let url = self.url(&["stream"], &[("topics", topics)]);
        let response = self.send(self.http.get(url).header("accept", "text/event-stream")).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.bytes().await.unwrap_or_default();
        Err(Failure::of_problem(status.as_u16(), &Value::parse(&text).unwrap_or_default()))
    }

    /// The status of `/readyz` and what it says.
    pub(super) async fn ready(&self) -> Result<(StatusCode, String), Failure> {
        let request = self.http.get(self.absolute(&["readyz"], &[])).timeout(CONNECT);
        let response = self.send(request).await?;
        let status = response.status();
        Ok((status, response.text().await.unwrap_or_default()))
    }

    /// The status of `/readyz`, and the time there.
    pub(super) async fn ready_at(&self) -> Result<(u16, Option<Time>), Failure> {
        let request = self.http.get(self.absolute(&["readyz"], &[])).timeout(CONNECT);
        let response = self.send(request).await?;
        let date = response.headers().get("date").and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let date = date.map(|date| Time(date.timestamp().as_millisecond()));
        Ok((response.status().as_u16(), date))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut why = String::new();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            why = inner.to_string();
            source = inner.source();
        }
        let why = if error.is_timeout() { "no answer in time".into() } else { why };
        let failure = Failure::new(UNAVAILABLE, format!("reach the server at {}: {why}", self.base));
        failure.try_next("tidemill serve, tidemill dev, or name a running server with --server")
    }
}

fn with(request: RequestBuilder, body: Body) -> RequestBuilder {
    match body {
        Body::None => request,
        Body::Json(value) => request.header("content-type", "application/json").body(value.to_json()),
        Body::Text(media, text) => request.header("content-type", media).body(text),
    }
}

/// The answer, if its status is a success.
pub(super) fn succeeded(answer: Answer) -> Result<Answer, Failure> {
    if (200..300).contains(&answer.status) {
        Ok(answer)
    } else {
        Err(Failure::of_problem(answer.status, &answer.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str) -> Result<Client, Failure> {
        Client::new(&Shared {
            server: server.into(),
            namespace: Some("ns".into()),
            output: None,
            config: None,
            yes: false,
        })
    }

    #[test]
    fn segments_are_encoded_one_by_one() {
        let check = |server: &str, segments: &[&str], query: &[(&str, &str)], expected: &str| {
            assert_eq!(client(server).unwrap().url(segments, query).as_str(), expected);
        };
        check("http://h:1", &["executions"], &[], "http://h:1/v1/namespaces/ns/executions");
        check(
            "http://h:1/",
            &["events", "/a/b", "x y"],
            &[],
            "http://h:1/v1/namespaces/ns/events/%2Fa%2Fb/x%20y",
        );
        check(
            "http://h/base/",
            &["x"],
            &[("tag", "a:b&c")],
            "http://h/base/v1/namespaces/ns/x?tag=a%3Ab%26c",
        );
    }

    #[test]
    fn a_server_is_an_http_url() {
        for server in ["localhost:8484", "ftp://x", "", "http://"] {
            assert_eq!(client(server).err().map(|f| f.code), Some(USAGE), "{server}");
        }
    }
}
