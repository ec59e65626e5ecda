//! Name resolution that filters: only judged addresses are connected to.
//!
//! Owns the step between a host name and the addresses a client may use, so that an answer that changes between
//! check and connection changes nothing. It may not cache.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower::{BoxError, Service};

use super::policy::{Policy, Refusal};
use crate::BoxFuture;

/// Judges a host that is an address already; names are judged when they are resolved.
pub(crate) fn permit_literal(policy: &Policy, url: &Url, port: u16) -> Result<(), Refusal> {
    let host = url.host_str().unwrap_or("");
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().map_or(Ok(()), |ip| policy.permit(host, ip, Some(port)))
}

/// A resolver for one policy. With `port` it also refuses addresses where a listener of this process has that port.
#[derive(Debug, Clone)]
pub(crate) struct Pinned {
    /// The settings in force.
    pub(crate) policy: Arc<Policy>,
    /// The port that will be connected to, when a listener of this process has it.
    pub(crate) port: Option<u16>,
    /// The host that is looked up whatever is asked for; none: what is asked for.
    pub(crate) instead: Option<Arc<str>>,
}

impl Pinned {
    /// Keeps the addresses that may be called; an error when none is left.
    fn filter(
        &self,
        host: &str,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let mut refused = None;
        let mut kept = Vec::new();
        for address in found {
            match self.policy.permit(host, address.ip(), self.port) {
                Ok(()) => kept.push(address),
                Err(refusal) => refused = Some(refusal),
            }
        }
        match refused {
            Some(refusal) if kept.is_empty() => Err(refusal),
            _ => Ok(kept),
        }
    }

    async fn addresses(&self, host: &str) -> Result<std::vec::IntoIter<SocketAddr>, BoxError> {
        let host = self.instead.as_deref().unwrap_or(host);
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(self.filter(host, found)?.into_iter())
    }
}

/// For the general client.
impl Resolve for Pinned {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move { Ok(Box::new(this.addresses(name.as_str()).await?) as Addrs) })
    }
}

/// For connections without TLS.
impl Service<dns::Name> for Pinned {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: dns::Name) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.addresses(name.as_str()).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_answers_are_dropped_beside_public_ones() {
        let pinned = Pinned { policy: Arc::new(Policy::default()), port: None, instead: None };
        let check = |found: &[&str], expected: Option<&[&str]>| {
            let parse =
                |list: &[&str]| list.iter().map(|a| a.parse::<SocketAddr>().unwrap()).collect::<Vec<_>>();
            let kept = pinned.filter("h", parse(found).into_iter());
            assert_eq!(kept.ok(), expected.map(parse), "{found:?}");
        };
        check(&["1.1.1.1:0", "10.0.0.1:0"], Some(&["1.1.1.1:0"]));
        check(&["10.0.0.1:0", "[::1]:0"], None);
        check(&[], Some(&[]));
    }
}
