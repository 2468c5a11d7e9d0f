//! Addresses and ports of this machine for the demo's proxies.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::{Context, bail};
use portico_cloud::AddressPool;

/// Whoever holds this port of a block's first address has the block. Proxies share their addresses with one another (`SO_REUSEPORT`), so that two demos on one address
/// would each get a part of the requests.
const CLAIM: u16 = 18000;
/// How many blocks are tried.
const BLOCKS: u32 = 64;
/// Addresses of a block.
const SIZE: u32 = 256;
/// A port stands in for one that is this much lower, as in the embedded cloud.
const OFFSET: u16 = 8000;
/// How many ports are tried as stand-ins.
const STAND_INS: u16 = 100;

/// How a port is listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Addresses that no other demo uses.
#[derive(Debug)]
pub struct Block {
    /// Where the operator and the administration of proxies listen.
    pub own: Ipv4Addr,
    /// The first address for Gateways.
    pub first: Ipv4Addr,
    /// The last one.
    pub last: Ipv4Addr,
    _claim: UdpSocket,
}

impl Block {
    /// Takes the last block of a pool that is not taken: the embedded cloud takes addresses from the beginning.
    ///
    /// # Errors
    /// If there is none, or its addresses are not this machine's.
    pub fn claim(pool: AddressPool) -> anyhow::Result<Self> {
        let (IpAddr::V4(network), IpAddr::V4(broadcast)) = (pool.cidr.network(), pool.cidr.broadcast()) else {
            bail!("--addresses {}: Envoy proxies need a range of IPv4 addresses here", pool.cidr)
        };
        let (network, broadcast) = (network.to_bits(), broadcast.to_bits());
        for number in 0..BLOCKS {
            let Some(end) = broadcast.checked_sub(number * SIZE) else { break };
            let start = end.saturating_sub(SIZE - 1).max(network);
            if end < network {
                break;
            }
            // The first and the last address of a block are no host's, where there is room for that.
            let (own, first, last) = if end - start >= 3 { (start + 1, start + 2, end - 1) } else { (start, start, end) };
            let own = Ipv4Addr::from_bits(own);
            match UdpSocket::bind((own, CLAIM)) {
                Ok(claim) => return Ok(Self { own, first: Ipv4Addr::from_bits(first), last: Ipv4Addr::from_bits(last), _claim: claim }),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!(
                            "proxies cannot listen on {own}. On Linux every 127.x.y.z address is there; elsewhere add some to the \
                             loopback interface, and name them with --addresses"
                        )
                    });
                }
            }
        }
        bail!("other demos use all addresses of {}; name others with --addresses", pool.cidr)
    }

    /// The addresses for Gateways, as a profile writes them.
    pub fn range(&self) -> String {
        if self.first == self.last { self.first.to_string() } else { format!("{}-{}", self.first, self.last) }
    }

    /// A port of the block's own address: this one if it is free, any other if not.
    pub fn free_port(&self, wanted: u16) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind((self.own, wanted)).or_else(|_| TcpListener::bind((self.own, 0)));
        listener.and_then(|listener| listener.local_addr()).with_context(|| format!("nothing can listen on {}", self.own))
    }

    /// The port itself where a proxy can listen on it, or one that stands in for it and is none of `reserved`. Below 1024 it takes privileges, and any port may be taken on
    /// all addresses.
    ///
    /// # Errors
    /// If none can be found.
    pub fn port(&self, wanted: u16, transport: Transport, reserved: &BTreeSet<u16>) -> anyhow::Result<u16> {
        let can_listen = |port: u16| match transport {
            Transport::Tcp => TcpListener::bind((self.first, port)).map(drop),
            Transport::Udp => UdpSocket::bind((self.first, port)).map(drop),
        };
        let Err(error) = can_listen(wanted) else { return Ok(wanted) };
        // High ports have no room above them: theirs are found lower.
        let first = wanted.checked_add(OFFSET).unwrap_or(wanted.saturating_sub(OFFSET));
        let mut stand_ins = (first..first.saturating_add(STAND_INS)).filter(|port| !reserved.contains(port));
        let found = stand_ins.find(|port| can_listen(*port).is_ok());
        found.with_context(|| format!("no proxy can listen on {}:{wanted} ({error}), and no port near {first} can stand in", self.first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(cidr: &str) -> AddressPool {
        AddressPool { cidr: cidr.parse().unwrap() }
    }

    #[test]
    fn no_two_demos_have_the_same_addresses() {
        let first = Block::claim(pool("127.77.0.0/16")).unwrap();
        assert_eq!((first.own, first.range()), (Ipv4Addr::new(127, 77, 255, 1), "127.77.255.2-127.77.255.254".to_owned()));
        let second = Block::claim(pool("127.77.0.0/16")).unwrap();
        assert_eq!(second.own, Ipv4Addr::new(127, 77, 254, 1));
        drop(first);
        assert_eq!(Block::claim(pool("127.77.0.0/16")).unwrap().own, Ipv4Addr::new(127, 77, 255, 1));
        let small = Block::claim(pool("127.78.0.9/32")).unwrap();
        assert_eq!((small.own, small.range()), (Ipv4Addr::new(127, 78, 0, 9), "127.78.0.9".to_owned()));
        assert!(Block::claim(pool("127.78.0.9/32")).unwrap_err().to_string().contains("--addresses"));
        assert!(Block::claim(pool("fd00::/64")).is_err());
    }

    #[test]
    fn a_port_that_is_taken_has_a_stand_in_that_nobody_wants() {
        let block = Block::claim(pool("127.79.0.0/24")).unwrap();
        let none = BTreeSet::new();
        assert_eq!(block.port(20080, Transport::Tcp, &none).unwrap(), 20080);
        let _taken = TcpListener::bind((block.first, 20080)).unwrap();
        assert_eq!(block.port(20080, Transport::Tcp, &none).unwrap(), 28080);
        assert_eq!(block.port(20080, Transport::Tcp, &BTreeSet::from([28080])).unwrap(), 28081);
        assert_eq!(block.port(20080, Transport::Udp, &none).unwrap(), 20080);
        let _low = TcpListener::bind((block.first, 1080)).unwrap();
        let _high = TcpListener::bind((block.first, 65000)).unwrap();
        assert_eq!((block.port(1080, Transport::Tcp, &none).unwrap(), block.port(65000, Transport::Tcp, &none).unwrap()), (9080, 57000));
    }
}
