//! Machines as the boot network sees them.

use crate::{MachineRecord, Store, StoreError};
use bootplan::{MacAddr, Platform, SystemUuid, Timestamp};

/// One glimpse of a machine: what a packet or URL said about it. Claims, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its hardware address.
    pub mac: MacAddr,
    /// When.
    pub at: Timestamp,
    /// SMBIOS UUID.
    pub uuid: Option<SystemUuid>,
    /// SMBIOS serial number.
    pub serial: Option<String>,
    /// What it can run.
    pub platform: Option<Platform>,
    /// SMBIOS manufacturer.
    pub manufacturer: Option<String>,
    /// SMBIOS product.
    pub product: Option<String>,
}

/// What a sighting led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighted {
    /// The machine it was taken for.
    pub machine: MachineRecord,
    /// True when it asked for the first time.
    pub new: bool,
}

impl Sighting {
    /// A sighting that tells nothing but the address.
    pub fn of(mac: MacAddr, at: Timestamp) -> Self {
        Sighting {
            mac,
            at,
            uuid: None,
            serial: None,
            platform: None,
            manufacturer: None,
            product: None,
        }
    }
}

impl Store {
    /// Records that a machine was seen; one that nobody knows becomes a discovered machine.
    ///
    /// # Errors
    /// The MAC is no machine's (not unicast), database failure.
    pub async fn sight(&self, sighting: Sighting) -> Result<Sighted, StoreError> {
        let _ = sighting;
        unimplemented!("store: in work")
    }
}
