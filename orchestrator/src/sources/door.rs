//! The ingress as a connector sees it.
//!
//! Owns what stands between a connector and the ingress: the counters, and the events that the records of one Source
//! carry for another.

use std::sync::Arc;

use tidemill_connectors as connectors;
use tidemill_connectors::{Arrivals, BoxFuture, Receipt, Refused, minio};
use tidemill_dsl::event::Event;
use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::Manifest;
use tidemill_store::{Checkpoint, DefinitionKind};

use super::{Gauge, Sources, active, with_lookup};
use crate::error::Error;
use crate::ingress::Offer;
use crate::rooms::Rooms;

/// The ingress as a connector sees it.
pub(super) struct Door {
    pub(super) rooms: Arc<Rooms>,
    pub(super) sources: Arc<Sources>,
    pub(super) gauge: Arc<Gauge>,
}

impl connectors::Ingress for Door {
    fn accept(&self, arrivals: Arrivals) -> BoxFuture<'_, Result<Receipt, Refused>> {
        Box::pin(async move {
            self.hand_over(&arrivals).await.map_err(|error| refused(&error))?;
            let checkpoints = arrivals
                .positions
                .into_iter()
                .map(|(partition, value)| Checkpoint { source: arrivals.source.clone(), partition, value })
                .collect();
            let offer = Offer {
                namespace: arrivals.namespace,
                binding: arrivals.source,
                events: arrivals.events,
                checkpoints,
                dedupe: arrivals.dedupe,
                patient: true,
            };
            let receipts =
                self.rooms.ingress.accept(&self.rooms, offer).await.map_err(|error| refused(&error))?;
            let duplicates = receipts.iter().filter(|r| r.duplicate).count();
            let receipt = Receipt { accepted: receipts.len() - duplicates, duplicates };
            self.gauge.counted(&receipt);
            Ok(receipt)
        })
    }
}

impl Door {
    /// Hands carried events to the Sources they belong to, before the position of their carrier is saved: a crash in
    /// between reads the record again, and the carried event is a duplicate then.
    async fn hand_over(&self, arrivals: &Arrivals) -> Result<(), Error> {
        for (name, mapping) in carried(&self.rooms, &arrivals.namespace, &arrivals.source) {
            let gauge = self.sources.gauge(&arrivals.namespace, &name);
            let mut events: Vec<Event> = Vec::new();
            for carrier in &arrivals.events {
                let (found, poison) = minio::carried(&mapping, carrier);
                events.extend(found);
                if let Some(gauge) = &gauge {
                    poison.iter().for_each(|why| connectors::Health::poison(&**gauge, &why.to_string()));
                }
            }
            if events.is_empty() {
                continue;
            }
            let offer = Offer {
                namespace: arrivals.namespace.clone(),
                binding: name,
                events,
                checkpoints: Vec::new(),
                dedupe: true,
                patient: true,
            };
            let receipts = self.rooms.ingress.accept(&self.rooms, offer).await?;
            if let Some(gauge) = gauge {
                let duplicates = receipts.iter().filter(|r| r.duplicate).count();
                gauge.counted(&Receipt { accepted: receipts.len() - duplicates, duplicates });
            }
        }
        Ok(())
    }
}

/// The Sources that another one carries, with what of its records is theirs.
fn carried(rooms: &Rooms, namespace: &Namespace, carrier: &str) -> Vec<(Arc<str>, minio::Mapping)> {
    let space = rooms.catalog.space(namespace);
    let sources = space.manifests(DefinitionKind::Source).into_iter().filter(|entry| active(entry));
    let own = sources.filter_map(|entry| match &*entry.manifest {
        Manifest::Source(source) if source.carrier().is_some_and(|(_, name)| **name == *carrier) => {
            let mapping = with_lookup(rooms, namespace, |l| connectors::registry::mapping(source, l));
            Some((entry.definition.name.clone(), mapping.ok()??))
        }
        _ => None,
    });
    own.collect()
}

fn refused(error: &Error) -> Refused {
    Refused::Busy(error.to_string().into())
}
