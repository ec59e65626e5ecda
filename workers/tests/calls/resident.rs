//! `lifecycle: resident` with the example program of this crate.

use std::path::PathBuf;
use std::time::Duration;

use tidemill_dsl::order::Outcome;
use tidemill_dsl::value::Value;
use tidemill_workers::process::{InstanceState, ProcessConfig, Resident};
use tidemill_workers::{Clock, Function};
use tokio_util::sync::CancellationToken;

use crate::{done, eventually, fault, is_alive, json, order, secrets};

/// The example `resident`, built beside this test.
fn program() -> String {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples").join("resident").to_string_lossy().into_owned()
}

fn config(mode: &str) -> ProcessConfig {
    let mut config = ProcessConfig::new(vec![program()], secrets());
    config.environment = vec![("MODE".into(), mode.into())];
    config.first_pause = Duration::from_millis(1);
    config
}

fn resident(config: ProcessConfig) -> Resident {
    Resident::new(config, "default".into(), Clock::system())
}

async fn call(function: &Resident, visit: u32) -> Outcome {
    function.call(order(visit, json(&visit.to_string())), CancellationToken::new()).await
}

fn states(function: &Resident) -> Vec<InstanceState> {
    function.instances().iter().map(|status| status.state).collect()
}

#[tokio::test]
async fn an_instance_stays_between_calls() {
    let function = resident(config(""));
    assert_eq!(function.instances(), []);
    let first = done(call(&function, 1).await);
    let second = done(call(&function, 2).await);
    assert_eq!((first.get("input"), second.get("input")), (Some(&json("1")), Some(&json("2"))));
    assert_eq!(first.get("pid"), second.get("pid"));
    assert_eq!(states(&function), [InstanceState::Idle]);
    let names = first.get("headers").unwrap().to_string();
    for name in ["idempotency-key", "traceparent", "tidemill-execution", "tidemill-task", "tidemill-attempt"]
    {
        assert!(names.contains(name), "{name} in {names}");
    }
    let pid = first.get("pid").and_then(Value::as_i64).unwrap();
    assert!(is_alive(pid));
    drop(function);
    eventually("the instance is gone", || !is_alive(pid)).await;
}

#[tokio::test]
async fn min_instances_are_started_ahead_and_idle_ones_stopped() {
    let mut warm = config("");
    warm.min_instances = 1;
    let function = resident(warm);
    eventually("one is ready", || states(&function) == [InstanceState::Ready]).await;

    let mut cold = config("");
    cold.idle = Duration::from_millis(1);
    let function = resident(cold);
    done(call(&function, 1).await);
    eventually("the idle one is stopped", || states(&function) == [InstanceState::Stopped]).await;
    done(call(&function, 2).await);
}

#[tokio::test]
async fn calls_spread_over_instances_up_to_the_maximum() {
    let mut two = config("hang");
    two.max_instances = 2;
    let function = resident(two);
    let stop = CancellationToken::new();
    let calls = (1..=3).map(|visit| function.call(order(visit, Value::Null), stop.clone()));
    let watching = async {
        let busy =
            || states(&function) == [InstanceState::Busy, InstanceState::Busy] && function.waiting() == 1;
        eventually("two are busy, one call waits", busy).await;
        stop.cancel();
    };
    tokio::join!(futures_util::future::join_all(calls), watching);
    assert_eq!(function.waiting(), 0);
    let ended = || states(&function) == [InstanceState::Stopped, InstanceState::Stopped];
    eventually("those whose call was cut off are ended", ended).await;
}

#[tokio::test]
async fn a_call_whose_instance_dies_fails_and_the_next_gets_a_new_one() {
    let function = resident(config("die"));
    for visit in 1..=2 {
        let said = fault(call(&function, visit).await);
        assert_eq!(said.status, 500);
        assert!(said.to_string().contains("exit status: 9"), "{said}");
    }
    assert_eq!(function.instances().len(), 2);
}

#[tokio::test]
async fn calls_wait_through_a_crash_loop_and_the_pauses_grow() {
    let function = resident(config("exit"));
    let stop = CancellationToken::new();
    let calling = function.call(order(1, Value::Null), stop.clone());
    let watching = async {
        let crashed = || states(&function).iter().filter(|s| **s == InstanceState::Stopped).count() >= 4;
        eventually("four starts failed", crashed).await;
        let last = function.instances().pop().unwrap();
        stop.cancel();
        last
    };
    let (outcome, last) = tokio::join!(calling, watching);
    assert!(matches!(outcome, Outcome::Failed(_)));
    let detail = last.detail.unwrap();
    assert!(detail.contains("exit status: 7") && detail.contains("no wish to live"), "{detail}");
}

#[tokio::test]
async fn an_instance_that_is_never_ready_is_killed() {
    let mut config = config("unready");
    config.start_timeout = Duration::from_millis(50);
    let function = resident(config);
    let stop = CancellationToken::new();
    let calling = function.call(order(1, Value::Null), stop.clone());
    let watching = async {
        eventually("one is given up", || states(&function).contains(&InstanceState::Stopped)).await;
        let given_up = function.instances().into_iter().find(|s| s.state == InstanceState::Stopped).unwrap();
        stop.cancel();
        given_up
    };
    let (_, given_up) = tokio::join!(calling, watching);
    assert!(given_up.detail.unwrap().contains("startTimeout"));
    let pid = i64::from(given_up.pid.unwrap());
    eventually("its process is gone", || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_program_that_cannot_be_started_fails_the_calls_at_once() {
    let config = ProcessConfig::new(vec!["/nowhere/at-all".to_owned()], secrets());
    let said = fault(call(&resident(config), 1).await);
    assert_eq!(said.status, 400);
    assert!(said.to_string().contains("/nowhere/at-all"), "{said}");
}

#[tokio::test]
async fn a_connection_closed_between_calls_is_replaced() {
    let function = resident(config("close"));
    let first = done(call(&function, 1).await);
    for visit in 2..20 {
        assert_eq!(done(call(&function, visit).await).get("pid"), first.get("pid"));
    }
}

#[tokio::test]
async fn the_queue_has_a_named_limit() {
    let mut config = config("exit");
    config.queue = 0;
    let said = fault(call(&resident(config), 1).await);
    assert_eq!(said.status, 429);
    assert!(said.to_string().contains("`function-queue`"), "{said}");
}
