//! A small HTTP/1.1 client: one request, one connection, to a server on loopback.
//!
//! Owns the bytes on the wire (RFC 9112). No TLS, no redirects, no kept connections.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::error::{Error, Result, While};

/// How long one read or write may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// The largest answer that is read: 64 MiB.
const ANSWER_LIMIT: u64 = 64 << 20;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body, chunks already put together.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as text, broken bytes replaced.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// GET `path` from `address` (`host:port`).
pub(crate) fn get(address: &str, path: &str) -> Result<Answer> {
    call(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n"), &[])
}

/// POST `body` to `path` at `address` (`host:port`).
pub(crate) fn post(address: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n"
    );
    call(address, &head, body)
}

fn call(address: &str, head: &str, body: &[u8]) -> Result<Answer> {
    let raw = exchange(address, head, body).cannot(|| format!("talk to {address}"))?;
    parse(&raw).map_err(|why| Error::Failed(format!("read the answer of {address}: {why}")))
}

fn exchange(address: &str, head: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let target = address.to_socket_addrs()?.next().ok_or_else(|| std::io::Error::other("no such address"))?;
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    stream.write_all(body)?;
    let mut raw = Vec::new();
    stream.take(ANSWER_LIMIT).read_to_end(&mut raw)?;
    Ok(raw)
}

/// Reads one whole answer; `raw` is all the server sent until it closed the connection.
fn parse(raw: &[u8]) -> std::result::Result<Answer, &'static str> {
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n").ok_or("the head is cut off")?;
    let head = std::str::from_utf8(&raw[..end]).map_err(|_| "the head is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(status_code).ok_or("the status line is malformed")?;
    let body = &raw[end + 4..];
    if (100..200).contains(&status) {
        return parse(body);
    }
    let header = |name: &str| {
        let mut pairs = lines.clone().filter_map(|line| line.split_once(':'));
        pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let body = if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        join_chunks(body)?
    } else if let Some(length) = header("content-length") {
        let length: usize = length.parse().map_err(|_| "the content length is not a number")?;
        body.get(..length).ok_or("the body is cut off")?.to_vec()
    } else {
        body.to_vec()
    };
    Ok(Answer { status, body })
}

fn status_code(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.")?;
    rest.split(' ').nth(1)?.parse().ok()
}

/// Puts a chunked body together (RFC 9112, section 7.1); trailers are dropped.
fn join_chunks(mut rest: &[u8]) -> std::result::Result<Vec<u8>, &'static str> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").ok_or("a chunk size is cut off")?;
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| "a chunk size is malformed")?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(|_| "a chunk size is malformed")?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(rest.get(..size).ok_or("a chunk is cut off")?);
        rest = rest[size..].strip_prefix(b"\r\n").ok_or("a chunk does not end where it said")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let check = |raw: &str, expected: std::result::Result<(u16, &str), &str>| {
            let got = parse(raw.as_bytes()).map(|answer| (answer.status, answer.text()));
            assert_eq!(got, expected.map(|(status, body)| (status, body.to_owned())), "{raw:?}");
        };
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Ok((200, "ok")));
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more", Ok((200, "ok")));
        check("HTTP/1.1 204 No Content\r\n\r\n", Ok((204, "")));
        check("HTTP/1.0 200 OK\r\n\r\nuntil close", Ok((200, "until close")));
        check(
            "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
            Ok((202, "abc0123456789")),
        );
        check(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            Ok((404, "")),
        );
        check("", Err("the head is cut off"));
        check("HTTP/1.1 200 OK\r\n", Err("the head is cut off"));
        check("nonsense\r\n\r\n", Err("the status line is malformed"));
        check("HTTP/1.1 OK\r\n\r\n", Err("the status line is malformed"));
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", Err("the body is cut off"));
        check("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok", Err("the content length is not a number"));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", Err("a chunk is cut off"));
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab",
            Err("a chunk size is malformed"),
        );
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
            Err("a chunk does not end where it said"),
        );
    }

    #[test]
    fn a_request_is_sent_whole_and_the_answer_read() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            let mut piece = [0; 256];
            while !seen.ends_with(b"{\"a\":1}") {
                let count = stream.read(&mut piece).unwrap();
                assert_ne!(count, 0, "the client closed before it had sent all");
                seen.extend_from_slice(&piece[..count]);
            }
            stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}").unwrap();
            String::from_utf8(seen).unwrap()
        });
        let answer = post(&address, "/v1/x", "application/json", b"{\"a\":1}").unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (202, "{}"));
        let seen = server.join().unwrap();
        assert!(seen.starts_with(&format!("POST /v1/x HTTP/1.1\r\nHost: {address}\r\n")), "{seen}");
        assert!(seen.contains("\r\nContent-Length: 7\r\n"), "{seen}");
    }
}
