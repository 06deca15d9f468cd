//! Whole exchanges in memory: pretend firmware, an ordinary DHCP server, and our chain
//! bytes -> decide -> bytes, from power-on to "would fetch this file".

mod common;

use bootplan::{
    BootMethod, Catalog, EfiStyle, Endpoint, FileRef, Outcome as Decided, Profile, Site, decide,
};
use common::endpoint;
use proxydhcp::{Answer, BootItem, Port, Received, Request, parse, respond};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use testkit::Datagram;
use testkit::firmware::{BiosRom, Edk2, Edk2Http, Features, Firmware, Ipxe, Outcome, Rules};
use testkit::lan::{Host, Lan, Run, SiteDhcp};
use testkit::packet::{MAC, Packet, SERVER, SITE};
use testkit::site::{one_machine, std_catalog, std_loaders};

/// What a test does to an answer before it leaves.
type Spoil = fn(&mut Packet, Port);

/// Our side of the LAN.
struct Farrier {
    catalog: Catalog,
    items: Vec<BootItem>,
    late: Duration,
    silent_on_4011: bool,
    spoil: Spoil,
}

impl Farrier {
    fn new(catalog: Catalog) -> Farrier {
        Farrier {
            catalog,
            items: Vec::new(),
            late: Duration::from_millis(1),
            silent_on_4011: false,
            spoil: |_, _| {},
        }
    }

    fn answer(&self, request: &Request<'_>, server: &Endpoint) -> Option<Answer> {
        let Decided::Boot(plan) = decide(request.client(), &self.catalog).outcome else {
            return None;
        };
        Some(Answer {
            items: self.items.clone(),
            ..Answer::from_plan(&plan, request.client(), server)
        })
    }
}

impl Host for Farrier {
    fn handle(&mut self, datagram: &Datagram) -> Vec<(Duration, Datagram)> {
        let to = *datagram.to.ip();
        let port = match datagram.to.port() {
            67 => Port::Dhcp,
            4011 if !self.silent_on_4011 => Port::BootServer,
            _ => return Vec::new(),
        };
        if !to.is_broadcast() && to != SERVER {
            return Vec::new();
        }
        let received = Received {
            bytes: &datagram.bytes,
            from: datagram.from,
            to,
            port,
            local: SERVER,
        };
        let server = endpoint(SERVER);
        let Ok(request) = parse(&received) else {
            return Vec::new();
        };
        let Some(reply) = self
            .answer(&request, &server)
            .and_then(|answer| respond(&request, &answer, &server).ok())
        else {
            return Vec::new();
        };
        let mut packet = Packet::decode(&reply.bytes);
        (self.spoil)(&mut packet, reply.from_port);
        let datagram = Datagram {
            from: SocketAddrV4::new(SERVER, reply.from_port.number()),
            to: reply.to,
            bytes: packet.encode(),
        };
        vec![(self.late, datagram)]
    }
}

/// A site whose DHCP server sets siaddr, as dnsmasq does.
const DNSMASQ: SiteDhcp = SiteDhcp { siaddr: SITE };
/// A site whose DHCP server leaves it 0, as busybox udhcpd does.
const UDHCPD: SiteDhcp = SiteDhcp {
    siaddr: Ipv4Addr::UNSPECIFIED,
};

fn boot<R: Rules>(mut firmware: Firmware<R>, farrier: Farrier) -> Run {
    Lan::new().with(DNSMASQ).with(farrier).run(&mut firmware)
}

fn tftp(file: &str) -> Outcome {
    Outcome::Tftp {
        server: SERVER,
        file: file.to_owned(),
    }
}

fn http(path: &str) -> Outcome {
    Outcome::Http {
        url: format!("http://{SERVER}/{path}"),
    }
}

fn asked_4011(run: &Run) -> usize {
    run.sent.iter().filter(|(_, d)| d.to.port() == 4011).count()
}

#[test]
fn every_platform_boots_what_the_profile_std_says() {
    for site in [DNSMASQ, UDHCPD] {
        let lan = || Lan::new().with(site).with(Farrier::new(std_catalog()));
        let features = |http, bzimage| Features { http, bzimage };
        let table = [
            (lan().run(&mut BiosRom::new(MAC)), tftp("undionly.kpxe"), 0),
            (lan().run(&mut Edk2::new(MAC, 7)), tftp("snponly.efi"), 1),
            (lan().run(&mut Edk2::new(MAC, 9)), tftp("snponly.efi"), 1),
            (
                lan().run(&mut Edk2::new(MAC, 6)),
                tftp("snponly-i386.efi"),
                1,
            ),
            (
                lan().run(&mut Edk2::new(MAC, 11)),
                tftp("snponly-arm64.efi"),
                1,
            ),
            (
                lan().run(&mut Edk2Http::new(MAC, 16)),
                http("boot/snponly.efi"),
                0,
            ),
            (
                lan().run(&mut Edk2Http::new(MAC, 19)),
                http("boot/snponly-arm64.efi"),
                0,
            ),
            (lan().run(&mut Ipxe::new(MAC, 0)), http("boot.ipxe"), 0),
            (lan().run(&mut Ipxe::new(MAC, 7)), http("boot.ipxe"), 0),
            (
                lan().run(&mut Ipxe::with_features(MAC, 7, features(false, true))),
                tftp("boot.ipxe"),
                0,
            ),
            (
                lan().run(&mut Ipxe::with_features(MAC, 0, features(true, false))),
                tftp("ipxe.pxe"),
                0,
            ),
        ];
        for (run, expected, questions) in table {
            assert_eq!(run.outcome, expected);
            assert_eq!(asked_4011(&run), questions, "{expected:?}");
            let [first, ..] = &run.sent[..] else {
                panic!("it sent something");
            };
            assert_eq!(
                first.1.to,
                "255.255.255.255:67".parse().expect("an address")
            );
        }
    }
}

#[test]
fn uefi_in_direct_style_does_not_need_port_4011() {
    let profile = Profile {
        name: "direct".parse().expect("a slug"),
        title: "Direct".to_owned(),
        description: String::new(),
        enabled: true,
        in_menu: false,
        platforms: Vec::new(),
        loader: None,
        labels: Default::default(),
        efi_style: EfiStyle::Direct,
        boot: BootMethod::Chain {
            url: FileRef::Url("http://192.168.77.2/x".to_owned()),
        },
        extras: Default::default(),
        answers: Vec::new(),
        variables: Default::default(),
        install: None,
    };
    let mut farrier = Farrier::new(one_machine(MAC, profile));
    farrier.silent_on_4011 = true;
    let run = boot(Edk2::new(MAC, 7), farrier);
    assert_eq!(run.outcome, tftp("snponly.efi"));
    assert_eq!(asked_4011(&run), 0);
}

#[test]
fn a_firmware_menu_leads_to_the_file_of_its_item() {
    let farrier = || Farrier {
        items: vec![BootItem {
            kind: 0x8000,
            title: "netboot1".to_owned(),
            file: "pxelinux.0".to_owned(),
        }],
        ..Farrier::new(std_catalog())
    };
    let run = boot(BiosRom::new(MAC), farrier());
    assert_eq!((&run.outcome, asked_4011(&run)), (&tftp("pxelinux.0"), 1));
    let run = boot(Edk2::new(MAC, 7), farrier());
    assert_eq!((&run.outcome, asked_4011(&run)), (&tftp("pxelinux.0"), 1));
    // In an iPXE a menu would lead to a loop: it is given the script.
    let run = boot(Ipxe::new(MAC, 0), farrier());
    assert_eq!((&run.outcome, asked_4011(&run)), (&http("boot.ipxe"), 0));
}

#[test]
fn an_unassigned_machine_at_a_silent_site_goes_on_without_us() {
    let silent = || Catalog::new(1, Site::default(), std_loaders(), [], []);
    let ends = [
        boot(BiosRom::new(MAC), Farrier::new(silent())),
        boot(Edk2::new(MAC, 7), Farrier::new(silent())),
        boot(Ipxe::new(MAC, 0), Farrier::new(silent())),
    ];
    for run in &ends {
        assert!(
            matches!(run.outcome, Outcome::GaveUp(_)),
            "{:?}",
            run.outcome
        );
        assert_eq!(asked_4011(run), 0);
    }
    // iPXE is gone as soon as it would be on a LAN without us: 3 seconds.
    assert!(ends[2].at < Duration::from_millis(3100), "{:?}", ends[2].at);
}

#[test]
fn late_answers_are_used_as_in_the_measurements() {
    let late = |millis| {
        let farrier = || Farrier {
            late: Duration::from_millis(millis),
            ..Farrier::new(std_catalog())
        };
        [
            boot(Edk2::new(MAC, 7), farrier()),
            boot(Ipxe::new(MAC, 7), farrier()),
        ]
        .map(|run| !matches!(run.outcome, Outcome::GaveUp(_)))
    };
    // firmware-facts, rows "offer ... late", and protocol.md A.9: 0.8 s used, 3.5 s lost.
    assert_eq!(late(800), [true, true]);
    assert_eq!(late(2900), [true, true]);
    assert_eq!(late(3500), [true, false]);
    assert_eq!(late(6000), [true, false]);
    assert_eq!(late(10_001), [false, false]);
}

#[test]
fn uefi_takes_a_proxy_offer_at_the_end_of_its_slot() {
    let run = boot(Edk2::new(MAC, 7), Farrier::new(std_catalog()));
    let times: Vec<u128> = run.sent.iter().map(|(at, _)| at.as_millis()).collect();
    // DISCOVER, four seconds of collecting, REQUEST, question to 4011; the whole second there.
    assert_eq!(times, [0, 4000, 4002]);
    assert_eq!(run.at.as_millis(), 5002);
}

#[test]
fn on_a_lossy_lan_machines_boot_the_right_thing_or_give_up() {
    let mut booted = [0; 4];
    for seed in 0..100 {
        let lan = || {
            let hosts = Lan::new().with(DNSMASQ).with(Farrier::new(std_catalog()));
            hosts.lossy(10, seed)
        };
        let runs = [
            (lan().run(&mut BiosRom::new(MAC)), tftp("undionly.kpxe")),
            (lan().run(&mut Edk2::new(MAC, 7)), tftp("snponly.efi")),
            (
                lan().run(&mut Edk2Http::new(MAC, 16)),
                http("boot/snponly.efi"),
            ),
            (lan().run(&mut Ipxe::new(MAC, 0)), http("boot.ipxe")),
        ];
        for (count, (run, expected)) in booted.iter_mut().zip(runs) {
            match run.outcome {
                Outcome::GaveUp(_) => {}
                outcome => {
                    assert_eq!(outcome, expected, "seed {seed}");
                    *count += 1;
                }
            }
        }
    }
    // Everybody asks several times except iPXE, which sends two DISCOVERs.
    let [bios, edk2, edk2_http, ipxe] = booted;
    assert!(
        bios >= 95 && edk2 >= 95 && edk2_http >= 95 && ipxe >= 80,
        "{booted:?}"
    );
}

/// "Which proxyDHCP answers are accepted", measured on real firmware: one thing spoiled at a
/// time. It proves that the pretend firmware can fail, and why our answers look as they do.
#[test]
fn spoiled_answers_fail_where_they_failed_on_real_firmware() {
    struct Row {
        what: &'static str,
        silent_on_4011: bool,
        spoil: Spoil,
        /// EDK2, iPXE, BIOS ROM: boots, and how often it asks port 4011.
        expected: [(bool, usize); 3],
    }
    const DIRECT: &[u8] = &[6, 1, 8, 255];
    let row = |what, spoil, expected| Row {
        what,
        silent_on_4011: false,
        spoil,
        expected,
    };
    let silent = |what, spoil, expected| Row {
        silent_on_4011: true,
        ..row(what, spoil, expected)
    };
    let table = [
        row("nothing", |_, _| {}, [(true, 1), (true, 0), (true, 0)]),
        row(
            "no 43",
            |p, _| *p = p.clone().without(43),
            [(true, 1), (true, 0), (true, 1)],
        ),
        silent(
            "no 43",
            |p, _| *p = p.clone().without(43),
            [(false, 4), (true, 0), (false, 4)],
        ),
        row(
            "direct",
            |p, _| *p = p.clone().with(43, DIRECT),
            [(true, 0), (true, 0), (true, 0)],
        ),
        silent(
            "direct",
            |p, _| *p = p.clone().with(43, DIRECT),
            [(true, 0), (true, 0), (true, 0)],
        ),
        row(
            "no file in the OFFER",
            |p, port| {
                *p = p.clone().without(43);
                if port == Port::Dhcp {
                    p.file.clear();
                }
            },
            [(true, 1), (true, 1), (true, 1)],
        ),
        row(
            "neither file nor siaddr in the OFFER",
            |p, port| {
                *p = p.clone().without(43);
                if port == Port::Dhcp {
                    p.file.clear();
                    p.siaddr = Ipv4Addr::UNSPECIFIED;
                }
            },
            [(true, 1), (true, 1), (true, 1)],
        ),
        row(
            "siaddr 0 everywhere",
            |p, _| p.siaddr = Ipv4Addr::UNSPECIFIED,
            [(true, 1), (false, 1), (false, 0)],
        ),
        row(
            "the name only in option 67",
            |p, _| {
                let name = std::mem::take(&mut p.file);
                *p = p.clone().with(67, &name);
            },
            [(true, 1), (true, 0), (true, 0)],
        ),
        row(
            "no 97",
            |p, _| *p = p.clone().without(97),
            [(true, 1), (true, 0), (true, 0)],
        ),
        row(
            "no 54",
            |p, _| *p = p.clone().without(54),
            [(false, 0), (true, 0), (true, 0)],
        ),
        row(
            "no 60",
            |p, _| *p = p.clone().without(60),
            [(false, 0), (false, 0), (false, 0)],
        ),
        row(
            "60 is the whole string",
            |p, _| *p = p.clone().with(60, b"PXEClient:Arch:00007:UNDI:003000"),
            [(true, 1), (true, 0), (true, 0)],
        ),
        row(
            "43 with nothing to discover",
            |p, _| *p = p.clone().with(43, &[6, 1, 0, 255]),
            [(false, 0), (true, 0), (false, 0)],
        ),
        row(
            "a wrong xid",
            |p, _| p.xid ^= 1,
            [(false, 0), (false, 0), (false, 0)],
        ),
        row(
            "another machine's address",
            |p, _| p.mac[5] ^= 1,
            [(false, 0), (false, 0), (false, 0)],
        ),
        row(
            "not padded to 300",
            |p, _| p.pad_to = 0,
            [(true, 1), (true, 0), (false, 0)],
        ),
    ];
    for row in table {
        let farrier = || Farrier {
            spoil: row.spoil,
            silent_on_4011: row.silent_on_4011,
            ..Farrier::new(std_catalog())
        };
        let found = [
            boot(Edk2::new(MAC, 7), farrier()),
            boot(Ipxe::new(MAC, 7), farrier()),
            boot(BiosRom::new(MAC), farrier()),
        ]
        .map(|run| (!matches!(run.outcome, Outcome::GaveUp(_)), asked_4011(&run)));
        let what = format!("{}, silent on 4011: {}", row.what, row.silent_on_4011);
        assert_eq!(found, row.expected, "{what}");
    }
}

/// The same for HTTP Boot: the class must be its own, and the host an address.
#[test]
fn spoiled_answers_fail_on_http_boot() {
    let ends = |spoil: Spoil| {
        let farrier = Farrier {
            spoil,
            ..Farrier::new(std_catalog())
        };
        boot(Edk2Http::new(MAC, 16), farrier).outcome == http("boot/snponly.efi")
    };
    assert!(ends(|_, _| {}));
    assert!(ends(|p, _| p.siaddr = Ipv4Addr::UNSPECIFIED));
    assert!(!ends(|p, _| *p = p.clone().with(60, b"PXEClient")));
    assert!(!ends(|p, _| *p = p.clone().without(54)));
    assert!(!ends(|p, _| p.file = b"snponly.efi".to_vec()));
    assert!(!ends(
        |p, _| p.file = b"http://farrier/boot/snponly.efi".to_vec()
    ));
}
