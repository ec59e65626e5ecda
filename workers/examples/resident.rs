//! A resident function in plain Rust: HTTP/1.1 on the unix socket that `TIDEMILL_SOCKET` names.
//!
//! Answers `GET /ready` with 200 and `POST /invoke` with `{input, pid, headers}`. The variable `MODE` makes it
//! misbehave, for tests: `exit` (at once), `unready` (never ready), `die` (on the first call), `hang` (never answers a
//! call), `close` (closes the connection after each answer).

#![allow(clippy::print_stderr)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

fn main() -> io::Result<()> {
    let mode = std::env::var("MODE").unwrap_or_default();
    if mode == "exit" {
        eprintln!("no wish to live");
        std::process::exit(7);
    }
    let socket = std::env::var("TIDEMILL_SOCKET").map_err(io::Error::other)?;
    let listener = UnixListener::bind(socket)?;
    std::thread::spawn(|| {
        // The server holds the other end of standard input: when that is gone, so is the server.
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    for stream in listener.incoming() {
        let (stream, mode) = (stream?, mode.clone());
        std::thread::spawn(move || serve(stream, &mode));
    }
    Ok(())
}

fn serve(mut stream: UnixStream, mode: &str) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let (headers, length) = read_headers(&mut reader)?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (status, answer) = if first.starts_with("GET /ready ") {
            (if mode == "unready" { "503 Service Unavailable" } else { "200 OK" }, String::new())
        } else {
            match mode {
                "die" => std::process::exit(9),
                "hang" => std::thread::sleep(Duration::from_secs(3600)),
                _ => {}
            }
            let (input, pid) = (String::from_utf8_lossy(&body), std::process::id());
            ("200 OK", format!("{{\"input\":{input},\"pid\":{pid},\"headers\":[{}]}}", headers.join(",")))
        };
        let length = answer.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all((head + &answer).as_bytes())?;
        if mode == "close" && !first.starts_with("GET") {
            return Ok(());
        }
    }
}

/// The names of the header fields as JSON texts, and the length of the body.
fn read_headers(reader: &mut impl BufRead) -> io::Result<(Vec<String>, usize)> {
    let (mut names, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok((names, length));
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
        names.push(format!("\"{name}\""));
    }
}
