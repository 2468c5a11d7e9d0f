//! Headers of the proxy protocol, version 2, as network load balancers send them: with a CRC-32C and padded to 100 bytes.

use std::net::{IpAddr, SocketAddr};

use super::super::config::Transport;

/// What every header begins with (proxy protocol specification, 2.2).
const SIGNATURE: [u8; 12] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
/// Length of what follows the first 16 bytes, as AWS pads it.
const BODY: usize = 84;
/// Type of the checksum (PP2_TYPE_CRC32C).
const CHECKSUM: u8 = 0x03;
/// Type of padding (PP2_TYPE_NOOP).
const PADDING: u8 = 0x04;

/// The header of a flow from a client to the address that it asked for.
pub(super) fn header(client: SocketAddr, asked: SocketAddr, transport: Transport) -> Vec<u8> {
    let (family, addresses) = match (client.ip(), asked.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (0x10, [from.octets().as_slice(), to.octets().as_slice()].concat()),
        (from, to) => {
            let wide = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            (0x20, [wide(from), wide(to)].concat())
        }
    };
    let ports = [client.port().to_be_bytes(), asked.port().to_be_bytes()].concat();
    let kind = match transport {
        Transport::Tcp => 1,
        Transport::Udp => 2,
    };
    build(0x21, family | kind, &[addresses, ports].concat())
}

/// The header of a health check: the connection is the load balancer's own.
pub(in super::super) fn local() -> Vec<u8> {
    build(0x20, 0x11, &[])
}

fn build(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(BODY).unwrap_or_default().to_be_bytes());
    header.extend_from_slice(addresses);
    header.extend([CHECKSUM, 0, 4]);
    let place = header.len();
    header.extend([0; 4]);
    let padding = BODY.saturating_sub(addresses.len() + 7 + 3);
    header.push(PADDING);
    header.extend(u16::try_from(padding).unwrap_or_default().to_be_bytes());
    header.resize(header.len() + padding, 0);
    // Of the whole header, in which the checksum itself counts as 0.
    let checksum = crc32c(&header).to_be_bytes();
    for (byte, digit) in header.iter_mut().skip(place).zip(checksum) {
        *byte = digit;
    }
    header
}

/// CRC-32C (Castagnoli), bit by bit: headers are short and rare.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4: CRC-32C of 32 zeros, 32 ones, and the usual check value.
    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_header_names_both_ends_and_is_padded_to_100_bytes() {
        let made = header("192.0.2.1:4660".parse().unwrap(), "198.51.100.2:443".parse().unwrap(), Transport::Tcp);
        assert_eq!(made.len(), 100);
        assert_eq!(made[..16], [&SIGNATURE[..], &[0x21, 0x11, 0, 84]].concat());
        assert_eq!(made[16..28], [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0x01, 0xbb]);
        assert_eq!((made[28], made[29..31].to_vec(), made[35], made[36..38].to_vec()), (3, vec![0, 4], 4, vec![0, 62]));
        let mut blank = made.clone();
        blank[31..35].fill(0);
        assert_eq!(crc32c(&blank).to_be_bytes(), made[31..35]);
        let datagram = header("192.0.2.1:1".parse().unwrap(), "198.51.100.2:2".parse().unwrap(), Transport::Udp);
        assert_eq!(datagram[13], 0x12);
        let wide = header("[2001:db8::1]:1".parse().unwrap(), "[2001:db8::2]:2".parse().unwrap(), Transport::Tcp);
        assert_eq!((wide.len(), wide[13]), (100, 0x21));
        assert_eq!((local().len(), local()[12], local()[16]), (100, 0x20, 3));
    }
}
