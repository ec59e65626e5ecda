//! Key sets of token issuers, fetched from the URLs that sources name and kept for a while.
//!
//! Owns when a set is fetched: by its age alone, never because of what a token says. Goes out by the namespace's own
//! outbound policy. Judges no tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, Method};
use tidemill_connectors::http::jwt::KeySet;
use tidemill_dsl::ids::Namespace;
use tidemill_workers::http::{Exchange, Outbound};

/// How old a set may be before it is fetched again (limit `jwks-age`): a new key is known after it at the latest.
const FRESH: Duration = Duration::from_mins(5);
/// How old a set may be that cannot be fetched again.
const STALE: Duration = Duration::from_hours(24);
/// Shortest time between two attempts.
const REST: Duration = Duration::from_secs(10);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Sets that are kept (limit `jwks-sets`); all are forgotten when there are more.
const MAX_SETS: usize = 1000;

/// Where a set is: whose it is, and its URL.
type Place = (Namespace, Arc<str>);

/// All key sets of the process.
#[derive(Default)]
pub struct KeySets {
    sets: Mutex<HashMap<Place, Arc<tokio::sync::Mutex<Held>>>>,
}

/// What is known of one.
#[derive(Default)]
struct Held {
    keys: Option<(Arc<KeySet>, Instant)>,
    tried: Option<Instant>,
    trouble: String,
}

impl KeySets {
    /// The set at a URL: as it is kept, or fetched. Where that fails an older one serves for a day; the error is what
    /// to tell the operator.
    pub async fn get(
        &self,
        outbound: impl FnOnce() -> Outbound,
        namespace: &Namespace,
        url: &Arc<str>,
    ) -> Result<Arc<KeySet>, String> {
        let place = {
            let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
            if sets.len() >= MAX_SETS {
                sets.clear();
            }
            sets.entry((namespace.clone(), url.clone())).or_default().clone()
        };
        // Those who come while it is fetched wait for it.
        let mut held = place.lock().await;
        let young = |at: Option<Instant>, limit: Duration| at.is_some_and(|at| at.elapsed() < limit);
        let fetched = held.keys.as_ref().map(|(_, at)| *at);
        if !young(fetched, FRESH) && !young(held.tried, REST) {
            held.tried = Some(crate::clock::tick());
            match fetch(&outbound(), url).await {
                Ok(keys) => held.keys = Some((Arc::new(keys), crate::clock::tick())),
                Err(trouble) => {
                    tracing::warn!(%namespace, url = %url, %trouble, "cannot fetch the keys of tokens");
                    held.trouble = trouble;
                }
            }
        }
        match &held.keys {
            Some((keys, at)) if at.elapsed() < STALE => Ok(keys.clone()),
            _ => Err(format!("fetch the keys at {url}: {}", held.trouble)),
        }
    }
}

async fn fetch(outbound: &Outbound, url: &str) -> Result<KeySet, String> {
    let target = outbound.target(url).map_err(|error| error.to_string())?;
    let exchange = Exchange { method: Method::GET, target, headers: HeaderMap::new(), body: None, tls: None };
    let answer = tokio::time::timeout(PATIENCE, outbound.send(exchange)).await;
    let answer = answer.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("the answer has the status {}", answer.status.as_u16()));
    }
    KeySet::of_jwks(&answer.body).map_err(|error| error.to_string())
}
