//! Host names that requests may use, if only programs on the same machine can reach the endpoint.
//!
//! A browser on that machine is such a program. A web page can make its own name resolve to a loopback address (DNS rebinding).
//! Then it could read the endpoint as if it were its own server. The name in the request shows this.

use http::{Request, header, uri::Authority};
use std::net::{IpAddr, SocketAddr};

/// Names that the endpoint accepts, in addition to `localhost` and addresses.
#[derive(Debug)]
pub(super) struct Hosts {
    /// In lower case.
    allowed: Vec<String>,
}

// === impl Hosts ===

impl Hosts {
    /// The names for a port at this address without authorization; `None` if the names do not matter.
    pub(super) fn of(address: SocketAddr, allowed: &[String]) -> Option<Self> {
        let allowed = allowed.iter().map(|name| name.to_ascii_lowercase()).collect();
        address.ip().to_canonical().is_loopback().then_some(Self { allowed })
    }

    /// Refuses a request with a name that is not the endpoint's.
    ///
    /// # Errors
    /// If it is refused: the name.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), String> {
        // An absolute address in the first line has priority over the header.
        let asked = match request.uri().authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => match request.headers().get(header::HOST) {
                Some(host) => host.as_bytes(),
                // HTTP 1.0. Browsers always send it.
                None => return Ok(()),
            },
        };
        let host = Authority::try_from(asked).ok().map(|authority| authority.host().to_ascii_lowercase());
        match host {
            Some(host) if self.admits(&host) => Ok(()),
            _ => Err(String::from_utf8_lossy(asked).into_owned()),
        }
    }

    fn admits(&self, host: &str) -> bool {
        let name = host.strip_suffix('.').unwrap_or(host);
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        name == "localhost"
            || name.ends_with(".localhost")
            || address.parse::<IpAddr>().is_ok()
            || self.allowed.iter().any(|allowed| allowed == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(uri: &str, host: Option<&str>) -> Result<(), String> {
        let hosts = Hosts::of("127.0.0.1:80".parse().expect("an address"), &["Lag.Example.org".to_owned()]);
        let mut request = Request::builder().uri(uri);
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        hosts.expect("loopback").check(&request.body(()).expect("a request"))
    }

    #[test]
    fn only_its_own_names_and_addresses_are_answered() {
        let own = [
            "localhost",
            "LOCALHOST:10911",
            "a.localhost:80",
            "127.0.0.1:10911",
            "[::1]:10911",
            "192.0.2.7",
            "localhost.",
        ];
        for host in own.into_iter().chain(["lag.example.org", "LAG.example.org:443"]) {
            assert_eq!(checked("/metrics", Some(host)), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "notlocalhost", "127.0.0.1.evil.example:80", "", "a b", "::1::"]
        {
            assert_eq!(checked("/metrics", Some(host)), Err(host.to_owned()));
        }
        assert_eq!(checked("/metrics", None), Ok(()));
        assert_eq!(checked("http://evil.example/metrics", Some("localhost")), Err("evil.example".to_owned()));
    }

    #[test]
    fn names_matter_on_the_loopback_interface_alone() {
        let of = |address: &str| Hosts::of(address.parse().expect("an address"), &[]).is_some();
        assert_eq!(["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"].map(of), [true; 3]);
        assert_eq!(["0.0.0.0:1", "[::]:1", "192.0.2.1:1"].map(of), [false; 3]);
    }
}
