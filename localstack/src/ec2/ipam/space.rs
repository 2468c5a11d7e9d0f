//! Where in a range of IPv4 addresses there is room.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Whether two CIDRs have an address in common.
pub fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(other) || other.contains(one)
}

/// The first CIDR of this length in a range that has no address in common with those that are taken.
pub fn first_free(range: &Ipv4Net, length: u8, taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    if length < range.prefix_len() || length > 32 {
        return None;
    }
    let step = 1_u64 << (32 - u32::from(length));
    let (mut at, last) = (u64::from(u32::from(range.network())), u64::from(u32::from(range.broadcast())));
    while at + step - 1 <= last {
        let candidate = Ipv4Net::new(Ipv4Addr::from(u32::try_from(at).ok()?), length).ok()?;
        // Each turn passes one of those that are taken.
        match taken.iter().filter(|other| overlap(other, &candidate)).map(|other| u64::from(u32::from(other.broadcast()))).max() {
            None => return Some(candidate),
            Some(end) => at = (end.max(at + step - 1) + 1).next_multiple_of(step),
        }
    }
    None
}

/// Whether all addresses of a CIDR can be somebody's on the internet. (The ranges for documentation count as public: tests have no others of their own.)
pub fn is_public(cidr: &Ipv4Net) -> bool {
    const SPECIAL: [([u8; 4], u8); 10] = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([224, 0, 0, 0], 3),
    ];
    let special = |(address, length): ([u8; 4], u8)| Ipv4Net::new(address.into(), length).is_ok_and(|range| overlap(&range, cidr));
    !SPECIAL.into_iter().any(special)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_room_is_found() {
        let rows: [(&str, u8, &[&str], Option<&str>); 9] = [
            ("192.0.2.0/30", 32, &[], Some("192.0.2.0/32")),
            ("192.0.2.0/30", 32, &["192.0.2.0/32", "192.0.2.1/32"], Some("192.0.2.2/32")),
            ("192.0.2.0/30", 32, &["192.0.2.0/31", "192.0.2.3/32", "192.0.2.2/32"], None),
            ("192.0.2.0/24", 26, &["192.0.2.1/32", "192.0.2.64/26"], Some("192.0.2.128/26")),
            ("192.0.2.0/24", 25, &["192.0.2.130/32"], Some("192.0.2.0/25")),
            ("192.0.2.0/24", 24, &["192.0.2.130/32"], None),
            ("192.0.2.0/24", 23, &[], None),
            ("255.255.255.0/24", 25, &["255.255.255.0/25", "255.255.255.255/32"], None),
            ("0.0.0.0/0", 0, &["10.0.0.0/8"], None),
        ];
        for (range, length, taken, expected) in rows {
            let taken: Vec<Ipv4Net> = taken.iter().map(|text| net(text)).collect();
            assert_eq!(first_free(&net(range), length, &taken), expected.map(net), "{range} /{length} {taken:?}");
        }
    }

    #[test]
    fn special_ranges_are_nobodys() {
        let rows = [("192.0.2.0/24", true), ("8.8.8.0/24", true), ("10.1.0.0/24", false), ("8.0.0.0/6", false), ("240.0.0.0/24", false)];
        for (cidr, expected) in rows {
            assert_eq!(is_public(&net(cidr)), expected, "{cidr}");
        }
    }
}
