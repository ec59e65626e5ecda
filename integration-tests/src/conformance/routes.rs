//! What the stand-in answers, by host and path.
//!
//! `/hello/NAME` greets · `/echo` tells the request · `/status/N` answers with that status · `/flaky/N/S` fails N times
//! with status S, then tells the number of the call · `/gate/NAME` is held until the scenario opens it ·
//! `/redirect/S` leads to `/hello/there` · `/later` takes a call to answer it by a callback · `/text` is no JSON · `/silent` closes the connection · `/basic/USER/WORD`
//! and `/bearer/TOKEN` ask for credentials. Other hosts are a pet store, people of a film, a betting shop.

use serde_json::{Value, json};

use super::stand_in::{Answer, HOST, Reply, Request};

fn json_of(status: u16, body: &Value) -> Reply {
    Reply { status, kind: "application/json", headers: Vec::new(), body: body.to_string() }
}

/// The answer to a request.
pub(super) fn answer(request: &Request) -> Answer {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    if request.host != HOST {
        return Some(elsewhere(request, &parts));
    }
    let number = |text: &str| text.parse().unwrap_or(500);
    Some(match parts.as_slice() {
        ["hello", name] => json_of(200, &json!({ "hello": name })),
        ["echo", ..] => json_of(200, &told(request)),
        ["status", status] => json_of(number(status), &json!({ "call": request.number })),
        ["flaky", times, status] => {
            let fails = request.number <= times.parse().unwrap_or(0);
            json_of(if fails { number(status) } else { 200 }, &json!({ "call": request.number }))
        }
        ["gate", name] => json_of(200, &json!({ "gate": name, "call": request.number })),
        ["redirect", status] => Reply {
            headers: vec![("location", format!("http://{HOST}/of-the-redirect/hello/there"))],
            ..text(number(status), "")
        },
        ["later"] => {
            Reply { headers: vec![("tidemill-callback", "accepted".into())], ..json_of(202, &json!({})) }
        }
        ["text"] => text(200, "plain text"),
        ["silent"] => return None,
        ["basic" | "bearer", wanted @ ..] => credentials(request, parts[0], wanted),
        _ => json_of(404, &json!({ "message": "not found" })),
    })
}

fn text(status: u16, body: &str) -> Reply {
    Reply { status, kind: "text/plain", headers: Vec::new(), body: body.into() }
}

/// A request as JSON.
pub(super) fn told(request: &Request) -> Value {
    json!({
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": request.headers,
        "body": request.body,
    })
}

fn credentials(request: &Request, scheme: &str, wanted: &[&str]) -> Reply {
    let expected = if scheme == "basic" {
        format!("Basic {}", base64(wanted.join(":").as_bytes()))
    } else {
        format!("Bearer {}", wanted.join("/"))
    };
    let fits = request.headers.get("authorization") == Some(&expected);
    json_of(if fits { 200 } else { 401 }, &json!({ "authenticated": fits }))
}

/// The hosts that the official kit and examples name.
fn elsewhere(request: &Request, parts: &[&str]) -> Reply {
    let pet = |id: u32| json!({ "id": id, "name": format!("pet {id}"), "status": "available" });
    match (request.method.as_str(), parts) {
        (_, ["v2", "pet", "findByStatus"]) => json_of(200, &json!([pet(1), pet(2)])),
        ("GET", ["v2", "pet", id @ ("1" | "2" | "69")]) => json_of(200, &pet(id.parse().unwrap_or(0))),
        ("PUT", ["v2", "pet", _]) => json_of(200, &request.body),
        (_, ["basic-auth", wanted @ ..]) => credentials(request, "basic", wanted),
        ("GET", ["api", "people"]) => json_of(200, &json!({ "results": [told(request)] })),
        ("GET", ["api", "people", "1"]) => {
            json_of(200, &json!({ "name": "One", "homeworld": "https://swapi.dev/api/planets/7/" }))
        }
        ("GET", ["api", "planets", _]) => json_of(200, &json!({ "name": "Seven" })),
        ("GET", [.., "log", "1.0.0", "function.yaml"]) => text(200, "set: {logged: '${ .message }'}"),
        ("POST", _) | ("PUT", ["api", ..]) => json_of(200, &told(request)),
        ("GET", ["api"]) => json_of(503, &json!({ "message": "down" })),
        _ => json_of(404, &json!({ "code": 404, "message": "not found" })),
    }
}

/// Base64 with padding.
fn base64(bytes: &[u8]) -> String {
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
            assert_eq!(super::base64(plain.as_bytes()), coded);
        }
    }
}
