//! Name resolution that filters: only judged addresses are connected to.
//!
//! Owns the step between a host name and the addresses a client may use, so that an answer that changes between
//! check and connection changes nothing. It may not cache.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::policy::{Policy, Refusal};

/// A resolver for one policy. With `port` it also refuses addresses where a listener of this process has that port.
#[derive(Debug, Clone)]
pub(crate) struct Pinned {
    /// The settings in force.
    pub(crate) policy: Arc<Policy>,
    /// The port that will be connected to, when a listener of this process has it.
    pub(crate) port: Option<u16>,
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
}

impl Resolve for Pinned {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let kept = this.filter(&host, found)?;
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_answers_are_dropped_beside_public_ones() {
        let pinned = Pinned { policy: Arc::new(Policy::default()), port: None };
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
