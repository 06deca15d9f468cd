//! What a machine will get, from the same functions that answer the network.

use super::story::{printable, reason};
use bootplan::menu::{self, Language};
use bootplan::{
    Arch, Because, BootClient, BootPlan, Catalog, Decision, Endpoint, Facts, Intent, IpxeFeatures,
    LoaderInventory, MacAddr, Machine, MachineId, Outcome, Platform, Profile, Stage, SystemUuid,
    decide,
};

/// One question of the network and its answer.
pub(crate) struct Answer {
    /// Who would ask.
    pub(crate) who: String,
    /// What it would get.
    pub(crate) what: String,
    /// By which file; empty when there is none.
    pub(crate) file: String,
    /// Because of what.
    pub(crate) because: String,
    /// `boot`, `disk` or `silent`.
    pub(crate) class: &'static str,
    /// Whether somebody should look at it.
    pub(crate) bad: bool,
}

/// One rendered menu.
pub(crate) struct Menu {
    /// Fit for an HTML id.
    pub(crate) key: &'static str,
    /// The loader.
    pub(crate) label: &'static str,
    /// The text as served.
    pub(crate) text: String,
    /// Whether this is for those only who ask though they got no offer from us.
    pub(crate) silent: bool,
    /// Why so.
    pub(crate) because: String,
}

/// What this machine gets next, asked by its firmware and by iPXE. A machine whose platform is
/// not known yet is shown both common answers.
pub(crate) fn answers(catalog: &Catalog, machine: &Machine, server: &Endpoint) -> Vec<Answer> {
    let Some(mac) = machine.macs.first().copied() else {
        return Vec::new();
    };
    let known = machine.facts.platform;
    let platforms = known.map_or(vec![Platform::Bios, Platform::EfiX64], |p| vec![p]);
    let stages = [Stage::Firmware, Stage::Ipxe];
    let asked = platforms
        .iter()
        .flat_map(|p| stages.iter().map(move |s| (*p, *s)));
    asked
        .filter(|(p, s)| *p != Platform::RaspberryPi || *s == Stage::Firmware)
        .map(|(platform, stage)| {
            let client = client(mac, machine.uuid, platform, stage);
            let mut decision = decide(&client, catalog);
            answers::fill(
                &mut decision,
                &client,
                catalog,
                server,
                answers::Links::Hidden,
            );
            answer(&client, &decision, server)
        })
        .collect()
}

/// The menus as they would be served to this machine right now.
pub(crate) fn menus(
    catalog: &Catalog,
    mac: MacAddr,
    uuid: Option<SystemUuid>,
    server: &Endpoint,
) -> Vec<Menu> {
    LANGUAGES
        .iter()
        .map(|(language, stage, key, label)| {
            let mut client = BootClient::asking(mac, *stage);
            client.uuid = uuid;
            let decision = decide(&client, catalog);
            let nobody = decision.because == Because::NoMachineAddress;
            Menu {
                key,
                label,
                // As the boot plane does: a machine that is left alone and asks nevertheless is
                // sent to its local disk.
                text: match nobody {
                    true => String::new(),
                    false => menu::render(*language, &client, &decision, server, 0),
                },
                silent: decision.outcome == Outcome::Silent,
                because: reason(&decision.because),
            }
        })
        .collect()
}

/// The menus that a machine assigned to this profile would be served, for the profile editor.
pub(crate) fn profile_menus(catalog: &Catalog, profile: &Profile, server: &Endpoint) -> Vec<Menu> {
    let machine = Machine {
        macs: vec![EXAMPLE],
        profile: Some(profile.name.clone()),
        facts: Facts {
            platform: example_platform(profile),
            ..Facts::default()
        },
        ..Machine::named(MachineId(0), "example-machine")
    };
    let others = catalog.profiles().filter(|p| p.name != profile.name);
    let mut profiles: Vec<Profile> = others.map(|p| p.as_ref().clone()).collect();
    profiles.push(Profile {
        enabled: true,
        ..profile.clone()
    });
    let mut loaders = LoaderInventory::default();
    for (platform, role, file) in catalog.loaders.iter() {
        loaders.add(platform, role, file);
    }
    let sample = Catalog::new(0, catalog.site.clone(), loaders, [machine], profiles)
        .with_objects(catalog.objects().clone());
    menus(&sample, EXAMPLE, None, server)
}

/// Menu requests say no platform, so the example machine must have one that this profile boots.
fn example_platform(profile: &Profile) -> Option<Platform> {
    let preferred = [Platform::EfiX64, Platform::Bios];
    let rest = Platform::ALL;
    preferred
        .into_iter()
        .chain(rest)
        .find(|p| profile.boots_on(*p))
}

fn client(mac: MacAddr, uuid: Option<SystemUuid>, platform: Platform, stage: Stage) -> BootClient {
    BootClient {
        uuid,
        arch: Some(Arch(match platform {
            Platform::Bios => 0,
            Platform::EfiIa32 => 6,
            Platform::EfiX64 => 7,
            Platform::EfiArm64 => 11,
            Platform::RaspberryPi => 41,
        })),
        platform: Some(platform),
        ipxe: (stage == Stage::Ipxe).then_some(IpxeFeatures {
            http: true,
            bzimage: true,
            efi: platform.is_efi(),
        }),
        ..BootClient::asking(mac, stage)
    }
}

fn answer(client: &BootClient, decision: &Decision, server: &Endpoint) -> Answer {
    let platform = client.platform.map(|p| p.to_string()).unwrap_or_default();
    let mut file = String::new();
    let (what, class) = match &decision.outcome {
        Outcome::Boot(plan) => {
            let name = plan.boot_file_name(client.class, server);
            file = match (name.is_empty(), client.stage) {
                (true, _) => format!("by {}", plan.loader),
                (_, Stage::Firmware) => format!("first file: {name}"),
                _ => format!("next file: {name}"),
            };
            (boots(plan), "boot")
        }
        Outcome::LocalDisk => ("its local disk".to_owned(), "disk"),
        Outcome::Silent => ("no answer".to_owned(), "silent"),
    };
    Answer {
        who: format!("{} on {platform}", client.stage),
        what,
        file,
        because: printable(&reason(&decision.because)),
        class,
        bad: decision.because.is_fault(),
    }
}

/// What stands on the screen in the end.
fn boots(plan: &BootPlan) -> String {
    match (plan.intent, plan.entries.first()) {
        (Intent::Queue, _) => "waits for its turn".to_owned(),
        (Intent::Wait, _) => "waits for an assignment".to_owned(),
        (Intent::Menu, _) => "a menu".to_owned(),
        (Intent::Assigned, Some(profile)) => printable(&profile.title),
        (Intent::Assigned, None) => "its local disk".to_owned(),
    }
}

const LANGUAGES: [(Language, Stage, &str, &str); 3] = [
    (Language::Ipxe, Stage::Ipxe, "ipxe", "iPXE"),
    (Language::Pxelinux, Stage::Pxelinux, "pxelinux", "PXELINUX"),
    (Language::Grub, Stage::Grub, "grub", "GRUB"),
];
/// From the documentation block of RFC 7042.
const EXAMPLE: MacAddr = MacAddr([0x00, 0x00, 0x5e, 0x00, 0x53, 0x01]);
