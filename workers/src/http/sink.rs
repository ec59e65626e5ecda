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
use tidemill_dsl::event::{self, Event};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Time;
use tidemill_dsl::order::{Order, Outcome};
use tidemill_dsl::value::Value;

use super::answer::failed;
use super::transport::{CallError, Exchange, Outbound};
use crate::secret::SecretSource;
use crate::{input_of, origin};

const STRUCTURED: &str = "application/cloudevents+json";

/// Sends the event of an order: `{url, event, sign?}`. Any 2xx is its acknowledgement.
pub(crate) async fn send(
    outbound: &Outbound,
    (secrets, now): (&dyn SecretSource, Time),
    order: &Order,
) -> Outcome {
    match deliver(outbound, (secrets, now), order).await {
        Ok(status) => Outcome::Done(Value::object([("status", Value::from(u32::from(status)))])),
        Err(fault) => Outcome::Failed(fault),
    }
}

async fn deliver(
    outbound: &Outbound,
    (secrets, now): (&dyn SecretSource, Time),
    order: &Order,
) -> Result<u16, Fault> {
    let input = input_of(order)?;
    let text = |name: &str| input.get(name).and_then(Value::as_str);
    let url = text("url").ok_or_else(|| Fault::configuration("the `url` of the sink is no text"))?;
    let event = input.get("event").map(Event::from_value);
    let event =
        event.and_then(Result::ok).ok_or_else(|| Fault::configuration("there is no event to send"))?;
    let target = outbound.target(url).map_err(|refusal| CallError::Refused(refusal).fault(url))?;
    let mut headers = HeaderMap::with_capacity(16);
    origin::insert(order, &mut headers);
    let body = match text("sign") {
        Some(name) => {
            let key = key(name, secrets.read(&order.namespace, name))?;
            let body: Bytes = event.to_value().to_json().into();
            let id = order.execution.to_string();
            let seconds = now.0.div_euclid(1000);
            insert(&mut headers, "content-type", STRUCTURED)?;
            insert(&mut headers, "webhook-id", &id)?;
            insert(&mut headers, "webhook-timestamp", &seconds.to_string())?;
            insert(&mut headers, "webhook-signature", &signature(&key, &id, seconds, &body))?;
            body
        }
        None => {
            for (name, value) in event::http::binary_headers(&event) {
                insert(&mut headers, &name, &value)?;
            }
            event.data.write(event.datacontenttype.as_deref()).0.into()
        }
    };
    let exchange = Exchange { method: Method::POST, target, headers, body: Some(body) };
    let answer = outbound.send(exchange).await.map_err(|error| error.fault(url))?;
    if !answer.status.is_success() {
        return Err(failed(answer.status, &answer.headers, &answer.body, url));
    }
    Ok(answer.status.as_u16())
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
