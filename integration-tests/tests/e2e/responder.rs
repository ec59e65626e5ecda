//! A loopback HTTP function that outlives the server under test: it counts calls, can hold them and can refuse them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The function.
pub(crate) struct Responder {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// Calls are answered while this is true.
    open: watch::Sender<bool>,
    calls: Mutex<Vec<String>>,
    /// The path each call may be answered under.
    callbacks: Mutex<Vec<String>>,
    /// Calls whose body holds one of these words are answered with 500.
    failing: Mutex<BTreeSet<String>>,
}

impl Responder {
    /// Starts it, answering at once; it lives as long as the process.
    pub(crate) fn start() -> Responder {
        let state = Arc::new(State {
            open: watch::channel(true).0,
            calls: Mutex::default(),
            callbacks: Mutex::default(),
            failing: Mutex::default(),
        });
        let (tx, rx) = std::sync::mpsc::channel();
        let own = state.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tx.send(listener.local_addr().unwrap()).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, own.clone()));
                }
            });
        });
        Responder { address: rx.recv().unwrap(), state }
    }

    /// Holds the calls that come.
    pub(crate) fn hold(&self) {
        self.state.open.send_replace(false);
    }

    /// Answers what is held and what comes.
    pub(crate) fn release(&self) {
        self.state.open.send_replace(true);
    }

    /// Calls that came so far.
    pub(crate) fn calls(&self) -> usize {
        self.state.calls.lock().unwrap().len()
    }

    /// The paths under which the calls that came may be answered later.
    pub(crate) fn callbacks(&self) -> Vec<String> {
        self.state.callbacks.lock().unwrap().clone()
    }

    /// From now on calls that hold these words fail; no other does.
    pub(crate) fn fail(&self, words: &[&str]) {
        *self.state.failing.lock().unwrap() = words.iter().map(|w| (*w).to_owned()).collect();
    }

    /// The manifest of the function.
    pub(crate) fn function(&self, name: &str) -> String {
        format!(
            "kind: Function\nmetadata: {{name: {name}}}\nspec: {{timeout: 600s, http: {{url: 'http://{}/{name}'}}}}\n---\n",
            self.address
        )
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
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
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
        let fails = state.failing.lock().unwrap().iter().any(|word| body.contains(word.as_str()));
        let is_later = body.contains("answer later");
        state.calls.lock().unwrap().push(body);
        if let Some((_, rest)) = text.split_once("tidemill-callback: ") {
            let path = rest.lines().next().unwrap_or_default();
            state.callbacks.lock().unwrap().push(path.to_owned());
        }
        if state.open.subscribe().wait_for(|open| *open).await.is_err() {
            return;
        }
        let status = if fails { "500 Internal Server Error" } else { "200 OK" };
        let status = if is_later { "202 Accepted\r\ntidemill-callback: accepted" } else { status };
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n");
        if stream.write_all(format!("{head}{{\"ok\":true}}").as_bytes()).await.is_err() {
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
