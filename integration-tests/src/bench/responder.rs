//! A loopback HTTP function that answers at once: the other end of W1(b). On a thread and a runtime of its own.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n{\"n\":1}";

/// Starts it; it lives as long as the process.
pub(super) fn start() -> SocketAddr {
    let (tx, rx) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
            tx.send(listener.local_addr().expect("an address")).expect("the starter waits");
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
    });
    rx.recv().expect("the responder started")
}

/// Answers each request whose head and body (by content-length) have come.
async fn answer(mut stream: tokio::net::TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut buffer = vec![0; 16 * 1024];
    let mut filled = 0;
    loop {
        while let Some(used) = whole(&buffer[..filled]) {
            if stream.write_all(ANSWER).await.is_err() {
                return;
            }
            buffer.copy_within(used..filled, 0);
            filled -= used;
        }
        match stream.read(&mut buffer[filled..]).await {
            Ok(n) if n > 0 => filled += n,
            _ => return,
        }
    }
}

fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?.to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|l| l.strip_prefix("content-length:"))
        .and_then(|v| v.trim().parse::<usize>().ok())
        .unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}
