//! Connecting from an address of one's choice.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::net::{TcpSocket, TcpStream};

/// Connects from the first of these addresses from which that is possible here; `None` is whichever the system takes.
pub(super) async fn dial(address: SocketAddr, sources: impl Iterator<Item = Option<IpAddr>>) -> io::Result<TcpStream> {
    for source in sources {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if source.is_some_and(|source| socket.bind(SocketAddr::new(source, 0)).is_err()) {
            continue;
        }
        match socket.connect(address).await {
            // From there no way leads to the address.
            Err(error) if source.is_some() && error.kind() == io::ErrorKind::InvalidInput => {}
            done => return done,
        }
    }
    Err(io::ErrorKind::AddrNotAvailable.into())
}
