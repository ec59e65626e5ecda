//! The fleet of a resident function: how many instances there are, which one takes a call, pauses after crashes.
//!
//! Owns the instances from their start to their end and the calls that wait for one. Speaks to no instance.

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Namespace;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::instance::{Instance, InstanceState, InstanceStatus, Running};
use super::{MAX_PAUSE, ProcessConfig};
use crate::clock::{Clock, mark};

/// Ended instances that are still listed.
const REMEMBERED: usize = 8;

/// What the instances of one function share.
pub(super) struct Shared {
    pub(super) config: ProcessConfig,
    pub(super) namespace: Namespace,
    pub(super) clock: Clock,
    pub(super) fleet: Mutex<Fleet>,
    pub(super) waiting: AtomicUsize,
    pub(super) closing: CancellationToken,
}

#[derive(Default)]
pub(super) struct Fleet {
    /// Instances that are ready.
    pub(super) members: Vec<Member>,
    /// Starts under way, pauses included, with what is known of them.
    pub(super) starting: Vec<InstanceStatus>,
    pub(super) ended: VecDeque<InstanceStatus>,
    pub(super) waiters: VecDeque<oneshot::Sender<Result<Slot, Fault>>>,
    /// Crashes in a row.
    pub(super) crashes: u32,
    /// No start before this instant.
    pub(super) not_before: Option<Instant>,
    pub(super) started: u64,
}

pub(super) struct Member {
    pub(super) instance: Arc<Instance>,
    pub(super) in_flight: usize,
    pub(super) last_used: Instant,
    /// Was given a call at least once.
    pub(super) was_used: bool,
    pub(super) draining: bool,
}

/// The right to one call at one instance; given back when dropped.
pub(super) struct Slot {
    pub(super) shared: Arc<Shared>,
    pub(super) instance: Arc<Instance>,
    /// The call has ended, well or badly; else it was cut off.
    pub(super) ended: bool,
    /// There was an answer.
    pub(super) answered: bool,
    pub(super) held: bool,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The least busy instance with a free place.
    pub(super) fn free_slot(self: &Arc<Shared>, fleet: &mut Fleet) -> Option<Slot> {
        let most = self.config.concurrency.max(1);
        let free = fleet.members.iter_mut().filter(|member| !member.draining && member.in_flight < most);
        let member = free.min_by_key(|member| member.in_flight)?;
        member.in_flight += 1;
        member.was_used = true;
        Some(Slot {
            shared: self.clone(),
            instance: member.instance.clone(),
            ended: false,
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
    pub(super) fn keep_up(self: &Arc<Shared>, fleet: &mut Fleet) {
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
            let instance = instance.clone();
            let member =
                Member { instance, in_flight: 0, last_used: mark(), was_used: false, draining: false };
            fleet.members.push(member);
            self.serve(&mut fleet);
            self.keep_up(&mut fleet);
        }
        let mut check = mark() + self.config.idle;
        loop {
            tokio::select! {
                status = running.group.wait() => return (how_ended(status), true),
                () = self.closing.cancelled() => return ("the function was stopped".to_owned(), false),
                () = instance.retire.cancelled() => return ("its call was cut off".to_owned(), false),
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
        let words = if is_crash { instance.last_words() } else { String::new() };
        let how = if words.is_empty() { how } else { format!("{how}: {words}") };
        if is_crash {
            tracing::warn!(process = self.config.name(), instance = instance.id, how, "instance ended");
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
            fleet.remember(InstanceStatus { state: InstanceState::Stopped, detail, ..status });
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
        if let Some(member) = fleet.members.iter_mut().find(|member| member.instance.id == self.instance.id) {
            member.in_flight -= 1;
            member.last_used = mark();
            if shared.config.concurrency <= 1 && !self.ended {
                member.draining = true;
                member.instance.retire.cancel();
            }
        }
        shared.serve(&mut fleet);
    }
}

/// The pause before a start after so many crashes in a row: none, then the first pause, doubling up to [`MAX_PAUSE`].
fn pause_after(crashes: u32, first: Duration) -> Duration {
    match crashes.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => first.saturating_mul(2_u32.saturating_pow(doublings.min(16))).min(MAX_PAUSE),
    }
}

fn how_ended(status: std::io::Result<std::process::ExitStatus>) -> String {
    status.map_or_else(|error| format!("it was lost: {error}"), |status| format!("it ended with {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let seconds = Duration::from_secs;
        for (crashes, expected) in [(0, 0), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (u32::MAX, 60)]
        {
            assert_eq!(pause_after(crashes, seconds(1)), seconds(expected), "{crashes}");
        }
    }
}
