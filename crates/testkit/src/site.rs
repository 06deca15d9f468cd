//! The profile "std" of the vectors, as a catalog.

use bootplan::{
    Catalog, LoaderInventory, LoaderRole, MacAddr, Machine, MachineId, MachineState, Platform,
    Profile, Site, UnassignedPolicy,
};
use std::collections::BTreeMap;

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
    let machine = Machine {
        id: MachineId(1),
        name: "one".to_owned(),
        macs: vec![MacAddr(mac)],
        uuid: None,
        serial: None,
        labels: BTreeMap::new(),
        state: MachineState::Registered,
        loader: None,
        profile: Some(profile.name.clone()),
        facts: Default::default(),
    };
    Catalog::new(1, Site::default(), std_loaders(), [machine], [profile])
}
