//! HTTP/1.1 without TLS, byte by byte: framings of answers, kept connections, and what happens when one is dead.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tidemill_dsl::order::{HttpRequest, Outcome};
use tidemill_dsl::program::HttpOutput;
use tidemill_workers::Function;
use tidemill_workers::egress::Policy;
use tidemill_workers::http::{CALLS_IN_FLIGHT, HttpFunction, Outbound, perform};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{done, eventually, fault, json, order, secrets};

/// What a partner does with each request of a connection: it answers with these bytes, or hangs up. After the last one
/// it closes the connection.
type Script = Vec<Option<&'static [u8]>>;

/// What a partner heard.
#[derive(Default)]
struct Heard {
    /// Each request, with the number of its connection.
    requests: Vec<(usize, String)>,
    /// Connections that were answered for the last time and are not closed yet.
    closing: usize,
}

const ONE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n1";

/// A partner that plays one script per connection.
async fn partner(scripts: Vec<Script>) -> (SocketAddr, Arc<Mutex<Heard>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Arc::<Mutex<Heard>>::default());
    let told = heard.clone();
    tokio::spawn(async move {
        for (number, script) in scripts.into_iter().enumerate() {
            let (stream, _) = listener.accept().await.unwrap();
            let told = told.clone();
            tokio::spawn(async move {
                let has_ended = play(stream, number, &script, &told).await;
                told.lock().unwrap().closing -= usize::from(has_ended);
            });
        }
    });
    (address, heard)
}

/// Gives whether the script was played to its end; the partner may have closed the connection before.
async fn play(
    mut stream: TcpStream,
    number: usize,
    script: &[Option<&'static [u8]>],
    heard: &Mutex<Heard>,
) -> bool {
    for (at, answer) in script.iter().enumerate() {
        let mut bytes = Vec::new();
        while !is_whole(&bytes) {
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
                _ => return false,
            }
        }
        {
            let mut heard = heard.lock().unwrap();
            heard.requests.push((number, String::from_utf8(bytes).unwrap()));
            heard.closing += usize::from(at + 1 == script.len());
        }
        let Some(answer) = answer else { return true };
        stream.write_all(answer).await.unwrap();
    }
    true
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

fn outbound() -> Outbound {
    let policy = Policy { allow_loopback: true, ..Policy::default() };
    Outbound::new(policy, Arc::new(Semaphore::new(CALLS_IN_FLIGHT)))
}

fn request(method: &str, address: SocketAddr) -> HttpRequest {
    HttpRequest {
        method: method.into(),
        uri: format!("http://{address}/x?y=1"),
        headers: Vec::new(),
        authorization: None,
        body: (method == "POST").then(|| json("[1,2]")),
        output: HttpOutput::Content,
        redirect: false,
    }
}

/// Asks so many times over one way out: how it ended each time, and which connections heard a request.
async fn asked(method: &str, times: usize, scripts: Vec<Script>) -> (Vec<String>, Vec<usize>) {
    let (address, heard) = partner(scripts).await;
    let outbound = outbound();
    let mut said = Vec::new();
    for _ in 0..times {
        said.push(match perform(&outbound, &request(method, address)).await {
            Outcome::Done(value) => value.to_string(),
            Outcome::Failed(fault) => format!("{} {}", fault.status, fault.detail.unwrap_or_default()),
            Outcome::Later => "later".to_owned(),
        });
        eventually("what ends is closed", || heard.lock().unwrap().closing == 0).await;
    }
    let connections = heard.lock().unwrap().requests.iter().map(|(number, _)| *number).collect();
    (said, connections)
}

#[tokio::test]
async fn framings_of_answers() {
    async fn check(answer: &'static [u8], expected: &str) {
        let (said, _) = asked("GET", 1, vec![vec![Some(answer)]]).await;
        assert!(said[0].contains(expected), "{}: {}", String::from_utf8_lossy(answer), said[0]);
    }
    check(ONE, "1").await;
    check(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[4\r\n3;x=y\r\n,5]\r\n0\r\n\r\n",
        "[4,5]",
    )
    .await;
    check(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n[6]", "[6]").await;
    check(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n[7]", "[7]").await;
    check(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n8", "8").await;
    check(b"HTTP/1.1 204 No Content\r\n\r\n", "null").await;
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12", "500 GET").await;
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n12", "500 GET").await;
    check(b"220 mail.example ESMTP\r\n", "500 GET").await;
    check(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 24\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\x02\x03\x8b\x36\xb2\x8c\x05\0\xb2\xc6\xf9\x01\x04\0\0\0",
        "[29]",
    )
    .await;
    check(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc", "bad gzip").await;
}

#[tokio::test]
async fn connections_are_kept_unless_the_partner_says_otherwise() {
    const CLOSE: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n2";
    const OLD: &[u8] = b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n3";
    const MANY: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n4\r\n0\r\n\r\n";
    let first = vec![Some(ONE), Some(MANY), Some(ONE), Some(CLOSE), Some(ONE)];
    let (said, connections) = asked("POST", 6, vec![first, vec![Some(OLD), None], vec![Some(ONE)]]).await;
    assert_eq!(said, ["1", "4", "1", "2", "3", "1"]);
    assert_eq!(connections, [0, 0, 0, 0, 1, 2]);
}

#[tokio::test]
async fn a_request_that_met_a_dead_connection_is_sent_again_only_where_it_may() {
    async fn check(method: &str, scripts: Vec<Script>, expected: (&[&str], &[usize])) {
        let (said, connections) = asked(method, 2, scripts).await;
        let agrees =
            said.len() == expected.0.len() && said.iter().zip(expected.0).all(|(a, b)| a.starts_with(b));
        assert!(
            agrees && connections == expected.1,
            "{method}: {said:?} over {connections:?}, expected {expected:?}"
        );
    }
    // Closed between the two: the end was seen before anything was written.
    check("POST", vec![vec![Some(ONE)], vec![Some(ONE)]], (&["1", "1"], &[0, 1])).await;
    // Hung up on the second request: a GET may be repeated, a POST may not.
    check("GET", vec![vec![Some(ONE), None], vec![Some(ONE)]], (&["1", "1"], &[0, 0, 1])).await;
    check("POST", vec![vec![Some(ONE), None], vec![Some(ONE)]], (&["1", "500"], &[0, 0])).await;
    // A fresh connection that is hung up on is an error in any case.
    check("GET", vec![vec![None], vec![Some(ONE)]], (&["500", "1"], &[0, 1])).await;
}

#[tokio::test]
async fn a_function_is_asked_again_with_its_idempotency_key() {
    let (address, heard) = partner(vec![vec![Some(ONE), None], vec![Some(ONE)]]).await;
    let function = HttpFunction::new(format!("http://{address}/"), outbound(), secrets());
    for visit in 1..=2 {
        assert_eq!(done(function.call(order(visit, json("{}")), CancellationToken::new()).await), json("1"));
    }
    let heard = &heard.lock().unwrap().requests;
    assert_eq!(heard.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(heard[1].1, heard[2].1);
    assert!(heard[1].1.contains(&format!("idempotency-key: {}\r\n", order(2, json("{}")).idempotency_key())));
}

#[tokio::test]
async fn what_is_sent() {
    let (address, heard) = partner(vec![vec![Some(ONE)]]).await;
    let outbound = outbound();
    let mut asked = request("POST", address);
    asked.headers = vec![("X-Mine".into(), "a".into()), ("user-agent".into(), "me".into())];
    done(perform(&outbound, &asked).await);
    let text = heard.lock().unwrap().requests[0].1.clone();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: {address}");
    let fields = ["accept: */*", "content-length: 5", "content-type: application/json"];
    let expected =
        [&["POST /x?y=1 HTTP/1.1"], &fields[..], &[host.as_str(), "user-agent: me", "x-mine: a"]].concat();
    assert_eq!((lines, body), (expected, "[1,2]"));
}

#[tokio::test]
async fn an_unpacked_answer_has_the_same_cap() {
    use std::io::Write;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![b'1'; 2 * 1024 * 1024 + 1]).unwrap();
    let body = packed.finish().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    let answer: &'static [u8] = [head.into_bytes(), body].concat().leak();
    let (address, _) = partner(vec![vec![Some(answer)]]).await;
    let said = fault(perform(&outbound(), &request("GET", address)).await);
    assert!(said.to_string().contains("`task-output`"), "{said}");
}
