//! A lean HTTP/1.1 client over one kept connection: what a load generator needs and no more.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One kept connection.
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    filled: usize,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines as received.
    pub head: String,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A request as bytes, made once and sent often.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        for part in [name, ": ", value, "\r\n"] {
            out.push_str(part);
        }
    }
    let length = format!("content-length: {}\r\n\r\n", body.len());
    let mut out = (out + &length).into_bytes();
    out.extend_from_slice(body);
    out
}

impl Client {
    /// Connects at the first request.
    pub fn new(address: SocketAddr) -> Client {
        Client { address, stream: None, buffer: vec![0; 64 * 1024], filled: 0 }
    }

    /// Sends prepared bytes and reads the answer. An error drops the connection; the next call connects anew.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<Answer> {
        let result = self.exchange(bytes).await;
        if result.is_err() {
            self.stream = None;
            self.filled = 0;
        }
        result
    }

    /// Makes, sends and reads.
    pub async fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        self.send(&request(method, path, headers, body)).await
    }

    /// GET as JSON.
    pub async fn get(&mut self, path: &str) -> io::Result<(u16, serde_json::Value)> {
        let answer = self.call("GET", path, &[], b"").await?;
        Ok((answer.status, answer.json()))
    }

    async fn exchange(&mut self, bytes: &[u8]) -> io::Result<Answer> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        stream.write_all(bytes).await?;
        let head_end = loop {
            if let Some(at) = find(&self.buffer[..self.filled], b"\r\n\r\n") {
                break at + 4;
            }
            fill(stream, &mut self.buffer, &mut self.filled).await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_end]).into_owned();
        let status = head.get(9..12).and_then(|s| s.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let answer = Answer { status, head, body: Vec::new() };
        if answer.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            let body = self.chunks(head_end).await?;
            return Ok(Answer { body, ..answer });
        }
        let length = answer.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        while self.filled < head_end + length {
            fill(stream, &mut self.buffer, &mut self.filled).await?;
        }
        let body = self.buffer[head_end..head_end + length].to_vec();
        self.consume(head_end + length);
        Ok(Answer { body, ..answer })
    }

    async fn chunks(&mut self, start: usize) -> io::Result<Vec<u8>> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let mut body = Vec::new();
        let mut at = start;
        loop {
            let line = loop {
                if let Some(end) = find(&self.buffer[at..self.filled], b"\r\n") {
                    break at + end;
                }
                fill(stream, &mut self.buffer, &mut self.filled).await?;
            };
            let text = std::str::from_utf8(&self.buffer[at..line]).map_err(|_| io::ErrorKind::InvalidData)?;
            let size = usize::from_str_radix(text.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
            while self.filled < line + 2 + size + 2 {
                fill(stream, &mut self.buffer, &mut self.filled).await?;
            }
            body.extend_from_slice(&self.buffer[line + 2..line + 2 + size]);
            at = line + 2 + size + 2;
            if size == 0 {
                self.consume(at);
                return Ok(body);
            }
        }
    }

    fn consume(&mut self, used: usize) {
        self.buffer.copy_within(used..self.filled, 0);
        self.filled -= used;
    }
}

async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>, filled: &mut usize) -> io::Result<()> {
    if *filled == buffer.len() {
        buffer.resize(buffer.len() * 2, 0);
    }
    match stream.read(&mut buffer[*filled..]).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        n => {
            *filled += n;
            Ok(())
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}
