//! The hall: opens the store, takes up what was under way, runs lanes, timers, buffers and sources, and stops them in
//! order. Every room is made here and only here.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tidemill_engine::record::SubscriptionChange;
use tidemill_store::Store;
use tidemill_workers::process::Groups;

use crate::bookmarks::Bookmarks;
use crate::buffer::{self, Buffers};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::config::Config;
use crate::costs::Costs;
use crate::dispatch::Dispatch;
use crate::error::Error;
use crate::inbox::{self, Told};
use crate::ingress::Ingress;
use crate::keysets::KeySets;
use crate::lanes::{ChildEnded, Command, Input, Lanes, Verb};
use crate::listeners::{self, Listeners};
use crate::retention::{self, Defaults};
use crate::rooms::Rooms;
use crate::secrets::Secrets;
use crate::shard::Driver;
use crate::sinks::{self, KafkaSink};
use crate::sources::Sources;
use crate::stream::Stream;
use crate::timers::{self, Timers};
use crate::waiters::Waiters;

/// Stack of a lane: expressions recurse on it (virtual memory, touched only as used).
const LANE_STACK: usize = 128 * 1024 * 1024;
/// Executions taken up at once after a start.
const PAGE: usize = 10_000;

/// The running service.
pub struct Hall {
    /// Its rooms.
    pub rooms: Arc<Rooms>,
    /// Its sources.
    pub sources: Arc<Sources>,
    ready: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    drain: Duration,
}

impl Hall {
    /// Opens everything over a store and takes up what was under way. Must be called on the runtime.
    pub async fn open(config: &Config, store: Arc<dyn Store>, clock: Clock) -> Result<Hall, Error> {
        let catalog = Catalog::load(store.clone(), config.mode)?;
        let secrets = Arc::new(Secrets::open(&secret_key(&config.data_dir)?, store.secrets()?)?);
        let lanes = Lanes::new(config.lanes);
        let groups = groups(&config.data_dir).await?;
        let dispatch = Dispatch::new(config, lanes.clone(), secrets.clone(), groups)?;
        let rooms = Arc::new(Rooms {
            clock,
            costs: Costs::default(),
            store,
            lanes,
            catalog,
            ingress: Ingress::default(),
            buffers: Buffers::default(),
            quotas: Arc::default(),
            dispatch,
            timers: Timers::default(),
            listeners: Listeners::default(),
            waiters: Waiters::default(),
            secrets,
            keysets: KeySets::default(),
            reconcile: config.reconcile,
            hops: config.hops,
            bookmarks: Bookmarks::default(),
            stream: Stream::default(),
            broken: tokio_util::sync::CancellationToken::new(),
        });
        let mut hall = Hall {
            rooms: rooms.clone(),
            sources: Arc::new(Sources::default()),
            ready: AtomicBool::new(false),
            threads: Mutex::default(),
            tasks: Vec::new(),
            drain: config.drain,
        };
        for namespace in retention::removals(&rooms)? {
            rooms.catalog.remove(&namespace);
        }
        rooms.stream.committed(rooms.store.last_pos()?);
        hall.threads = Mutex::new(threads(&rooms)?);
        rooms.dispatch.registry.set_connections(sinks::http_connections(&rooms));
        rooms.dispatch.registry.set_sink("kafka", Arc::new(KafkaSink::new(&rooms)));
        rooms.dispatch.sync(&rooms);
        hall.tasks.push(tokio::spawn(listeners::run(rooms.clone())));
        let buffers = buffer::Supervisor::start(rooms.clone())?;
        take_up(&rooms).await?;
        hall.sources.sync(&rooms);
        hall.tasks.push(tokio::spawn(follow(rooms.clone(), hall.sources.clone(), buffers)));
        hall.tasks.push(tokio::spawn(crate::feed::run(rooms.clone())));
        hall.tasks.push(tokio::spawn(crate::relations::run(rooms.clone(), hall.sources.clone())));
        let defaults = Defaults { executions: config.retain_executions, events: config.retain_events };
        hall.tasks.push(tokio::spawn(retention::run(rooms.clone(), config.retain_every, defaults)));
        for namespace in retention::removals(&rooms)? {
            hall.tasks.push(tokio::spawn(retention::remove(rooms.clone(), namespace)));
        }
        hall.ready.store(true, Ordering::Release);
        Ok(hall)
    }

    /// Whether it takes requests.
    pub fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// [`Hall::stop_within`] the configured drain.
    pub async fn stop(&self) {
        self.stop_within(self.drain).await;
    }

    /// Stops: readiness off, sources stopped and calls in flight drained within `limit` together, everything durable,
    /// the store closed. A second stop finds nothing left to do.
    pub async fn stop_within(&self, limit: Duration) {
        let began = crate::clock::tick();
        self.ready.store(false, Ordering::Release);
        self.sources.stop(limit).await;
        self.rooms.dispatch.drain(limit.saturating_sub(began.elapsed())).await;
        for task in &self.tasks {
            task.abort();
        }
        self.rooms.timers.close();
        self.rooms.lanes.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let store = self.rooms.store.clone();
        let closing = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
            store.close();
        });
        let _ = closing.await;
    }

    /// Readiness off, ahead of [`Hall::stop`].
    pub fn unready(&self) {
        self.ready.store(false, Ordering::Release);
    }
}

fn threads(rooms: &Arc<Rooms>) -> Result<Vec<JoinHandle<()>>, Error> {
    let failed = |e: std::io::Error| Error::Unavailable(format!("start a thread: {e}"));
    let mut threads = Vec::new();
    for lane in 0..rooms.lanes.count() {
        let driver = Driver::new(lane, rooms.clone());
        let named = std::thread::Builder::new().name(format!("lane-{lane}")).stack_size(LANE_STACK);
        let run = move || {
            tidemill_dsl::expr::set_stack_size(LANE_STACK);
            driver.run();
        };
        threads.push(named.spawn(run).map_err(failed)?);
    }
    let own = rooms.clone();
    let named = std::thread::Builder::new().name("timers".into());
    threads.push(named.spawn(move || timers::run(&own)).map_err(failed)?);
    Ok(threads)
}

/// After a start: listens, inbox items, and executions that were pending or running.
async fn take_up(rooms: &Arc<Rooms>) -> Result<(), Error> {
    let own = rooms.clone();
    let done = tokio::task::spawn_blocking(move || -> Result<(), Error> {
        let subscriptions = own.store.subscriptions()?;
        let live = subscriptions.into_iter().filter(|s| !own.catalog.removing(&s.namespace));
        own.listeners.change(live.map(SubscriptionChange::Add).collect());
        let mut after = None;
        loop {
            let page = own.store.unfinished(after, PAGE)?;
            after = page.last().map(|r| r.id);
            let full = page.len() == PAGE;
            for row in page.into_iter().filter(|row| !own.catalog.removing(&row.namespace)) {
                own.lanes.send(row.id, Input::Recover(row.id));
            }
            if !full {
                break;
            }
        }
        for item in own.store.inbox()? {
            if let Some(told) = inbox::read(&item) {
                tell(&own, item.key, told);
            } else {
                tracing::error!(key = ?item.key, "an inbox item cannot be read; it is left alone");
            }
        }
        Ok(())
    });
    done.await.map_err(|e| Error::Unavailable(e.to_string()))?
}

fn tell(rooms: &Rooms, key: tidemill_store::InboxKey, told: Told) {
    match told {
        Told::ChildEnded { parent, visit, child, ended } => {
            let end = ChildEnded { parent, visit, child, ended, key: Some(key) };
            rooms.lanes.send(parent, Input::ChildEnded(Box::new(end)));
        }
        Told::Cancel(id) => {
            let command =
                Command { execution: id, verb: Verb::Cancel, reason: None, key: Some(key), reply: None };
            rooms.lanes.send(id, Input::Command(Box::new(command)));
        }
        Told::DeliveryEnded(end) => rooms.buffers.ended(vec![end]),
    }
}

/// Follows the catalog: sources, buffers and functions are what it says.
async fn follow(rooms: Arc<Rooms>, sources: Arc<Sources>, mut buffers: buffer::Supervisor) {
    let mut changed = rooms.catalog.watch();
    while changed.changed().await.is_ok() {
        rooms.dispatch.sync(&rooms);
        sources.sync(&rooms);
        buffers.sync();
    }
}

/// Where running process groups are written down; those that a killed server left running are ended first.
async fn groups(data_dir: &Path) -> Result<Groups, Error> {
    let folder = data_dir.join("groups");
    let ending = tokio::task::spawn_blocking(move || {
        let groups = Groups::kept_in(folder)?;
        let count = groups.end_left()?;
        if count > 0 {
            tracing::warn!(count, "ended process groups that an earlier server had left running");
        }
        Ok::<_, std::io::Error>(groups)
    });
    let ended = ending.await.map_err(|error| Error::Unavailable(error.to_string()))?;
    ended.map_err(|error| Error::Unavailable(format!("end process groups left running: {error}")))
}

/// The key that seals secrets: a file of mode 0600 in the data folder, made on the first start.
fn secret_key(data_dir: &Path) -> Result<[u8; 32], Error> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = data_dir.join("secret.key");
    let failed =
        |e: std::io::Error| Error::Unavailable(format!("read the secret key {}: {e}", path.display()));
    match std::fs::read(&path) {
        Ok(bytes) => bytes.try_into().map_err(|_| {
            Error::Unavailable(format!("read the secret key {}: it has not 32 bytes", path.display()))
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let key = crate::ids::key();
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .map_err(failed)?;
            file.write_all(&key).and_then(|()| file.sync_all()).map_err(failed)?;
            Ok(key)
        }
        Err(e) => Err(failed(e)),
    }
}
