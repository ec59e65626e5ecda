//! Stand-in for the public hosts that the kit calls: a pet store and basic authentication.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Starts it on a loopback port.
pub(super) async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0u8; 1024];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(n) if n > 0 => head.extend_from_slice(&byte[..n]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split_whitespace().nth(1).unwrap_or("/").to_owned();
    let (status, body) = answer(&path, &head);
    let text = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(text.as_bytes()).await;
}

fn answer(path: &str, head: &str) -> (u16, String) {
    let pet = |id: u32| format!(r#"{{"id": {id}, "name": "pet {id}", "status": "available"}}"#);
    let bare = path.split('?').next().unwrap_or(path);
    match bare {
        "/v2/pet/findByStatus" => (200, format!("[{}, {}]", pet(1), pet(2))),
        "/v2/pet/1" => (200, pet(1)),
        "/v2/pet/2" => (200, pet(2)),
        _ if bare.starts_with("/basic-auth/") => {
            let wanted: Vec<&str> = bare.split('/').skip(2).collect();
            let sent = head.lines().find_map(|l| {
                l.to_ascii_lowercase().starts_with("authorization: basic ").then(|| l[21..].trim().to_owned())
            });
            let expected = encode(format!("{}:{}", wanted[0], wanted[1]).as_bytes());
            if sent == Some(expected) {
                (200, r#"{"authenticated": true}"#.into())
            } else {
                (401, r#"{"authenticated": false}"#.into())
            }
        }
        _ => (404, r#"{"code": 404, "message": "not found"}"#.into()),
    }
}

/// Base64 with padding.
fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| (n << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(n >> (18 - 6 * i) & 63) as usize] as char;
            out.push(if i <= chunk.len() { digit } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64() {
        for (plain, coded) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj")] {
            assert_eq!(super::encode(plain.as_bytes()), coded);
        }
    }
}
