use super::*;
use crate::{Arch, Endpoint, Facts, IpxeFeatures, LoaderInventory, MacAddr, SystemUuid};
use proptest::prelude::*;
use serde_json::json;

fn mac(last: u8) -> MacAddr {
    MacAddr([0x52, 0x54, 0, 0x12, 0x34, last])
}

fn uuid(last: u8) -> SystemUuid {
    format!("12345678-9abc-def0-1122-3344556677{last:02x}")
        .parse()
        .expect("a UUID")
}

fn firmware(arch: u16) -> BootClient {
    let arch = Arch(arch);
    BootClient {
        arch: Some(arch),
        platform: arch.platform(),
        class: match arch.0 {
            15..=20 => ClientClass::Http,
            _ => ClientClass::Pxe,
        },
        ..BootClient::asking(mac(1), Stage::Firmware)
    }
}

fn ipxe(arch: u16, http: bool, bzimage: bool) -> BootClient {
    BootClient {
        stage: Stage::Ipxe,
        ipxe: Some(IpxeFeatures {
            http,
            bzimage,
            efi: arch != 0,
        }),
        ..firmware(arch)
    }
}

fn profile(name: &str, boot: serde_json::Value) -> Profile {
    serde_json::from_value(json!({"name": name, "title": name, "in_menu": true, "boot": boot}))
        .expect("a profile")
}

fn linux(name: &str) -> Profile {
    profile(name, json!({"kind": "linux", "kernel": "d/linux"}))
}

fn machine(last: u8, assigned: Option<&str>) -> Machine {
    serde_json::from_value(json!({
        "id": last, "name": format!("node-{last}"), "macs": [mac(last)], "uuid": null,
        "serial": null, "labels": {}, "state": "registered", "loader": null,
        "profile": assigned, "facts": {},
    }))
    .expect("a machine")
}

fn profiles() -> Vec<Profile> {
    let mut disabled = linux("off");
    disabled.enabled = false;
    let mut efi_only = linux("efi-only");
    efi_only.platforms = vec![Platform::EfiX64];
    let mut hidden = linux("hidden");
    hidden.in_menu = false;
    vec![
        linux("debian-12"),
        disabled,
        efi_only,
        hidden,
        profile("disk", json!({"kind": "local-disk"})),
        profile(
            "memtest",
            json!({"kind": "program", "files": {"bios": "m/m.bin"}}),
        ),
        profile(
            "chain",
            json!({"kind": "chain", "url": "http://10.0.0.9/x"}),
        ),
    ]
}

fn loaders() -> LoaderInventory {
    let mut loaders = LoaderInventory::default();
    for (platform, role, file) in [
        (Platform::Bios, LoaderRole::Ipxe, "undionly.kpxe"),
        (Platform::Bios, LoaderRole::IpxeNative, "ipxe.pxe"),
        (Platform::Bios, LoaderRole::Pxelinux, "pxelinux.0"),
        (Platform::EfiX64, LoaderRole::Ipxe, "snponly.efi"),
        (Platform::EfiX64, LoaderRole::Shim, "shimx64.efi"),
        (Platform::EfiIa32, LoaderRole::Ipxe, "snponly-i386.efi"),
    ] {
        loaders.add(platform, role, file);
    }
    loaders
}

fn catalog(site: Site, machines: impl IntoIterator<Item = Machine>) -> Catalog {
    Catalog::new(1, site, loaders(), machines, profiles())
}

fn policy(unassigned: UnassignedPolicy) -> Site {
    Site {
        unassigned,
        ..Site::default()
    }
}

/// What is named, or why nothing is.
fn answer(client: &BootClient, catalog: &Catalog) -> String {
    let decision = decide(client, catalog);
    let server = Endpoint {
        ip: std::net::Ipv4Addr::new(192, 168, 77, 2),
        http_port: 80,
        ui_port: 8080,
    };
    match decision.outcome {
        Outcome::Boot(plan) => plan.boot_file_name(client.class, &server),
        Outcome::LocalDisk => format!("disk: {}", decision.because),
        Outcome::Silent => format!("silence: {}", decision.because),
    }
}

#[test]
fn which_file_is_named() {
    let prefers = |kind| Machine {
        loader: Some(kind),
        ..machine(1, Some("debian-12"))
    };
    let plain = machine(1, Some("debian-12"));
    let pxelinux = prefers(LoaderKind::Pxelinux);
    let grub = prefers(LoaderKind::Grub);
    let grub_chain = Machine {
        profile: Some("chain".parse().expect("a slug")),
        ..grub.clone()
    };
    // protocol.md H.1: H3, H1, H4, H6, H7, H8 and the selecting rule of B.
    let cases: Vec<(&str, BootClient, &Machine, &str)> = vec![
        ("H3", firmware(0), &plain, "undionly.kpxe"),
        ("H1", firmware(7), &plain, "snponly.efi"),
        ("H4", firmware(9), &plain, "snponly.efi"),
        ("IA32", firmware(6), &plain, "snponly-i386.efi"),
        (
            "H6",
            firmware(16),
            &plain,
            "http://192.168.77.2/boot/snponly.efi",
        ),
        (
            "H7",
            ipxe(7, true, true),
            &plain,
            "http://192.168.77.2/boot.ipxe",
        ),
        ("H8", ipxe(0, false, true), &plain, "boot.ipxe"),
        ("cut-down ROM", ipxe(0, true, false), &plain, "ipxe.pxe"),
        (
            "EFI without bzImage",
            ipxe(7, true, false),
            &plain,
            "http://192.168.77.2/boot.ipxe",
        ),
        (
            "no option 175",
            BootClient {
                ipxe: None,
                ..ipxe(0, true, true)
            },
            &plain,
            "boot.ipxe",
        ),
        ("PXELINUX on BIOS", firmware(0), &pxelinux, "pxelinux.0"),
        (
            "PXELINUX under an iPXE ROM",
            ipxe(0, true, true),
            &pxelinux,
            "pxelinux.0",
        ),
        (
            "PXELINUX on UEFI gives way",
            firmware(7),
            &pxelinux,
            "snponly.efi",
        ),
        (
            "PXELINUX by HTTP gives way",
            firmware(20),
            &pxelinux,
            "http://192.168.77.2/boot/undionly.kpxe",
        ),
        ("GRUB on UEFI", firmware(7), &grub, "shimx64.efi"),
        (
            "GRUB by HTTP",
            firmware(16),
            &grub,
            "http://192.168.77.2/boot/shimx64.efi",
        ),
        (
            "GRUB on BIOS gives way",
            firmware(0),
            &grub,
            "undionly.kpxe",
        ),
        ("GRUB cannot chain", firmware(7), &grub_chain, "snponly.efi"),
        ("Raspberry Pi", firmware(41), &plain, ""),
        (
            "ARM64",
            firmware(11),
            &plain,
            "silence: no iPXE loader for UEFI ARM64 is installed; run 'farrier assets sync'",
        ),
        (
            "no guessing",
            firmware(42),
            &plain,
            "silence: architecture code 42 (option 93) is not supported; it is not guessed at",
        ),
        (
            "no architecture",
            BootClient {
                arch: None,
                ..firmware(42)
            },
            &plain,
            "silence: the client names no architecture",
        ),
    ];
    for (name, client, machine, expected) in cases {
        let catalog = catalog(Site::default(), [machine.clone()]);
        assert_eq!(answer(&client, &catalog), expected, "{name}");
    }
}

#[test]
fn why_a_machine_is_left_alone() {
    let cases = [
        (
            Some("disk"),
            "disk: machine 'node-1' is assigned to profile 'disk'",
        ),
        (
            Some("off"),
            "silence: profile 'off' is disabled; enable it or assign another",
        ),
        (
            Some("gone"),
            "silence: assigned profile 'gone' does not exist; assign another",
        ),
        (
            Some("efi-only"),
            "silence: profile 'efi-only' has nothing for BIOS; assign another",
        ),
        (
            None,
            "silence: no assignment; the site default for such machines is 'silence'",
        ),
    ];
    for (assigned, expected) in cases {
        // Whatever the site does with strangers, an assignment is an assignment.
        let catalog = catalog(Site::default(), [machine(1, assigned)]);
        assert_eq!(answer(&firmware(0), &catalog), expected, "{assigned:?}");
        assert_eq!(
            answer(&ipxe(0, true, true), &catalog),
            expected,
            "{assigned:?}"
        );
    }
    let waiting = catalog(policy(UnassignedPolicy::Wait), [machine(1, Some("off"))]);
    assert!(answer(&firmware(0), &waiting).starts_with("silence: profile 'off'"));
    // memtest has no UEFI program.
    let memtest = catalog(Site::default(), [machine(1, Some("memtest"))]);
    assert_eq!(answer(&firmware(0), &memtest), "undionly.kpxe");
    assert!(answer(&firmware(7), &memtest).contains("has nothing for UEFI x64"));
}

#[test]
fn no_machine_has_such_an_address() {
    let catalog = catalog(policy(UnassignedPolicy::Menu), []);
    for bad in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
        let client = BootClient {
            mac: MacAddr(bad),
            ..firmware(7)
        };
        let decision = decide(&client, &catalog);
        assert_eq!(decision.because, Because::NoMachineAddress);
        assert_eq!(decision.outcome, Outcome::Silent);
    }
}

#[test]
fn a_machine_entered_by_its_uuid_alone_is_known_by_it_unless_two_have_it() {
    let with_uuid = |last, id| Machine {
        uuid: Some(uuid(id)),
        macs: Vec::new(),
        ..machine(last, Some("debian-12"))
    };
    let new_card = BootClient {
        mac: mac(99),
        uuid: Some(uuid(1)),
        ..firmware(7)
    };
    let one = catalog(Site::default(), [with_uuid(1, 1), with_uuid(2, 2)]);
    let decision = decide(&new_card, &one);
    assert_eq!(decision.machine, Some(MachineId(1)));
    assert!(matches!(decision.outcome, Outcome::Boot(_)));

    let two = catalog(Site::default(), [with_uuid(1, 1), with_uuid(2, 1)]);
    let decision = decide(&new_card, &two);
    assert_eq!(decision.machine, None);
    assert_eq!(decision.outcome, Outcome::Silent);

    // The MAC counts for more than the UUID.
    let both = catalog(
        Site::default(),
        [with_uuid(1, 1), machine(2, Some("debian-12"))],
    );
    let client = BootClient {
        mac: mac(2),
        uuid: Some(uuid(1)),
        ..firmware(7)
    };
    assert_eq!(decide(&client, &both).machine, Some(MachineId(2)));

    // Claiming the UUID of a machine whose MACs are known gets nobody its assignment.
    let known = Machine {
        uuid: Some(uuid(1)),
        ..machine(1, Some("debian-12"))
    };
    let decision = decide(&new_card, &catalog(policy(UnassignedPolicy::Menu), [known]));
    assert_eq!(decision.machine, None);
    assert_eq!(decision.outcome, Outcome::LocalDisk);
}

fn plan_of(client: &BootClient, catalog: &Catalog) -> BootPlan {
    match decide(client, catalog).outcome {
        Outcome::Boot(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

fn names(plan: &BootPlan) -> Vec<&str> {
    plan.entries.iter().map(|p| p.name.as_str()).collect()
}

#[test]
fn what_stands_in_the_menu() {
    let assigned = catalog(Site::default(), [machine(1, Some("hidden"))]);
    let plan = plan_of(&firmware(0), &assigned);
    assert_eq!(plan.intent, Intent::Assigned);
    assert_eq!(names(&plan), ["hidden", "chain", "debian-12", "memtest"]);

    let menu = catalog(policy(UnassignedPolicy::Menu), []);
    let plan = plan_of(&firmware(7), &menu);
    assert_eq!(plan.intent, Intent::Menu);
    assert_eq!(names(&plan), ["chain", "debian-12", "efi-only"]);

    let wait = catalog(policy(UnassignedPolicy::Wait), []);
    for client in [firmware(7), firmware(16), ipxe(0, true, true)] {
        let plan = plan_of(&client, &wait);
        assert_eq!((plan.intent, plan.entries.len()), (Intent::Wait, 0));
    }
}

#[test]
fn a_menu_question_needs_no_architecture() {
    let facts = Facts {
        platform: Some(Platform::EfiX64),
        ..Facts::default()
    };
    let known = Machine {
        facts,
        ..machine(1, Some("debian-12"))
    };
    let catalog = catalog(Site::default(), [known]);
    for (stage, platform) in [
        (Stage::Ipxe, Platform::EfiX64),
        (Stage::Grub, Platform::EfiX64),
        // Only a BIOS runs our PXELINUX, whatever the machine was set to last time.
        (Stage::Pxelinux, Platform::Bios),
    ] {
        let plan = plan_of(&BootClient::asking(mac(1), stage), &catalog);
        assert_eq!((plan.platform, plan.boot_file), (Some(platform), None));
    }
}

#[test]
fn the_nearest_preference_wins() {
    let mut by_profile = linux("by-profile");
    by_profile.loader = Some(LoaderKind::Grub);
    by_profile.efi_style = EfiStyle::Direct;
    let site = Site {
        loader: LoaderKind::Pxelinux,
        ..Site::default()
    };
    let loader = |machine: Machine, client: BootClient| {
        let profiles = [by_profile.clone(), linux("plain")];
        let plan = plan_of(
            &client,
            &Catalog::new(1, site.clone(), loaders(), [machine], profiles),
        );
        (plan.loader, plan.efi_style)
    };
    let own = Machine {
        loader: Some(LoaderKind::Ipxe),
        ..machine(1, Some("by-profile"))
    };
    assert_eq!(
        loader(own, firmware(7)),
        (LoaderKind::Ipxe, EfiStyle::Direct)
    );
    let by_profile = machine(1, Some("by-profile"));
    assert_eq!(
        loader(by_profile, firmware(7)),
        (LoaderKind::Grub, EfiStyle::Direct)
    );
    let by_site = machine(1, Some("plain"));
    assert_eq!(
        loader(by_site, firmware(0)),
        (LoaderKind::Pxelinux, EfiStyle::Binl)
    );
}

fn any_client() -> impl Strategy<Value = BootClient> {
    let stage = prop_oneof![
        Just(Stage::Firmware),
        Just(Stage::Ipxe),
        Just(Stage::Pxelinux),
        Just(Stage::Grub)
    ];
    let class = prop_oneof![Just(ClientClass::Pxe), Just(ClientClass::Http)];
    let features = proptest::option::of((any::<bool>(), any::<bool>(), any::<bool>()));
    let arch = proptest::option::of(0u16..45);
    (
        1u8..5,
        proptest::option::of(1u8..3),
        arch,
        stage,
        class,
        features,
    )
        .prop_map(|(last, id, arch, stage, class, features)| BootClient {
            uuid: id.map(uuid),
            arch: arch.map(Arch),
            platform: arch.and_then(|a| Arch(a).platform()),
            class,
            ipxe: features.map(|(http, bzimage, efi)| IpxeFeatures { http, bzimage, efi }),
            ..BootClient::asking(mac(last), stage)
        })
}

proptest! {
    /// Total, and true to its word whoever asks.
    #[test]
    fn every_question_has_an_answer(
        client in any_client(),
        assigned in proptest::option::of(0usize..7),
        loader in proptest::option::of(0usize..3),
        unassigned in 0usize..3,
        installed in any::<bool>(),
    ) {
        let mut known = machine(1, assigned.map(|n| profiles()[n].name.to_string()).as_deref());
        known.loader = loader.map(|n| LoaderKind::ALL[n]);
        let site = policy(UnassignedPolicy::ALL[unassigned]);
        let inventory = if installed { loaders() } else { LoaderInventory::default() };
        let catalog = Catalog::new(1, site, inventory, [known], profiles());
        let decision = decide(&client, &catalog);
        prop_assert_eq!(&decision, &decide(&client, &catalog));
        prop_assert!(!decision.because.to_string().is_empty());
        let Outcome::Boot(plan) = decision.outcome else { return Ok(()) };
        if let Some(platform) = plan.platform {
            prop_assert!(plan.loader.runs_on(platform) || platform == Platform::RaspberryPi);
            prop_assert!(plan.entries.iter().all(|p| p.boots_on(platform)));
        }
        prop_assert!(plan.entries.iter().all(|p| p.enabled));
        prop_assert_eq!(plan.intent == Intent::Assigned, client.mac == mac(1) && assigned.is_some());
        if client.stage == Stage::Firmware {
            // Firmware is only answered with a loader for the very platform it names.
            let platform = client.platform.expect("never guessed at");
            let file = match plan.boot_file {
                Some(BootFile::Loader(file)) => file,
                Some(BootFile::RaspberryPi) => return Ok(()),
                other => panic!("{other:?}"),
            };
            prop_assert!(catalog.loaders.iter().any(|(p, _, f)| p == platform && *f == *file));
        }
    }
}

/// Debian packages no iPXE for 32-bit UEFI, but a signed GRUB chain.
#[test]
fn a_missing_loader_nobody_asked_for_gives_way_to_the_signed_chain() {
    let mut inventory = LoaderInventory::default();
    inventory.add(Platform::EfiIa32, LoaderRole::Shim, "shimia32.efi");
    let with = |wish: Option<LoaderKind>| {
        let wishing = Machine {
            loader: wish,
            ..machine(1, Some("debian-12"))
        };
        Catalog::new(1, Site::default(), inventory.clone(), [wishing], profiles())
    };
    assert_eq!(answer(&firmware(6), &with(None)), "shimia32.efi");
    let refused = decide(&firmware(6), &with(Some(LoaderKind::Ipxe)));
    assert_eq!(refused.outcome, Outcome::Silent);
    let because = Because::LoaderMissing {
        platform: Platform::EfiIa32,
        loader: LoaderKind::Ipxe,
    };
    assert_eq!(refused.because, because, "a wish is not overruled");
    let none = Catalog::new(
        1,
        Site::default(),
        LoaderInventory::default(),
        [machine(1, Some("debian-12"))],
        profiles(),
    );
    assert_eq!(decide(&firmware(6), &none).because, because);
}
