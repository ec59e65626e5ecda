//! What the front door asks of a request, one question a function: each takes a call and gives it on or refuses it.
//!
//! Owns the questions, not their order.

use std::net::IpAddr;

use axum::body::Body as Stream;
use http::{Method, header};
use tidemill_dsl::ids::is_label;

use crate::api::body;
use crate::api::call::Call;
use crate::api::query::Query;
use crate::api::route::{Body, Class, Permission, Scope};
use crate::problem::Problem;

/// Bytes of a request's header fields (limit `headers`).
const MAX_HEADERS: usize = 32 * 1024;

/// A question of the front door.
type Asked = Result<Call, Problem>;

/// In open mode only loopback names may be addressed, and only pages of loopback origins may ask (DNS rebinding).
/// Probes may come under any name.
pub(super) fn local(call: Call) -> Asked {
    if !call.state.open || call.route.class == Class::Open {
        return Ok(call);
    }
    let hosts = call.headers.get_all(header::HOST).iter().map(|value| value.to_str().unwrap_or("?"));
    let foreign_host =
        hosts.chain(call.uri.authority().map(http::uri::Authority::as_str)).any(|host| !is_loopback(host));
    let mut origins = call.headers.get_all(header::ORIGIN).iter().map(|value| value.to_str().unwrap_or("?"));
    let foreign_origin = origins.any(|origin| {
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        !rest.is_some_and(is_loopback)
    });
    let what = match (foreign_host, foreign_origin) {
        (true, _) => "Host",
        (_, true) => "Origin",
        _ => return Ok(call),
    };
    let detail =
        format!("the {what} is not a loopback name, and without a key only loopback names are served");
    Err(Problem::new(403, "not-loopback", detail))
}

/// Whether a `host[:port]` names the own machine.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("?", |(host, _)| host),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Header fields have a limit, but for probes.
pub(super) fn sized(call: Call) -> Asked {
    let size: usize = call.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size > MAX_HEADERS && call.route.class != Class::Open {
        let detail = format!("the header fields have {size} bytes (limit headers: {MAX_HEADERS})");
        return Err(Problem::new(431, "headers-too-large", detail));
    }
    Ok(call)
}

/// The path's parameters are text, and its namespace is a name: nothing else names one.
pub(super) fn addressed(mut call: Call) -> Asked {
    if call.misread {
        return Err(Problem::bad("path", "the path is no UTF-8"));
    }
    if call.route.scope != Scope::Cluster {
        let name = call.param("ns");
        if !is_label(name) {
            return Err(Problem::not_found("namespace", name));
        }
        call.namespace = name.into();
    }
    Ok(call)
}

/// Whether the caller may: in open mode every caller is admin; without it this release knows no credentials.
pub(super) fn allowed(call: Call) -> Asked {
    if call.state.open || call.route.permission == Permission::None {
        return Ok(call);
    }
    Err(Problem::new(401, "credentials", "this address is not open to callers without credentials"))
}

/// Reads of a namespace that was never written find nothing.
pub(super) fn known(call: Call) -> Asked {
    let reads = call.method == Method::GET || call.method == Method::HEAD;
    if reads
        && call.route.scope == Scope::Namespace
        && call.rooms().catalog.existing(&call.namespace).is_none()
    {
        return Err(Problem::not_found("namespace", &call.namespace));
    }
    Ok(call)
}

/// The route's own query parameters and no others; a hook's are its caller's.
pub(super) fn asked(mut call: Call) -> Asked {
    if matches!(call.route.body, Body::Unread) {
        return Ok(call);
    }
    call.query = Query::parse(call.uri.query().unwrap_or(""), call.route.query)?;
    Ok(call)
}

/// The body, within its size and time, where the route does not read it itself.
pub(super) async fn sent(mut call: Call) -> Asked {
    if let Body::Read(limit) = call.route.body {
        let stream = call.unread.get_mut().ok().and_then(Option::take).unwrap_or_else(Stream::empty);
        call.body = body::read(&call.headers, stream, limit).await?;
    }
    Ok(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names() {
        let check =
            |authority: &str, expected: bool| assert_eq!(is_loopback(authority), expected, "{authority}");
        for own in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.9.9.9:1", "[::1]:8484", "[::1]"] {
            check(own, true);
        }
        for other in
            ["example.com", "localhost.example.com", "10.0.0.1:80", "", "127.0.0.1.nip.io", "[::2]", "::1"]
        {
            check(other, false);
        }
    }
}
