//! A loopback server that keeps what it was asked and answers as the test says, over TLS too.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// When it was there.
    pub(crate) at: Instant,
    /// Its first line and header fields; names in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// A header field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// The server; it lives as long as its runtime.
pub(crate) struct Partner {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Partner {
    /// Starts it. `answer` makes the head of an answer (and its body) from the request and how many came before.
    pub(crate) async fn start(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Asked, usize) -> String + Send + Sync + 'static,
    ) -> Partner {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Asked>>>::default());
        let (own, answer) = (asked.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, own, answer) = (tls.clone(), own.clone(), answer.clone());
                tokio::spawn(async move {
                    let answer = &*answer;
                    match tls {
                        None => serve(stream, &own, answer).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &own, answer).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Partner { address, asked }
    }

    /// What came so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// Answers one request after another; ends with the connection.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    asked: &Mutex<Vec<Asked>>,
    answer: &(impl Fn(&Asked, usize) -> String + Sync),
) -> Option<()> {
    let mut held = Vec::new();
    loop {
        let request = take(&mut stream, &mut held).await?;
        let text = {
            let mut all = asked.lock().unwrap();
            let text = answer(&request, all.len());
            all.push(request);
            text
        };
        stream.write_all(text.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
    }
}

async fn take(stream: &mut (impl AsyncRead + Unpin), held: &mut Vec<u8>) -> Option<Asked> {
    loop {
        let end = held.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&held[..end]).into_owned();
            let lines = head.split("\r\n").map(|line| match line.split_once(": ") {
                Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
                None => line.to_owned(),
            });
            let head = lines.collect::<Vec<_>>().join("\n");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let whole = end + 4 + length.unwrap_or(0);
            if held.len() >= whole {
                let body = held[end + 4..whole].to_vec();
                held.drain(..whole);
                return Some(Asked { at: Instant::now(), head, body });
            }
        }
        let mut chunk = [0; 8192];
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        held.extend_from_slice(&chunk[..read]);
    }
}
