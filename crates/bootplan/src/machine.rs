//! Computers as an operator knows them.

use crate::{LoaderKind, MacAddr, Platform, ProfileName, SystemUuid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The store's identity of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MachineId(pub i64);

/// How far a machine has come in Farrier's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineState {
    /// It asked the network and nobody has adopted it yet.
    Discovered,
    /// An operator adopted or created it.
    Registered,
}

impl MachineState {
    /// The word stored and shown.
    pub fn slug(self) -> &'static str {
        match self {
            MachineState::Discovered => "discovered",
            MachineState::Registered => "registered",
        }
    }
}

/// What a machine last said about itself; claims, kept for people and for rendering.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// From option 93 of its last request by firmware or iPXE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// SMBIOS manufacturer, as iPXE reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    /// SMBIOS product, as iPXE reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
}

/// A computer known by its MACs, SMBIOS UUID and serial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Identity in the store.
    pub id: MachineId,
    /// What people call it; the first MAC with dashes until somebody names it.
    pub name: String,
    /// Its network cards, in the order they became known; at least one.
    pub macs: Vec<MacAddr>,
    /// SMBIOS UUID, canonical order.
    pub uuid: Option<SystemUuid>,
    /// SMBIOS serial number.
    pub serial: Option<String>,
    /// Operator's labels.
    pub labels: BTreeMap<String, String>,
    /// Discovered or registered.
    pub state: MachineState,
    /// Loader preference of this machine; wins over the profile's.
    pub loader: Option<LoaderKind>,
    /// The profile it is assigned to.
    pub profile: Option<ProfileName>,
    /// What it said about itself.
    pub facts: Facts,
}
