//! Who may use something, by address.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// IPv4 networks; an address in any of them is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

/// One network: `10.1.0.0/16`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: Ipv4Addr,
    length: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotANetwork {
    /// Not an address with or without a length.
    #[error("'{0}' is no IPv4 network; write 10.1.0.0/16, or one address")]
    Form(String),
    /// Bits are set behind the network's length: more likely a slip than an intention.
    #[error("'{text}' has bits behind its length; the network is {network}")]
    HostBits {
        /// As written.
        text: String,
        /// What would be right.
        network: Network,
    },
}

impl Networks {
    /// Whether this address is in one of them.
    #[must_use]
    pub fn contains(&self, ip: Ipv4Addr) -> bool {
        self.0.iter().any(|network| network.contains(ip))
    }

    /// Whether there is none: nobody is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Networks(networks.into_iter().collect())
    }
}

impl Network {
    fn contains(self, ip: Ipv4Addr) -> bool {
        ip.to_bits() & mask(self.length) == self.first.to_bits()
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || NotANetwork::Form(text.to_owned());
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, length.parse().map_err(|_| form())?),
            None => (text, 32),
        };
        let address: Ipv4Addr = address.parse().map_err(|_| form())?;
        if length > 32 {
            return Err(form());
        }
        let first = Ipv4Addr::from_bits(address.to_bits() & mask(length));
        let network = Network { first, length };
        if first == address {
            Ok(network)
        } else {
            let text = text.to_owned();
            Err(NotANetwork::HostBits { text, network })
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

fn mask(length: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(length))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(list: &[&str]) -> Networks {
        list.iter()
            .map(|n| n.parse::<Network>().expect("valid"))
            .collect()
    }

    #[test]
    fn an_address_is_in_or_out() {
        let some = networks(&["10.1.0.0/16", "192.168.7.9"]);
        for (ip, inside) in [
            ([10, 1, 0, 0], true),
            ([10, 1, 255, 255], true),
            ([10, 2, 0, 0], false),
            ([192, 168, 7, 9], true),
            ([192, 168, 7, 8], false),
        ] {
            assert_eq!(some.contains(ip.into()), inside, "{ip:?}");
        }
        assert!(networks(&["0.0.0.0/0"]).contains([255, 1, 2, 3].into()));
        assert!(!networks(&[]).contains([10, 0, 0, 1].into()));
    }

    #[test]
    fn what_is_no_network_is_said() {
        for text in ["", "10.1/16", "10.1.0.0/33", "10.1.0.0/-1", "::/0", "all"] {
            let error = text.parse::<Network>().expect_err(text);
            assert_eq!(error, NotANetwork::Form(text.to_owned()));
        }
        let error = "10.1.2.3/16".parse::<Network>().expect_err("host bits");
        assert!(error.to_string().ends_with("the network is 10.1.0.0/16"));
    }
}
