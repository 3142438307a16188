//! Where to listen, as it is given: an address or a name, and a port.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};
use tokio::net::lookup_host;

/// A place to listen at, such as `[::]:8443`, `127.0.0.1:8443` or `localhost:8443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// Why a text is no place to listen at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAddress {
    /// There is no port in it.
    #[error("there is no port; write {0}, for example")]
    NoPort(String),
    /// There is nothing but a port.
    #[error("there is no address; write [::]{0} for all addresses, or localhost{0} for this machine only")]
    NoHost(String),
    /// What stands for the port is none.
    #[error("{0:?} is no port; ports are numbers up to 65535, and 0 takes any that is free")]
    Port(String),
    /// An address of IPv6 without brackets, whose end cannot be told from a port.
    #[error("an address of IPv6 stands in brackets; write [{0}], and a colon and the port behind it")]
    NoBrackets(String),
    /// What stands for the address is neither one nor a name.
    #[error("{0:?} is neither an address nor a host's name; write [::]:8443 or localhost:8443, for example")]
    Host(String),
}

/// What is listened on where nothing is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Default {
    /// All addresses: for others to reach.
    All,
    /// The addresses by which this machine reaches itself.
    ThisMachine,
}

fn is_name(text: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_inside)
}

// === impl ListenAddress ===

impl ListenAddress {
    /// The addresses behind it.
    ///
    /// # Errors
    ///
    /// When it is a name that nobody knows.
    pub(super) async fn resolved(&self) -> io::Result<Vec<SocketAddr>> {
        let name = match &self.host {
            Host::Address(address) => return Ok(vec![SocketAddr::new(*address, self.port)]),
            Host::Name(name) => name,
        };
        let mut addresses = Vec::new();
        for address in lookup_host((&**name, self.port)).await? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(addresses) }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { host: Host::Address(address.ip()), port: address.port() });
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(NotAnAddress::NoBrackets(text.to_owned()));
        }
        let Some((host, port)) = text.rsplit_once(':').filter(|_| !text.ends_with(']')) else {
            let is_port = text.parse::<u16>().is_ok();
            return Err(if is_port {
                NotAnAddress::NoHost(format!(":{text}"))
            } else {
                NotAnAddress::NoPort(format!("{text}:8443"))
            });
        };
        let port = port.parse().map_err(|_| NotAnAddress::Port(port.to_owned()))?;
        match host {
            "" => Err(NotAnAddress::NoHost(format!(":{port}"))),
            _ if host.parse::<Ipv6Addr>().is_ok() => Err(NotAnAddress::NoBrackets(host.to_owned())),
            _ if is_name(host) => Ok(Self { host: Host::Name(host.to_owned()), port }),
            _ => Err(NotAnAddress::Host(host.to_owned())),
        }
    }
}

// === impl Default ===

impl Default {
    /// The addresses at `port`.
    pub(super) fn at(self, port: u16) -> Vec<SocketAddr> {
        match self {
            Self::All => vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))],
            Self::ThisMachine => {
                vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("[::]:8443", &["[::]:8443"])]
    #[case("127.0.0.1:0", &["127.0.0.1:0"])]
    #[case("[::1]:8080", &["[::1]:8080"])]
    #[tokio::test]
    async fn an_address_is_itself(#[case] text: &str, #[case] expected: &[&str]) {
        let listen: ListenAddress = text.parse().unwrap();
        let addresses = listen.resolved().await.unwrap();
        assert_eq!(addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        assert_eq!(listen.to_string(), text);
    }

    #[tokio::test]
    async fn a_name_is_all_its_addresses() {
        let addresses = "localhost:8443".parse::<ListenAddress>().unwrap().resolved().await.unwrap();
        assert!(addresses.iter().any(|address| address.ip().is_loopback()), "{addresses:?}");
        assert!(addresses.iter().all(|address| address.port() == 8443), "{addresses:?}");
        let distinct: std::collections::BTreeSet<_> = addresses.iter().collect();
        assert_eq!(distinct.len(), addresses.len());
    }

    #[tokio::test]
    async fn a_name_that_nobody_has_is_no_place() {
        let listen: ListenAddress = "nobody.invalid:8443".parse().unwrap();
        assert!(listen.resolved().await.is_err());
    }

    #[rstest]
    #[case("localhost", "no port; write localhost:8443")]
    #[case("127.0.0.1", "no port; write 127.0.0.1:8443")]
    #[case("[::1]", "no port; write [::1]:8443")]
    #[case("", "no port")]
    #[case("8443", "write [::]:8443")]
    #[case(":8443", "write [::]:8443")]
    #[case("localhost:https", "\"https\" is no port")]
    #[case("localhost:", "\"\" is no port")]
    #[case("localhost:65536", "\"65536\" is no port")]
    #[case("localhost:-1", "\"-1\" is no port")]
    #[case("::1", "write [::1]")]
    #[case("::1:8443", "in brackets")]
    #[case("2001:db8::1:8443", "in brackets")]
    #[case("2001:db8:1:2:3:4:5:6:8443", "write [2001:db8:1:2:3:4:5:6]")]
    #[case("https://localhost:8443", "\"https://localhost\" is neither")]
    #[case("[localhost]:8443", "\"[localhost]\" is neither")]
    #[case("a b:8443", "\"a b\" is neither")]
    #[case("*:8443", "\"*\" is neither")]
    fn no_places(#[case] text: &str, #[case] says: &str) {
        let error = text.parse::<ListenAddress>().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
