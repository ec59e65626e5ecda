//! `lifecycle: resident`: processes that stay and are called over a unix socket.
//!
//! Owns how many instances there are, which one takes a call, and the pauses after crashes. A call that finds no free
//! instance waits in order of arrival (limit `function-queue`), up to its deadline.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Namespace;
use tidemill_dsl::order::{Order, Outcome};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::instance::{Instance, InstanceState, InstanceStatus, Running};
use super::one_shot::Place;
use super::wire::{Wire, WireError};
use super::{MAX_PAUSE, ProcessConfig};
use crate::clock::{Clock, mark};
use crate::http::output_of;
use crate::origin::{self, HEADERS};
use crate::{BoxFuture, Function, input_of};

/// Ended instances that are still listed.
const REMEMBERED: usize = 8;
/// How long a broken call waits to learn how its instance ended.
const LEARN: Duration = Duration::from_millis(200);

/// A function whose processes stay between calls.
pub struct Resident {
    shared: Arc<Shared>,
    _closing: DropGuard,
}

struct Shared {
    config: ProcessConfig,
    namespace: Namespace,
    clock: Clock,
    fleet: Mutex<Fleet>,
    waiting: AtomicUsize,
    closing: CancellationToken,
}

#[derive(Default)]
struct Fleet {
    /// Instances that are ready.
    members: Vec<Member>,
    /// Starts under way, pauses included, with what is known of them.
    starting: Vec<InstanceStatus>,
    ended: VecDeque<InstanceStatus>,
    waiters: VecDeque<oneshot::Sender<Result<Slot, Fault>>>,
    /// Crashes in a row.
    crashes: u32,
    /// No start before this instant.
    not_before: Option<Instant>,
    started: u64,
}

struct Member {
    instance: Arc<Instance>,
    in_flight: usize,
    last_used: Instant,
    draining: bool,
}

/// The right to one call at one instance; given back when dropped.
struct Slot {
    shared: Arc<Shared>,
    instance: Arc<Instance>,
    answered: bool,
    held: bool,
}

impl Resident {
    /// A function of this configuration in a namespace (whose secrets its environment may name). Within a tokio
    /// runtime `minInstances` are started at once, else with the first call.
    pub fn new(config: ProcessConfig, namespace: Namespace, clock: Clock) -> Resident {
        let closing = CancellationToken::new();
        let guard = closing.clone().drop_guard();
        let waiting = AtomicUsize::new(0);
        let shared = Arc::new(Shared {
            config,
            namespace,
            clock,
            fleet: Mutex::default(),
            waiting,
            closing,
        });
        if Handle::try_current().is_ok() {
            shared.keep_up(&mut shared.lock());
        }
        Resident {
            shared,
            _closing: guard,
        }
    }

    /// The instances: those that start, those that run, and the last that ended.
    pub fn instances(&self) -> Vec<InstanceStatus> {
        let fleet = self.shared.lock();
        let running = fleet.members.iter().map(|member| {
            let state = match (member.draining, member.in_flight) {
                (true, _) => InstanceState::Draining,
                (false, 0) if member.instance.calls.load(Ordering::Relaxed) == 0 => InstanceState::Ready,
                (false, 0) => InstanceState::Idle,
                (false, _) => InstanceState::Busy,
            };
            member.instance.status(state, member.in_flight)
        });
        fleet
            .starting
            .iter()
            .cloned()
            .chain(running)
            .chain(fleet.ended.iter().cloned())
            .collect()
    }

    /// Calls that wait for an instance.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    async fn perform(&self, order: Order) -> Outcome {
        match self.exchange(&order).await {
            Ok(outcome) => outcome,
            Err(fault) => Outcome::Failed(fault),
        }
    }

    async fn exchange(&self, order: &Order) -> Result<Outcome, Fault> {
        let mut slot = self.slot().await?;
        let request = invoke(order)?;
        let instance = slot.instance.clone();
        let name = self.shared.config.name();
        let answer = tokio::select! {
            biased;
            answer = instance.line.send(request) => answer,
            () = instance.gone.cancelled() => return Err(lost(name, &instance, None)),
        };
        match answer {
            Ok((parts, body)) => {
                slot.answered = true;
                instance.calls.fetch_add(1, Ordering::Relaxed);
                Ok(output_of(parts.status, &parts.headers, &body, name))
            }
            Err(WireError::TooLarge) => {
                Err(Fault::runtime(format!("{name}: cannot {}", WireError::TooLarge)))
            }
            Err(error) => {
                let _ = tokio::time::timeout(LEARN, instance.gone.cancelled()).await;
                Err(lost(name, &instance, Some(&error)))
            }
        }
    }

    /// A free place at an instance, now or when there is one.
    async fn slot(&self) -> Result<Slot, Fault> {
        let shared = &self.shared;
        let waiter = {
            let mut fleet = shared.lock();
            if fleet.waiters.is_empty()
                && let Some(slot) = shared.free_slot(&mut fleet)
            {
                return Ok(slot);
            }
            let place = Place::take(&shared.waiting, shared.config.queue)?;
            let (sender, receiver) = oneshot::channel();
            fleet.waiters.push_back(sender);
            shared.keep_up(&mut fleet);
            (place, receiver)
        };
        let (_place, receiver) = waiter;
        receiver
            .await
            .unwrap_or_else(|_| Err(Fault::runtime("the function is being stopped")))
    }
}

impl Function for Resident {
    fn call(&self, order: Order, stop: CancellationToken) -> BoxFuture<'_, Outcome> {
        Box::pin(crate::cut_off(stop, self.perform(order)))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The least busy instance with a free place.
    fn free_slot(self: &Arc<Shared>, fleet: &mut Fleet) -> Option<Slot> {
        let most = self.config.concurrency.max(1);
        let free = fleet
            .members
            .iter_mut()
            .filter(|member| !member.draining && member.in_flight < most);
        let member = free.min_by_key(|member| member.in_flight)?;
        member.in_flight += 1;
        Some(Slot {
            shared: self.clone(),
            instance: member.instance.clone(),
            answered: false,
            held: true,
        })
    }

    /// Gives free places to those who wait longest.
    fn serve(self: &Arc<Shared>, fleet: &mut Fleet) {
        fleet.waiters.retain(|waiter| !waiter.is_closed());
        while !fleet.waiters.is_empty() {
            let Some(slot) = self.free_slot(fleet) else { return };
            let id = slot.instance.id;
            let Some(waiter) = fleet.waiters.pop_front() else {
                return;
            };
            if let Err(Ok(mut unwanted)) = waiter.send(Ok(slot)) {
                unwanted.held = false;
                if let Some(member) = fleet.members.iter_mut().find(|member| member.instance.id == id) {
                    member.in_flight -= 1;
                }
            }
        }
    }

    /// Starts instances while there are fewer than `minInstances`, or fewer than the waiting calls need.
    fn keep_up(self: &Arc<Shared>, fleet: &mut Fleet) {
        let most = self.config.max_instances.max(1);
        fleet.waiters.retain(|waiter| !waiter.is_closed());
        loop {
            let count = fleet.members.len() + fleet.starting.len();
            let coming = fleet.starting.len() * self.config.concurrency.max(1);
            let wanted = count < self.config.min_instances.min(most) || fleet.waiters.len() > coming;
            if count >= most || !wanted || self.closing.is_cancelled() {
                return;
            }
            fleet.started += 1;
            let id = fleet.started;
            let (pid, detail) = (None, None);
            let state = InstanceState::Starting;
            fleet.starting.push(InstanceStatus {
                id,
                state,
                pid,
                in_flight: 0,
                calls: 0,
                started_at: None,
                detail,
            });
            tokio::spawn(self.clone().live(id, fleet.not_before));
        }
    }

    /// The life of one instance: pause, start, readiness, service, end.
    async fn live(self: Arc<Shared>, id: u64, not_before: Option<Instant>) {
        let closing = self.closing.clone();
        let pause = async {
            if let Some(instant) = not_before {
                tokio::time::sleep_until(instant).await;
            }
        };
        tokio::select! {
            () = closing.cancelled() => {}
            () = pause => self.clone().start(id).await,
        }
        let mut fleet = self.lock();
        fleet.starting.retain(|status| status.id != id);
        if closing.is_cancelled() {
            fleet.waiters.clear();
        } else {
            self.keep_up(&mut fleet);
        }
    }

    async fn start(self: Arc<Shared>, id: u64) {
        let started = Instance::start(id, &self.config, &self.namespace, self.clock.now());
        let (instance, mut running) = match started {
            Ok(started) => started,
            Err(fault) => return self.cannot_start(id, &fault),
        };
        if let Some(status) = self.lock().starting.iter_mut().find(|status| status.id == id) {
            *status = instance.status(InstanceState::Starting, 0);
        }
        let limit = self.config.start_timeout;
        let ready = tokio::select! {
            ready = tokio::time::timeout(limit, instance.ready()) => ready.map_err(|_| {
                format!("it was not ready within {} ms (startTimeout)", limit.as_millis())
            }),
            status = running.group.wait() => Err(how_ended(status)),
            () = self.closing.cancelled() => Err("the function is being stopped".to_owned()),
        };
        let (how, is_crash) = match ready {
            Ok(()) => self.service(&instance, &mut running).await,
            Err(how) => (how, true),
        };
        self.remove(&instance, how, is_crash);
        running.group.stop().await;
    }

    /// The time in service: until it ends, is idle for too long, or the function is stopped.
    async fn service(self: &Arc<Shared>, instance: &Arc<Instance>, running: &mut Running) -> (String, bool) {
        {
            let mut fleet = self.lock();
            fleet.starting.retain(|status| status.id != instance.id);
            let member = Member {
                instance: instance.clone(),
                in_flight: 0,
                last_used: mark(),
                draining: false,
            };
            fleet.members.push(member);
            self.serve(&mut fleet);
            self.keep_up(&mut fleet);
        }
        let mut check = mark() + self.config.idle;
        loop {
            tokio::select! {
                status = running.group.wait() => return (how_ended(status), true),
                () = self.closing.cancelled() => return ("the function was stopped".to_owned(), false),
                () = tokio::time::sleep_until(check) => match self.idle_until(instance.id) {
                    Some(next) => check = next,
                    None => return ("it was idle".to_owned(), false),
                },
            }
        }
    }

    /// When to look again whether an instance is idle; none: it is, and takes no more calls.
    fn idle_until(&self, id: u64) -> Option<Instant> {
        let now = mark();
        let mut fleet = self.lock();
        let spare =
            fleet.members.iter().filter(|member| !member.draining).count() > self.config.min_instances;
        let member = fleet.members.iter_mut().find(|member| member.instance.id == id)?;
        let until = member.last_used + self.config.idle;
        if member.in_flight > 0 || !spare {
            return Some(now + self.config.idle.max(Duration::from_millis(1)));
        }
        if until > now {
            return Some(until);
        }
        member.draining = true;
        None
    }

    fn remove(&self, instance: &Instance, how: String, is_crash: bool) {
        let words = if is_crash {
            instance.last_words()
        } else {
            String::new()
        };
        let how = if words.is_empty() {
            how
        } else {
            format!("{how}: {words}")
        };
        if is_crash {
            tracing::warn!(
                process = self.config.name(),
                instance = instance.id,
                how,
                "instance ended"
            );
        }
        instance.end(how);
        let mut fleet = self.lock();
        fleet.members.retain(|member| member.instance.id != instance.id);
        fleet.starting.retain(|status| status.id != instance.id);
        if is_crash {
            fleet.crashed(self.config.first_pause);
        }
        fleet.remember(instance.status(InstanceState::Stopped, 0));
    }

    /// A program that cannot be started at all is the error of every waiting call.
    fn cannot_start(&self, id: u64, fault: &Fault) {
        let mut fleet = self.lock();
        fleet.crashed(self.config.first_pause);
        for waiter in std::mem::take(&mut fleet.waiters) {
            let _ = waiter.send(Err(fault.clone()));
        }
        if let Some(at) = fleet.starting.iter().position(|status| status.id == id) {
            let status = fleet.starting.remove(at);
            let detail = fault.detail.as_deref().map(str::to_owned);
            fleet.remember(InstanceStatus {
                state: InstanceState::Stopped,
                detail,
                ..status
            });
        }
    }
}

impl Fleet {
    fn crashed(&mut self, first_pause: Duration) {
        self.crashes = self.crashes.saturating_add(1);
        self.not_before = Some(mark() + pause_after(self.crashes, first_pause));
    }

    fn remember(&mut self, status: InstanceStatus) {
        self.ended.push_back(status);
        if self.ended.len() > REMEMBERED {
            self.ended.pop_front();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let shared = self.shared.clone();
        let mut fleet = shared.lock();
        if self.answered {
            fleet.crashes = 0;
            fleet.not_before = None;
        }
        if let Some(member) = fleet
            .members
            .iter_mut()
            .find(|member| member.instance.id == self.instance.id)
        {
            member.in_flight -= 1;
            member.last_used = mark();
        }
        shared.serve(&mut fleet);
    }
}

/// The pause before a start after so many crashes in a row: none, then the first pause, doubling up to [`MAX_PAUSE`].
fn pause_after(crashes: u32, first: Duration) -> Duration {
    match crashes.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => first
            .saturating_mul(2_u32.saturating_pow(doublings.min(16)))
            .min(MAX_PAUSE),
    }
}

fn how_ended(status: std::io::Result<std::process::ExitStatus>) -> String {
    status.map_or_else(
        |error| format!("it was lost: {error}"),
        |status| format!("it ended with {status}"),
    )
}

fn lost(name: &str, instance: &Instance, error: Option<&WireError>) -> Fault {
    let how = match (instance.ended(), error) {
        (Some(how), _) => how.to_owned(),
        (None, Some(error)) => format!("cannot {error}"),
        (None, None) => "it ended".to_owned(),
    };
    Fault::communication(
        500,
        format!("instance {} of `{name}` gave no answer: {how}", instance.id),
    )
}

/// `POST /invoke` with the input as body.
fn invoke(order: &Order) -> Result<Wire, Fault> {
    let mut request = Request::new(Full::new(Bytes::from(input_of(order)?.to_json())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static("/invoke");
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("function"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in HEADERS.iter().zip(origin::fields(order)) {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(*name, value);
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let seconds = Duration::from_secs;
        for (crashes, expected) in [
            (0, 0),
            (1, 1),
            (2, 2),
            (3, 4),
            (6, 32),
            (7, 60),
            (8, 60),
            (u32::MAX, 60),
        ] {
            assert_eq!(pause_after(crashes, seconds(1)), seconds(expected), "{crashes}");
        }
    }
}
