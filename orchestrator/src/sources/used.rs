//! What a source's run was made with: the secrets and connections it read, and when one of them changes.
//!
//! Owns the comparison. A run is made anew when what it was made with is no longer so: credentials rotate, and what was
//! missing comes, without a restart of the service or a change of the source.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use tidemill_connectors::registry::{self, Lookup};
use tidemill_connectors::{Source, SourceError};
use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::{self, ConnectionKind};
use tidemill_dsl::value::Value;

use super::with_lookup;
use crate::rooms::Rooms;

/// Secrets and connections as they were read; none where there was none.
#[derive(Default)]
pub(super) struct Used {
    secrets: BTreeMap<Arc<str>, Option<Value>>,
    connections: BTreeMap<Arc<str>, Option<ConnectionKind>>,
}

/// The connector of a source (none for kinds without a run of their own), and what it was made with.
pub(super) fn build(
    rooms: &Rooms,
    namespace: &Namespace,
    spec: &manifest::Source,
) -> (Result<Option<Box<dyn Source>>, SourceError>, Used) {
    let used = RefCell::new(Used::default());
    let built = with_lookup(rooms, namespace, |lookup| {
        let secret = |name: &str| {
            let value = (lookup.secret)(name);
            used.borrow_mut().secrets.insert(name.into(), value.clone());
            value
        };
        let connection = |name: &str| {
            let found = (lookup.connection)(name);
            used.borrow_mut().connections.insert(name.into(), found.clone());
            found
        };
        registry::build(spec, &Lookup { secret: &secret, connection: &connection })
    });
    (built, used.into_inner())
}

impl Used {
    fn holds(&self, rooms: &Rooms, namespace: &Namespace) -> bool {
        with_lookup(rooms, namespace, |lookup| {
            self.secrets.iter().all(|(name, value)| (lookup.secret)(name) == *value)
                && self.connections.iter().all(|(name, found)| (lookup.connection)(name) == *found)
        })
    }

    /// Returns when one of them has changed; never for a run that was made with none.
    pub(super) async fn changes(&self, rooms: &Rooms, namespace: &Namespace) {
        if self.secrets.is_empty() && self.connections.is_empty() {
            return std::future::pending().await;
        }
        let (mut secrets, mut definitions) = (rooms.secrets.watch(), rooms.catalog.watch());
        while self.holds(rooms, namespace) {
            tokio::select! {
                Ok(()) = secrets.changed() => {}
                Ok(()) = definitions.changed() => {}
                else => return std::future::pending().await,
            }
        }
    }
}
