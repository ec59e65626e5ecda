//! HTTP over TLS, HTTP/2 included: the general client.
//!
//! Owns the TLS clients of one outbound policy. Follows no redirects and knows nothing of orders.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::BytesMut;
use http::header;
use reqwest::{Certificate, Client, ClientBuilder, Identity, Url};
use tidemill_dsl::order::MAX_OUTPUT;

use super::transport::{AGENT, Answer, CONNECT, CallError, Exchange, KEPT, failure, reason};
use crate::egress::{Pinned, Policy, permit_literal};

/// Clients with certificates of their own that are kept (limit `http-tls-clients`); the one unused for longest goes
/// first.
const TLS_CLIENTS: usize = 64;

/// Whom to trust and who one is; two equal ones share their connections.
#[derive(PartialEq, Eq)]
pub struct ClientTls {
    /// Certificates of authorities in PEM form; none: the well-known ones.
    pub ca: Option<Vec<u8>>,
    /// The own certificate with its chain, and its key, in PEM form.
    pub identity: Option<Vec<u8>>,
    /// The name that the partner is asked for and must prove; none: the host of the URL.
    pub server_name: Option<Arc<str>>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// The clients: built when first needed, since reading the system's certificates takes time.
pub(super) struct GeneralClient {
    policy: Arc<Policy>,
    /// For every port but those of own listeners.
    general: OnceLock<Result<Client, String>>,
    /// For ports that a listener of this process has.
    guarded: Mutex<Vec<(u16, Client)>>,
    /// With certificates of their own; the latest used is last.
    own: Mutex<Vec<(Own, Client)>>,
}

/// What a client with certificates of its own was built for.
#[derive(PartialEq, Eq)]
struct Own {
    tls: Arc<ClientTls>,
    port: Option<u16>,
    /// The host that is connected to, where another name is asked for.
    host: Option<Arc<str>>,
}

impl GeneralClient {
    pub(super) fn new(policy: Arc<Policy>) -> GeneralClient {
        GeneralClient { policy, general: OnceLock::new(), guarded: Mutex::default(), own: Mutex::default() }
    }

    fn builder(&self, port: Option<u16>, instead: Option<Arc<str>>) -> ClientBuilder {
        Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(KEPT)
            .tcp_nodelay(true)
            .user_agent(AGENT)
            .dns_resolver(Arc::new(Pinned { policy: self.policy.clone(), port, instead }))
    }

    fn build(&self, port: Option<u16>) -> Result<Client, String> {
        self.builder(port, None).build().map_err(|error| reason(&error))
    }

    fn client(&self, port: u16) -> Result<Client, CallError> {
        if !self.policy.has_own_port(port) {
            return self.general.get_or_init(|| self.build(None)).clone().map_err(CallError::NoAnswer);
        }
        let mut guarded = self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = guarded.iter().find(|(own, _)| *own == port) {
            return Ok(client.clone());
        }
        let client = self.build(Some(port)).map_err(CallError::NoAnswer)?;
        guarded.push((port, client.clone()));
        Ok(client)
    }

    /// The client with these certificates for a URL, and the URL with the name that is asked for.
    fn own(&self, tls: &Arc<ClientTls>, mut url: Url, port: u16) -> Result<(Client, Url), CallError> {
        let mut host = None;
        if let Some(name) = &tls.server_name {
            let bare = url.host_str().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
            host = Some(Arc::from(bare));
            // An address in its place would be called unjudged.
            if url.set_host(Some(name)).is_err() || url.domain().is_none() {
                return Err(CallError::Certificates(format!("`{name}` is no name of a host")));
            }
        }
        let key = Own { tls: tls.clone(), port: self.policy.has_own_port(port).then_some(port), host };
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let client = match own.iter().position(|(kept, _)| *kept == key) {
            Some(at) => own.remove(at).1,
            None => certified(self.builder(key.port, key.host.clone()), tls)?,
        };
        if own.len() >= TLS_CLIENTS {
            own.remove(0);
        }
        own.push((key, client.clone()));
        Ok((client, url))
    }

    /// Sends a request and reads the answer.
    pub(super) async fn exchange(&self, exchange: Exchange) -> Result<Answer, CallError> {
        let Exchange { method, target, mut headers, body, tls } = exchange;
        // The client states the host by itself, but of the URL that is called.
        if target.url() != target.asked() {
            headers.entry(header::HOST).or_insert(target.host().clone());
        }
        permit_literal(&self.policy, target.url(), target.port())?;
        let (client, url) = match &tls {
            Some(tls) => {
                if tls.server_name.is_some() {
                    headers.entry(header::HOST).or_insert(target.host().clone());
                }
                self.own(tls, target.url().clone(), target.port())?
            }
            None => (self.client(target.port())?, target.url().clone()),
        };
        let mut request = client.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await.map_err(|error| failure(&error.without_url()))?;
        read(answer).await
    }
}

/// A client with certificates of its own.
fn certified(mut builder: ClientBuilder, tls: &ClientTls) -> Result<Client, CallError> {
    let unusable = |what: &str, error: &reqwest::Error| {
        CallError::Certificates(format!("{what} cannot be used: {}", reason(error)))
    };
    if let Some(ca) = &tls.ca {
        let found = Certificate::from_pem_bundle(ca).map_err(|error| unusable("`ca`", &error))?;
        if found.is_empty() {
            return Err(CallError::Certificates("`ca` holds no certificate in PEM form".into()));
        }
        builder = builder.tls_certs_only(found);
    }
    if let Some(pem) = &tls.identity {
        let what = "`certificate` with `key`";
        builder = builder.identity(Identity::from_pem(pem).map_err(|error| unusable(what, &error))?);
    }
    if tls.server_name.is_some() {
        // With HTTP/2 the name that is asked for would stand in the request in place of the host.
        builder = builder.http1_only();
    }
    builder.build().map_err(|error| unusable("`tls`", &error))
}

async fn read(mut answer: reqwest::Response) -> Result<Answer, CallError> {
    let status = answer.status();
    let headers = std::mem::take(answer.headers_mut());
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failure(&error.without_url()))? {
        if body.len() + chunk.len() > MAX_OUTPUT {
            return Err(CallError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body: body.freeze() })
}
