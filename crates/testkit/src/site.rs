//! The profile "std" of the vectors, as a catalog.

use crate::packet::MAC;
use bootplan::{
    Catalog, LoaderInventory, LoaderRole, MacAddr, Machine, MachineId, Platform, Profile, Site,
    UnassignedPolicy,
};

/// Every loader that protocol.md H.0 names, by its name there.
pub fn std_loaders() -> LoaderInventory {
    let mut loaders = LoaderInventory::default();
    for (platform, role, file) in [
        (Platform::Bios, LoaderRole::Ipxe, "undionly.kpxe"),
        (Platform::Bios, LoaderRole::IpxeNative, "ipxe.pxe"),
        (Platform::Bios, LoaderRole::Pxelinux, "pxelinux.0"),
        (Platform::EfiIa32, LoaderRole::Ipxe, "snponly-i386.efi"),
        (Platform::EfiX64, LoaderRole::Ipxe, "snponly.efi"),
        (Platform::EfiX64, LoaderRole::Shim, "shimx64.efi"),
        (Platform::EfiArm64, LoaderRole::Ipxe, "snponly-arm64.efi"),
    ] {
        loaders.add(platform, role, file);
    }
    loaders
}

/// A catalog that boots every machine by the profile "std": strangers by the site's menu.
pub fn std_catalog() -> Catalog {
    let site = Site {
        unassigned: UnassignedPolicy::Menu,
        ..Site::default()
    };
    Catalog::new(1, site, std_loaders(), [], [])
}

/// A catalog that knows one machine with one profile, and is silent to all others.
pub fn one_machine(mac: [u8; 6], profile: Profile) -> Catalog {
    let machine = registered(1, mac, &profile);
    Catalog::new(1, Site::default(), std_loaders(), [machine], [profile])
}

/// A catalog that knows so many machines, [`MAC`] among them, all assigned to one profile;
/// strangers get the site's menu.
pub fn many_machines(count: u32, profile: Profile) -> Catalog {
    let site = Site {
        unassigned: UnassignedPolicy::Menu,
        ..Site::default()
    };
    let machines = (1..=count).map(|n| {
        let [a, b, c, d] = n.to_be_bytes();
        let mac = if n == 1 { MAC } else { [2, 0, a, b, c, d] };
        registered(n, mac, &profile)
    });
    let machines: Vec<Machine> = machines.collect();
    Catalog::new(1, site, std_loaders(), machines, [profile])
}

fn registered(number: u32, mac: [u8; 6], profile: &Profile) -> Machine {
    Machine {
        macs: vec![MacAddr(mac)],
        profile: Some(profile.name.clone()),
        ..Machine::named(MachineId(number.into()), format!("machine-{number}"))
    }
}
