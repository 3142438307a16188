//! Addresses at which programs listen, as flags and variables have them.

/// Whether nobody outside of the pod reaches what listens at `address`: `localhost`, `127.0.0.1:4180`, `[::1]`, a list
/// of such (`[::1],127.0.0.1`), or a Unix socket.
pub(in crate::conversion) fn is_local(address: &str) -> bool {
    let mut parts = address.split(',').map(str::trim).filter(|part| !part.is_empty()).peekable();
    parts.peek().is_some() && parts.all(is_local_host)
}

fn is_local_host(address: &str) -> bool {
    if address.starts_with("unix:") {
        return true;
    }
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = match address.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        // An IPv6 address without brackets has no port.
        None if address.matches(':').count() > 1 => address,
        None => address.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost") || host.starts_with("127.") || host == "::1"
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("localhost", true)]
    #[case("Localhost:9090", true)]
    #[case("127.0.0.1:4180", true)]
    #[case("127.1.2.3", true)]
    #[case("http://127.0.0.1:4180", true)]
    #[case("::1", true)]
    #[case("[::1]:12345", true)]
    #[case("[::1],127.0.0.1", true)]
    #[case("unix:///run/proxy.sock", true)]
    #[case("0.0.0.0", false)]
    #[case(":4180", false)]
    #[case("[::]:9002", false)]
    #[case("[::1],0.0.0.0", false)]
    #[case("localhost.example.com", false)]
    #[case("$(ADDRESS)", false)]
    #[case("", false)]
    fn local_addresses(#[case] address: &str, #[case] local: bool) {
        assert_eq!(is_local(address), local);
    }
}
