//! The host's interfaces and addresses, followed while they come, go and change.

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use tokio::sync::watch;

/// One interface with its IPv4 addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// The kernel's index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Addresses with prefix lengths, the primary one first.
    pub addresses: Vec<(Ipv4Addr, u8)>,
    /// Whether we answer on it, or why not.
    pub serving: Result<(), &'static str>,
}

/// All interfaces at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interfaces {
    by_index: BTreeMap<u32, Interface>,
    absent: Vec<String>,
}

impl Interface {
    /// Our address to give to this client: the one in the subnet of `peer`, else the primary.
    pub(crate) fn address_towards(&self, peer: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let in_subnet = |(ours, prefix): &&(Ipv4Addr, u8)| {
            peer.is_some_and(|p| mask(p, *prefix) == mask(*ours, *prefix))
        };
        self.addresses
            .iter()
            .find(in_subnet)
            .or(self.addresses.first())
            .map(|(a, _)| *a)
    }

    /// Whether `address` is the broadcast address of a subnet here: a relay address that was
    /// forged so that we answer everybody.
    pub(crate) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        self.addresses.iter().any(|(ours, prefix)| {
            *prefix < 31
                && u32::from(address) == mask(*ours, *prefix) | !mask(Ipv4Addr::BROADCAST, *prefix)
        })
    }

    /// Whether `address` is one of ours here.
    pub(crate) fn has(&self, address: Ipv4Addr) -> bool {
        self.addresses.iter().any(|(a, _)| *a == address)
    }
}

fn mask(address: Ipv4Addr, prefix: u8) -> u32 {
    u32::from(address)
        & u32::MAX
            .checked_shl(32 - u32::from(prefix.min(32)))
            .unwrap_or(0)
}

impl Interfaces {
    /// Reads the interfaces now. `wanted` empty means every suitable one: up, an Ethernet-like
    /// broadcast medium, with an IPv4 address.
    ///
    /// # Errors
    /// The system's answer to `getifaddrs`.
    pub(crate) fn read(wanted: &[String]) -> std::io::Result<Interfaces> {
        let mut found: BTreeMap<String, (InterfaceFlags, Vec<(Ipv4Addr, u8)>)> = BTreeMap::new();
        for entry in getifaddrs()? {
            let slot = found
                .entry(entry.interface_name)
                .or_insert((entry.flags, Vec::new()));
            let address = entry
                .address
                .as_ref()
                .and_then(|a| a.as_sockaddr_in())
                .map(|a| a.ip());
            let netmask = entry
                .netmask
                .as_ref()
                .and_then(|a| a.as_sockaddr_in())
                .map(|a| a.ip());
            if let Some(address) = address {
                let prefix = netmask.map_or(32, |m| u32::from(m).count_ones() as u8);
                slot.1.push((address, prefix));
            }
        }
        let mut by_index = BTreeMap::new();
        for (name, (flags, addresses)) in found {
            // An interface may vanish between the two calls.
            let Ok(index) = if_nametoindex(name.as_str()) else {
                continue;
            };
            let serving = suitable(&name, flags, &addresses, wanted);
            by_index.insert(
                index,
                Interface {
                    index,
                    name,
                    addresses,
                    serving,
                },
            );
        }
        let is_there = |name: &&String| by_index.values().any(|i: &Interface| i.name == **name);
        let absent = wanted.iter().filter(|n| !is_there(n)).cloned().collect();
        Ok(Interfaces { by_index, absent })
    }

    /// The interface a datagram came in on, if we answer there.
    pub(crate) fn serving(&self, index: u32) -> Option<&Interface> {
        self.by_index.get(&index).filter(|i| i.serving.is_ok())
    }

    /// Whether `address` is ours on an interface we answer on.
    pub(crate) fn is_ours(&self, address: Ipv4Addr) -> bool {
        self.by_index
            .values()
            .any(|i| i.serving.is_ok() && i.has(address))
    }

    /// Names that are wanted while no interface is called so.
    pub(crate) fn absent(&self) -> &[String] {
        &self.absent
    }

    /// All interfaces by index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.by_index.values()
    }
}

fn suitable(
    name: &str,
    flags: InterfaceFlags,
    addresses: &[(Ipv4Addr, u8)],
    wanted: &[String],
) -> Result<(), &'static str> {
    let named = wanted.iter().any(|w| w == name);
    if !wanted.is_empty() && !named {
        return Err("not listed under 'interfaces' in the configuration");
    }
    if !flags.contains(InterfaceFlags::IFF_UP) {
        return Err("down");
    }
    if addresses.is_empty() {
        return Err("has no IPv4 address");
    }
    if !named && flags.contains(InterfaceFlags::IFF_LOOPBACK) {
        return Err("loopback; list it under 'interfaces' to serve it");
    }
    if !named && !flags.contains(InterfaceFlags::IFF_BROADCAST) {
        return Err("no broadcast medium (point-to-point); list it under 'interfaces' to serve it");
    }
    Ok(())
}

/// Follows the interfaces: the receiver always holds the present state.
///
/// Changes come from the kernel by netlink. A plain thread waits for them: there is one such
/// socket in the program, and tokio has no safe way to wait for a foreign descriptor.
///
/// # Errors
/// When the first reading fails.
pub(crate) fn follow(
    mut wanted: watch::Receiver<Vec<String>>,
) -> std::io::Result<watch::Receiver<Arc<Interfaces>>> {
    let now = Interfaces::read(&wanted.borrow_and_update())?;
    warn_of_absent(&[], &now.absent);
    let (publish, receiver) = watch::channel(Arc::new(now));
    let (changed, mut changes) = tokio::sync::mpsc::channel(1);
    std::thread::Builder::new()
        .name("interfaces".into())
        .spawn(move || wait_for_changes(&changed))?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                change = changes.recv() => if change.is_none() { tokio::time::sleep(REREAD).await },
                change = wanted.changed() => if change.is_err() { return },
                () = tokio::time::sleep(REREAD) => {}
                () = publish.closed() => return,
            }
            // Let a burst of changes (an address with its routes) settle.
            tokio::time::sleep(SETTLE).await;
            let Ok(now) = Interfaces::read(&wanted.borrow_and_update()) else {
                continue;
            };
            publish.send_if_modified(|held| {
                let differs = **held != now;
                if differs {
                    log_changes(held, &now);
                    *held = Arc::new(now);
                }
                differs
            });
        }
    });
    Ok(receiver)
}

fn warn_of_absent(before: &[String], now: &[String]) {
    for name in now.iter().filter(|n| !before.contains(n)) {
        tracing::warn!("interface '{name}' is listed but does not exist (yet)");
    }
}

fn log_changes(before: &Interfaces, now: &Interfaces) {
    warn_of_absent(&before.absent, &now.absent);
    for interface in now
        .iter()
        .filter(|i| before.by_index.get(&i.index) != Some(i))
    {
        match interface.serving {
            Ok(()) => {
                tracing::info!(interface = interface.name, addresses = ?interface.addresses, "answering on interface")
            }
            Err(reason) => tracing::debug!(
                interface = interface.name,
                reason,
                "not answering on interface"
            ),
        }
    }
    for gone in before
        .iter()
        .filter(|i| i.serving.is_ok() && !now.by_index.contains_key(&i.index))
    {
        tracing::info!(interface = gone.name, "interface is gone");
    }
}

/// Sends a note for each burst of link and address messages; ends when nobody listens.
fn wait_for_changes(changed: &tokio::sync::mpsc::Sender<()>) {
    let open = || -> nix::Result<_> {
        let netlink = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(
            netlink.as_raw_fd(),
            &NetlinkAddr::new(0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR),
        )?;
        Ok(netlink)
    };
    let netlink = match open() {
        Ok(netlink) => netlink,
        Err(error) => {
            tracing::warn!(%error, "cannot follow interface changes; looking every {}s", REREAD.as_secs());
            return;
        }
    };
    let mut buffer = [0u8; 8192];
    loop {
        match recv(netlink.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            // ENOBUFS: so many changes that some were lost; one look at everything suffices.
            Ok(_) | Err(nix::Error::ENOBUFS) => {}
            Err(nix::Error::EINTR) => continue,
            Err(_) => return,
        }
        if let Err(tokio::sync::mpsc::error::TrySendError::Closed(())) = changed.try_send(()) {
            return;
        }
    }
}

const RTMGRP_LINK: u32 = 0x1;
const RTMGRP_IPV4_IFADDR: u32 = 0x10;
/// A second look in case a change was not announced.
const REREAD: std::time::Duration = std::time::Duration::from_secs(30);
const SETTLE: std::time::Duration = std::time::Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(addresses: &[([u8; 4], u8)]) -> Interface {
        let addresses = addresses
            .iter()
            .map(|(a, p)| (Ipv4Addr::from(*a), *p))
            .collect();
        Interface {
            index: 1,
            name: "eth0".into(),
            addresses,
            serving: Ok(()),
        }
    }

    #[test]
    fn the_address_in_the_clients_subnet_is_ours_to_it() {
        let eth0 = interface(&[([192, 168, 77, 2], 24), ([10, 20, 0, 2], 16)]);
        let towards = |ip: Option<[u8; 4]>| eth0.address_towards(ip.map(Ipv4Addr::from));
        assert_eq!(towards(Some([10, 20, 9, 9])), Some([10, 20, 0, 2].into()));
        assert_eq!(
            towards(Some([172, 16, 0, 1])),
            Some([192, 168, 77, 2].into())
        );
        assert_eq!(towards(None), Some([192, 168, 77, 2].into()));
        assert_eq!(interface(&[]).address_towards(None), None);
    }

    #[test]
    fn a_subnets_broadcast_address_is_known() {
        let eth0 = interface(&[([192, 168, 77, 2], 24), ([10, 0, 0, 1], 31)]);
        assert!(eth0.is_broadcast([192, 168, 77, 255].into()));
        assert!(!eth0.is_broadcast([192, 168, 77, 2].into()));
        assert!(
            !eth0.is_broadcast([10, 0, 0, 1].into()),
            "a /31 has none (RFC 3021)"
        );
    }

    #[test]
    fn which_interfaces_are_suitable() {
        use InterfaceFlags as F;
        let lan = F::IFF_UP | F::IFF_BROADCAST;
        let address = [(Ipv4Addr::new(10, 0, 0, 1), 24)];
        let named = ["lo".to_owned()];
        assert_eq!(suitable("eth0", lan, &address, &[]), Ok(()));
        assert!(suitable("eth0", lan, &address, &named).is_err());
        assert!(suitable("eth0", F::IFF_BROADCAST, &address, &[]).is_err());
        assert!(suitable("eth0", lan, &[], &[]).is_err());
        assert!(suitable("lo", F::IFF_UP | F::IFF_LOOPBACK, &address, &[]).is_err());
        assert!(suitable("tun0", F::IFF_UP | F::IFF_POINTOPOINT, &address, &[]).is_err());
        assert_eq!(
            suitable("lo", F::IFF_UP | F::IFF_LOOPBACK, &address, &named),
            Ok(())
        );
    }

    #[test]
    fn a_listed_name_that_no_interface_has_is_told() {
        let read = Interfaces::read(&["lo".to_owned(), "nope0".to_owned()]).expect("readable");
        assert_eq!(read.absent(), ["nope0"]);
        assert!(Interfaces::read(&[]).expect("readable").absent().is_empty());
    }

    #[tokio::test]
    async fn loopback_is_found_and_served_only_when_named() {
        let (wanted, receiver) = watch::channel(vec!["lo".to_owned()]);
        let interfaces = follow(receiver).expect("readable");
        let lo = interfaces
            .borrow()
            .iter()
            .find(|i| i.name == "lo")
            .cloned()
            .expect("every host has it");
        assert!(lo.has(Ipv4Addr::LOCALHOST));
        assert!(interfaces.borrow().serving(lo.index).is_some());
        drop(wanted);
    }
}
