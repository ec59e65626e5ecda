//! Where a request goes: a URL that was read once, rewritten where the policy says so, in the forms that are sent.
//!
//! Owns the `Host` field and the forms of a URL. Judges no addresses: that is done when a connection is made.

use std::sync::Arc;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Uri};
use reqwest::Url;

use crate::egress::{Policy, Refusal};

/// Where a request goes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Target(Arc<Forms>);

#[derive(Debug)]
struct Forms {
    asked: Url,
    url: Url,
    host: HeaderValue,
    plain: Option<Plain>,
}

/// The forms of a URL that HTTP/1.1 without TLS needs.
#[derive(Debug)]
pub(super) struct Plain {
    /// What is connected to: `http://host:port/...`.
    pub(super) uri: Uri,
    /// Host and port: connections to the same authority are shared.
    pub(super) authority: Authority,
    /// What is asked for there.
    pub(super) path: PathAndQuery,
}

impl Target {
    /// The target of a URL as asked for: absolute, http or https, without credentials.
    pub fn read(policy: &Policy, text: &str) -> Result<Target, Refusal> {
        let asked = policy.read(text)?;
        let url = policy.rewritten(&asked).unwrap_or_else(|| asked.clone());
        let unreadable = |reason: String| Refusal::NoUrl { text: text.to_owned(), reason };
        let host = asked.host_str().unwrap_or("");
        let host = asked.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let host =
            host.parse().map_err(|error: http::header::InvalidHeaderValue| unreadable(error.to_string()))?;
        let plain = match url.scheme() {
            "http" => Some(Plain::of(&url).map_err(unreadable)?),
            _ => None,
        };
        Ok(Target(Arc::new(Forms { asked, url, host, plain })))
    }

    /// The URL as asked for.
    pub(super) fn asked(&self) -> &Url {
        &self.0.asked
    }

    /// The URL that is called.
    pub(super) fn url(&self) -> &Url {
        &self.0.url
    }

    /// The `Host` field: what was asked for, whatever is called in its place.
    pub(super) fn host(&self) -> &HeaderValue {
        &self.0.host
    }

    /// Set if the URL that is called needs no TLS.
    pub(super) fn plain(&self) -> Option<&Plain> {
        self.0.plain.as_ref()
    }

    /// The port that is connected to.
    pub(super) fn port(&self) -> u16 {
        self.0.url.port_or_known_default().unwrap_or(0)
    }
}

impl Plain {
    fn of(url: &Url) -> Result<Plain, String> {
        let uri: Uri = url.as_str().parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
        let authority = uri.authority().cloned().ok_or("it names no host")?;
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Plain { uri, authority, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let rewrite = [("pets.example".to_owned(), Url::parse("http://127.0.0.1:9099").unwrap())];
        let policy = Policy { rewrite: rewrite.into(), ..Policy::default() };
        let check = |text: &str, host: &str, plain: Option<(&str, &str)>| {
            let target = Target::read(&policy, text).unwrap();
            let said = target.plain().map(|plain| (plain.authority.as_str(), plain.path.as_str()));
            assert_eq!((target.host().to_str().unwrap(), said), (host, plain), "{text}");
        };
        check("http://a.example/x?y=1#z", "a.example", Some(("a.example", "/x?y=1")));
        check("http://A.example:80", "a.example", Some(("a.example", "/")));
        check("http://a.example:81?q", "a.example:81", Some(("a.example:81", "/?q")));
        check("http://[::1]:8/a|b", "[::1]:8", Some(("[::1]:8", "/a|b")));
        check("https://a.example/", "a.example", None);
        check("https://pets.example:8443/v2", "pets.example:8443", Some(("127.0.0.1:9099", "/v2")));
    }
}
