//! Computers as an operator knows them.

use crate::{
    CircuitId, Hardware, LoaderKind, LocalBoot, MacAddr, Platform, ProfileName, Run, SystemUuid,
    Variables,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

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

/// How an assigned profile is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The machine gets it at every boot.
    #[default]
    Always,
    /// The machine gets it while a [`Run`] says so, and its local disk at all other times.
    InstallOnce,
}

impl Mode {
    /// Both, the shipped one first.
    pub const ALL: [Mode; 2] = [Mode::Always, Mode::InstallOnce];

    /// The word stored, and used in YAML, forms and the API.
    pub fn slug(self) -> &'static str {
        match self {
            Mode::Always => "always",
            Mode::InstallOnce => "install-once",
        }
    }

    /// The mode whose [`slug`](Self::slug) this is.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Mode::ALL.into_iter().find(|mode| mode.slug() == slug)
    }

    /// Whether it is the one that files need not say.
    pub fn is_always(&self) -> bool {
        *self == Mode::Always
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
    /// What it is made of, as its installer told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
    /// Its memory, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// Its processor, as that calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Where it last asked DHCP from: its relay, else our own address on that network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Ipv4Addr>,
    /// The relay it asked through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<Ipv4Addr>,
    /// What that relay said of its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit: Option<CircuitId>,
    /// Only one packet has said its UUID so far, which anybody may have forged: until it is said
    /// again, another one takes its place instead of contradicting it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub uuid_said_once: bool,
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
    /// SMBIOS asset tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    /// Operator's labels.
    pub labels: BTreeMap<String, String>,
    /// Operator's notes, free text of several lines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// Discovered or registered.
    pub state: MachineState,
    /// A person said who it is, when its evidence was in doubt: then it is more than what was
    /// discovered, though nobody may have adopted it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// Loader preference of this machine; wins over the profile's.
    pub loader: Option<LoaderKind>,
    /// How it starts its local disk; wins over the site's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_boot: Option<LocalBoot>,
    /// The profile it is assigned to.
    pub profile: Option<ProfileName>,
    /// How that is meant; nothing without a profile.
    #[serde(default, skip_serializing_if = "Mode::is_always")]
    pub mode: Mode,
    /// The installation in progress, else the last one that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Arc<Run>>,
    /// For its arguments and answers; they cover all others.
    #[serde(default, skip_serializing_if = "Variables::is_empty")]
    pub variables: Variables,
    /// What it said about itself.
    pub facts: Facts,
}

impl Machine {
    /// A registered machine of which nothing but a name is known.
    pub fn named(id: MachineId, name: impl Into<String>) -> Self {
        Machine {
            id,
            name: name.into(),
            macs: Vec::new(),
            uuid: None,
            serial: None,
            asset: None,
            labels: BTreeMap::new(),
            notes: String::new(),
            state: MachineState::Registered,
            settled: false,
            loader: None,
            local_boot: None,
            profile: None,
            mode: Mode::Always,
            run: None,
            variables: Variables::default(),
            facts: Facts::default(),
        }
    }
}
