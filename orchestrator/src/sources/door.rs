//! The ingress as a connector sees it.
//!
//! Owns what stands between a connector and the ingress: the counters, and the events that the records of one Source
//! carry for another.

use std::sync::Arc;
use std::time::Duration;

use tidemill_connectors as connectors;
use tidemill_connectors::{Arrivals, BoxFuture, Receipt, Refused, minio};
use tidemill_dsl::event::Event;
use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::Manifest;
use tidemill_store::{Checkpoint, DefinitionKind};

use super::{Gauge, Sources, with_lookup};
use crate::error::Error;
use crate::ingress::Offer;
use crate::rooms::Rooms;

/// How long what is left of a batch waits when its first part was stored and the rest is refused.
const BUSY_RETRY: Duration = Duration::from_secs(1);

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
            let checkpoint = |(partition, value): (Arc<str>, Arc<str>)| Checkpoint {
                source: arrivals.source.clone(),
                partition,
                value,
            };
            let offer = Offer {
                namespace: arrivals.namespace,
                binding: arrivals.source.clone(),
                events: arrivals.events,
                checkpoints: arrivals.positions.into_iter().map(checkpoint).collect(),
                marks: arrivals.marks.into_iter().map(checkpoint).collect(),
                placed: arrivals.placed,
                patient: true,
            };
            self.pieces(Some(&*self.gauge), offer).await.map_err(|error| refused(&error))
        })
    }
}

impl Door {
    /// Accepts an offer piece by piece, as the gate and the buffers have room; each piece saves the positions behind it.
    /// What is refused before anything was stored is the connector's to offer again.
    async fn pieces(&self, gauge: Option<&Gauge>, mut offer: Offer) -> Result<Receipt, Error> {
        let mut receipt = Receipt::default();
        loop {
            let whole = offer.events.len();
            let permit = match gauge {
                Some(gauge) if whole > 0 && offer.is_cuttable() => Some(gauge.gate.wait(whole).await),
                Some(gauge) if whole > 0 => Some(gauge.gate.wait_all(whole).await),
                _ => None,
            };
            let count = permit.as_ref().map_or(whole, |permit| permit.count);
            let taken = match self.rooms.ingress.accept(&self.rooms, offer.first(count)).await {
                Ok(receipts) => {
                    let duplicates = receipts.iter().filter(|r| r.duplicate).count();
                    let piece = Receipt { accepted: receipts.len() - duplicates, duplicates };
                    if let Some(gauge) = gauge {
                        let last = receipts.len().checked_sub(1).and_then(|at| offer.events.get(at));
                        gauge.counted(&piece, last.and_then(|event| event.time.as_deref()));
                    }
                    receipt.accepted += piece.accepted;
                    receipt.duplicates += piece.duplicates;
                    receipts.len()
                }
                Err(error) if receipt == Receipt::default() => return Err(error),
                Err(error) => {
                    let help = "the rest waits and is offered again";
                    if let Some(gauge) = gauge {
                        gauge.trouble("busy", &error.to_string(), help);
                    }
                    tokio::time::sleep(BUSY_RETRY).await;
                    0
                }
            };
            if let Some(permit) = permit {
                permit.refund(count - taken);
            }
            if taken == whole {
                return Ok(receipt);
            }
            offer.skip(taken);
        }
    }

    /// Hands carried events to the Sources they belong to, before the position of their carrier is saved: a crash in
    /// between reads the record again, and the carried event is a duplicate then. A paused Source takes none, so its carrier
    /// waits.
    async fn hand_over(&self, arrivals: &Arrivals) -> Result<(), Error> {
        for (name, mapping, paused) in carried(&self.rooms, &arrivals.namespace, &arrivals.source) {
            let gauge = self.sources.gauge(&arrivals.namespace, &name);
            let mut events: Vec<Event> = Vec::new();
            for carrier in &arrivals.events {
                let (found, poison) = minio::carried(&mapping, carrier);
                events.extend(found);
                if let Some(gauge) = &gauge {
                    for why in &poison {
                        connectors::Health::poison(&**gauge, &why.to_string());
                    }
                }
            }
            if events.is_empty() {
                continue;
            }
            if paused {
                let detail = format!("the source `{name}`, whose records these are, is paused");
                return Err(Error::Busy { code: "source-paused", detail, after: BUSY_RETRY });
            }
            let offer = Offer {
                namespace: arrivals.namespace.clone(),
                binding: name,
                events,
                checkpoints: Vec::new(),
                marks: Vec::new(),
                placed: Vec::new(),
                patient: true,
            };
            self.pieces(gauge.as_deref(), offer).await?;
        }
        Ok(())
    }
}

/// The enabled Sources that another one carries, with what of its records is theirs, and whether they are paused: a pause
/// holds their carrier.
fn carried(rooms: &Rooms, namespace: &Namespace, carrier: &str) -> Vec<(Arc<str>, minio::Mapping, bool)> {
    let space = rooms.catalog.space(namespace);
    let own =
        space.manifests(DefinitionKind::Source).into_iter().filter_map(|entry| match &*entry.manifest {
            Manifest::Source(source)
                if source.enabled && source.carrier().is_some_and(|(_, name)| **name == *carrier) =>
            {
                let mapping = with_lookup(rooms, namespace, |l| connectors::registry::mapping(source, l));
                Some((entry.definition.name.clone(), mapping.ok()??, entry.definition.paused))
            }
            _ => None,
        });
    own.collect()
}

fn refused(error: &Error) -> Refused {
    Refused::Busy(error.to_string().into())
}
