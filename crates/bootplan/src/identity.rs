//! Which machine is this? Evidence weighed, and doubt told to a person instead of guessed away:
//! what a machine gets may wipe its disk.

use crate::{MacAddr, Machine, MachineId, SystemUuid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What one that asks says about itself; claims, all of it.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The hardware address it asks by.
    pub mac: MacAddr,
    /// SMBIOS UUID.
    pub uuid: Option<SystemUuid>,
    /// SMBIOS serial number.
    pub serial: Option<&'a str>,
    /// SMBIOS product: serial numbers are unique within one at best.
    pub product: Option<&'a str>,
    /// SMBIOS asset tag.
    pub asset: Option<&'a str>,
}

/// [`Observation`]s that can be of one machine, as they are kept for people to judge by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claim {
    /// SMBIOS UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<SystemUuid>,
    /// SMBIOS serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// SMBIOS product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// SMBIOS asset tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
}

impl Claim {
    /// What of an observation may be some machine's own; `None` when nothing.
    pub fn of(seen: &Observation<'_>) -> Option<Claim> {
        let seen = seen.without_junk();
        let text = |text: Option<&str>| text.map(|text| text.trim().to_owned());
        let claim = Claim {
            uuid: seen.uuid,
            serial: text(seen.serial),
            product: text(seen.product),
            asset: text(seen.asset),
        };
        let says = claim.uuid.is_some() || claim.serial.is_some() || claim.asset.is_some();
        says.then_some(claim)
    }

    /// Whether one machine can have said both.
    pub fn agrees(&self, other: &Claim) -> bool {
        fn same<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        let uuid = match (self.uuid, other.uuid) {
            (Some(a), Some(b)) => a == b || a == b.swapped(),
            _ => true,
        };
        uuid && same(&self.serial, &other.serial) && same(&self.asset, &other.asset)
    }

    /// Takes over what the other one says and this one does not.
    pub fn complete(&mut self, other: &Claim) {
        self.uuid = self.uuid.or(other.uuid);
        let texts = [
            (&mut self.serial, &other.serial),
            (&mut self.product, &other.product),
            (&mut self.asset, &other.asset),
        ];
        for (mine, theirs) in texts {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        }
    }
}

/// Something that speaks for or against one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// The MAC is of one of its cards.
    Mac,
    /// The UUID is its own, and it has nothing else to be known by: it was entered by its UUID
    /// alone, or asks through an adapter that several machines use.
    OnlyUuid,
    /// The UUID is its own.
    Uuid,
    /// The serial number is its own, of the same product.
    Serial,
    /// The asset tag is its own. People type these, and type one twice.
    Asset,
    /// It has another UUID.
    OtherUuid,
    /// It has another serial number.
    OtherSerial,
}

impl Evidence {
    /// How much it counts; [`ENOUGH`] makes a machine. Two of UUID, serial number and asset tag
    /// are as good as a MAC if one of them is a serial number or UUID; none is by itself.
    pub fn weight(self) -> i32 {
        match self {
            Evidence::Mac | Evidence::OnlyUuid => 100,
            Evidence::Uuid | Evidence::Serial => 60,
            Evidence::Asset => 40,
            Evidence::OtherUuid | Evidence::OtherSerial => -80,
        }
    }
}

/// A machine that an observation may be of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Which one.
    pub machine: MachineId,
    /// What speaks for and against it.
    pub evidence: Vec<Evidence>,
}

/// What the evidence comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// It is this machine.
    Is(MachineId),
    /// It is none that we know.
    New,
    /// It asks through an adapter that several machines use and says nothing else.
    Untold,
    /// It may be these, and a person has to say; in order of identity.
    Conflict(Vec<Suspect>),
}

/// Weighs what is seen against every known machine. `shared` are the adapters that several
/// machines use, as people said; their MACs tell nothing.
///
/// A machine that has the MAC is never passed over for another: what contradicts it makes a
/// conflict.
pub fn conclude<'m>(
    seen: &Observation<'_>,
    known: impl IntoIterator<Item = &'m Machine> + Clone,
    shared: &BTreeSet<MacAddr>,
) -> Conclusion {
    let seen = seen.without_junk();
    let through_shared = shared.contains(&seen.mac);
    // What several machines have in common tells them apart from nobody.
    let common = |has: &dyn Fn(&Machine) -> bool| {
        known
            .clone()
            .into_iter()
            .filter(|m| has(m))
            .nth(1)
            .is_some()
    };
    let uuid_counts = !common(&|m| same_uuid(seen.uuid, m));
    let serial_counts = !common(&|m| same_serial(&seen, m));
    let weigh = |machine: &Machine| {
        let mut evidence = Vec::new();
        if !through_shared && machine.macs.contains(&seen.mac) {
            evidence.push(Evidence::Mac);
        }
        if uuid_counts && same_uuid(seen.uuid, machine) {
            let only = machine.macs.is_empty() || through_shared;
            evidence.push(if only {
                Evidence::OnlyUuid
            } else {
                Evidence::Uuid
            });
        }
        if serial_counts && same_serial(&seen, machine) {
            evidence.push(Evidence::Serial);
        }
        if alike(seen.asset, machine.asset.as_deref()) == Some(true) {
            evidence.push(Evidence::Asset);
        }
        if contradicts(seen.uuid, machine) && !machine.facts.uuid_said_once {
            evidence.push(Evidence::OtherUuid);
        }
        if alike(seen.serial, machine.serial.as_deref()) == Some(false) {
            evidence.push(Evidence::OtherSerial);
        }
        Suspect {
            machine: machine.id,
            evidence,
        }
    };
    let mut suspects: Vec<Suspect> = known.clone().into_iter().map(weigh).collect();
    suspects.retain(Suspect::is_suspicious);
    suspects.sort_by_key(|suspect| suspect.machine);
    match &suspects[..] {
        [] if through_shared && seen.uuid.is_none() && seen.serial.is_none() => Conclusion::Untold,
        [] => Conclusion::New,
        [one] if one.is_certain() => Conclusion::Is(one.machine),
        _ => Conclusion::Conflict(suspects),
    }
}

/// Whether a machine known by another way says a UUID that cannot be its own.
pub fn contradicts(uuid: Option<SystemUuid>, machine: &Machine) -> bool {
    let identity = |uuid: Option<SystemUuid>| uuid.filter(|uuid| uuid.is_identity());
    match (identity(uuid), identity(machine.uuid)) {
        // SMBIOS before 2.6 says it with its first groups turned round.
        (Some(seen), Some(known)) => seen != known && seen.swapped() != known,
        _ => false,
    }
}

/// Whether a serial number or asset tag is what makers leave in when they fill in none.
pub fn is_junk(text: &str) -> bool {
    let text = text.trim();
    let mut chars = text.chars().filter(|c| c.is_alphanumeric());
    let first = chars.next();
    // Nothing, one character, or always the same one: 00000000, XXXXXXX, -----.
    chars.all(|c| Some(c) == first) || JUNK.iter().any(|junk| junk.eq_ignore_ascii_case(text))
}

impl Suspect {
    fn speaks_for(&self) -> i32 {
        let weights = self.evidence.iter().map(|evidence| evidence.weight());
        weights.filter(|weight| *weight > 0).sum()
    }

    /// Half a proof is none where something contradicts it: two boards with one UUID and a serial
    /// number each are two.
    fn is_suspicious(&self) -> bool {
        let undisputed = self.evidence.iter().all(|e| e.weight() > 0);
        self.speaks_for() >= if undisputed { SUSPICIOUS } else { ENOUGH }
    }

    fn is_certain(&self) -> bool {
        self.speaks_for() >= ENOUGH && self.evidence.iter().all(|e| e.weight() > 0)
    }
}

impl Observation<'_> {
    fn without_junk(self) -> Self {
        let real = |text: &&str| !is_junk(text);
        Observation {
            uuid: self.uuid.filter(|uuid| uuid.is_identity()),
            serial: self.serial.filter(real),
            asset: self.asset.filter(real),
            ..self
        }
    }
}

/// Whether a UUID that tells machines apart is this machine's, in either byte order.
pub fn same_uuid(uuid: Option<SystemUuid>, machine: &Machine) -> bool {
    match (uuid.filter(|uuid| uuid.is_identity()), machine.uuid) {
        (Some(seen), Some(known)) => seen == known || seen.swapped() == known,
        _ => false,
    }
}

fn same_serial(seen: &Observation<'_>, machine: &Machine) -> bool {
    // A machine entered by hand has no product yet.
    let product = machine.facts.product.as_deref();
    let same_product = product.is_none() || product == seen.product;
    same_product && alike(seen.serial, machine.serial.as_deref()) == Some(true)
}

/// Whether two texts are the same one; `None` when either is not there or is junk.
fn alike(seen: Option<&str>, known: Option<&str>) -> Option<bool> {
    let known = known.filter(|text| !is_junk(text))?;
    Some(seen?.trim().eq_ignore_ascii_case(known.trim()))
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Evidence::Mac => "has its MAC",
            Evidence::OnlyUuid | Evidence::Uuid => "has its UUID",
            Evidence::Serial => "has its serial number",
            Evidence::Asset => "has its asset tag",
            Evidence::OtherUuid => "has another UUID",
            Evidence::OtherSerial => "has another serial number",
        })
    }
}

/// With so much for it and nothing against it, it is that machine.
pub const ENOUGH: i32 = 100;
/// With so much for it, it may be that machine, and is not taken for a new one.
const SUSPICIOUS: i32 = 60;
/// Seen on boards of many makers, in any case of letters.
const JUNK: [&str; 17] = [
    "To Be Filled By O.E.M.",
    "To Be Filled By OEM",
    "Default string",
    "System Serial Number",
    "Serial Number",
    "Asset Tag",
    "No Asset Tag",
    "No Asset Information",
    "Not Specified",
    "Not Applicable",
    "Not Available",
    "N/A",
    "None",
    "Unknown",
    "OEM",
    "123456789",
    "0123456789",
];

#[cfg(test)]
mod tests;
