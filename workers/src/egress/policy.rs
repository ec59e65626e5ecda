//! The outbound settings and what they allow.
//!
//! Owns `egress.allow` and `egress.rewrite`. It may not open connections.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::str::FromStr;

use reqwest::Url;

use super::address::{Verdict, judge, within};

/// One entry of `egress.allow`: a network or a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allow {
    /// A network in CIDR form; a single address is a network of one.
    Network(IpAddr, u8),
    /// A host name, lower case; `*.example.org` stands for every name below `example.org`.
    Host(String),
}

/// Why a text is no entry of `egress.allow`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "read `{0}` as an entry of egress.allow: expected a network such as 10.0.0.0/8, an address, or a host name"
)]
pub struct BadAllow(String);

impl FromStr for Allow {
    type Err = BadAllow;

    fn from_str(text: &str) -> Result<Allow, BadAllow> {
        let bad = || BadAllow(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let bits = bits.unwrap_or(most);
            return if bits <= most { Ok(Allow::Network(ip, bits)) } else { Err(bad()) };
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
        if bits.is_some() || name.is_empty() || !name.chars().all(plain) {
            return Err(bad());
        }
        Ok(Allow::Host(text.trim_end_matches('.').to_lowercase()))
    }
}

impl Allow {
    fn covers(&self, host: &str, ip: IpAddr) -> bool {
        match self {
            Allow::Network(net, bits) => within(ip, *net, *bits) || within(ip.to_canonical(), *net, *bits),
            Allow::Host(name) => match name.strip_prefix("*.") {
                Some(parent) => host.strip_suffix(parent).is_some_and(|front| front.ends_with('.')),
                None => host == name,
            },
        }
    }
}

/// Why a call may not go out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The address is no public host and not allowed.
    #[error(
        "call `{host}`: {ip} is a {class} address; if calls there are meant, allow it with the setting \
         `egress.allow`, for example egress.allow = [\"{ip}/{bits}\"]"
    )]
    Address {
        /// Host as asked for (after the rewrite).
        host: String,
        /// The address it stands for.
        ip: IpAddr,
        /// Range the address lies in.
        class: &'static str,
        /// Prefix length of a single address.
        bits: u8,
    },
    /// The address is one of the listeners of Tidemill itself; no setting allows it.
    #[error("call `{0}`: it is a listener of this server itself, which is never called")]
    OwnListener(String),
    /// No http or https URL.
    #[error("call `{url}`: the scheme is `{scheme}`, only http and https are called")]
    Scheme {
        /// The URL without its query.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// A URL with a user name or a password in it.
    #[error("call `{0}`: the URL holds a user name or a password; state them under `authentication` instead")]
    Credentials(String),
    /// Text that is no URL.
    #[error("call `{text}`: it is no absolute URL ({reason})")]
    NoUrl {
        /// The text.
        text: String,
        /// What the parser says.
        reason: String,
    },
}

/// The outbound settings in force for one caller.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What may be called besides public hosts: `egress.allow`.
    pub allow: Vec<Allow>,
    /// `egress.rewrite`: by host (lower case, with `:port` or without), the URL whose scheme, host and port replace
    /// those of a call.
    pub rewrite: BTreeMap<String, Url>,
    /// Listeners of this process: never called, even if allowed.
    pub own_listeners: Vec<SocketAddr>,
    /// Loopback addresses may be called (`dev`).
    pub allow_loopback: bool,
}

impl Policy {
    /// Reads a URL as asked for: absolute, http or https, without credentials.
    pub fn read(&self, text: &str) -> Result<Url, Refusal> {
        let url = Url::parse(text)
            .map_err(|error| Refusal::NoUrl { text: text.to_owned(), reason: error.to_string() })?;
        let shown = || {
            let mut shown = url.clone();
            shown.set_query(None);
            let _ = shown.set_username("");
            let _ = shown.set_password(None);
            shown.to_string()
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme { url: shown(), scheme: url.scheme().to_owned() });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Credentials(shown()));
        }
        Ok(url)
    }

    /// The URL to call for one as asked for, when `egress.rewrite` names its host: scheme, host and port are
    /// replaced, path and query kept.
    pub fn rewritten(&self, url: &Url) -> Option<Url> {
        if self.rewrite.is_empty() {
            return None;
        }
        let host = url.host_str()?.trim_end_matches('.');
        let port = url.port_or_known_default()?;
        let to = self.rewrite.get(&format!("{host}:{port}")).or_else(|| self.rewrite.get(host))?;
        let mut target = to.clone();
        target.set_path(url.path());
        target.set_query(url.query());
        Some(target)
    }

    /// Judges one address that `host` stands for. `port` is none when it is not known yet.
    pub fn permit(&self, host: &str, ip: IpAddr, port: Option<u16>) -> Result<(), Refusal> {
        if port.is_some_and(|port| self.is_own(ip, port)) {
            return Err(Refusal::OwnListener(host.to_owned()));
        }
        let Verdict::Special(class) = judge(ip) else {
            return Ok(());
        };
        let name = host.trim_end_matches('.').to_lowercase();
        let loopback = self.allow_loopback && class == "loopback";
        if loopback || self.allow.iter().any(|entry| entry.covers(&name, ip)) {
            return Ok(());
        }
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        Err(Refusal::Address { host: host.to_owned(), ip, class, bits })
    }

    /// Whether a listener of this process has this port, so that addresses must be compared with the listeners.
    pub fn has_own_port(&self, port: u16) -> bool {
        self.own_listeners.iter().any(|own| own.port() == port)
    }

    /// Whether an address and port lead to a listener of this process.
    pub fn is_own(&self, ip: IpAddr, port: u16) -> bool {
        let ip = ip.to_canonical();
        self.own_listeners.iter().filter(|own| own.port() == port).any(|own| {
            let own = own.ip().to_canonical();
            own == ip || ip.is_unspecified() || (own.is_unspecified() && is_of_this_machine(ip))
        })
    }
}

/// Whether an address belongs to this machine: exactly those can be bound.
fn is_of_this_machine(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str]) -> Policy {
        Policy { allow: allow.iter().map(|a| a.parse().unwrap()).collect(), ..Policy::default() }
    }

    #[test]
    fn allow_entries() {
        let check = |text: &str, expected: Option<Allow>| assert_eq!(text.parse().ok(), expected, "{text}");
        check("10.0.0.0/8", Some(Allow::Network("10.0.0.0".parse().unwrap(), 8)));
        check("::1", Some(Allow::Network("::1".parse().unwrap(), 128)));
        check("[::1]", Some(Allow::Network("::1".parse().unwrap(), 128)));
        check("Example.org", Some(Allow::Host("example.org".into())));
        check("*.example.org", Some(Allow::Host("*.example.org".into())));
        for bad in ["", "10.0.0.0/33", "a/8", "http://x", "a b", "10.0.0.0/x"] {
            check(bad, None);
        }
    }

    #[test]
    fn permits() {
        let check = |allow: &[&str], host: &str, ip: &str, expected: bool| {
            let said = policy(allow).permit(host, ip.parse().unwrap(), Some(80));
            assert_eq!(said.is_ok(), expected, "{allow:?} {host} {ip}: {said:?}");
        };
        check(&[], "x", "1.1.1.1", true);
        check(&[], "x", "10.1.1.1", false);
        check(&["10.0.0.0/8"], "x", "10.1.1.1", true);
        check(&["10.0.0.0/8"], "x", "192.168.0.1", false);
        check(&["intern.example"], "intern.example", "10.1.1.1", true);
        check(&["intern.example"], "INTERN.example.", "10.1.1.1", true);
        check(&["intern.example"], "other.example", "10.1.1.1", false);
        check(&["*.example"], "a.b.example", "10.1.1.1", true);
        check(&["*.example"], "example", "10.1.1.1", false);
        check(&["*.example"], "badexample", "10.1.1.1", false);
        check(&["127.0.0.1/32"], "x", "::ffff:127.0.0.1", true);
        check(&["127.0.0.1/32"], "x", "127.0.0.2", false);
    }

    #[test]
    fn the_refusal_names_the_one_setting() {
        let said = policy(&[]).permit("db.local", "10.0.0.7".parse().unwrap(), None).unwrap_err();
        assert_eq!(
            said.to_string(),
            "call `db.local`: 10.0.0.7 is a private address; if calls there are meant, allow it with the setting \
             `egress.allow`, for example egress.allow = [\"10.0.0.7/32\"]"
        );
    }

    #[test]
    fn own_listeners_are_denied_even_if_allowed() {
        let check = |own: &str, ip: &str, port, denied: bool| {
            let policy =
                Policy { own_listeners: vec![own.parse().unwrap()], ..policy(&["0.0.0.0/0", "::/0"]) };
            let said = policy.permit("h", ip.parse().unwrap(), Some(port));
            assert_eq!(said == Err(Refusal::OwnListener("h".into())), denied, "{own} {ip}:{port}");
        };
        check("127.0.0.1:8484", "127.0.0.1", 8484, true);
        check("127.0.0.1:8484", "127.0.0.1", 8485, false);
        check("127.0.0.1:8484", "::ffff:127.0.0.1", 8484, true);
        check("127.0.0.1:8484", "0.0.0.0", 8484, true);
        check("127.0.0.1:8484", "127.0.0.2", 8484, false);
        check("0.0.0.0:8484", "127.0.0.2", 8484, true);
        check("[::]:8484", "127.0.0.1", 8484, true);
        check("0.0.0.0:8484", "1.1.1.1", 8484, false);
    }

    #[test]
    fn loopback_is_for_dev_only() {
        let dev = Policy { allow_loopback: true, ..Policy::default() };
        for (ip, expected) in [("127.0.0.1", true), ("::1", true), ("10.0.0.1", false), ("0.0.0.0", false)] {
            assert_eq!(dev.permit("x", ip.parse().unwrap(), None).is_ok(), expected, "{ip}");
        }
    }

    #[test]
    fn rewrites_keep_path_and_query() {
        let rewrite = [
            ("petstore.swagger.io", "http://127.0.0.1:9099"),
            ("a.example:8443", "http://127.0.0.1:1/ignored?x=1"),
        ];
        let rewrite = rewrite.map(|(host, url)| (host.to_owned(), Url::parse(url).unwrap()));
        let policy = Policy { rewrite: rewrite.into(), ..Policy::default() };
        let check = |url: &str, expected: Option<&str>| {
            let said = policy.rewritten(&Url::parse(url).unwrap());
            assert_eq!(said.as_ref().map(Url::as_str), expected, "{url}");
        };
        check("https://petstore.swagger.io/v2/pet/1?a=b%20c", Some("http://127.0.0.1:9099/v2/pet/1?a=b%20c"));
        check("https://PETSTORE.swagger.io:444", Some("http://127.0.0.1:9099/"));
        check("https://other.example/v2", None);
        check("https://a.example:8443/y", Some("http://127.0.0.1:1/y"));
        check("https://a.example/y", None);
    }

    #[test]
    fn urls_are_read_as_browsers_read_them() {
        let host = |text: &str| policy(&[]).read(text).map(|url| url.host_str().map(str::to_owned));
        for text in [
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1",
            "http://127.1",
            "http://127.0.0.1./",
        ] {
            assert_eq!(host(text), Ok(Some("127.0.0.1".into())), "{text}");
        }
        let check = |text: &str, said: &str| {
            assert!(host(text).unwrap_err().to_string().contains(said), "{text}: {:?}", host(text));
        };
        check("http://good.example@127.0.0.1/", "user name");
        check("file:///etc/passwd", "only http and https");
        check("/relative", "no absolute URL");
        check("", "no absolute URL");
    }
}
