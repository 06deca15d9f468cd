//! Whole boots by pretend firmware, beside a real DHCP server that knows nothing of them.

use crate::common::farrier::{PROFILE, content};
use crate::common::firmware::ask;
use crate::common::wire::{http_get, tftp_file};
use crate::common::{Farrier, Netns, SERVER, eventually};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testkit::firmware::{BiosRom, Edk2, Edk2Http, Ipxe, Outcome};

/// The site's switch and DHCP server on 10.77.0.1, with Farrier's host and a machine plugged in.
struct SiteLan {
    site: Netns,
    server: Netns,
    machine: Netns,
}

/// A real dnsmasq; killed when dropped.
pub(crate) struct Dnsmasq(Child);

impl SiteLan {
    fn new() -> SiteLan {
        let (site, server, machine) = (Netns::new(), Netns::new(), Netns::new());
        site.ip("link add br0 type bridge\nlink set br0 up\naddr add 10.77.0.1/24 dev br0");
        for (port, host) in [("p1", &server), ("p2", &machine)] {
            site.wire(port, host, "eth0");
            site.ip(&format!("link set {port} master br0"));
        }
        server.ip("addr add 10.77.0.2/24 brd + dev eth0");
        SiteLan {
            site,
            server,
            machine,
        }
    }
}

impl Dnsmasq {
    /// Gives out 10.77.0.100 to 199 on one interface, and no boot file.
    pub(crate) fn start(host: &Netns, interface: &str, more: &[&str]) -> Dnsmasq {
        let mut command = Command::new("dnsmasq");
        command
            .args([
                "--no-daemon",
                "--conf-file=/dev/null",
                "--port=0",
                "--bind-interfaces",
            ])
            .args([
                "--leasefile-ro",
                "--no-ping",
                "--user=root",
                "--dhcp-authoritative",
            ])
            // A client without an address cannot hear unicast through an ordinary socket.
            .args([
                "--dhcp-broadcast",
                "--dhcp-range=10.77.0.100,10.77.0.199,255.255.255.0,1h",
            ])
            .arg(format!("--interface={interface}"))
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = host.run(|| command.spawn());
        let dnsmasq = Dnsmasq(child.expect("dnsmasq is installed"));
        eventually(Duration::from_secs(5), "dnsmasq opens port 67", || {
            let open = std::fs::read_to_string(format!("/proc/{}/net/udp", dnsmasq.0.id()));
            open.is_ok_and(|table| table.contains(":0043 "))
                .then_some(())
        });
        dnsmasq
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_rom_that_is_not_ipxe_boots_by_undionly_to_the_assigned_profile() {
    let lan = SiteLan::new();
    let _site_dhcp = Dnsmasq::start(&lan.site, "br0", &[]);
    let farrier = Farrier::started(&lan.server);
    farrier.assign(&[MAC_TEXT]);

    let rom = ask(&lan.machine, MAC, BiosRom::new(MAC));
    let undionly = Outcome::Tftp {
        server: SERVER,
        file: "undionly.kpxe".to_owned(),
    };
    assert_eq!(rom.outcome, undionly);
    let loader = lan.machine.run(|| tftp_file(SERVER, "undionly.kpxe"));
    assert!(loader == content("undionly.kpxe"), "another file than ours");

    let ipxe = ask(&lan.machine, MAC, Ipxe::new(MAC, 0));
    let Outcome::Http { url } = ipxe.outcome else {
        panic!("iPXE got no script: {:?}", ipxe.outcome);
    };
    let path = url.strip_prefix("http://10.77.0.2").expect("our address");
    let bootstrap = text(lan.machine.run(|| http_get(SERVER, path)));
    assert!(bootstrap.starts_with("#!ipxe"), "{bootstrap}");
    let script = "/52-54-00-aa-00-01/boot.ipxe?platform=pcbios&buildarch=i386";
    let script = text(lan.machine.run(|| http_get(SERVER, script)));
    for line in [
        "Test system",
        "/images/test/linux",
        "/images/test/initrd.gz",
    ] {
        assert!(script.contains(line), "no {line} in:\n{script}");
    }
    for name in ["linux", "initrd.gz"] {
        let path = format!("/images/test/{name}");
        let image = lan.machine.run(|| http_get(SERVER, &path));
        assert!(image == content(name), "{name} is another file than ours");
    }

    let boot = finished_boot(&farrier, "handed-over");
    assert_eq!(boot["mac"], MAC_TEXT);
    assert_eq!(
        boot["summary"].as_str().map(|s| s.split(' ').next()),
        Some(Some("started"))
    );
    assert_eq!(
        stages(&boot),
        [
            "offered undionly.kpxe",
            "file-served tftp undionly.kpxe",
            "offered http://10.77.0.2/boot.ipxe",
            "menu-served http 52-54-00-aa-00-01/boot.ipxe test",
            "file-served http images/test/linux",
            "file-served http images/test/initrd.gz",
        ]
    );
}

#[test]
fn uefi_firmware_asks_port_4011_and_gets_its_loader() {
    let lan = SiteLan::new();
    let _site_dhcp = Dnsmasq::start(&lan.site, "br0", &[]);
    let farrier = Farrier::started(&lan.server);
    farrier.assign(&[MAC_TEXT]);

    let uefi = ask(&lan.machine, MAC, Edk2::new(MAC, 7));
    let snponly = Outcome::Tftp {
        server: SERVER,
        file: "snponly.efi".to_owned(),
    };
    assert_eq!(uefi.outcome, snponly);
    let answers = uefi.heard.iter().filter(|seen| seen.from.port() == 4011);
    assert!(
        answers.count() >= 1,
        "port 4011 was silent: {:?}",
        uefi.heard
    );
    let loader = lan.machine.run(|| tftp_file(SERVER, "snponly.efi"));
    assert!(loader == content("snponly.efi"), "another file than ours");
    let boot = finished_boot(&farrier, "loader");
    assert_eq!(
        stages(&boot),
        [
            "offered snponly.efi",
            "boot-server-ack snponly.efi",
            "file-served tftp snponly.efi",
        ]
    );
}

#[test]
fn uefi_http_boot_is_sent_to_its_loader_by_url() {
    let lan = SiteLan::new();
    let _site_dhcp = Dnsmasq::start(&lan.site, "br0", &[]);
    let farrier = Farrier::started(&lan.server);
    farrier.assign(&[MAC_TEXT]);

    let uefi = ask(&lan.machine, MAC, Edk2Http::new(MAC, 16));
    let Outcome::Http { url } = uefi.outcome else {
        panic!("no URL: {:?}", uefi.outcome);
    };
    let path = url.strip_prefix("http://10.77.0.2").expect("our address");
    let loader = lan.machine.run(|| http_get(SERVER, path));
    assert!(
        loader == content("snponly.efi"),
        "{url}: another file than ours"
    );
    let boot = finished_boot(&farrier, "loader");
    assert_eq!(
        stages(&boot),
        [
            "offered http://10.77.0.2/boot/snponly.efi",
            "file-served http snponly.efi",
        ]
    );
}

/// As shipped: a boot server that answers strangers can wipe a disk.
#[test]
fn a_stranger_is_left_alone_but_remembered() {
    let lan = SiteLan::new();
    let _site_dhcp = Dnsmasq::start(&lan.site, "br0", &[]);
    let farrier = Farrier::started(&lan.server);
    farrier.apply(PROFILE);

    let uefi = ask(&lan.machine, MAC, Ipxe::new(MAC, 0));
    assert!(
        matches!(uefi.outcome, Outcome::GaveUp(_)),
        "{:?}",
        uefi.outcome
    );
    let ours = |ip: &Ipv4Addr| *ip == SERVER;
    assert!(
        !uefi.heard.iter().any(|seen| ours(seen.from.ip())),
        "{:?}",
        uefi.heard
    );
    let machine = eventually(Duration::from_secs(3), "the machine is listed", || {
        let list = farrier.json(&["machine", "list"]);
        list["machines"]
            .as_array()
            .expect("a list")
            .first()
            .cloned()
    });
    assert_eq!(
        (&machine["macs"][0], &machine["state"]),
        (&MAC_TEXT.into(), &"discovered".into())
    );
    let boot = finished_boot(&farrier, "asked");
    assert_eq!(
        boot["summary"],
        "left alone: no assignment; the site default for such machines is 'silence'"
    );
}

/// The one boot there is, once it has come so far.
fn finished_boot(farrier: &Farrier<'_>, milestone: &str) -> Value {
    eventually(Duration::from_secs(5), milestone, || {
        let boots = farrier.json(&["boots"]);
        let all = boots["boots"].as_array().expect("a list").clone();
        assert!(all.len() < 2, "one boot is one boot: {boots:#}");
        all.into_iter()
            .find(|boot| boot["boot"]["milestone"] == milestone)
    })
}

/// The stages of a boot in order, each once however often it was repeated.
fn stages(boot: &Value) -> Vec<String> {
    let events = boot["boot"]["events"].as_array().expect("a list");
    let mut stages: Vec<String> = events
        .iter()
        .filter(|event| event["event"] != "discovered")
        .map(|event| {
            let words = ["event", "transport", "file", "path", "profile"];
            let words: Vec<&str> = words.iter().filter_map(|key| event[key].as_str()).collect();
            words.join(" ")
        })
        .collect();
    stages.dedup();
    stages
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("scripts are text")
}

const MAC: [u8; 6] = [0x52, 0x54, 0, 0xaa, 0, 1];
const MAC_TEXT: &str = "52:54:00:aa:00:01";
