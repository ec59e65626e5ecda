//! HTTP over TLS, HTTP/2 included: the general client.
//!
//! Owns the TLS clients of one outbound policy. Follows no redirects and knows nothing of orders.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::BytesMut;
use http::header;
use reqwest::Client;
use tidemill_dsl::order::MAX_OUTPUT;

use super::transport::{AGENT, Answer, CONNECT, CallError, Exchange, KEPT, failure, reason};
use crate::egress::{Pinned, Policy, permit_literal};

/// The clients: built when first needed, since reading the system's certificates takes time.
pub(super) struct GeneralClient {
    policy: Arc<Policy>,
    /// For every port but those of own listeners.
    general: OnceLock<Result<Client, String>>,
    /// For ports that a listener of this process has.
    guarded: Mutex<Vec<(u16, Client)>>,
}

impl GeneralClient {
    pub(super) fn new(policy: Arc<Policy>) -> GeneralClient {
        GeneralClient { policy, general: OnceLock::new(), guarded: Mutex::default() }
    }

    fn build(&self, port: Option<u16>) -> Result<Client, String> {
        Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(KEPT)
            .tcp_nodelay(true)
            .user_agent(AGENT)
            .dns_resolver(Arc::new(Pinned { policy: self.policy.clone(), port }))
            .build()
            .map_err(|error| reason(&error))
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

    /// Sends a request and reads the answer.
    pub(super) async fn exchange(&self, exchange: Exchange) -> Result<Answer, CallError> {
        let Exchange { method, target, mut headers, body } = exchange;
        // The client states the host by itself, but of the URL that is called.
        if target.url() != target.asked() {
            headers.entry(header::HOST).or_insert(target.host().clone());
        }
        permit_literal(&self.policy, target.url(), target.port())?;
        let mut request = self.client(target.port())?.request(method, target.url().clone()).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await.map_err(|error| failure(&error.without_url()))?;
        read(answer).await
    }
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
