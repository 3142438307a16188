//! Sockets that listen: on IPv6 and IPv4 alike, and without much memory for what nobody has read yet.

use socket2::{Domain, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

/// Connections that may wait to be accepted. The system has a limit of its own (`net.core.somaxconn`), mostly the same.
const BACKLOG: i32 = 4096;

/// What the system keeps of each connection until we read it. It counts as the pod's memory, and the system's own
/// choice grows to megabytes for a connection that waits for memory. The system doubles it for its own needs.
const RECEIVE_BUFFER: usize = 16 * 1024;

/// The same until the client reads it.
const SEND_BUFFER: usize = 16 * 1024;

/// What a machine without IPv6 says when asked for a socket of it (Linux).
const EAFNOSUPPORT: i32 = 97;

/// Listens on `address`, without blocking: for a runtime to take over.
///
/// # Errors
///
/// When the system does not let us.
pub(super) fn on(address: SocketAddr) -> io::Result<TcpListener> {
    or_ipv4(address, bind)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        // The default on most machines, but not on all (`net.ipv6.bindv6only`).
        socket.set_only_v6(false)?;
    }
    // Else a restart would have to wait for connections of before to be forgotten.
    socket.set_reuse_address(true)?;
    // Those that it accepts inherit both.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Binds `address`, or all addresses of IPv4 where it means all addresses and there is no IPv6.
fn or_ipv4<T>(address: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match bind(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && is_without_ipv6(&error) => {
            let instead = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            tracing::info!(%address, %instead, reason = error.to_string(), "no IPv6 here: listening on IPv4 alone");
            bind(instead)
        }
        outcome => outcome,
    }
}

fn is_without_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::all("[::]:80", io::Error::from_raw_os_error(EAFNOSUPPORT), Some("0.0.0.0:80"))]
    #[case::no_address("[::]:80", io::ErrorKind::AddrNotAvailable.into(), Some("0.0.0.0:80"))]
    #[case::taken("[::]:80", io::ErrorKind::AddrInUse.into(), None)]
    #[case::one_address("[::1]:80", io::ErrorKind::AddrNotAvailable.into(), None)]
    fn without_ipv6(#[case] address: &str, #[case] error: io::Error, #[case] expected: Option<&str>) {
        let (kind, code) = (error.kind(), error.raw_os_error());
        let refuse = || code.map_or_else(|| kind.into(), io::Error::from_raw_os_error);
        let bound =
            or_ipv4(address.parse().unwrap(), |address| if address.is_ipv6() { Err(refuse()) } else { Ok(address) });
        assert_eq!(bound.ok(), expected.map(|address| address.parse().unwrap()));
    }
}
