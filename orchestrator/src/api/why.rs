//! Why an execution that has not ended does not go on (promise 7): from its state, its buffer and its history.
//!
//! Owns the JSON form of a wait and the words for it. Changes nothing.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_engine::history::Record;
use tidemill_engine::record::{Status, Transition};
use tidemill_engine::{Awaited, WaitingFor};
use tidemill_store::{DeliveryState, ReadResult, Store, StoredDelivery};
use utoipa::ToSchema;

use super::buffers::iso;
use super::call::Call;
use crate::deliveries::blocking;
use crate::logbook;
use crate::problem::Problem;
use crate::view::ExecutionView;

/// One thing an execution waits for.
#[derive(Serialize, ToSchema, Default, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Wait {
    /// `call`, `callback`, `timer`, `event`, `child` or `retry` of a task; `buffer`, `suspended` or `begin` of the execution.
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    visit: Option<u32>,
    /// The attempt that is open; of a retry, the one that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// When it is over: a timer, a retry, a delivery that may not be taken before.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// When the task's own timeout ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_at: Option<String>,
    /// Whom a call calls: a function and its version, or a method and a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// The type of the event, if the listen states one.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    /// The child.
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<String>,
    /// The trigger whose buffer holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<String>,
    /// Its place in the buffer, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// How long that takes at the buffer's rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    forecast: Option<String>,
    /// Who suspended it: `operator` or `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
    /// Why, as the operator or the limit has said.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// All of it in words.
    detail: String,
}

impl Wait {
    /// What one task waits for.
    pub(super) fn of(waiting: &WaitingFor) -> Wait {
        let base = Wait {
            task: Some(waiting.name.to_string()),
            reference: Some(waiting.reference.to_string()),
            visit: Some(waiting.visit),
            attempt: Some(waiting.attempt),
            since: Some(waiting.since.rfc3339()),
            timeout_at: waiting.deadline.map(Time::rfc3339),
            ..Wait::default()
        };
        let wait = match &waiting.what {
            Awaited::Call => Wait { what: "call", target: waiting.callee.clone(), ..base },
            Awaited::Callback => Wait { what: "callback", target: waiting.callee.clone(), ..base },
            Awaited::Timer(at) => Wait { what: "timer", until: Some(at.rfc3339()), ..base },
            Awaited::Event(kind) => {
                Wait { what: "event", event_type: kind.as_ref().map(ToString::to_string), ..base }
            }
            Awaited::Child(id) => Wait { what: "child", execution: Some(id.to_string()), ..base },
            Awaited::Retry(at) => Wait { what: "retry", until: Some(at.rfc3339()), ..base },
        };
        wait.in_words()
    }

    fn in_words(self) -> Wait {
        Wait { detail: self.told(), ..self }
    }

    /// In words.
    fn told(&self) -> String {
        let text = |member: &Option<String>| member.clone().unwrap_or_default();
        let since = self.since.as_ref().map(|at| format!(" since {at}")).unwrap_or_default();
        let until = self.until.as_ref().map(|at| format!(" until {at}")).unwrap_or_default();
        let reason = self.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let target = self.target.clone().unwrap_or_else(|| "the outside".into());
        let what = match self.what {
            "call" => format!("calls {target}{since}, attempt {}", self.attempt.unwrap_or(1)),
            "callback" => format!(
                "waits for {target} to answer{since}, by POST executions/ID/tasks/{}/complete or fail",
                self.visit.unwrap_or_default()
            ),
            "timer" => format!("waits{until}"),
            "event" => match &self.event_type {
                Some(kind) => format!("listens for an event of type {kind}{since}"),
                None => format!("listens for an event{since}"),
            },
            "child" => format!("runs execution {}{since}", text(&self.execution)),
            "retry" => {
                format!("waits{until} to try again after attempt {} failed", self.attempt.unwrap_or(1))
            }
            "suspended" => {
                let by = self.by.map(|who| if who == "limit" { " by a limit" } else { " by an operator" });
                return format!("it is suspended{since}{}{reason}", by.unwrap_or_default());
            }
            "buffer" => return self.in_buffer(&until, &reason),
            _ => return "it is about to go on".into(),
        };
        let timeout = self.timeout_at.as_ref().map(|at| format!(", times out at {at}")).unwrap_or_default();
        format!("task {} ({}) {what}{timeout}", text(&self.task), text(&self.reference))
    }

    fn in_buffer(&self, until: &str, reason: &str) -> String {
        let place = self.position.map(|n| format!(", place {n}")).unwrap_or_default();
        let forecast = self.forecast.as_ref().map(|f| format!(", forecast {f}")).unwrap_or_default();
        let trigger = self.trigger.as_deref().unwrap_or_default();
        format!("it waits in the buffer of trigger {trigger}{until}{place}{forecast}{reason}")
    }
}

/// All waits in words.
pub(super) fn told(waits: &[Wait]) -> String {
    waits.iter().map(|wait| &*wait.detail).collect::<Vec<_>>().join("; ")
}

/// Everything an execution waits for; nothing once it has ended, else never empty.
pub(super) async fn of(call: &Call, view: &ExecutionView) -> Result<Vec<Wait>, Problem> {
    if view.status.ended() {
        return Ok(Vec::new());
    }
    let mut waits: Vec<Wait> = view.waiting_for.iter().map(Wait::of).collect();
    match view.status {
        Status::Suspended => waits.insert(0, suspended(call, view.id).await?),
        Status::Pending => waits.extend(buffered(call, view).await?),
        _ => {}
    }
    if waits.is_empty() {
        waits.push(Wait { what: "begin", ..Wait::default() }.in_words());
    }
    Ok(waits)
}

async fn suspended(call: &Call, id: ExecutionId) -> Result<Wait, Problem> {
    let store = call.rooms().store.clone();
    let found = blocking(move || suspension(&*store, id)).await?;
    Ok(found.unwrap_or_else(|| Wait { what: "suspended", ..Wait::default() }).in_words())
}

/// When, by whom and why an execution was suspended last.
fn suspension(store: &dyn Store, id: ExecutionId) -> ReadResult<Option<Wait>> {
    let mut found = None;
    let told = |transition: &Transition| transition.lifecycle;
    logbook::records(store, id, told, &mut |transition, at, record| {
        if let Record::Suspended { reason, .. } = record {
            // An operator's verb begins its transition; a limit is met amid one.
            let by = Some(if at == 0 { "operator" } else { "limit" });
            let (since, reason) = (Some(transition.time.rfc3339()), reason.map(|text| text.to_string()));
            found = Some(Wait { what: "suspended", since, by, reason, ..Wait::default() });
        }
    })?;
    Ok(found)
}

async fn buffered(call: &Call, view: &ExecutionView) -> Result<Option<Wait>, Problem> {
    let (store, id) = (call.rooms().store.clone(), view.id);
    let found = blocking(move || {
        let Some(delivery) = store.delivery_of(id)? else {
            return Ok(None);
        };
        let ahead = match delivery.state {
            DeliveryState::Ready => Some(store.ahead(&delivery)?),
            _ => None,
        };
        Ok(Some((delivery, ahead)))
    })
    .await?;
    Ok(found.and_then(|(delivery, ahead)| placed(call, &delivery, ahead)))
}

fn placed(call: &Call, stored: &StoredDelivery, ahead: Option<u64>) -> Option<Wait> {
    let delivery = &stored.delivery;
    let space = call.rooms().catalog.space(&delivery.namespace);
    let trigger = space.trigger(&delivery.trigger);
    let rate = trigger.and_then(|trigger| trigger.spec.buffer.as_ref()).and_then(|buffer| buffer.rate);
    let rate = rate.map(|rate| rate.count / rate.per.as_secs_f64()).filter(|rate| *rate > 0.0);
    let key = delivery.key.as_ref().map_or("", Arc::as_ref);
    let reason = match (stored.state, trigger) {
        (DeliveryState::InFlight, _) => return None,
        (_, None) => Some("the trigger was removed".to_owned()),
        (_, Some(trigger)) if trigger.paused => Some("the trigger is paused".to_owned()),
        (DeliveryState::Blocked, _) => Some(format!("another one of order key `{key}` goes first")),
        (DeliveryState::Parked, _) => {
            Some(format!("order key `{key}` is held by a dead letter until it is redriven or purged"))
        }
        (DeliveryState::Ready, _) => None,
    };
    let forecast =
        ahead.zip(rate).map(|(ahead, rate)| Duration::from_secs_f64((ahead as f64 / rate).min(1e9)));
    let wait = Wait {
        what: "buffer",
        trigger: Some(delivery.trigger.to_string()),
        attempt: Some(delivery.attempt),
        until: (delivery.not_before > (call.rooms().clock)()).then(|| delivery.not_before.rfc3339()),
        position: ahead.map(|ahead| ahead + 1),
        forecast: forecast.map(iso),
        reason,
        ..Wait::default()
    };
    Some(wait.in_words())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_in_words() {
        let text = |text: &str| Some(text.to_owned());
        let task =
            || Wait { task: text("a"), reference: text("/do/0/a"), attempt: Some(2), ..Wait::default() };
        let check = |wait: Wait, expected: &str| assert_eq!(wait.told(), expected);
        check(
            Wait {
                what: "call",
                target: text("charge:2"),
                since: text("T1"),
                timeout_at: text("T2"),
                ..task()
            },
            "task a (/do/0/a) calls charge:2 since T1, attempt 2, times out at T2",
        );
        check(Wait { what: "timer", until: text("T"), ..task() }, "task a (/do/0/a) waits until T");
        check(
            Wait { what: "event", event_type: text("paid"), since: text("T"), ..task() },
            "task a (/do/0/a) listens for an event of type paid since T",
        );
        check(
            Wait { what: "child", execution: text("X"), since: text("T"), ..task() },
            "task a (/do/0/a) runs execution X since T",
        );
        check(
            Wait { what: "retry", until: text("T"), ..task() },
            "task a (/do/0/a) waits until T to try again after attempt 2 failed",
        );
        check(
            Wait {
                what: "suspended",
                since: text("T"),
                by: Some("operator"),
                reason: text("look into it"),
                ..Wait::default()
            },
            "it is suspended since T by an operator: look into it",
        );
        check(
            Wait {
                what: "buffer",
                trigger: text("t"),
                position: Some(4),
                forecast: text("PT2S"),
                ..Wait::default()
            },
            "it waits in the buffer of trigger t, place 4, forecast PT2S",
        );
        check(Wait { what: "begin", ..Wait::default() }, "it is about to go on");
    }
}
