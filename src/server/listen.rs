//! Sockets that listen: on IPv6 and IPv4 alike, and without much memory for what nobody has read yet.

use socket2::{Domain, Socket, Type};
use std::{
    future::poll_fn,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    task::{Context, Poll},
};
use tokio::net::TcpStream;

/// Connections that may wait to be accepted. The system has a limit of its own (`net.core.somaxconn`), mostly the same.
const BACKLOG: i32 = 4096;

/// What the system keeps of each connection until we read it. It counts as the pod's memory, and the system's own
/// choice grows to megabytes for a connection that waits for memory. The system doubles it for its own needs.
const RECEIVE_BUFFER: usize = 16 * 1024;

/// The same until the client reads it.
const SEND_BUFFER: usize = 16 * 1024;

/// What a machine without IPv6 says when asked for a socket of it.
const EAFNOSUPPORT: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();

/// How often a port is looked for that is free at all of several addresses.
const ATTEMPTS: usize = 16;

/// The sockets of one port, of which each gets its turn.
#[derive(Debug)]
pub(super) struct Sockets {
    all: Vec<tokio::net::TcpListener>,
    /// Whose turn it is.
    next: usize,
}

/// Listens on `addresses`, without blocking: for a runtime to take over. Of several addresses those are left out that this
/// machine does not have, and port 0 is the same port for all of them.
///
/// # Errors
///
/// When the system does not let us; the address is the one that it is about.
pub(super) fn on(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut attempt = 1;
    loop {
        match each(addresses, |address| or_ipv4(address, bind)) {
            // The port that was free at the first address is not at another.
            Err((address, error))
                if attempt < ATTEMPTS && address.port() == 0 && error.kind() == io::ErrorKind::AddrInUse =>
            {
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Binds each of `addresses` that this machine has, all of them to one port.
fn each(
    addresses: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> io::Result<TcpListener>,
) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let (mut sockets, mut lacking) = (Vec::new(), None);
    let mut free = None;
    for address in addresses {
        let port = free.filter(|_| address.port() == 0).unwrap_or_else(|| address.port());
        match bind(SocketAddr::new(address.ip(), port)) {
            Ok(socket) => {
                free = free.or_else(|| socket.local_addr().ok().map(|bound| bound.port()));
                sockets.push(socket);
            }
            Err(error) if is_lacking(&error) => lacking = lacking.or(Some((*address, error))),
            Err(error) => return Err((*address, error)),
        }
    }
    match lacking {
        Some(lacking) if sockets.is_empty() => Err(lacking),
        _ => Ok(sockets),
    }
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
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && is_lacking(&error) => {
            let instead = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            tracing::info!(%address, %instead, reason = error.to_string(), "no IPv6 here: listening on IPv4 alone");
            bind(instead)
        }
        outcome => outcome,
    }
}

/// Whether this machine does not have the address, or the protocol that it is of.
fn is_lacking(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

// === impl Sockets ===

impl Sockets {
    /// Has the runtime take over `sockets`.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub(super) fn of(sockets: Vec<TcpListener>) -> io::Result<Self> {
        let all = sockets.into_iter().map(tokio::net::TcpListener::from_std).collect::<io::Result<_>>()?;
        Ok(Self { all, next: 0 })
    }

    /// The next connection at any of the addresses. None is lost when this is dropped.
    pub(super) async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        for _ in 0..self.all.len() {
            let socket = &self.all[self.next];
            // Another's turn, or a flood at one address would be all that is served.
            self.next = (self.next + 1) % self.all.len();
            if let Poll::Ready(accepted) = socket.poll_accept(context) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
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

    fn loopbacks() -> [SocketAddr; 2] {
        ["127.0.0.1:0", "127.0.0.2:0"].map(|address| address.parse().unwrap())
    }

    fn ports(sockets: &[TcpListener]) -> Vec<u16> {
        sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect()
    }

    #[test]
    fn a_free_port_is_one_for_all_addresses() {
        let sockets = on(&loopbacks()).unwrap();
        let ports = ports(&sockets);
        assert!(ports.len() == 2 && ports[0] == ports[1] && ports[0] != 0, "{ports:?}");
    }

    #[test]
    fn an_address_that_this_machine_lacks_is_left_out_beside_others() {
        // Of the addresses that are for documentation.
        let lacking: SocketAddr = "192.0.2.1:0".parse().unwrap();
        let [own, _] = loopbacks();
        assert_eq!(ports(&on(&[lacking, own]).unwrap()).len(), 1);
        let (address, error) = on(&[lacking]).unwrap_err();
        assert_eq!((address, error.kind()), (lacking, io::ErrorKind::AddrNotAvailable));
    }

    #[test]
    fn an_address_that_is_taken_is_an_error_beside_others() {
        let [own, other] = loopbacks();
        let taken = on(&[other]).unwrap();
        let taken = taken[0].local_addr().unwrap();
        let (address, error) = on(&[SocketAddr::new(own.ip(), 0), taken]).unwrap_err();
        assert_eq!((address, error.kind()), (taken, io::ErrorKind::AddrInUse));
    }

    #[tokio::test]
    async fn each_address_gets_its_turn() {
        let bound = on(&loopbacks()).unwrap();
        let addresses: Vec<_> = bound.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let mut sockets = Sockets::of(bound).unwrap();
        let mut clients = Vec::new();
        for address in [addresses[0], addresses[0], addresses[0], addresses[1]] {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let mut locals = Vec::new();
        for _ in 0..3 {
            locals.push(sockets.accept().await.unwrap().0.local_addr().unwrap());
        }
        assert!(locals.contains(&addresses[1]), "the flood at the other is no reason to wait: {locals:?}");
    }
}
