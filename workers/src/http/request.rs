//! `call: http`: an evaluated request to an outcome (language, section 12 "HTTP and OpenAPI calls").
//!
//! Owns redirects, the three output forms, and what of a request may be shown. Evaluates nothing.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::Url;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::order::{HttpRequest, MASK, Outcome};
use tidemill_dsl::program::HttpOutput;
use tidemill_dsl::value::{Map, Value};

use super::answer::{Body, failed};
use super::transport::{Answer, CallError, Exchange, Outbound};

/// Redirects followed by one call (limit `http-redirects`).
pub const MAX_REDIRECTS: usize = 3;
/// Fields that belong to the connection and cannot be set.
const OWNED: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE];

/// Performs a request of `call: http`. A status of 300 and above (400 and above when redirects are followed) is an
/// error with that status in every output form; no answer at all is a communication error.
pub async fn perform(outbound: &Outbound, request: &HttpRequest) -> Outcome {
    match attempt(outbound, request).await {
        Ok(value) => Outcome::Done(value),
        Err(fault) => Outcome::Failed(masked(fault, request)),
    }
}

async fn attempt(outbound: &Outbound, request: &HttpRequest) -> Result<Value, Fault> {
    let refuse = |refusal| CallError::Refused(refusal).fault(&request.uri);
    let first = outbound.target(&request.uri).map_err(refuse)?;
    let mut target = first.clone();
    let mut method = Method::from_bytes(request.method.to_uppercase().as_bytes()).map_err(|_| {
        Fault::configuration(format!("cannot send a request: `{}` is no HTTP method", request.method))
    })?;
    let mut headers = header_fields(request)?;
    let mut body = body_bytes(request, &mut headers);
    let shown = shown_headers(&headers);
    let whom = format!("{method} {}", request.uri);
    let mut hops = 0;
    loop {
        let exchange = Exchange {
            method: method.clone(),
            target: target.clone(),
            headers: headers.clone(),
            body: body.clone(),
            tls: None,
        };
        let answer = outbound.send(exchange).await.map_err(|error| error.fault(&whom))?;
        let follow = request.redirect && answer.status.is_redirection();
        let Some(next) = follow.then(|| location(target.asked(), &answer.headers)).flatten() else {
            return finish(request, &answer, &whom, shown);
        };
        hops += 1;
        if hops > MAX_REDIRECTS {
            let detail =
                format!("{whom} was redirected more than {MAX_REDIRECTS} times (limit `http-redirects`)");
            return Err(Fault::communication(i64::from(answer.status.as_u16()), detail));
        }
        target = outbound.target(&next).map_err(refuse)?;
        if target.asked().origin() != first.asked().origin() {
            for name in [header::AUTHORIZATION, header::COOKIE, header::HOST] {
                headers.remove(name);
            }
        }
        if drops_body(answer.status, &method) {
            method = Method::GET;
            body = None;
            headers.remove(header::CONTENT_TYPE);
        }
    }
}

fn finish(request: &HttpRequest, answer: &Answer, whom: &str, shown: Value) -> Result<Value, Fault> {
    let least = if request.redirect { 400 } else { 300 };
    if answer.status.as_u16() >= least {
        return Err(failed(answer.status, &answer.headers, &answer.body, whom));
    }
    let body = Body::new(&answer.headers, &answer.body);
    Ok(match request.output {
        HttpOutput::Content => body.content(),
        HttpOutput::Raw => body.base64(),
        HttpOutput::Response => {
            let asked = Value::object([
                ("method", Value::from(request.method.to_uppercase())),
                ("uri", Value::from(request.uri.as_str())),
                ("headers", shown),
            ]);
            Value::object([
                ("request", asked),
                ("statusCode", Value::from(u32::from(answer.status.as_u16()))),
                ("headers", as_map(&answer.headers)),
                ("content", body.content()),
            ])
        }
    })
}

/// Where a redirect leads; none without a `location` that can be read.
fn location(from: &Url, headers: &HeaderMap) -> Option<String> {
    let to = headers.get(header::LOCATION)?.to_str().ok()?;
    from.join(to).ok().map(String::from)
}

/// Whether a redirect turns the request into a GET without body (RFC 9110, section 15.4).
fn drops_body(status: StatusCode, method: &Method) -> bool {
    match status {
        StatusCode::SEE_OTHER => *method != Method::HEAD,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => *method == Method::POST,
        _ => false,
    }
}

fn header_fields(request: &HttpRequest) -> Result<HeaderMap, Fault> {
    let refuse = |text: String| Fault::configuration(format!("cannot send a request: {text}"));
    let mut headers = HeaderMap::with_capacity(request.headers.len() + 2);
    for (name, value) in &request.headers {
        let field: HeaderName = name.parse().map_err(|_| refuse(format!("`{name}` is no header name")))?;
        if OWNED.contains(&field) {
            return Err(refuse(format!("the header `{name}` cannot be set, it belongs to the connection")));
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| refuse(format!("the value of the header `{name}` has control characters in it")))?;
        headers.append(field, value);
    }
    if let Some(authorization) = &request.authorization {
        let mut value = HeaderValue::from_str(authorization)
            .map_err(|_| refuse("the credentials have control characters in them".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(headers)
}

/// The body as sent: JSON, unless a content type that is not JSON is given with a text (sent as it is) or with an
/// object and `application/x-www-form-urlencoded`.
fn body_bytes(request: &HttpRequest, headers: &mut HeaderMap) -> Option<Bytes> {
    let body = request.body.as_ref()?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(str::to_lowercase);
    let Some(kind) = kind else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return Some(body.to_json().into());
    };
    Some(match body {
        Value::String(text) if !kind.contains("json") => Bytes::from(text.as_bytes().to_vec()),
        Value::Object(map) if kind.starts_with("application/x-www-form-urlencoded") => form(map).into(),
        _ => body.to_json().into(),
    })
}

fn form(map: &Map) -> String {
    let Ok(mut url) = Url::parse("http://form/") else {
        return String::new();
    };
    for (name, value) in map {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        url.query_pairs_mut().append_pair(name, &text);
    }
    url.query().unwrap_or("").to_owned()
}

fn as_map(headers: &HeaderMap) -> Value {
    let mut map = Map::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        map.insert(name.as_str().into(), Value::from(values.collect::<Vec<_>>().join(", ")));
    }
    map.into()
}

/// The header fields of a request as they are shown: credentials are masked.
fn shown_headers(headers: &HeaderMap) -> Value {
    let mut shown = headers.clone();
    for name in [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE] {
        if shown.contains_key(&name) {
            shown.insert(name, HeaderValue::from_static(MASK));
        }
    }
    as_map(&shown)
}

/// A fault in whose text the credentials, should the partner have echoed them, are masked.
fn masked(mut fault: Fault, request: &HttpRequest) -> Fault {
    let credentials =
        request.authorization.iter().flat_map(|a| [Some(a.as_str()), a.split_once(' ').map(|p| p.1)]);
    for secret in credentials.flatten().filter(|secret| secret.len() >= 4) {
        if let Some(detail) = fault.detail.as_ref().filter(|detail| detail.contains(secret)) {
            fault.detail = Some(detail.replace(secret, MASK).into());
        }
    }
    fault
}
