//! The programs that the benches call: this binary again, with `--play NAME`.
//!
//! `fibo` is a one-shot function, `resident` a resident one, both in plain Rust.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

/// The same resident function in Python.
pub(super) const PYTHON: &str = r"
import json, os, socket, sys, threading

def fibo(n):
    return n if n < 2 else fibo(n - 1) + fibo(n - 2)

def serve(connection):
    stream = connection.makefile('rwb')
    while line := stream.readline():
        length = 0
        while field := stream.readline().strip().lower():
            if field.startswith(b'content-length:'):
                length = int(field[15:])
        body = stream.read(length)
        out = b'' if line.startswith(b'GET') else json.dumps(fibo(json.loads(body))).encode()
        head = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n' % len(out)
        stream.write(head + out)
        stream.flush()

def watch():
    sys.stdin.read()
    os._exit(0)

threading.Thread(target=watch, daemon=True).start()
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ['TIDEMILL_SOCKET'])
listener.listen()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
";

/// Plays a program to its end, if the name is one.
pub fn play(name: &str) -> io::Result<()> {
    match name {
        "fibo" => {
            let mut input = String::new();
            io::stdin().read_to_string(&mut input)?;
            writeln!(io::stdout(), "{}", fibo(input.trim().parse().unwrap_or(0)))
        }
        "resident" => resident(),
        other => Err(io::Error::other(format!("no program is called `{other}`"))),
    }
}

fn fibo(n: u64) -> u64 {
    if n < 2 { n } else { fibo(n - 1) + fibo(n - 2) }
}

fn resident() -> io::Result<()> {
    let listener = UnixListener::bind(std::env::var("TIDEMILL_SOCKET").map_err(io::Error::other)?)?;
    std::thread::spawn(|| {
        // The server holds the other end of standard input: when that is gone, so is the server.
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || serve(stream));
    }
    Ok(())
}

fn serve(mut stream: UnixStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let is_probe = line.starts_with("GET");
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let number = String::from_utf8_lossy(&body).trim().parse().unwrap_or(0);
        let out = if is_probe { String::new() } else { fibo(number).to_string() };
        let length = out.len();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all((head + &out).as_bytes())?;
    }
}
