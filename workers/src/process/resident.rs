//! `lifecycle: resident`: processes that stay and are called over a unix socket.
//!
//! Owns the protocol of a call. How many instances there are is the fleet's affair. A call that finds no free
//! instance waits in order of arrival (limit `function-queue`), up to its deadline. An instance that takes one call at
//! a time is ended when its call is cut off: nobody knows what it is still busy with.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::Namespace;
use tidemill_dsl::order::{Order, Outcome};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::ProcessConfig;
use super::fleet::{Shared, Slot};
use super::instance::{Instance, InstanceState, InstanceStatus};
use super::one_shot::Place;
use super::wire::LineError;
use crate::clock::Clock;
use crate::http::output_of;
use crate::origin;
use crate::wire::{Ask, WireError};
use crate::{BoxFuture, Function, input_of};

/// How long a broken call waits to learn how its instance ended.
const LEARN: Duration = Duration::from_millis(200);

/// A function whose processes stay between calls.
pub struct Resident {
    shared: Arc<Shared>,
    _closing: DropGuard,
}

impl Resident {
    /// A function of this configuration in a namespace (whose secrets its environment may name). Within a tokio
    /// runtime `minInstances` are started at once, else with the first call.
    pub fn new(config: ProcessConfig, namespace: Namespace, clock: Clock) -> Resident {
        let closing = CancellationToken::new();
        let guard = closing.clone().drop_guard();
        let waiting = AtomicUsize::new(0);
        let shared = Arc::new(Shared { config, namespace, clock, fleet: Mutex::default(), waiting, closing });
        if Handle::try_current().is_ok() {
            shared.keep_up(&mut shared.lock());
        }
        Resident { shared, _closing: guard }
    }

    /// The instances: those that start, those that run, and the last that ended.
    pub fn instances(&self) -> Vec<InstanceStatus> {
        let fleet = self.shared.lock();
        let running = fleet.members.iter().map(|member| {
            let state = match (member.draining, member.in_flight) {
                (true, _) => InstanceState::Draining,
                (false, 0) if !member.was_used => InstanceState::Ready,
                (false, 0) => InstanceState::Idle,
                (false, _) => InstanceState::Busy,
            };
            member.instance.status(state, member.in_flight)
        });
        fleet.starting.iter().cloned().chain(running).chain(fleet.ended.iter().cloned()).collect()
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
        slot.ended = true;
        match answer {
            Ok((parts, body)) => {
                slot.answered = true;
                instance.calls.fetch_add(1, Ordering::Relaxed);
                Ok(output_of(parts.status, &parts.headers, &body, name))
            }
            Err(LineError::Wire(error @ WireError::TooLarge)) => {
                Err(Fault::runtime(format!("{name}: cannot {error}")))
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
        receiver.await.unwrap_or_else(|_| Err(Fault::runtime("the function is being stopped")))
    }
}

impl Function for Resident {
    fn call(&self, order: Order, stop: CancellationToken) -> BoxFuture<'_, Outcome> {
        Box::pin(crate::cut_off(stop, self.perform(order)))
    }
}

fn lost(name: &str, instance: &Instance, error: Option<&LineError>) -> Fault {
    let how = match (instance.ended(), error) {
        (Some(how), _) => how.to_owned(),
        (None, Some(error)) => format!("cannot {error}"),
        (None, None) => "it ended".to_owned(),
    };
    Fault::communication(500, format!("instance {} of `{name}` gave no answer: {how}", instance.id))
}

/// `POST /invoke` with the input as body.
fn invoke(order: &Order) -> Result<Ask, Fault> {
    let mut request = Request::new(Full::new(Bytes::from(input_of(order)?.to_json())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static("/invoke");
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("function"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    origin::insert(order, headers);
    Ok(request)
}
