//! The one question: *what does this client get, and because of what?*
//!
//! DHCP asks it, port 4011 asks it, the rendered menus ask it, HTTP asks it, the browser's
//! preview and `farrier explain` ask the same function, so what is shown is what will happen.

mod reason;
mod rules;

use crate::{
    Because, BootClient, BootMethod, Catalog, ClientClass, EfiStyle, Endpoint, LoaderKind,
    LoaderRole, LocalBoot, Machine, MachineId, Mode, Platform, Profile, ProfileName, Rule, Run,
    Site, Stage, Standing, UnassignedPolicy, identity,
};
use reason::Reason;
use serde::{Deserialize, Serialize};
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
    /// How a loader that runs already starts the local disk.
    pub local_boot: LocalBoot,
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
    /// Its export, or why it has none ([`Overlays::of`](crate::Overlays::of)).
    pub overlay: Result<Arc<str>, String>,
}

/// Why a machine gets a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// There is a profile for it: assigned, ordered once, or by a rule.
    Assigned,
    /// An installation is ordered, and it waits for a slot.
    Queue,
    /// Nobody has assigned it yet, and the site lets such machines wait.
    Wait,
    /// Nobody has assigned it yet, and the site shows such machines a menu.
    Menu,
}

/// What a DHCP answer names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootFile {
    /// A loader, by file name.
    Loader(Arc<str>),
    /// The iPXE bootstrap script over HTTP.
    ScriptHttp,
    /// The iPXE bootstrap script over TFTP, for builds without HTTP.
    ScriptTftp,
    /// Nothing: Raspberry Pis ask for a fixed list of files by themselves.
    RaspberryPi,
}

/// A [`Decision`] that borrows from the catalog: all that an answer to DHCP needs, found without
/// allocating anything. [`Verdict::decision`] adds what menus and people want.
#[derive(Clone, Debug)]
pub struct Verdict<'c> {
    /// What the client gets.
    pub ruling: Ruling<'c>,
    /// The machine we take it for.
    pub machine: Option<&'c Arc<Machine>>,
    reason: Reason<'c>,
}

/// An [`Outcome`] that borrows.
#[derive(Clone, Debug)]
pub enum Ruling<'c> {
    /// Boot so.
    Boot(Sketch<'c>),
    /// [`Outcome::LocalDisk`].
    LocalDisk,
    /// [`Outcome::Silent`].
    Silent,
}

/// A [`BootPlan`] without its menu.
#[derive(Clone, Debug)]
pub struct Sketch<'c> {
    /// [`BootPlan::boot_file`].
    pub boot_file: Option<BootFile>,
    /// [`BootPlan::efi_style`].
    pub efi_style: EfiStyle,
    /// [`BootPlan::intent`].
    pub intent: Intent,
    platform: Option<Platform>,
    loader: LoaderKind,
    /// The assigned one.
    profile: Option<&'c Arc<Profile>>,
}

/// What does this client get, and because of what?
///
/// Total and pure. Order: doubt about whose machine it is; an order to install; the machine's own
/// assignment; the narrowest rule; the site default. Whatever is doubtful ends on the local disk:
/// only an order in force or a profile for every boot lets anybody write to it.
pub fn decide(client: &BootClient, catalog: &Catalog) -> Decision {
    judge(client, catalog).decision(catalog)
}

/// [`decide`] for those who answer a packet: the same rules, nothing copied.
pub fn judge<'c>(client: &BootClient, catalog: &'c Catalog) -> Verdict<'c> {
    if !client.mac.is_unicast() {
        return Verdict {
            ruling: Ruling::Silent,
            machine: None,
            reason: Reason::Other(Because::NoMachineAddress),
        };
    }
    let machine = catalog.find(client.mac, client.uuid);
    let judged = match machine {
        _ if doubtful(client, catalog, machine) => {
            let because = Reason::Other(Because::IdentityConflict);
            Ok((Ruling::LocalDisk, because))
        }
        Some(machine) => known(client, catalog, machine),
        None => rules::judge(client, catalog, None),
    };
    let (ruling, reason) = judged.unwrap_or_else(|reason| (Ruling::Silent, reason));
    Verdict {
        ruling,
        machine,
        reason,
    }
}

/// Whether a person has to say first which machine this is. The UUID of another machine that we
/// know counts at once, said by a known address or a new one: the store hears of it later. A UUID
/// that nobody has is not enough: it may be the first one heard that was forged, and a packet must
/// not keep a machine from booting for good. For the same reason a card that says its own machine's
/// UUID is not doubtful, whatever others have said by its address; unless that machine itself may
/// be another one.
fn doubtful(client: &BootClient, catalog: &Catalog, machine: Option<&Arc<Machine>>) -> bool {
    if machine.is_some_and(|machine| identity::same_uuid(client.uuid, machine)) {
        return catalog.is_twin(client.mac);
    }
    let uuid = client.uuid.filter(|uuid| uuid.is_identity());
    let owner = uuid.and_then(|uuid| catalog.find_uuid(uuid));
    owner.is_some() || catalog.in_conflict(client.mac, uuid)
}

impl Verdict<'_> {
    /// Because of what, to be told.
    pub fn because(&self) -> Because {
        self.reason.told()
    }

    /// The whole decision; `catalog` is the one it was made from.
    pub fn decision(&self, catalog: &Catalog) -> Decision {
        let outcome = match &self.ruling {
            Ruling::Boot(sketch) => Outcome::Boot(Box::new(sketch.plan(catalog, self.machine))),
            Ruling::LocalDisk => Outcome::LocalDisk,
            Ruling::Silent => Outcome::Silent,
        };
        Decision {
            outcome,
            because: self.because(),
            machine: self.machine.map(|m| m.id),
            local_boot: catalog.site.local_boot_of(self.machine.map(|m| &**m)),
        }
    }
}

/// The rule that is asked first about this client, and whether it matches for certain; `None` also
/// when something that comes before rules decides: doubt, an order, an assignment.
pub(crate) fn deciding_rule<'c>(
    client: &BootClient,
    catalog: &'c Catalog,
) -> Option<(&'c Arc<Rule>, bool)> {
    let machine = catalog.find(client.mac, client.uuid);
    let own = machine.is_some_and(|machine| {
        let run = machine.run.as_deref().map(Run::standing);
        machine.profile.is_some() || run.is_some_and(|standing| standing != Standing::None)
    });
    match own || doubtful(client, catalog, machine) {
        true => None,
        false => rules::first(client, catalog, machine),
    }
}

/// A ruling and because of what, or why there is none but silence.
type Judged<'c> = Result<(Ruling<'c>, Reason<'c>), Reason<'c>>;

/// A machine that we know.
fn known<'c>(client: &BootClient, catalog: &'c Catalog, machine: &'c Arc<Machine>) -> Judged<'c> {
    if let Some(run) = machine.run.as_deref() {
        match run.standing() {
            Standing::Boot if catalog.is_uncounted(machine.id, run) => {
                return Ok((Ruling::LocalDisk, Reason::Unstored(&run.profile)));
            }
            Standing::Boot => {
                let reason = Reason::Run(machine, run);
                return profile(client, catalog, Some(machine), &run.profile, reason);
            }
            Standing::Queue => {
                let reason = Reason::Queue(run, catalog.queue_place(machine.id));
                let sketch = sketch(client, catalog, Some(machine), Intent::Queue, None)?;
                return Ok((Ruling::Boot(sketch), reason));
            }
            Standing::LocalDisk => {
                let reason = Reason::Once(&run.profile, Some(run));
                return Ok((Ruling::LocalDisk, reason));
            }
            Standing::None => {}
        }
    }
    match (&machine.profile, machine.mode) {
        (Some(name), Mode::Always) => {
            let reason = Reason::Assignment(machine, name);
            profile(client, catalog, Some(machine), name, reason)
        }
        (Some(name), Mode::InstallOnce) => {
            let run = machine.run.as_deref().filter(|run| run.profile == *name);
            Ok((Ruling::LocalDisk, Reason::Once(name, run)))
        }
        (None, _) => rules::judge(client, catalog, Some(machine)),
    }
}

/// Boots a profile by name.
fn profile<'c>(
    client: &BootClient,
    catalog: &'c Catalog,
    machine: Option<&'c Arc<Machine>>,
    name: &'c ProfileName,
    reason: Reason<'c>,
) -> Judged<'c> {
    let of = || name.clone();
    let profile = catalog
        .profile(name)
        .ok_or_else(|| Because::ProfileMissing { profile: of() })?;
    if !profile.enabled {
        return Err(Because::ProfileDisabled { profile: of() }.into());
    }
    if let Some(platform) = platform_of(client, machine)
        && !profile.boots_on(platform)
    {
        return Err(Because::ProfileNotForPlatform {
            profile: of(),
            platform,
        }
        .into());
    }
    if matches!(profile.boot, BootMethod::LocalDisk {}) {
        return Ok((Ruling::LocalDisk, reason));
    }
    let sketch = sketch(client, catalog, machine, Intent::Assigned, Some(profile))?;
    Ok((Ruling::Boot(sketch), reason))
}

/// The site default, told as `reason`.
fn unassigned<'c>(
    client: &BootClient,
    catalog: &'c Catalog,
    machine: Option<&'c Arc<Machine>>,
    reason: Reason<'c>,
) -> Judged<'c> {
    let intent = match catalog.site.unassigned {
        UnassignedPolicy::Silence => return Err(reason),
        UnassignedPolicy::Wait => Intent::Wait,
        UnassignedPolicy::Menu => Intent::Menu,
    };
    let sketch = sketch(client, catalog, machine, intent, None)?;
    Ok((Ruling::Boot(sketch), reason))
}

/// Chooses the loader; a client that needs one we do not have is refused here.
fn sketch<'c>(
    client: &BootClient,
    catalog: &'c Catalog,
    machine: Option<&'c Arc<Machine>>,
    intent: Intent,
    profile: Option<&'c Arc<Profile>>,
) -> Result<Sketch<'c>, Because> {
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
    let (loader, boot_file) = named.or_else(instead)?;
    Ok(Sketch {
        boot_file,
        efi_style: profile.map(|p| p.efi_style).unwrap_or_default(),
        intent,
        platform,
        loader,
        profile,
    })
}

impl Sketch<'_> {
    /// With the profiles that the menu offers.
    fn plan(&self, catalog: &Catalog, machine: Option<&Arc<Machine>>) -> BootPlan {
        let mut entries: Vec<Arc<Profile>> = self.profile.into_iter().cloned().collect();
        if !matches!(self.intent, Intent::Wait | Intent::Queue) {
            entries.extend(menu_profiles(catalog, self.platform, self.profile).cloned());
        }
        let mut site = catalog.site.clone();
        if self.intent == Intent::Queue {
            site.wait_limit_s = QUEUE_LIMIT_S;
        }
        BootPlan {
            intent: self.intent,
            entries,
            site,
            platform: self.platform,
            loader: self.loader,
            boot_file: self.boot_file.clone(),
            efi_style: self.efi_style,
            machine_name: machine.map(|m| m.name.clone()),
            overlay: catalog.overlays.of(machine.map(|m| m.id)),
        }
    }
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
        let name = catalog.loaders.shared(platform, role).ok_or(missing)?;
        Ok(Some(BootFile::Loader(Arc::clone(name))))
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

impl BootFile {
    /// Appends the boot file as a DHCP answer carries it: a TFTP name, or an absolute URL with a
    /// literal address (firmware has no DNS of its own; iPXE's `next-server` may be the site's).
    pub fn write_name(&self, class: ClientClass, server: &Endpoint, out: &mut String) {
        match (self, class) {
            (BootFile::Loader(name), ClientClass::Pxe) => out.push_str(name),
            (BootFile::Loader(name), ClientClass::Http) => {
                server.write_http_base(out);
                out.push_str("/boot/");
                out.push_str(name);
            }
            (BootFile::ScriptHttp, _) => {
                server.write_http_base(out);
                out.push_str("/boot.ipxe");
            }
            (BootFile::ScriptTftp, _) => out.push_str("boot.ipxe"),
            (BootFile::RaspberryPi, _) => {}
        }
    }
}

impl BootPlan {
    /// [`BootFile::write_name`]; empty when nothing is named.
    pub fn boot_file_name(&self, class: ClientClass, server: &Endpoint) -> String {
        let mut name = String::new();
        if let Some(file) = &self.boot_file {
            file.write_name(class, server, &mut name);
        }
        name
    }
}

/// How long a machine stands in the queue for an installation before it goes to its local disk,
/// in seconds: four hours, in which a rack is installed ten machines at a time.
const QUEUE_LIMIT_S: u32 = 4 * 60 * 60;

#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod tests;
