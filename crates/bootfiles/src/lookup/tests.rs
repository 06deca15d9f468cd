use super::*;
use bootplan::{BootMethod, LoaderInventory, Machine, MachineId, Profile, Site, UnassignedPolicy};

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const STRANGER: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 1]);
const IP: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 50);
const SERVER: Endpoint = Endpoint {
    ip: Ipv4Addr::new(192, 168, 77, 2),
    http_port: 80,
    ui_port: 8080,
};

struct Site1 {
    files: BootFiles,
    _temp: tempfile::TempDir,
}

fn site() -> Site1 {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let dir = |name: &str| temp.path().join(name);
    let dirs = [dir("loaders/local"), dir("loaders/packaged")];
    let files = BootFiles::open(&dirs, &dir("images")).expect("made");
    std::fs::write(dir("loaders/packaged/snponly.efi"), "packaged").expect("write");
    std::fs::write(dir("loaders/packaged/Odd.EFI"), "odd").expect("write");
    std::fs::write(dir("images/linux"), "kernel").expect("write");
    std::os::unix::fs::symlink("/etc/passwd", dir("images/out")).expect("symlink");
    files.rescan();
    Site1 { files, _temp: temp }
}

fn uuid() -> SystemUuid {
    "12345678-9abc-def0-1122-334455667788"
        .parse()
        .expect("a UUID")
}

fn catalog(unassigned: UnassignedPolicy, profile: Option<&str>) -> Catalog {
    let boot = BootMethod::Linux {
        kernel: "linux".parse().expect("a path"),
        initrds: Vec::new(),
        args: String::new(),
        console: None,
    };
    let linux: Profile = serde_json::from_value(serde_json::json!({
        "name": "linux", "title": "Linux", "boot": boot,
    }))
    .expect("well-formed");
    let machine = Machine {
        macs: vec![MAC],
        uuid: Some(uuid()),
        profile: profile.map(|p| p.parse().expect("a name")),
        ..Machine::named(MachineId(1), "node1")
    };
    let site = Site {
        unassigned,
        ..Site::default()
    };
    Catalog::new(1, site, LoaderInventory::default(), [machine], [linux])
}

fn silence() -> Catalog {
    catalog(UnassignedPolicy::Silence, None)
}

fn assigned() -> Catalog {
    catalog(UnassignedPolicy::Silence, Some("linux"))
}

fn knows(mac: MacAddr) -> Asker {
    Asker {
        mac_hint: Some(mac),
        ..Asker::at(IP)
    }
}

fn pxelinux(key: ClientKey) -> BootPath {
    BootPath::Pxelinux { key, round: 0 }
}

fn text(found: Found) -> Option<Rendered> {
    match found {
        Found::Text(rendered) => Some(*rendered),
        Found::File(_) => panic!("a file"),
        Found::Absent => None,
    }
}

#[test]
fn every_key_of_an_assigned_machine_leads_to_its_own_menu() {
    let site = site();
    let catalog = assigned();
    for (key, asker, path) in [
        (
            ClientKey::Mac(MAC),
            Asker::at(IP),
            "pxelinux.cfg/01-52-54-00-12-34-56",
        ),
        (
            ClientKey::Uuid(uuid().swapped()),
            knows(MAC),
            "pxelinux.cfg/78563412-bc9a-f0de-1122-334455667788",
        ),
        (ClientKey::Address(IP), knows(MAC), "pxelinux.cfg/C0A84D32"),
        (ClientKey::Default, knows(MAC), "pxelinux.cfg/default"),
    ] {
        let found = site.files.lookup(&pxelinux(key), &asker, &catalog, &SERVER);
        let rendered = text(found).expect("a menu");
        assert_eq!(rendered.path, path);
        assert_eq!(rendered.stage, Stage::Pxelinux);
        assert_eq!(rendered.client.expect("known").mac, MAC);
        let decision = rendered.decision.expect("decided");
        assert!(matches!(decision.outcome, Outcome::Boot(_)), "{key:?}");
    }
}

#[test]
fn keys_that_lead_to_nobody_are_absent() {
    let site = site();
    let catalog = assigned();
    let other: SystemUuid = "aaaaaaaa-0000-1111-2222-333333333333"
        .parse()
        .expect("uuid");
    for (key, asker) in [
        (ClientKey::Uuid(other), knows(MAC)),
        // Another board with the same UUID must not get this machine's menu.
        (ClientKey::Uuid(uuid()), knows(STRANGER)),
        (ClientKey::Uuid(uuid()), Asker::at(IP)),
        (ClientKey::Address(IP), Asker::at(IP)),
        // Somebody else's address: the hint is about the asker's.
        (
            ClientKey::Address(Ipv4Addr::new(192, 168, 77, 51)),
            knows(MAC),
        ),
        (ClientKey::Default, Asker::at(IP)),
        (ClientKey::Mac(MacAddr([0xff; 6])), Asker::at(IP)),
        (ClientKey::Mac(MacAddr([0; 6])), Asker::at(IP)),
    ] {
        for path in [pxelinux(key), BootPath::Grub { key }] {
            let found = site.files.lookup(&path, &asker, &catalog, &SERVER);
            assert_eq!(text(found), None, "{path:?}");
        }
    }
}

#[test]
fn a_silent_machine_is_told_to_boot_locally_under_its_own_key_only() {
    let site = site();
    let catalog = silence();
    let own = [
        pxelinux(ClientKey::Mac(STRANGER)),
        pxelinux(ClientKey::Address(IP)),
        BootPath::Grub {
            key: ClientKey::Mac(STRANGER),
        },
        BootPath::Ipxe { mac: STRANGER },
    ];
    for path in own {
        let found = site
            .files
            .lookup(&path, &knows(STRANGER), &catalog, &SERVER);
        let rendered = text(found).expect("a text");
        // Says so, and goes on to the disk.
        assert!(rendered.body.to_lowercase().contains("local"), "{path:?}");
        let decision = rendered.decision.expect("decided");
        assert_eq!(decision.outcome, Outcome::Silent, "{path:?}");
    }
    let default = pxelinux(ClientKey::Default);
    let found = site
        .files
        .lookup(&default, &knows(STRANGER), &catalog, &SERVER);
    assert_eq!(text(found), None);
    // Unless the site lets such machines wait: then the default name is theirs too.
    let waits = catalog_with(UnassignedPolicy::Wait);
    let found = site
        .files
        .lookup(&default, &knows(STRANGER), &waits, &SERVER);
    assert!(text(found).is_some());
}

fn catalog_with(policy: UnassignedPolicy) -> Catalog {
    catalog(policy, None)
}

#[test]
fn bootstraps_are_the_same_for_everybody() {
    let site = site();
    for (path, stage, name) in [
        (BootPath::IpxeBootstrap, Stage::Ipxe, "boot.ipxe"),
        (BootPath::GrubBootstrap, Stage::Grub, "grub/grub.cfg"),
    ] {
        let found = site
            .files
            .lookup(&path, &Asker::at(IP), &silence(), &SERVER);
        let rendered = text(found).expect("a text");
        assert_eq!((rendered.stage, rendered.path.as_str()), (stage, name));
        assert_eq!(rendered.event(Transport::Tftp), None);
    }
}

#[test]
fn rounds_travel_in_the_name_for_pxelinux_and_in_the_query_for_ipxe() {
    let site = site();
    let waits = catalog_with(UnassignedPolicy::Wait);
    let path = BootPath::Pxelinux {
        key: ClientKey::Mac(MAC),
        round: 7,
    };
    let found = site.files.lookup(&path, &Asker::at(IP), &waits, &SERVER);
    assert_eq!(
        text(found).expect("a menu").path,
        "farrier/wait/7/pxelinux.cfg/01-52-54-00-12-34-56"
    );
    assert_eq!(Asker::at(IP).with_query([("round", "7")]).round, 7);
}

#[test]
fn the_event_says_what_was_decided() {
    let site = site();
    let path = BootPath::Ipxe { mac: MAC };
    let found = site
        .files
        .lookup(&path, &Asker::at(IP), &assigned(), &SERVER);
    let event = text(found).expect("a script").event(Transport::Http);
    let Some(EventKind::MenuServed {
        stage,
        transport,
        path,
        intent,
        profile,
        ..
    }) = event
    else {
        panic!("{event:?}");
    };
    assert_eq!((stage, transport), (Stage::Ipxe, Transport::Http));
    assert_eq!(path, "52-54-00-12-34-56/boot.ipxe");
    assert_eq!(intent, Some(bootplan::Intent::Assigned));
    assert_eq!(profile.expect("assigned").as_str(), "linux");
}

#[test]
fn queries_are_claims_and_bad_ones_are_left_out() {
    let asker = Asker::at(IP).with_query([
        ("uuid", "12345678-9abc-def0-1122-334455667788"),
        ("serial", " ABC 1/2 "),
        ("serial", "second"),
        ("platform", "efi"),
        ("buildarch", "x86_64"),
        ("manufacturer", "bad\nline"),
        ("product", &"x".repeat(200)),
        ("asset", "0042"),
        ("memsize", "16384"),
        ("memsize", "1"),
        ("cpumodel", "Intel(R) Xeon(R)"),
        ("round", "many"),
        ("unknown", "x"),
    ]);
    let expected = Asker {
        uuid: Some(uuid()),
        serial: Some("ABC 1/2".to_owned()),
        platform: Some(Platform::EfiX64),
        asset: Some("0042".to_owned()),
        memory_mib: Some(16_384),
        cpu: Some("Intel(R) Xeon(R)".to_owned()),
        ..Asker::at(IP)
    };
    assert_eq!(asker, expected);
    for (platform, buildarch, expected) in [
        ("pcbios", "i386", Some(Platform::Bios)),
        ("pcbios", "", Some(Platform::Bios)),
        ("efi", "i386", Some(Platform::EfiIa32)),
        ("efi", "arm64", Some(Platform::EfiArm64)),
        ("efi", "loong64", None),
        ("efi", "", None),
        ("", "x86_64", None),
    ] {
        let pairs = [("platform", platform), ("buildarch", buildarch)];
        let asker = Asker::at(IP).with_query(pairs);
        assert_eq!(asker.platform, expected, "{platform} {buildarch}");
    }
}

#[test]
fn the_query_says_the_platform() {
    let site = site();
    let path = BootPath::Ipxe { mac: MAC };
    let asker = Asker::at(IP).with_query([("platform", "efi"), ("buildarch", "arm64")]);
    let found = site.files.lookup(&path, &asker, &assigned(), &SERVER);
    let client = text(found).and_then(|r| r.client).expect("a script");
    assert_eq!(client.platform, Some(Platform::EfiArm64));
}

#[test]
fn files_come_from_their_own_directories_and_refusals_look_like_absence() {
    let site = site();
    let catalog = silence();
    let read = |path: BootPath| match site.files.lookup(&path, &Asker::at(IP), &catalog, &SERVER) {
        Found::File(file) => {
            let text = file.load(0).expect("readable");
            Some(String::from_utf8(text.into()).expect("UTF-8"))
        }
        Found::Text(_) => panic!("a text"),
        Found::Absent => None,
    };
    let loader = |name: &str| read(BootPath::Loader(name.parse().expect("plain")));
    let image = |name: &str| read(BootPath::Image(name.parse().expect("plain")));
    assert_eq!(loader("snponly.efi").as_deref(), Some("packaged"));
    // DOS-bred firmware changes case.
    assert_eq!(loader("SNPONLY.EFI").as_deref(), Some("packaged"));
    assert_eq!(loader("odd.efi").as_deref(), Some("odd"));
    assert_eq!(image("linux").as_deref(), Some("kernel"));
    assert_eq!(image("LINUX"), None);
    for absent in [
        "linux",
        "none",
        "installed.yaml",
        "manifest.yaml",
        "MANIFEST.yaml",
    ] {
        assert_eq!(loader(absent), None, "{absent}");
    }
    assert_eq!(image("out"), None);
    assert_eq!(image("snponly.efi"), None);
}

#[test]
fn an_ipxe_that_fetches_its_script_by_tftp_goes_on_by_tftp() {
    let site = site();
    let path = BootPath::Ipxe { mac: MAC };
    let by = |transport| {
        let asker = Asker {
            transport,
            ..Asker::at(IP)
        };
        let found = site.files.lookup(&path, &asker, &assigned(), &SERVER);
        text(found).expect("a script").body
    };
    assert!(by(Transport::Http).contains("http://192.168.77.2/images/linux"));
    assert!(by(Transport::Tftp).contains("tftp://192.168.77.2/images/linux"));
    assert!(!by(Transport::Tftp).contains("http://192.168.77.2/"));
}

/// A switch asks by a plain name: it gets its file while its profile is in force, and no other time.
#[test]
fn a_device_file_is_there_while_its_profile_is_in_force() {
    let site = site();
    let switch: Profile = serde_json::from_value(serde_json::json!({
        "name": "switch", "title": "Switch", "boot": {"kind": "local-disk"},
        "answers": [{"name": "sw1.cfg", "kind": "device-file", "sealed": false,
            "text": "hostname {{ machine.name }}"}],
    }))
    .expect("well-formed");
    let served = |profile: Option<&str>, mode, asker: &Asker| -> Option<String> {
        let machine = Machine {
            macs: vec![MAC],
            profile: profile.map(|p| p.parse().expect("a name")),
            mode,
            ..Machine::named(MachineId(1), "sw1")
        };
        let (settings, loaders) = (Site::default(), LoaderInventory::default());
        let catalog = Catalog::new(1, settings, loaders, [machine], [switch.clone()]);
        let path = BootPath::parse(b"sw1.cfg").expect("a name");
        let found = site.files.lookup(&path, asker, &catalog, &SERVER);
        text(found).map(|rendered| rendered.body)
    };
    let (always, once) = (bootplan::Mode::Always, bootplan::Mode::InstallOnce);
    let own = knows(MAC);
    let expected = Some("hostname sw1".to_owned());
    assert_eq!(served(Some("switch"), always, &own), expected);
    assert_eq!(
        served(Some("switch"), once, &own),
        None,
        "nobody ordered it"
    );
    assert_eq!(served(None, always, &own), None);
    assert_eq!(served(Some("switch"), always, &knows(STRANGER)), None);
    assert_eq!(served(Some("switch"), always, &Asker::at(IP)), None);
    let tells = |mac_hint, said| Asker {
        mac_hint,
        said_mac: Some(said),
        ..Asker::at(IP)
    };
    let behind_a_router = tells(None, MAC);
    assert_eq!(
        served(Some("switch"), always, &behind_a_router),
        Some("hostname sw1".to_owned())
    );
    let another = tells(Some(STRANGER), MAC);
    assert_eq!(
        served(Some("switch"), always, &another),
        None,
        "the neighbour table knows better"
    );
}
