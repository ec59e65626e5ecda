//! Offering arrivals to the ingress until they are stored: what every source that can wait does with a refusal.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{Arrivals, Health, Ingress, Receipt, Refused};

/// How long a source waits before it offers refused events again.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// Offers arrivals until they are stored. None when the source or the service stops; whether they were stored is
/// then told by the saved position alone.
pub(crate) async fn offer(
    ingress: Arc<dyn Ingress>,
    health: Arc<dyn Health>,
    stop: CancellationToken,
    arrivals: Arrivals,
) -> Option<Receipt> {
    let mut held = false;
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = ingress.accept(arrivals.clone()) => accepted,
            () = stop.cancelled() => return None,
        };
        match accepted {
            Ok(receipt) => {
                if held {
                    health.running();
                }
                return Some(receipt);
            }
            Err(Refused::Stopping) => return None,
            Err(Refused::Busy(why)) => {
                held = true;
                health.degraded("source-held", &why, "it goes on by itself when there is room again");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(BUSY_RETRY) => {}
        }
    }
}
