//! The pool and the registry: whole lists in, whole lists out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::{self, Manifest};
use tidemill_dsl::order::{Call, Order, Outcome};
use tidemill_dsl::schema::Schema;
use tidemill_dsl::value::Value;
use tidemill_workers::admission::Limits;
use tidemill_workers::builtin::Builtin;
use tidemill_workers::egress::Policy;
use tidemill_workers::pool::{Answer, Pool};
use tidemill_workers::process::DEFAULT_PATH;
use tidemill_workers::registry::{FunctionKind, FunctionSpec, Registry};
use tidemill_workers::{BoxFuture, Clock, Function};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{done, eventually, fault, json, order, secrets};

fn registry() -> Registry {
    Registry::new(Policy::default(), secrets(), Clock::new(|| Time(1_000_000)))
}

fn builtin(builtin: Builtin) -> FunctionSpec {
    FunctionSpec::new(FunctionKind::Builtin(builtin))
}

fn calling(name: &str, version: &str, visit: u32, input: &str) -> Order {
    let what = Call::Function { name: name.into(), version: version.into(), input: json(input) };
    Order { what, ..order(visit, Value::Null) }
}

type Answers = Arc<Mutex<Vec<Vec<Answer>>>>;

fn pool(registry: Registry, most: usize) -> (Pool, Answers) {
    let answers = Answers::default();
    let to = answers.clone();
    let reply = Arc::new(move |batch| to.lock().unwrap().push(batch));
    (Pool::new(Arc::new(registry), Handle::current(), most, reply), answers)
}

fn visits(answers: &Answers) -> Vec<u32> {
    let mut all: Vec<u32> = answers.lock().unwrap().iter().flatten().map(|answer| answer.visit).collect();
    all.sort_unstable();
    all
}

async fn ask(registry: &Registry, name: &str, version: &str, input: &str) -> Outcome {
    registry.call(calling(name, version, 1, input), CancellationToken::new()).await
}

/// Breaks.
struct Broken;

impl Function for Broken {
    fn call(&self, _: Order, _: CancellationToken) -> BoxFuture<'_, Outcome> {
        Box::pin(async { panic!("broken on purpose") })
    }
}

#[tokio::test]
async fn versions_and_aliases() {
    let registry = registry();
    registry.publish("default", "f", 1, builtin(Builtin::Echo));
    registry.publish("default", "f", 10, builtin(Builtin::Echo));
    registry.publish("default", "f", 9, builtin(Builtin::Echo));
    let id = order(1, Value::Null).execution;
    let check = |namespace: &str, name: &str, version: &str, expected: Option<u32>| {
        let said = registry.resolve(namespace, name, version, id);
        assert_eq!(said.as_ref().ok().copied(), expected, "{namespace} {name}:{version} {said:?}");
    };
    check("default", "f", "latest", Some(10));
    check("default", "f", "", Some(10));
    check("default", "f", "9", Some(9));
    check("default", "f", "2", None);
    check("default", "f", "prod", None);
    check("default", "g", "1", None);
    check("other", "f", "1", None);
    registry.set_alias("default", "f", "prod", vec![(1, 100)]).unwrap();
    check("default", "f", "prod", Some(1));
    assert!(registry.set_alias("default", "f", "prod", vec![(1, 50)]).is_err());
    assert!(registry.set_alias("default", "f", "prod", vec![(2, 100)]).is_err());
    registry.remove("default", "f");
    check("default", "f", "1", None);
}

#[tokio::test]
async fn schemas_judge_inputs_and_outputs() {
    let registry = registry();
    let schema = || Some(Schema::compile(&json(r#"{"type":"object"}"#)).unwrap());
    registry.publish("default", "in", 1, FunctionSpec { input: schema(), ..builtin(Builtin::Echo) });
    registry.publish("default", "out", 1, FunctionSpec { output: schema(), ..builtin(Builtin::Echo) });
    for name in ["in", "out"] {
        assert_eq!(done(ask(&registry, name, "1", "{}").await), json("{}"));
        let said = fault(ask(&registry, name, "1", "1").await);
        assert!(said.status == 400 && said.kind.ends_with("/validation"), "{name}: {said:?}");
        assert!(matches!(registry.at_once(&calling(name, "1", 1, "1")), Some(Outcome::Failed(_))), "{name}");
    }
}

#[tokio::test]
async fn whichever_limit_is_first_ends_the_call() {
    let registry = registry();
    let spec = FunctionSpec { timeout: Duration::from_millis(20), ..builtin(Builtin::Sleep) };
    registry.publish("default", "short", 1, spec);
    registry.publish("default", "long", 1, builtin(Builtin::Sleep));
    let said = fault(ask(&registry, "short", "1", "3600").await);
    assert!(said.status == 408 && said.to_string().contains("20 ms (the timeout of the function)"), "{said}");
    let hasty = Order { deadline: Some(Time(1_000_010)), ..calling("long", "1", 1, "3600") };
    let said = fault(registry.call(hasty, CancellationToken::new()).await);
    assert!(said.status == 408 && said.to_string().contains("10 ms (the deadline of the task)"), "{said}");
    let stats = registry.stats();
    let short = stats.iter().find(|stats| stats.name == "short").unwrap();
    assert_eq!((short.calls, short.failures, short.in_flight), (1, 1, 0));
}

#[tokio::test]
async fn admission_is_per_function() {
    let registry = registry();
    let limits = Limits { concurrency: Some(1), queue: 0, queue_age: None };
    registry.publish("default", "f", 1, FunctionSpec { limits, ..builtin(Builtin::Sleep) });
    let stop = CancellationToken::new();
    let first = registry.call(calling("f", "1", 1, "3600"), stop.clone());
    let second = async {
        let said = fault(ask(&registry, "f", "1", "1").await);
        stop.cancel();
        said
    };
    let (_, said) = tokio::join!(first, second);
    assert_eq!(said.status, 429);
}

#[tokio::test]
async fn what_need_not_wait_is_answered_on_the_spot() {
    let registry = registry();
    registry.publish("default", "echo", 1, builtin(Builtin::Echo));
    registry.publish("default", "fail", 1, builtin(Builtin::Fail));
    let (pool, answers) = pool(registry, 10);
    let orders = vec![
        calling("echo", "1", 1, "5"),
        calling("fail", "latest", 2, r#"{"status":418}"#),
        calling("absent", "1", 3, "null"),
    ];
    let said = pool.perform(orders);
    assert_eq!(said.iter().map(|answer| answer.visit).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(said[0].outcome, Outcome::Done(json("5")));
    assert_eq!(fault(said[1].outcome.clone()).status, 418);
    assert_eq!(fault(said[2].outcome.clone()).status, 400);
    assert_eq!(pool.load(), (0, 0));
    assert_eq!(visits(&answers), [0; 0]);
}

#[tokio::test]
async fn others_are_answered_in_lists_within_the_cap() {
    let registry = registry();
    registry.publish("default", "sleep", 1, builtin(Builtin::Sleep));
    let (pool, answers) = pool(registry, 3);
    assert_eq!(pool.perform((0..10).map(|visit| calling("sleep", "1", visit, r#""1ms""#)).collect()), []);
    assert_eq!(pool.load(), (3, 7));
    eventually("all are answered", || visits(&answers).len() == 10).await;
    assert_eq!(visits(&answers), (0..10).collect::<Vec<_>>());
    pool.drain().await;
    assert_eq!(pool.perform(vec![calling("sleep", "1", 99, r#""1ms""#)]), []);
    assert_eq!(pool.load(), (0, 0));
}

#[tokio::test]
async fn a_visit_in_flight_is_not_called_twice_and_can_be_cut_off() {
    let registry = registry();
    registry.publish("default", "sleep", 1, builtin(Builtin::Sleep));
    let (pool, answers) = pool(registry, 2);
    let long = |visit| calling("sleep", "1", visit, "3600");
    pool.perform(vec![long(1), long(1), long(2), long(3)]);
    assert_eq!(pool.load(), (2, 1));
    pool.abort(long(1).execution, 1);
    pool.abort(long(3).execution, 3);
    eventually("one is left", || pool.load() == (1, 0)).await;
    let again = Order { attempt: 2, ..calling("sleep", "1", 2, r#""1ms""#) };
    pool.perform(vec![again]);
    eventually("the second attempt is answered", || visits(&answers) == [2]).await;
    assert_eq!(answers.lock().unwrap()[0][0].attempt, 2);
    pool.abort_all();
    pool.drain().await;
    assert_eq!(visits(&answers), [2]);
}

#[tokio::test]
async fn a_worker_that_breaks_answers_with_an_error() {
    let registry = registry();
    registry.publish("default", "f", 1, FunctionSpec::new(FunctionKind::Other(Arc::new(Broken))));
    let (pool, answers) = pool(registry, 2);
    pool.perform(vec![calling("f", "1", 1, "null")]);
    eventually("it is answered", || visits(&answers) == [1]).await;
    assert_eq!(fault(answers.lock().unwrap()[0][0].outcome.clone()).status, 500);
}

#[tokio::test]
async fn manifests_become_functions() {
    let registry = registry();
    let check = async |spec: &str, input: &str, expected: &str| {
        let text = format!("kind: Function\nmetadata: {{name: f}}\nspec: {spec}\n");
        let node = tidemill_dsl::yaml::parse(&text).unwrap();
        let Ok(Manifest::Function(function)) = manifest::parse(&node, &text, "default") else {
            panic!("no function: {text}");
        };
        registry.publish("default", "f", 1, FunctionSpec::from_manifest(&function, DEFAULT_PATH, &secrets()));
        assert_eq!(done(ask(&registry, "f", "1", input).await), json(expected), "{spec}");
    };
    check("{builtin: echo}", "[1]", "[1]").await;
    check("{process: {command: [cat]}}", "[2]", "[2]").await;
    let shell = r#"{process: {command: [sh, -c, 'printf "%s" "$N"'], environment: {N: "3"}}}"#;
    check(shell, "null", "3").await;
}
