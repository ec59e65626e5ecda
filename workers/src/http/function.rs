//! Functions of kind `http`: the input is posted, the body of a 2xx answer is the output (manifests.md, Function).
//!
//! Owns what is sent to such a function. Versions, timeouts and admission are the registry's.

use std::sync::Arc;

use base64::Engine as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::manifest::CallAuth;
use tidemill_dsl::order::{Order, Outcome};
use tidemill_dsl::value::Value;
use tokio_util::sync::CancellationToken;

use super::answer::output_of;
use super::target::Target;
use super::transport::{CallError, Exchange, Outbound};
use crate::egress::Refusal;
use crate::origin::{self, callback};
use crate::secret::{SecretSource, Text, secret_text};
use crate::{BoxFuture, Function, input_of};

/// In a request the path under which the task can be ended later, in an answer `accepted`.
const CALLBACK: &str = "tidemill-callback";

/// Credentials of an http function; read when the call is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// `basic`: the secret holds `{username, password}`.
    Basic(Arc<str>),
    /// `bearer`: the secret is the token or holds `{token}`.
    Bearer(Arc<str>),
}

impl From<&CallAuth> for Auth {
    fn from(auth: &CallAuth) -> Auth {
        match auth {
            CallAuth::Basic { secret } => Auth::Basic(secret.clone()),
            CallAuth::Bearer { secret } => Auth::Bearer(secret.clone()),
        }
    }
}

/// A function behind a URL.
pub struct HttpFunction {
    pub(crate) url: String,
    /// Method, upper case (default POST).
    pub method: String,
    /// Further header fields.
    pub headers: Vec<(String, Text)>,
    /// Credentials.
    pub auth: Option<Auth>,
    /// The way out.
    pub(crate) outbound: Outbound,
    /// Where secrets are read from.
    pub(crate) secrets: Arc<dyn SecretSource>,
    /// The URL as it is called.
    pub(crate) target: Result<Target, Refusal>,
}

impl HttpFunction {
    /// A function that is posted to `url` without further fields or credentials.
    pub fn new(url: impl Into<String>, outbound: Outbound, secrets: Arc<dyn SecretSource>) -> HttpFunction {
        let url = url.into();
        let target = outbound.target(&url);
        let (method, headers, auth) = ("POST".into(), Vec::new(), None);
        HttpFunction { url, method, headers, auth, outbound, secrets, target }
    }

    async fn perform(&self, order: Order) -> Outcome {
        let exchange = match self.exchange(&order) {
            Ok(exchange) => exchange,
            Err(fault) => return Outcome::Failed(fault),
        };
        match self.outbound.send(exchange).await {
            Ok(answer) if is_later(answer.status, &answer.headers) => Outcome::Later,
            Ok(answer) => output_of(answer.status, &answer.headers, &answer.body, &self.url),
            Err(error) => Outcome::Failed(error.fault(&self.url)),
        }
    }

    fn exchange(&self, order: &Order) -> Result<Exchange, Fault> {
        let refuse = |refusal| CallError::Refused(refusal).fault(&self.url);
        let target = self.target.clone().map_err(refuse)?;
        let method = Method::from_bytes(self.method.as_bytes()).map_err(|_| {
            Fault::configuration(format!("cannot call {}: bad method `{}`", self.url, self.method))
        })?;
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, text) in &self.headers {
            insert(&mut headers, name, &text.read(&*self.secrets, &order.namespace)?)?;
        }
        if let Some(auth) = &self.auth {
            insert(&mut headers, "authorization", &authorization(auth, &*self.secrets, &order.namespace)?)?;
        }
        origin::insert(order, &mut headers);
        insert(&mut headers, CALLBACK, &callback(order))?;
        let body = input_of(order)?.to_json();
        Ok(Exchange { method, target, headers, body: Some(body.into()), tls: None })
    }
}

impl Function for HttpFunction {
    fn call(&self, order: Order, stop: CancellationToken) -> BoxFuture<'_, Outcome> {
        Box::pin(crate::cut_off(stop, self.perform(order)))
    }
}

/// Whether an answer says that the output comes later, by a callback: 202 with `tidemill-callback: accepted`.
fn is_later(status: http::StatusCode, headers: &HeaderMap) -> bool {
    let said = headers.get(CALLBACK).and_then(|value| value.to_str().ok());
    status == http::StatusCode::ACCEPTED
        && said.is_some_and(|said| said.trim().eq_ignore_ascii_case("accepted"))
}

pub(super) fn insert(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Fault> {
    let field: HeaderName =
        name.parse().map_err(|_| Fault::configuration(format!("`{name}` is no header name")))?;
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        Fault::configuration(format!("the value of the header `{name}` has control characters in it"))
    })?;
    value.set_sensitive(field == header::AUTHORIZATION);
    headers.insert(field, value);
    Ok(())
}

pub(super) fn authorization(
    auth: &Auth,
    secrets: &dyn SecretSource,
    namespace: &str,
) -> Result<String, Fault> {
    match auth {
        Auth::Bearer(name) => Ok(format!("Bearer {}", secret_text(secrets, namespace, name, Some("token"))?)),
        Auth::Basic(name) => {
            let value = secrets.read(namespace, name).unwrap_or(Value::Null);
            let part = |key: &str| value.get(key).and_then(Value::as_str);
            let (Some(user), Some(password)) = (part("username"), part("password")) else {
                return Err(Fault::authorization(format!(
                    "the secret `{name}` holds no username and password"
                )));
            };
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            Ok(format!("Basic {pair}"))
        }
    }
}
