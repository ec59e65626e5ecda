//! A running service over the memory store, and a client that asserts as it asks.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tidemill::api::{self, ApiState};
use tidemill::config::Config;
use tidemill::hall::Hall;
use tidemill_dsl::ids::Time;
use tidemill_store::{MemoryStore, Store};
use tokio::sync::oneshot;

/// Workflows, a function and triggers that most tests use.
pub(crate) const SET: &str = r"
kind: Function
metadata: {name: noop}
spec: {builtin: echo}
---
document: {dsl: '1.0.3', namespace: default, name: hello, version: '1.0.0'}
do:
  - greet: {call: 'noop:1@default', with: {text: '${ .name }'}}
---
document: {dsl: '1.0.3', namespace: default, name: broken, version: '1.0.0'}
do:
  - one: {raise: {error: {type: https://example.com/broken, status: 400, title: Broken}}}
---
document: {dsl: '1.0.3', namespace: default, name: waits, version: '1.0.0'}
do:
  - nap: {wait: {hours: 1}}
---
document: {dsl: '1.0.3', namespace: default, name: fixed, version: '1.0.0'}
do:
  - check: {raise: {error: {type: https://example.com/broken, status: 400, title: Broken}}, if: '${ .bad }'}
  - done: {set: {fine: true}}
---
kind: Trigger
metadata: {name: direct}
spec:
  filters: [{exact: {type: direct}}]
  target: {workflow: hello}
  input: '${ .data }'
  tags: {orderId: '${ .data.orderId }'}
---
kind: Trigger
metadata: {name: bad}
spec: {filters: [{exact: {type: bad}}], target: {workflow: broken}}
---
kind: Trigger
metadata: {name: shaved}
spec:
  filters: [{exact: {type: shaved}}]
  target: {workflow: waits}
  buffer: {rate: 1000/s, concurrency: 1, capacity: 3, whenFull: reject}
";

/// A running service.
pub(crate) struct Service {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    /// Client with kept connections.
    pub(crate) client: reqwest::Client,
    /// The hall.
    pub(crate) hall: Arc<Hall>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
    _dir: Option<tempfile::TempDir>,
}

/// A clock that is moved by hand; it runs on meanwhile.
#[derive(Clone)]
pub(crate) struct Moved(Arc<AtomicI64>);

impl Moved {
    /// A service over a fresh memory store with such a clock, which looks often for what is beyond retention.
    pub(crate) async fn service(change: impl FnOnce(&mut Config)) -> (Service, Moved) {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().to_owned());
        config.retain_every = Duration::from_millis(20);
        change(&mut config);
        let moved = Moved(Arc::default());
        let (system, offset) = (tidemill::clock::system(), moved.0.clone());
        let clock = Arc::new(move || Time(system().0 + offset.load(Ordering::Relaxed)));
        let service = Service::opened(config, Arc::new(MemoryStore::new()), clock).await;
        (Service { _dir: Some(dir), ..service }, moved)
    }

    /// Lets milliseconds pass at once.
    pub(crate) fn pass(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text))
    }

    /// A header field.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// The same if the status is this one.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Asserts that it is a problem of this status and code, whole in all members.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Answer {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(body["status"], status);
        for member in ["type", "title", "detail", "instance", "traceId"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {}", self.text);
        }
        self
    }
}

impl Service {
    /// Over a fresh memory store, with [`SET`] applied.
    pub(crate) async fn new() -> Service {
        let service = Service::empty().await;
        service.post("/v1/namespaces/default/apply", SET).await.is(200);
        service
    }

    /// Over a fresh memory store.
    pub(crate) async fn empty() -> Service {
        Service::over(Arc::new(MemoryStore::new())).await
    }

    /// Over a store.
    pub(crate) async fn over(store: Arc<dyn Store>) -> Service {
        let dir = tempfile::tempdir().unwrap();
        let service = Service::within(store, dir.path()).await;
        Service { _dir: Some(dir), ..service }
    }

    /// Over a store, with its files in a folder.
    pub(crate) async fn within(store: Arc<dyn Store>, dir: &Path) -> Service {
        Service::opened(Config::new(dir.to_owned()), store, tidemill::clock::system()).await
    }

    /// Over a fresh memory store, with these kinds of run task allowed.
    pub(crate) async fn allowing(kinds: &[&str]) -> Service {
        let dir = tempfile::tempdir().unwrap();
        let run_allow = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let config = Config { run_allow, ..Config::new(dir.path().to_owned()) };
        let service = Service::opened(config, Arc::new(MemoryStore::new()), tidemill::clock::system()).await;
        Service { _dir: Some(dir), ..service }
    }

    async fn opened(config: Config, store: Arc<dyn Store>, clock: tidemill::clock::Clock) -> Service {
        let hall = Arc::new(Hall::open(&config, store, clock).await.unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = api::router(&ApiState::new(hall.clone(), &config));
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            let until = async {
                let _ = stopped.await;
            };
            api::serve(listener, router, until).await.unwrap();
        });
        let client = reqwest::Client::new();
        Service { url, client, hall, stop: Some(stop), served: Some(served), _dir: None }
    }

    /// Stops the server and then the hall: nothing of the API may hold it.
    pub(crate) async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.served.take().unwrap().await.unwrap();
        Arc::into_inner(self.hall).expect("the API let go of the hall").stop().await;
    }

    /// A request to build on.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    /// POST with a body.
    pub(crate) async fn post(&self, path: &str, body: impl Into<String>) -> Answer {
        send(self.request(Method::POST, path).body(body.into())).await
    }

    /// PUT with a body.
    pub(crate) async fn put(&self, path: &str, body: impl Into<String>) -> Answer {
        send(self.request(Method::PUT, path).body(body.into())).await
    }

    /// DELETE.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    /// Starts a workflow of `default` and waits for its end.
    pub(crate) async fn run(&self, workflow: &str, input: &str) -> Value {
        let path = format!("/v1/namespaces/default/workflows/{workflow}/executions");
        let request = self.request(Method::POST, &path).header("prefer", "wait=20").body(input.to_owned());
        send(request).await.is(200).json()
    }

    /// Posts a structured event into `default`.
    pub(crate) async fn event(&self, id: &str, kind: &str, data: &Value) -> Answer {
        let body = serde_json::json!({"specversion": "1.0", "id": id, "source": "/test", "type": kind, "data": data});
        let request = self.request(Method::POST, "/v1/namespaces/default/events");
        send(request.header("content-type", "application/cloudevents+json").body(body.to_string())).await
    }

    /// Waits until a path is 404.
    pub(crate) async fn until_gone(&self, path: &str) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.get(path).await.status != 404 {
            assert!(Instant::now() < end, "it does not go: {path}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asks again until it holds; panics after ten seconds.
    pub(crate) async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let answer = self.get(path).await;
            let body = answer.json();
            if answer.status == 200 && holds(&body) {
                return body;
            }
            assert!(Instant::now() < end, "it does not come to hold: {path} {body}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Sends and reads.
pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    if status != StatusCode::NO_CONTENT && !text.is_empty() {
        assert!(headers.contains_key("content-type"), "{text}");
    }
    Answer { status: status.as_u16(), headers, text }
}
