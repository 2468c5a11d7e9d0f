//! Settings of one Gateway on an Envoy fleet, with every default filled in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::v1alpha1::envoy::{Bind, DEFAULT_FLEET, EnvoyAccessLog, EnvoyProfile, Identification};

/// Settings of a Gateway that a fleet of Envoy proxies serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvoySettings {
    /// What the fleet's proxies say as `node.cluster`.
    pub fleet: String,
    /// The addresses that the fleet owns; each Gateway gets one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressRange>,
    /// What listeners bind.
    pub bind: Bind,
    /// How proxies prove who they are.
    pub identification: Identification,
    /// Where access logs go; absent is nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<EnvoyAccessLog>,
    /// How long requests may begin on a connection that is about to end, in seconds.
    #[serde(default = "drain_seconds")]
    pub drain_seconds: u32,
}

/// Envoy's own default of `drain_timeout`.
fn drain_seconds() -> u32 {
    5
}

impl Default for EnvoySettings {
    fn default() -> Self {
        Self {
            fleet: DEFAULT_FLEET.to_owned(),
            addresses: Vec::new(),
            bind: Bind::default(),
            identification: Identification::default(),
            access_log: None,
            drain_seconds: drain_seconds(),
        }
    }
}

/// Addresses in a row, all of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

/// A text that is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address, no CIDR block and no range; write 198.51.100.7, 198.51.100.0/24 or 198.51.100.10-198.51.100.19")]
pub struct AddressRangeError(String);

impl AddressRange {
    /// Whether it holds an address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }

    /// Its addresses, in order.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let (v4, last) = (self.first.is_ipv4(), number(self.last));
        (number(self.first)..=last).filter_map(move |number| {
            if v4 {
                u32::try_from(number).ok().map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
            } else {
                Some(Ipv6Addr::from_bits(number).into())
            }
        })
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        let wrong = || AddressRangeError(text.to_owned());
        let address = |text: &str| text.parse::<IpAddr>().map_err(|_| wrong());
        let (first, last) = if let Some((first, last)) = text.split_once('-') {
            (address(first)?, address(last)?)
        } else if text.contains('/') {
            match text.parse().map_err(|_| wrong())? {
                // The first address of a subnet is that of its routers (RFC 4291, 2.6.1), but for links between two (RFC 6164).
                IpNet::V6(net) if net.prefix_len() < 127 => {
                    (Ipv6Addr::from_bits(net.network().to_bits() + 1).into(), net.broadcast().into())
                }
                net => (net.network(), net.broadcast()),
            }
        } else {
            (address(text)?, address(text)?)
        };
        if first.is_ipv4() == last.is_ipv4() && first <= last { Ok(Self { first, last }) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for AddressRange {
    type Error = AddressRangeError;

    fn try_from(text: String) -> Result<Self, AddressRangeError> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        range.to_string()
    }
}

/// `FIRST-LAST`, or the one address.
impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// Fills the defaults in.
pub(super) fn settle(profile: &EnvoyProfile) -> Result<EnvoySettings, String> {
    let default = EnvoySettings::default();
    let addresses = profile
        .addresses
        .iter()
        .flatten()
        .enumerate()
        .map(|(index, text)| text.parse().map_err(|error: AddressRangeError| format!("spec.envoy.addresses[{index}]: {error}")));
    Ok(EnvoySettings {
        fleet: profile.fleet_name().to_owned(),
        addresses: addresses.collect::<Result<_, _>>()?,
        bind: profile.bind.unwrap_or_default(),
        identification: profile.identification.unwrap_or_default(),
        access_log: profile.access_log.clone(),
        drain_seconds: profile.drain_seconds.unwrap_or(default.drain_seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_they_say() {
        let range = |text: &str| text.parse::<AddressRange>();
        let all = |text: &str| range(text).unwrap().iter().map(|it| it.to_string()).collect::<Vec<_>>();
        assert_eq!(all("198.51.100.7"), ["198.51.100.7"]);
        assert_eq!(all("198.51.100.8/30"), ["198.51.100.8", "198.51.100.9", "198.51.100.10", "198.51.100.11"]);
        assert_eq!(all("198.51.100.255-198.51.101.1"), ["198.51.100.255", "198.51.101.0", "198.51.101.1"]);
        assert_eq!(all("2001:db8::/127"), ["2001:db8::", "2001:db8::1"]);
        assert_eq!(all("2001:db8::/126"), ["2001:db8::1", "2001:db8::2", "2001:db8::3"]);
        assert_eq!(range("0.0.0.0/0").unwrap().iter().take(2).count(), 2);
        let block = range("198.51.100.0/24").unwrap();
        assert!(block.contains("198.51.100.255".parse().unwrap()) && !block.contains("198.51.101.0".parse().unwrap()));
        assert!(!block.contains("::ffff:198.51.100.1".parse().unwrap()));
        for wrong in ["", "web", "198.51.100.0/33", "198.51.100.9-198.51.100.1", "198.51.100.1-2001:db8::1", "198.51.100.1-", "1.2.3"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
        assert_eq!(serde_json::to_string(&range("198.51.100.8/31").unwrap()).unwrap(), "\"198.51.100.8-198.51.100.9\"");
    }
}
