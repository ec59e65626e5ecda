//! Stand-in for every public host that scenarios call: it outlives the server under test, counts calls, holds and
//! fails them.
//!
//! Owns the sockets and what was asked; what is answered is in `routes`. Calls to [`HOST`] have the scenario's
//! namespace as first segment of their path, so that scenarios that run side by side do not see each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::routes;

/// The host whose answers scenarios steer.
pub(super) const HOST: &str = "api.example.com";

/// A path of one scenario: its namespace and what follows it.
pub(super) type Place = (String, String);

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    /// The host it was meant for.
    pub(super) host: String,
    /// The path without the namespace.
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    /// Names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Value,
    /// Which call of this path it is, from 1.
    pub(super) number: usize,
}

/// What is sent back; none closes the connection.
pub(super) type Answer = Option<Reply>;

/// An answer with a body.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

#[derive(Default)]
struct State {
    calls: BTreeMap<Place, Vec<Request>>,
    files: BTreeMap<Place, String>,
}

/// The stand-in; it lives as long as the process.
pub(crate) struct StandIn {
    address: SocketAddr,
    state: Mutex<State>,
    /// Gates that are open.
    gates: watch::Sender<BTreeSet<Place>>,
}

impl StandIn {
    /// Starts it on a thread and a loopback port of its own.
    pub(super) fn start() -> Arc<StandIn> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("an address");
        let gates = watch::channel(BTreeSet::new()).0;
        let stand_in = Arc::new(StandIn { address, state: Mutex::default(), gates });
        let own = stand_in.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, own.clone()));
                }
            });
        });
        stand_in
    }

    /// The value of `egress.rewrite` that leads these hosts and [`HOST`] here.
    pub(super) fn rewrite(&self, hosts: &[&str]) -> String {
        let to = format!("http://{}", self.address);
        let all = hosts.iter().chain(&[HOST]).map(|host| ((*host).to_owned(), Value::from(to.as_str())));
        Value::Object(all.collect()).to_string()
    }

    /// Calls of a path so far.
    pub(super) fn calls(&self, place: &Place) -> Vec<Request> {
        self.lock().calls.get(place).cloned().unwrap_or_default()
    }

    /// Answers the calls of a gate, those held and those that come.
    pub(super) fn open(&self, place: Place) {
        self.gates.send_modify(|open| {
            open.insert(place);
        });
    }

    /// Serves a text at a path.
    pub(super) fn put(&self, place: Place, text: String) {
        self.lock().files.insert(place, text);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn answer(&self, place: Place, mut request: Request) -> Answer {
        let file = {
            let mut state = self.lock();
            let calls = state.calls.entry(place.clone()).or_default();
            request.number = calls.len() + 1;
            calls.push(request.clone());
            state.files.get(&place).cloned()
        };
        if request.path.starts_with("/gate/") {
            self.gates.subscribe().wait_for(|open| open.contains(&place)).await.ok()?;
        }
        match file {
            Some(body) => {
                let json = body.starts_with(['{', '[', '"']);
                let kind = if json { "application/json" } else { "application/yaml" };
                Some(Reply { status: 200, kind, headers: Vec::new(), body })
            }
            None => routes::answer(&request),
        }
    }
}

async fn serve(mut stream: TcpStream, stand_in: Arc<StandIn>) {
    let _ = stream.set_nodelay(true);
    let mut bytes = Vec::new();
    loop {
        let used = loop {
            if let Some(used) = whole(&bytes) {
                break used;
            }
            match stream.read_buf(&mut bytes).await {
                Ok(n) if n > 0 => {}
                _ => return,
            }
        };
        let text = String::from_utf8_lossy(&bytes[..used]).into_owned();
        bytes.drain(..used);
        let (place, request) = read(&text);
        let Some(reply) = stand_in.answer(place, request).await else {
            return;
        };
        let mut out = format!(
            "HTTP/1.1 {} X\r\ncontent-type: {}\r\ncontent-length: {}\r\n",
            reply.status,
            reply.kind,
            reply.body.len()
        );
        for (name, value) in &reply.headers {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        out.push_str("\r\n");
        out.push_str(&reply.body);
        if stream.write_all(out.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Length of the first request, if it is there whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?.to_ascii_lowercase();
    let stated = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = stated.and_then(|v| v.trim().parse::<usize>().ok()).unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}

fn read(text: &str) -> (Place, Request) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let method = first.next().unwrap_or_default().to_owned();
    let (path, query) = first.next().map_or(("/", ""), |t| t.split_once('?').unwrap_or((t, "")));
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let host = headers.get("host").cloned().unwrap_or_default();
    let (key, path) = match path[1..].split_once('/') {
        Some((key, _)) if host == HOST => (key.to_owned(), path[1 + key.len()..].to_owned()),
        _ => (String::new(), path.to_owned()),
    };
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
    let place = (key, path.clone());
    (place, Request { method, host, path, query, headers, body, number: 0 })
}
