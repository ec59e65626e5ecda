//! Secrets as the workers see them: read when a call is sent, never kept.
//!
//! Owns the port through which they are read. It may not log, store or show a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemill_dsl::fault::Fault;
use tidemill_dsl::manifest::{HttpConnection, Setting};
use tidemill_dsl::value::Value;

/// Where secrets are read from.
pub trait SecretSource: Send + Sync + 'static {
    /// The value of a secret now: text or an object.
    fn read(&self, namespace: &str, name: &str) -> Option<Value>;
}

/// Where HTTP connections are read from, by namespace and name: as they are now.
pub type Connections = Arc<dyn Fn(&str, &str) -> Option<HttpConnection> + Send + Sync>;

/// No secrets at all, or a fixed set of one namespace for every caller.
impl SecretSource for BTreeMap<String, Value> {
    fn read(&self, _namespace: &str, name: &str) -> Option<Value> {
        self.get(name).cloned()
    }
}

/// A text of a manifest: `V` or `{secret: NAME}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// As written.
    Literal(String),
    /// The value of a secret.
    Secret(Arc<str>),
}

impl Text {
    /// The text now. A secret that does not exist, or is no text, is an authorization fault (403).
    pub fn read(&self, secrets: &dyn SecretSource, namespace: &str) -> Result<String, Fault> {
        match self {
            Text::Literal(text) => Ok(text.clone()),
            Text::Secret(name) => secret_text(secrets, namespace, name, None),
        }
    }
}

impl From<&Setting> for Text {
    fn from(setting: &Setting) -> Text {
        match setting {
            Setting::Text(text) => Text::Literal(text.to_string()),
            Setting::Secret(name) => Text::Secret(name.clone()),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text::Literal(text.to_owned())
    }
}

/// The text of a secret; of an object its member `key`.
pub(crate) fn secret_text(
    secrets: &dyn SecretSource,
    namespace: &str,
    name: &str,
    key: Option<&str>,
) -> Result<String, Fault> {
    let value = secrets.read(namespace, name);
    let value = value.ok_or_else(|| Fault::authorization(format!("the secret `{name}` does not exist")))?;
    let text = value.as_str().or_else(|| value.get(key?).and_then(Value::as_str));
    text.map(str::to_owned).ok_or_else(|| Fault::authorization(format!("the secret `{name}` is no text")))
}
