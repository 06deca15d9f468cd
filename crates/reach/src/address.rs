//! Which addresses may be asked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// What an address is, as far as asking it is concerned (IANA's special-purpose registries).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// On the Internet.
    Public,
    /// A site's own network: RFC 1918, shared address space (RFC 6598), unique local (RFC 4193).
    Private,
    /// This host.
    Loopback,
    /// One link: RFC 3927, fe80::/10.
    LinkLocal,
    /// Where clouds hand out a host's credentials.
    Metadata,
    /// Reserved for something else than hosts; some sites use such networks all the same.
    Reserved,
    /// No host's: unspecified, multicast, broadcast. Not even an operator's list opens it.
    Unusable,
}

impl Kind {
    /// What `address` is. An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4) counts as itself.
    pub fn of(address: IpAddr) -> Kind {
        match address {
            IpAddr::V4(v4) => of_v4(v4),
            IpAddr::V6(v6) => embedded(v6).map_or_else(|| of_v6(v6), of_v4),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Public => "a public address",
            Kind::Private => "an address of a private network",
            Kind::Loopback => "an address of this server itself",
            Kind::LinkLocal => "a link-local address",
            Kind::Metadata => "a cloud's metadata address",
            Kind::Reserved => "a reserved address",
            Kind::Unusable => "no address of a host",
        })
    }
}

fn of_v4(address: Ipv4Addr) -> Kind {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        _ if METADATA_V4.contains(&address) => Kind::Metadata,
        (127, ..) => Kind::Loopback,
        (169, 254, _) => Kind::LinkLocal,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Kind::Private,
        _ if address.is_unspecified() || address.is_broadcast() => Kind::Unusable,
        // "This network", of which the kernel takes some for itself, and multicast.
        (0 | 224..=239, ..) => Kind::Unusable,
        // Protocol assignments, documentation, 6to4 relays, benchmarks, and what is left.
        (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) | (192, 88, 99) => Kind::Reserved,
        (198, 18..=19, _) | (240..=255, ..) => Kind::Reserved,
        _ => Kind::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Kind {
    let first = address.segments()[0];
    match first {
        _ if METADATA_V6.contains(&address) => Kind::Metadata,
        _ if address.is_loopback() => Kind::Loopback,
        0xfe80..=0xfebf => Kind::LinkLocal,
        0xfc00..=0xfdff => Kind::Private,
        // Teredo holds somebody else's address, 2001:db8::/32 is documentation.
        0x2001 if matches!(address.segments()[1], 0 | 0xdb8) => Kind::Reserved,
        // Only this block is handed out as unicast addresses of the Internet.
        0x2000..=0x3fff => Kind::Public,
        _ => Kind::Unusable,
    }
}

/// The IPv4 address that an IPv6 address leads to.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let at = |i: usize| Ipv4Addr::new(octets[i], octets[i + 1], octets[i + 2], octets[i + 3]);
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] => Some(at(12)),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(at(12)),
        [0x2002, ..] => Some(at(2)),
        _ => None,
    }
}

/// A network, such as `10.0.0.0/8`; a single address is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    base: u128,
    bits: u8,
    v6: bool,
}

/// A text that names no network.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no network; write ADDRESS/BITS, e.g. 10.0.0.0/8, or one address")]
pub struct BadNetwork(String);

impl Network {
    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (value, bits, v6) = wide(address);
        v6 == self.v6 && prefix(value, self.bits, bits) == prefix(self.base, self.bits, bits)
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Network, BadNetwork> {
        let bad = || BadNetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let (base, width, v6) = wide(address);
        let bits = bits.unwrap_or(width);
        if bits > width || prefix(base, bits, width) != base {
            return Err(bad());
        }
        Ok(Network { base, bits, v6 })
    }
}

impl TryFrom<String> for Network {
    type Error = BadNetwork;

    fn try_from(text: String) -> Result<Network, BadNetwork> {
        text.parse()
    }
}

fn wide(address: IpAddr) -> (u128, u8, bool) {
    match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32, false),
        IpAddr::V6(v6) => (u128::from(v6), 128, true),
    }
}

/// `value` with everything behind the first `bits` of `width` bits cleared.
fn prefix(value: u128, bits: u8, width: u8) -> u128 {
    match width - bits {
        0 => value,
        rest if rest >= 128 => 0,
        rest => value >> rest << rest,
    }
}

/// What the operator allows beyond the Internet, for downloads and web hooks (`outgoing.allow`).
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
pub struct Allowed(pub Vec<Network>);

/// Where what is asked for is at home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Somewhere on the Internet: private addresses only by the operator's list.
    Internet,
    /// Management controllers: they are on private networks, and an operator entered the address.
    Site,
}

impl Allowed {
    /// Whether `address` may be asked; else what it is.
    ///
    /// # Errors
    /// The kind of the refused address.
    pub fn check(&self, address: IpAddr, zone: Zone) -> Result<(), Kind> {
        let kind = Kind::of(address);
        let plain = match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        match (kind, zone) {
            (Kind::Public, _) | (Kind::Private, Zone::Site) => Ok(()),
            (Kind::Unusable, _) => Err(kind),
            _ if self.0.iter().any(|network| network.contains(plain)) => Ok(()),
            _ => Err(kind),
        }
    }
}

/// Amazon and most others; Alibaba; Oracle.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// Amazon, Google.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn kinds() {
        let cases = [
            ("1.1.1.1", Kind::Public),
            ("172.32.0.1", Kind::Public),
            ("2606:4700::1111", Kind::Public),
            ("10.0.0.1", Kind::Private),
            ("172.31.255.255", Kind::Private),
            ("192.168.1.1", Kind::Private),
            ("100.64.0.1", Kind::Private),
            ("fd12::1", Kind::Private),
            ("127.8.9.10", Kind::Loopback),
            ("::1", Kind::Loopback),
            ("169.254.1.1", Kind::LinkLocal),
            ("fe80::1", Kind::LinkLocal),
            ("169.254.169.254", Kind::Metadata),
            ("100.100.100.200", Kind::Metadata),
            ("fd00:ec2::254", Kind::Metadata),
            ("0.0.0.0", Kind::Unusable),
            ("::", Kind::Unusable),
            ("255.255.255.255", Kind::Unusable),
            ("224.0.0.1", Kind::Unusable),
            ("ff02::1", Kind::Unusable),
            ("240.0.0.1", Kind::Reserved),
            ("198.18.0.1", Kind::Reserved),
            ("203.0.113.9", Kind::Reserved),
            ("2001:db8::1", Kind::Reserved),
            // The same hosts in disguise.
            ("::ffff:127.0.0.1", Kind::Loopback),
            ("::ffff:10.0.0.1", Kind::Private),
            ("64:ff9b::a9fe:a9fe", Kind::Metadata),
            ("2002:7f00:1::", Kind::Loopback),
            ("::127.0.0.1", Kind::Unusable),
        ];
        for (text, kind) in cases {
            assert_eq!(Kind::of(ip(text)), kind, "{text}");
        }
    }

    #[test]
    fn the_list_opens_what_it_names_and_no_more() {
        let allowed = Allowed(vec![
            "10.1.0.0/16".parse().expect("network"),
            "198.18.0.0/24".parse().expect("network"),
            "127.0.0.1".parse().expect("address"),
            "fd00::/8".parse().expect("network"),
        ]);
        for text in [
            "10.1.2.3",
            "198.18.0.9",
            "127.0.0.1",
            "fd01::5",
            "::ffff:10.1.2.3",
            "8.8.8.8",
        ] {
            assert_eq!(allowed.check(ip(text), Zone::Internet), Ok(()), "{text}");
        }
        for text in [
            "10.2.0.1",
            "198.18.1.1",
            "127.0.0.2",
            "::1",
            "192.168.0.1",
            "169.254.169.254",
        ] {
            assert!(allowed.check(ip(text), Zone::Internet).is_err(), "{text}");
        }
        let none = Allowed::default();
        assert_eq!(none.check(ip("10.2.0.1"), Zone::Site), Ok(()));
        for text in [
            "127.0.0.1",
            "169.254.169.254",
            "fd00:ec2::254",
            "100.100.100.200",
            "::1",
        ] {
            assert!(none.check(ip(text), Zone::Site).is_err(), "{text}");
        }
        let all = Allowed(vec!["0.0.0.0/0".parse().expect("network")]);
        assert_eq!(all.check(ip("127.0.0.1"), Zone::Internet), Ok(()));
        assert!(
            all.check(ip("0.0.0.0"), Zone::Internet).is_err(),
            "the kernel takes it for loopback"
        );
    }

    #[test]
    fn networks_are_read_strictly() {
        for text in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "hello",
            "",
            "/8",
            "fd00::/129",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        let everything: Network = "::/0".parse().expect("network");
        assert!(everything.contains(ip("fe80::1")));
        assert!(!everything.contains(ip("1.2.3.4")));
    }

    proptest! {
        #[test]
        fn mapping_changes_nothing(octets: [u8; 4]) {
            let v4 = Ipv4Addr::from(octets);
            prop_assert_eq!(Kind::of(v4.into()), Kind::of(v4.to_ipv6_mapped().into()));
        }

        #[test]
        fn a_network_holds_its_members(octets: [u8; 4], bits in 0u8..=32, other: [u8; 4]) {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            let base = u32::from(Ipv4Addr::from(octets)) & mask;
            let network: Network = format!("{}/{bits}", Ipv4Addr::from(base)).parse().expect("valid");
            let other = u32::from(Ipv4Addr::from(other));
            prop_assert_eq!(network.contains(Ipv4Addr::from(other).into()), other & mask == base);
        }
    }
}
