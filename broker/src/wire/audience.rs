//! Web pages and host names that the broker answers: the guard against pages of other sites.
//!
//! A web page can send requests to a broker on the reader's own machine. Two checks stop that before a request runs. A
//! browser names the page's site in `Origin`, and only allowed origins pass. A site can also point its own name at
//! 127.0.0.1 (DNS rebinding), so that its pages and the broker seem to be one site; on listeners of the loopback
//! interface a host must therefore be an address or a name of the broker. [`super::exchange`] asks before it routes.

use std::net::IpAddr;
use std::str::FromStr;

use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::Uri;
use hyper::http::uri::Authority;

use super::refusal::Refusal;
use crate::tls::Names;

/// Web origins whose pages may call the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// `localhost`, `127.0.0.1` and `[::1]`, by HTTP and HTTPS, at any port.
    #[default]
    Local,
    /// These origins, each as `scheme://host[:port]` in lower case; an empty list allows none.
    Listed(Vec<String>),
    /// Every origin, also the opaque one that browsers call `null`.
    Any,
}

impl AllowedOrigins {
    fn contains(&self, origin: &HeaderValue) -> bool {
        match self {
            Self::Any => true,
            Self::Local => origin.to_str().is_ok_and(is_local),
            Self::Listed(listed) => listed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()),
        }
    }
}

impl FromStr for AllowedOrigins {
    type Err = String;

    /// Reads `*`, `off`, or origins separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "*" => Ok(Self::Any),
            "off" => Ok(Self::Listed(Vec::new())),
            list => {
                list.split(',').map(|part| origin(part.trim())).collect::<Result<_, _>>().map(Self::Listed)
            }
        }
    }
}

/// An origin as browsers write it.
fn origin(text: &str) -> Result<String, String> {
    let refused = || format!("`{text}` is not `*`, `off`, or an origin such as `https://app.example:8443`");
    let (scheme, authority) = text.split_once("://").ok_or_else(refused)?;
    let is_scheme = !scheme.is_empty()
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let is_authority = Authority::from_str(authority).is_ok() && !authority.contains('@');
    if is_scheme && is_authority { Ok(text.to_ascii_lowercase()) } else { Err(refused()) }
}

fn is_local(origin: &str) -> bool {
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).map(without_port);
    matches!(host, Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// Interface that a listener is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// The loopback interface: only programs of this machine connect, web browsers among them.
    Loopback,
    /// Any other, whose callers use names that the broker cannot know, such as those of compose files and Kubernetes.
    Network,
}

impl Interface {
    /// The interface behind a listener's address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_loopback() { Self::Loopback } else { Self::Network }
    }
}

/// Allowed origins, and the names of the broker.
#[derive(Clone, Debug, Default)]
pub struct Audience {
    origins: AllowedOrigins,
    /// In lower case; a leading `*.` stands for one label.
    hosts: Vec<String>,
}

impl Audience {
    /// `origins` may call; the hosts of `names` and `public_hosts` are names of the broker.
    pub fn new(origins: AllowedOrigins, names: Names, public_hosts: &[String]) -> Self {
        let hosts = names.hosts.into_iter().chain(public_hosts.iter().cloned());
        Self { origins, hosts: hosts.map(|host| host.to_ascii_lowercase()).collect() }
    }

    /// Judges a request by its head, before it runs.
    ///
    /// # Errors
    /// The refusal to answer with.
    pub(super) fn admit(&self, uri: &Uri, headers: &HeaderMap, interface: Interface) -> Result<(), Refusal> {
        let host = host(uri, headers)?;
        if interface == Interface::Loopback && !host.is_none_or(|host| self.is_own(host)) {
            return Err(Refusal::HostForeign);
        }
        let is_allowed = headers.get_all(ORIGIN).iter().all(|origin| self.origins.contains(origin));
        if is_allowed { Ok(()) } else { Err(Refusal::OriginForeign) }
    }

    /// Value of `Access-Control-Allow-Origin` for an admitted request of that origin.
    pub(super) fn granted(&self, origin: HeaderValue) -> HeaderValue {
        if self.origins == AllowedOrigins::Any { HeaderValue::from_static("*") } else { origin }
    }

    fn is_own(&self, host: &str) -> bool {
        let name = without_port(host);
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        address.parse::<IpAddr>().is_ok() || self.hosts.iter().any(|own| matches(own, name))
    }
}

/// The host that a request names, with its port; `None` when it names none, as no browser does.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Option<&'a str>, Refusal> {
    let mut named = headers.get_all(HOST).iter();
    let in_header = named.next().map(|host| host.to_str().map_err(|_| Refusal::HostUnclear)).transpose()?;
    let in_target = uri.authority().map(Authority::as_str);
    let is_clear = match (in_target, in_header) {
        (Some(target), Some(header)) => target.eq_ignore_ascii_case(header),
        _ => true,
    };
    if named.next().is_some() || !is_clear {
        return Err(Refusal::HostUnclear);
    }
    Ok(in_target.or(in_header))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// Whether `name` is `own`, which may begin with a wildcard for one label. A final dot makes no difference.
fn matches(own: &str, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    match own.strip_prefix('*') {
        None => own.eq_ignore_ascii_case(name),
        Some(parent) => {
            let label = name.len().saturating_sub(parent.len());
            name.is_char_boundary(label)
                && name[label..].eq_ignore_ascii_case(parent)
                && label > 0
                && !name[..label].contains('.')
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn judged(
        audience: &Audience,
        interface: Interface,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> Result<(), Refusal> {
        let request =
            headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        let request = request.body(()).unwrap();
        audience.admit(request.uri(), request.headers(), interface)
    }

    #[test]
    fn only_allowed_origins_pass() {
        let cases: &[(&str, &str, bool)] = &[
            ("", "http://localhost", true),
            ("", "https://localhost:3000", true),
            ("", "http://127.0.0.1:8080", true),
            ("", "http://[::1]:8080", true),
            ("", "http://[::1]", true),
            ("", "null", false),
            ("", "https://evil.example", false),
            ("", "http://localhost.evil.example", false),
            ("", "http://127.0.0.1.evil.example", false),
            ("", "file://localhost", false),
            ("", "", false),
            ("*", "null", true),
            ("*", "https://evil.example", true),
            ("off", "http://localhost", false),
            ("https://App.example:8443, http://other.example", "https://app.example:8443", true),
            ("https://app.example:8443,http://other.example", "http://other.example", true),
            ("https://app.example", "http://app.example", false),
            ("https://app.example", "http://localhost", false),
        ];
        for (allowed, origin, expected) in cases {
            let allowed =
                if allowed.is_empty() { AllowedOrigins::default() } else { allowed.parse().unwrap() };
            let audience = Audience { origins: allowed.clone(), hosts: Vec::new() };
            let outcome = judged(&audience, Interface::Network, "/", &[("origin", origin)]);
            assert_eq!(
                outcome,
                if *expected { Ok(()) } else { Err(Refusal::OriginForeign) },
                "{allowed:?} {origin}"
            );
        }
        let two = [("origin", "http://localhost"), ("origin", "https://evil.example")];
        assert_eq!(judged(&Audience::default(), Interface::Network, "/", &two), Err(Refusal::OriginForeign));
    }

    #[test]
    fn loopback_listeners_answer_to_addresses_and_own_names_only() {
        let names = Names::new("us-east-1", "desk", &[]);
        let audience = Audience::new(AllowedOrigins::default(), names, &["Kinesis.test".to_owned()]);
        for (host, is_own) in [
            ("localhost", true),
            ("LocalHost.:4567", true),
            ("streams.localhost:4567", true),
            ("a.b.localhost", false),
            ("127.0.0.1:4567", true),
            ("[::1]:4567", true),
            ("[::1]", true),
            ("192.0.2.7", true),
            ("desk", true),
            ("kinesis.us-east-1.amazonaws.com", true),
            ("123.data-kinesis.us-east-1.amazonaws.com", true),
            ("kinesis.test:80", true),
            (".localhost", false),
            ("evil.example", false),
            ("evil.example:4567", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("evillocalhost", false),
            ("", false),
        ] {
            let outcome = judged(&audience, Interface::Loopback, "/", &[("host", host)]);
            assert_eq!(outcome, if is_own { Ok(()) } else { Err(Refusal::HostForeign) }, "{host}");
            assert_eq!(judged(&audience, Interface::Network, "/", &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(judged(&audience, Interface::Loopback, "/", &[]), Ok(()));
        assert_eq!(
            judged(&audience, Interface::Loopback, "http://evil.example/", &[]),
            Err(Refusal::HostForeign)
        );
    }

    #[test]
    fn a_request_names_one_host() {
        let audience = Audience::default();
        let judged =
            |uri: &str, headers: &[(&str, &str)]| judged(&audience, Interface::Network, uri, headers);
        assert_eq!(judged("http://localhost/", &[("host", "LOCALHOST")]), Ok(()));
        assert_eq!(judged("http://127.0.0.1/", &[("host", "localhost")]), Err(Refusal::HostUnclear));
        let twice = [("host", "127.0.0.1"), ("host", "127.0.0.1")];
        assert_eq!(judged("/", &twice), Err(Refusal::HostUnclear));
    }

    #[test]
    fn settings_that_are_no_origins_are_refused() {
        for text in
            ["", "localhost", "https://", "https://a/path", "https://user@host", "null", "*,https://a"]
        {
            let refusal = text.parse::<AllowedOrigins>().unwrap_err();
            assert!(refusal.contains("is not `*`, `off`, or an origin"), "{text}: {refusal}");
        }
    }
}
