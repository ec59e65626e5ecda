//! What goes with a request to a service: credentials, header fields, certificates (manifests.md, Connection).
//!
//! Owns their reading at the moment of the call, so that what was replaced counts from the next call on. Keeps nothing.

use std::sync::Arc;

use http::HeaderMap;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::manifest::{CallAuth, HttpAccess, Pem, Setting, Tls};
use tidemill_dsl::order::Masks;
use tidemill_dsl::value::Value;

use super::function::{Auth, authorization, insert};
use super::general::ClientTls;
use crate::secret::{SecretSource, Text, secret_text};

/// What goes with one request.
#[derive(Default)]
pub(super) struct Access {
    /// Header fields, credentials included.
    pub(super) headers: HeaderMap,
    /// Certificates; none: the well-known authorities, no own certificate.
    pub(super) tls: Option<Arc<ClientTls>>,
    /// Hides the credentials, should the partner echo them.
    pub(super) masks: Masks,
}

impl Access {
    /// As it is now. A secret or file that is not there, or is of another shape, is an authorization fault (403).
    pub(super) async fn read(
        access: &HttpAccess,
        secrets: &dyn SecretSource,
        namespace: &str,
    ) -> Result<Access, Fault> {
        let mut headers = HeaderMap::new();
        let mut hidden = Vec::new();
        for (name, value) in &access.headers {
            if let Setting::Secret(secret) = value {
                hidden.extend(secrets.read(namespace, secret));
            }
            insert(&mut headers, name, &Text::from(value).read(secrets, namespace)?)?;
        }
        if let Some(auth) = &access.auth {
            let (CallAuth::Basic { secret } | CallAuth::Bearer { secret }) = auth;
            let text = authorization(&Auth::from(auth), secrets, namespace)?;
            hidden.extend(secrets.read(namespace, secret));
            hidden.extend(text.split_once(' ').map(|(_, credentials)| Value::text(credentials)));
            insert(&mut headers, "authorization", &text)?;
        }
        let tls = match &access.tls {
            Some(tls) => Some(Arc::new(certificates(tls, secrets, namespace).await?)),
            None => None,
        };
        Ok(Access { headers, tls, masks: Masks::of(&hidden) })
    }
}

async fn certificates(tls: &Tls, secrets: &dyn SecretSource, namespace: &str) -> Result<ClientTls, Fault> {
    let read = async |pem: &Option<Pem>| match pem {
        Some(pem) => bytes(pem, secrets, namespace).await.map(Some),
        None => Ok(None),
    };
    let identity = match (read(&tls.key).await?, read(&tls.certificate).await?) {
        (Some(key), Some(certificate)) => Some([key, certificate].join(&b'\n')),
        _ => None,
    };
    Ok(ClientTls { ca: read(&tls.ca).await?, identity, server_name: tls.server_name.clone() })
}

async fn bytes(pem: &Pem, secrets: &dyn SecretSource, namespace: &str) -> Result<Vec<u8>, Fault> {
    match pem {
        Pem::Secret(name) => secret_text(secrets, namespace, name, Some("key")).map(String::into_bytes),
        Pem::File(path) => tokio::fs::read(&**path).await.map_err(|error| {
            Fault::authorization(format!("the file {path} of `tls` cannot be read: {error}"))
        }),
    }
}
