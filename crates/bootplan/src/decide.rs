//! The one question: *what does this client get, and because of what?*
//!
//! DHCP asks it, port 4011 asks it, the rendered menus ask it, HTTP asks it, the browser's
//! preview and `farrier explain` ask the same function, so what is shown is what will happen.

use crate::{
    BootClient, BootMethod, Catalog, ClientClass, EfiStyle, LoaderKind, LoaderRole, Machine,
    MachineId, Platform, Profile, ProfileName, Site, Stage, UnassignedPolicy,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What a client gets, and because of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What it gets.
    pub outcome: Outcome,
    /// Because of what.
    pub because: Because,
    /// The machine we take it for.
    pub machine: Option<MachineId>,
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Boot by this plan.
    Boot(Box<BootPlan>),
    /// The machine's own disk: no answer to DHCP (the fastest way there), a local boot in menus.
    LocalDisk,
    /// No answer.
    Silent,
}

/// How one machine boots: from it DHCP takes the file to name and the renderers take the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootPlan {
    /// Why there is a plan at all; decides what stands in the menu first.
    pub intent: Intent,
    /// Profiles offered, in order. The first is the default for [`Intent::Assigned`]; for
    /// [`Intent::Menu`] the local disk is. Local disk is never in this list: renderers add it.
    pub entries: Vec<Arc<Profile>>,
    /// Site settings in force: time-outs and limits.
    pub site: Site,
    /// What the machine can run, as far as known.
    pub platform: Option<Platform>,
    /// The loader family in force.
    pub loader: LoaderKind,
    /// What a DHCP answer names as boot file; `None` for clients that ask for a menu.
    pub boot_file: Option<BootFile>,
    /// How UEFI firmware is answered.
    pub efi_style: EfiStyle,
    /// What people call the machine, if it is known.
    pub machine_name: Option<String>,
}

/// Why a machine gets a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// A profile is assigned to it.
    Assigned,
    /// Nobody has assigned it yet, and the site lets such machines wait.
    Wait,
    /// Nobody has assigned it yet, and the site shows such machines a menu.
    Menu,
}

/// What a DHCP answer names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootFile {
    /// A loader, by file name.
    Loader(String),
    /// The iPXE bootstrap script over HTTP.
    ScriptHttp,
    /// The iPXE bootstrap script over TFTP, for builds without HTTP.
    ScriptTftp,
    /// Nothing: Raspberry Pis ask for a fixed list of files by themselves.
    RaspberryPi,
}

/// Because of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Because {
    /// The machine's own assignment.
    Assignment {
        /// The machine's name.
        machine: String,
        /// The profile assigned.
        profile: ProfileName,
    },
    /// No assignment; the site default applies.
    SiteDefault {
        /// The site default.
        policy: UnassignedPolicy,
    },
    /// The assigned profile is switched off.
    ProfileDisabled {
        /// Which one.
        profile: ProfileName,
    },
    /// The assigned profile no longer exists.
    ProfileMissing {
        /// Which one.
        profile: ProfileName,
    },
    /// The assigned profile has nothing for this platform.
    ProfileNotForPlatform {
        /// Which one.
        profile: ProfileName,
        /// The platform.
        platform: Platform,
    },
    /// The architecture code is none we know; hardware we do not know is never guessed at.
    UnknownArchitecture {
        /// Option 93, if there was one.
        code: Option<u16>,
    },
    /// The loader this client needs is not on disk.
    LoaderMissing {
        /// For which platform.
        platform: Platform,
        /// Which family.
        loader: LoaderKind,
    },
    /// All-zero, broadcast or multicast hardware address.
    NoMachineAddress,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Because::Assignment { machine, profile } => {
                write!(f, "machine '{machine}' is assigned to profile '{profile}'")
            }
            Because::SiteDefault { policy } => {
                write!(
                    f,
                    "no assignment; the site default for such machines is '{policy}'"
                )
            }
            Because::ProfileDisabled { profile } => {
                write!(
                    f,
                    "profile '{profile}' is disabled; enable it or assign another"
                )
            }
            Because::ProfileMissing { profile } => {
                write!(
                    f,
                    "assigned profile '{profile}' does not exist; assign another"
                )
            }
            Because::ProfileNotForPlatform { profile, platform } => {
                write!(
                    f,
                    "profile '{profile}' has nothing for {platform}; assign another"
                )
            }
            Because::UnknownArchitecture { code: Some(code) } => {
                write!(
                    f,
                    "architecture code {code} (option 93) is not supported; it is not guessed at"
                )
            }
            Because::UnknownArchitecture { code: None } => {
                f.write_str("the client names no architecture")
            }
            Because::LoaderMissing { platform, loader } => {
                write!(
                    f,
                    "no {loader} loader for {platform} is installed; run 'farrier assets sync'"
                )
            }
            Because::NoMachineAddress => f.write_str("not the hardware address of a machine"),
        }
    }
}

/// What does this client get, and because of what?
///
/// Total and pure. Order: the machine's assignment; the site default; silence.
pub fn decide(client: &BootClient, catalog: &Catalog) -> Decision {
    if !client.mac.is_unicast() {
        return Decision {
            outcome: Outcome::Silent,
            because: Because::NoMachineAddress,
            machine: None,
        };
    }
    let machine = catalog.find(client.mac, client.uuid);
    let (outcome, because) = match machine.and_then(|m| m.profile.as_ref().map(|p| (m, p))) {
        Some((machine, name)) => assigned(client, catalog, machine, name),
        None => unassigned(client, catalog, machine),
    };
    Decision {
        outcome,
        because,
        machine: machine.map(|m| m.id),
    }
}

fn assigned(
    client: &BootClient,
    catalog: &Catalog,
    machine: &Arc<Machine>,
    name: &ProfileName,
) -> (Outcome, Because) {
    let because = Because::Assignment {
        machine: machine.name.clone(),
        profile: name.clone(),
    };
    let Some(profile) = catalog.profile(name) else {
        return (
            Outcome::Silent,
            Because::ProfileMissing {
                profile: name.clone(),
            },
        );
    };
    if !profile.enabled {
        return (
            Outcome::Silent,
            Because::ProfileDisabled {
                profile: name.clone(),
            },
        );
    }
    if let Some(platform) = platform_of(client, Some(machine))
        && !profile.boots_on(platform)
    {
        return (
            Outcome::Silent,
            Because::ProfileNotForPlatform {
                profile: name.clone(),
                platform,
            },
        );
    }
    if matches!(profile.boot, BootMethod::LocalDisk {}) {
        return (Outcome::LocalDisk, because);
    }
    plan(
        client,
        catalog,
        Some(machine),
        Intent::Assigned,
        Some(profile),
        because,
    )
}

fn unassigned(
    client: &BootClient,
    catalog: &Catalog,
    machine: Option<&Arc<Machine>>,
) -> (Outcome, Because) {
    let policy = catalog.site.unassigned;
    let because = Because::SiteDefault { policy };
    match policy {
        UnassignedPolicy::Silence => (Outcome::Silent, because),
        UnassignedPolicy::Wait => plan(client, catalog, machine, Intent::Wait, None, because),
        UnassignedPolicy::Menu => plan(client, catalog, machine, Intent::Menu, None, because),
    }
}

/// Puts the plan together; a client that needs a loader we do not have is refused here.
fn plan(
    client: &BootClient,
    catalog: &Catalog,
    machine: Option<&Arc<Machine>>,
    intent: Intent,
    profile: Option<&Arc<Profile>>,
    because: Because,
) -> (Outcome, Because) {
    let platform = platform_of(client, machine);
    let wished = machine
        .and_then(|m| m.loader)
        .or_else(|| profile.and_then(|p| p.loader));
    let preferred = wished.unwrap_or(catalog.site.loader);
    // A preference that cannot run on this hardware (PXELINUX on UEFI), or cannot boot what is
    // assigned (a chain to another server), gives way to iPXE.
    // UEFI HTTP Boot has no TFTP server to go on with, which PXELINUX needs.
    let runs = platform.is_none_or(|p| preferred.runs_on(p))
        && !(client.class == ClientClass::Http && preferred == LoaderKind::Pxelinux);
    let boots = profile.is_none_or(|p| preferred.can_boot(&p.boot));
    let loader = if runs && boots {
        preferred
    } else {
        LoaderKind::Ipxe
    };
    // Nobody asked for this loader by name, and it is not there (Debian has no iPXE for UEFI
    // IA32): the signed chain, if that is, boots the machine as well.
    let shim = || boot_file(client, catalog, LoaderKind::Grub).map(|file| (LoaderKind::Grub, file));
    let instead = |refusal| match (wished, platform) {
        (None, Some(p)) if LoaderKind::Grub.runs_on(p) => shim().map_err(|_| refusal),
        _ => Err(refusal),
    };
    let named = boot_file(client, catalog, loader).map(|file| (loader, file));
    let (loader, boot_file) = match named.or_else(instead) {
        Ok(named) => named,
        Err(refusal) => return (Outcome::Silent, refusal),
    };
    let mut entries: Vec<Arc<Profile>> = profile.into_iter().cloned().collect();
    entries.extend(menu_profiles(catalog, platform, profile).cloned());
    if intent == Intent::Wait {
        entries.clear();
    }
    let plan = BootPlan {
        intent,
        entries,
        site: catalog.site.clone(),
        platform,
        loader,
        boot_file,
        efi_style: profile.map(|p| p.efi_style).unwrap_or_default(),
        machine_name: machine.map(|m| m.name.clone()),
    };
    (Outcome::Boot(Box::new(plan)), because)
}

/// The other profiles marked for the menu that can boot here; never a second "local disk".
fn menu_profiles<'a>(
    catalog: &'a Catalog,
    platform: Option<Platform>,
    except: Option<&'a Arc<Profile>>,
) -> impl Iterator<Item = &'a Arc<Profile>> {
    catalog.profiles().filter(move |p| {
        p.in_menu
            && p.enabled
            && !matches!(p.boot, BootMethod::LocalDisk {})
            && except.is_none_or(|e| e.name != p.name)
            && platform.is_none_or(|platform| p.boots_on(platform))
    })
}

/// What a DHCP answer names for this client (protocol.md B, "Selecting rule").
fn boot_file(
    client: &BootClient,
    catalog: &Catalog,
    loader: LoaderKind,
) -> Result<Option<BootFile>, Because> {
    match client.stage {
        Stage::Pxelinux | Stage::Grub => return Ok(None),
        // An iPXE that fetches its script says no architecture; there is nothing to name.
        Stage::Ipxe if client.arch.is_none() => return Ok(None),
        Stage::Firmware | Stage::Ipxe => {}
    }
    let Some(platform) = client.platform else {
        return Err(Because::UnknownArchitecture {
            code: client.arch.map(|a| a.0),
        });
    };
    let file = |role| {
        let missing = Because::LoaderMissing { platform, loader };
        let name = catalog.loaders.file(platform, role).ok_or(missing)?;
        Ok(Some(BootFile::Loader(name.to_owned())))
    };
    match loader {
        _ if platform == Platform::RaspberryPi => Ok(Some(BootFile::RaspberryPi)),
        LoaderKind::Pxelinux => file(LoaderRole::Pxelinux),
        LoaderKind::Grub => file(LoaderRole::Shim),
        LoaderKind::Ipxe if client.stage == Stage::Ipxe => {
            // An iPXE that tells no features at all (no option 175) can at least fetch by TFTP;
            // taking it for a cut-down one would send it from loader to loader for ever.
            let Some(features) = client.ipxe else {
                return Ok(Some(BootFile::ScriptTftp));
            };
            // VirtualBox's ROM says iPXE but cannot boot Linux: give it a full build first, the
            // one with its own drivers (UNDI over iPXE lost the network in pixiecore's tests).
            if platform == Platform::Bios && !features.bzimage {
                return file(LoaderRole::IpxeNative);
            }
            Ok(Some(if features.http {
                BootFile::ScriptHttp
            } else {
                BootFile::ScriptTftp
            }))
        }
        LoaderKind::Ipxe => file(LoaderRole::Ipxe),
    }
}

/// What the client says, else what its loader gives away, else what the machine last said (a
/// machine set from UEFI to BIOS says so in its next DISCOVER).
fn platform_of(client: &BootClient, machine: Option<&Arc<Machine>>) -> Option<Platform> {
    let pxelinux = (client.stage == Stage::Pxelinux).then_some(Platform::Bios);
    let known = machine.and_then(|m| m.facts.platform);
    client.platform.or(pxelinux).or(known)
}

impl BootPlan {
    /// The boot file as a DHCP answer carries it: a TFTP name, or an absolute URL with a literal
    /// address (firmware has no DNS of its own; iPXE's `next-server` may be the site's).
    pub fn boot_file_name(&self, class: ClientClass, server: &crate::Endpoint) -> String {
        match (&self.boot_file, class) {
            (Some(BootFile::Loader(name)), ClientClass::Pxe) => name.clone(),
            (Some(BootFile::Loader(name)), ClientClass::Http) => {
                format!("{}/boot/{name}", server.http_base())
            }
            (Some(BootFile::ScriptHttp), _) => format!("{}/boot.ipxe", server.http_base()),
            (Some(BootFile::ScriptTftp), _) => "boot.ipxe".to_owned(),
            (Some(BootFile::RaspberryPi) | None, _) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
