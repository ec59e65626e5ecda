//! The service from start to stop, as `serve` and `dev` share it: folder, sockets, store, hall, doors, signals.
//!
//! Owns the order of starting and stopping. Decides nothing the rooms decide.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tidemill_store::sqlite::{Durability as Flush, OpenError, Options};
use tidemill_store::{SqliteStore, Store};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit::{FAILURE, Failure, INTERRUPTED, OK, Outcome, UNAVAILABLE, USAGE};
use super::output;
use crate::api::{self, ApiState};
use crate::config::{Config, Durability};
use crate::hall::Hall;
use crate::telemetry;

/// Runs the service until it is told to stop. `prepare` is done once the rooms are open and before the first request
/// is taken; what it gives goes on beside the service.
pub(super) async fn run<F>(
    config: &Config,
    prepare: impl AsyncFnOnce(Arc<Hall>) -> Result<F, Failure>,
) -> Outcome
where
    F: Future<Output = ()> + Send + 'static,
{
    if let Some((setting, address)) = config.exposed() {
        let text = format!(
            "listen on {address} ({setting}): an address that is not loopback needs authentication, which this release does not have"
        );
        return Err(Failure::new(USAGE, text)
            .try_next("a loopback address, with a proxy that authenticates in front of it"));
    }
    let mut signals = Signals::new()?;
    let metrics = telemetry::install()?;
    make_folder(&config.data_dir)?;
    let store = store(config)?;
    let (requests, listen) = bind(config.listen, "--listen").await?;
    let (scrapes, metrics_listen) = bind(config.metrics_listen, "--metrics-listen").await?;
    // A port 0 was chosen by the system; from here on the addresses are the real ones.
    let config = Config { listen, metrics_listen, ..config.clone() };
    let hall = Arc::new(Hall::open(&config, store, crate::clock::system()).await?);
    let beside = tokio::spawn(prepare(hall.clone()).await?);
    let stop = CancellationToken::new();
    let doors = doors(&config, &hall, ((requests, scrapes), metrics), &stop);
    announce(&config);
    tokio::select! {
        () = signals.wait() => {}
        () = hall.rooms.broken.cancelled() => {
            hall.unready();
            let text = "tidemill: the store failed; nothing more is acknowledged (the log says why)";
            return Err(Failure::whole(FAILURE, text).try_next("see to the disk, then start again: it goes on from what is durable"));
        }
    }
    output::note("tidemill: stopping; a second signal ends it at once");
    hall.unready();
    beside.abort();
    stop.cancel();
    let began = crate::clock::tick();
    let orderly = async {
        for door in doors {
            let _ = door.await;
        }
        hall.stop_within(config.drain.saturating_sub(began.elapsed())).await;
    };
    tokio::select! {
        () = orderly => {
            output::note("tidemill: stopped");
            Ok(OK)
        }
        () = signals.wait() => Err(Failure::whole(INTERRUPTED, "tidemill: ended before calls in flight were")),
    }
}

type Door = tokio::task::JoinHandle<std::io::Result<()>>;

/// Serves the API and the metrics until `stop`.
fn doors(
    config: &Config,
    hall: &Arc<Hall>,
    ((requests, scrapes), metrics): ((TcpListener, TcpListener), PrometheusHandle),
    stop: &CancellationToken,
) -> [Door; 2] {
    let state = ApiState::new(hall.clone(), config);
    let router = api::router(&state);
    let scraped = telemetry::router(hall.clone(), metrics);
    let (first, second) = (stop.clone(), stop.clone());
    [
        tokio::spawn(api::serve(requests, router, async move { first.cancelled().await })),
        tokio::spawn(api::serve(scrapes, scraped, async move { second.cancelled().await })),
    ]
}

/// The start-up line: addresses, store, what an acknowledged commit survives (promise 1).
fn announce(config: &Config) {
    output::note(&format!(
        "tidemill {}: http://{} (metrics http://{}/metrics), store sqlite:{}, durability = {}",
        env!("CARGO_PKG_VERSION"),
        config.listen,
        config.metrics_listen,
        config.database.display(),
        config.durability.word(),
    ));
    if config.auth_required {
        output::note(
            "tidemill: auth.required is set, and this release knows no credentials: requests get 401",
        );
    }
}

/// Makes the data folder for its owner alone.
fn make_folder(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| {
        Failure::new(FAILURE, format!("make the data folder {}: {error}", path.display()))
            .try_next("another --data-dir")
    })
}

fn store(config: &Config) -> Result<Arc<dyn Store>, Failure> {
    let durability = match config.durability {
        Durability::Power => Flush::Disk,
        Durability::Process => Flush::Process,
    };
    match SqliteStore::open(&config.database, Options { durability }) {
        Ok(store) => Ok(Arc::new(store)),
        Err(error @ OpenError::Locked(_)) => {
            let next = "stop the other process, or give this one another --data-dir";
            Err(Failure::new(UNAVAILABLE, error.to_string()).try_next(next))
        }
        Err(error @ OpenError::TooNew { .. }) => Err(Failure::new(FAILURE, error.to_string())
            .try_next("the release of tidemill that wrote it, or a later one")),
        Err(error) => Err(Failure::new(FAILURE, error.to_string()).try_next("another --data-dir or --store")),
    }
}

async fn bind(address: SocketAddr, flag: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let real = listener.local_addr()?;
        Ok::<_, std::io::Error>((listener, real))
    };
    bound.await.map_err(|error| {
        let free = SocketAddr::new(address.ip(), 0);
        let failure = Failure::new(UNAVAILABLE, format!("listen on {address}: {error}"));
        failure.try_next(format!("another address, for example {flag} {free} for a free port"))
    })
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let failed = |error: std::io::Error| Failure::new(FAILURE, format!("listen for signals: {error}"));
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        Ok(Signals { terminate, interrupt })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
