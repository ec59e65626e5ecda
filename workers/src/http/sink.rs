//! Sinks of kind `http`: an event posted to a URL, signed as Standard Webhooks has it.
//!
//! Owns what is sent. A signed event goes in structured mode, so that the signature covers all of it; an unsigned one
//! in binary mode. Redirects are answers that say failure, as every status that is not 2xx.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::Url;
use tidemill_dsl::event::{self, Event};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::{HttpAccess, HttpConnection};
use tidemill_dsl::order::{Order, Outcome};
use tidemill_dsl::value::Value;

use super::access::Access;
use super::answer::failed;
use super::transport::{CallError, Exchange, Outbound};
use crate::secret::{Connections, SecretSource};
use crate::{input_of, origin};

const STRUCTURED: &str = "application/cloudevents+json";

/// What a sink is sent with.
pub(crate) struct Sender<'a> {
    /// The way out.
    pub(crate) outbound: Outbound,
    /// Where secrets are read from.
    pub(crate) secrets: &'a dyn SecretSource,
    /// Where connections are read from.
    pub(crate) connections: Connections,
    /// The time now: part of a signature.
    pub(crate) now: Time,
}

/// Sends the event of an order: `{event, url?, connection?, access?, headers?, sign?}`. Any 2xx is its acknowledgement.
pub(crate) async fn send(sender: &Sender<'_>, order: &Order) -> Outcome {
    match deliver(sender, order).await {
        Ok(outcome) => outcome,
        Err(fault) => Outcome::Failed(fault),
    }
}

async fn deliver(sender: &Sender<'_>, order: &Order) -> Result<Outcome, Fault> {
    let input = input_of(order)?;
    let event = input.get("event").map(Event::from_value);
    let event =
        event.and_then(Result::ok).ok_or_else(|| Fault::configuration("there is no event to send"))?;
    let through = through(sender, order, input)?;
    let url = address(through.url.as_deref(), input)?;
    let target = sender.outbound.target(&url).map_err(|refusal| CallError::Refused(refusal).fault(&url))?;
    if through.access.tls.is_some() && target.asked().scheme() != "https" {
        return Err(Fault::configuration(format!("{url}: `tls` needs an https URL")));
    }
    let Access { mut headers, tls, masks } =
        Access::read(&through.access, sender.secrets, &order.namespace).await?;
    made(input, &mut headers)?;
    origin::insert(order, &mut headers);
    let body = body(sender, order, &event, &mut headers)?;
    let exchange = Exchange { method: Method::POST, target, headers, body: Some(body), tls };
    let answer = sender.outbound.send(exchange).await.map_err(|error| error.fault(&url))?;
    if !answer.status.is_success() {
        let fault = failed(answer.status, &answer.headers, &answer.body, &url);
        return Ok(masks.hide(Outcome::Failed(fault)));
    }
    let status = Value::from(u32::from(answer.status.as_u16()));
    Ok(Outcome::Done(Value::object([("status", status)])))
}

/// Header fields that the event says: texts, never names of secrets.
fn made(input: &Value, headers: &mut HeaderMap) -> Result<(), Fault> {
    for (name, value) in input.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let text = match value {
            Value::String(text) => text.to_string(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err(Fault::configuration(format!("the header `{name}` of the sink is no text"))),
        };
        insert(headers, name, &text)?;
    }
    Ok(())
}

/// Where the event goes, and what goes along.
struct Through {
    /// The URL of a connection.
    url: Option<Arc<str>>,
    access: HttpAccess,
}

fn through(sender: &Sender<'_>, order: &Order, input: &Value) -> Result<Through, Fault> {
    let Some(name) = input.get("connection").and_then(Value::as_str) else {
        let access = input.get("access").map_or_else(|| Ok(HttpAccess::default()), HttpAccess::of);
        let access =
            access.map_err(|why| Fault::configuration(format!("the sink cannot be called: {why}")))?;
        return Ok(Through { url: None, access });
    };
    match (sender.connections)(&order.namespace, name) {
        Some(HttpConnection { url, access }) => Ok(Through { url: Some(url), access }),
        None => Err(Fault::authorization(format!(
            "there is no HTTP connection `{name}`; apply the Connection, or correct `connection`"
        ))),
    }
}

/// The URL that is called. With a connection that lies at its scheme, host and port: credentials go nowhere else. What
/// is relative stands below the path of the connection, or below its host when it begins with a slash.
fn address(connection: Option<&str>, input: &Value) -> Result<String, Fault> {
    let stated = match input.get("url") {
        None => None,
        Some(Value::String(text)) => Some(text),
        Some(_) => return Err(Fault::configuration("the `url` of the sink is no text")),
    };
    let Some(connection) = connection else {
        return stated.map(ToString::to_string).ok_or_else(|| Fault::configuration("the sink has no `url`"));
    };
    let Some(stated) = stated else { return Ok(connection.to_owned()) };
    let unreadable = |error| Fault::configuration(format!("`{stated}` is no URL of a sink: {error}"));
    let mut base = Url::parse(connection).map_err(unreadable)?;
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    let url = base.join(stated).map_err(unreadable)?;
    if url.origin() != base.origin() {
        let host = base.origin().ascii_serialization();
        return Err(Fault::configuration(format!(
            "`{stated}` does not lie at the connection's host, {host}"
        )));
    }
    Ok(url.into())
}

/// The body, and what the event says in header fields.
fn body(sender: &Sender<'_>, order: &Order, event: &Event, headers: &mut HeaderMap) -> Result<Bytes, Fault> {
    let Some(name) = input_of(order)?.get("sign").and_then(Value::as_str) else {
        for (name, value) in event::http::binary_headers(event) {
            insert(headers, &name, &value)?;
        }
        return Ok(event.data.write(event.datacontenttype.as_deref()).0.into());
    };
    let key = key(name, sender.secrets.read(&order.namespace, name))?;
    let body: Bytes = event.to_value().to_json().into();
    let id = order.execution.to_string();
    let seconds = sender.now.0.div_euclid(1000);
    insert(headers, "content-type", STRUCTURED)?;
    insert(headers, "webhook-id", &id)?;
    insert(headers, "webhook-timestamp", &seconds.to_string())?;
    insert(headers, "webhook-signature", &signature(&key, &id, seconds, &body))?;
    Ok(body)
}

fn insert(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Fault> {
    let unsendable = || Fault::configuration(format!("the attribute of `{name}` cannot be a header field"));
    let name: HeaderName = name.parse().map_err(|_| unsendable())?;
    headers.insert(name.clone(), HeaderValue::from_str(value).map_err(|_| unsendable())?);
    Ok(())
}

/// The bytes of a signing secret: base64 after `whsec_`, else the text as it is. It is a text, or an object with
/// `secret`, `token` or `key`.
fn key(name: &str, value: Option<Value>) -> Result<Vec<u8>, Fault> {
    let value = value.ok_or_else(|| Fault::authorization(format!("the secret `{name}` does not exist")))?;
    let member = ["secret", "token", "key"].into_iter().find_map(|key| value.get(key));
    let text: Arc<str> = match member.unwrap_or(&value) {
        Value::String(text) if !text.is_empty() => text.clone(),
        _ => return Err(Fault::authorization(format!("the secret `{name}` is no text"))),
    };
    match text.strip_prefix("whsec_") {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| Fault::authorization(format!("the secret `{name}` is no base64 after `whsec_`"))),
        None => Ok(text.as_bytes().to_vec()),
    }
}

/// `v1,BASE64` of HMAC-SHA-256 over `id.timestamp.body` (Standard Webhooks).
fn signature(key: &[u8], id: &str, seconds: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(format!("{id}.{seconds}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_signed_as_it_says() {
        let key = key("s", Some(Value::text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))).unwrap();
        let made = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(made, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn urls_through_a_connection() {
        let check = |connection: &str, url: &str, expected: Option<&str>| {
            let input = Value::object((!url.is_empty()).then(|| ("url", Value::text(url))));
            let found = address(Some(connection).filter(|c| !c.is_empty()), &input);
            assert_eq!(found.ok().as_deref(), expected, "{connection} {url}");
        };
        check("", "http://h/a", Some("http://h/a"));
        check("", "", None);
        check("https://h/v2", "", Some("https://h/v2"));
        check("https://h/v2", "orders?a=b", Some("https://h/v2/orders?a=b"));
        check("https://h/v2/", "orders", Some("https://h/v2/orders"));
        check("https://h", "orders", Some("https://h/orders"));
        check("https://h/v2", "/orders", Some("https://h/orders"));
        check("https://h/v2", "https://H:443/orders", Some("https://h/orders"));
        for foreign in ["http://h/a", "https://h:8443/a", "https://i/a", "//i/a", "https://h.i/a", "\\\\i/a"]
        {
            check("https://h/v2", foreign, None);
        }
    }

    #[test]
    fn secrets_that_sign() {
        let check = |value: Value, expected: Option<&[u8]>| {
            assert_eq!(key("s", Some(value.clone())).ok().as_deref(), expected, "{value}");
        };
        check(Value::text("plain"), Some(b"plain"));
        check(Value::text("whsec_b2xk"), Some(b"old"));
        check(Value::object([("secret", Value::text("plain"))]), Some(b"plain"));
        check(Value::text("whsec_%"), None);
        check(Value::text(""), None);
        check(Value::Null, None);
        assert!(key("s", None).is_err());
    }
}
