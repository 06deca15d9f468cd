//! An order to install whose server dies in the middle.

use crate::common::wire::{http_get, http_parse};
use crate::common::{Farrier, Lan, SERVER, eventually};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const INSTALLER: &str = "kind: profile\nname: test\ntitle: Test system\nboot: {kind: linux, kernel: test/linux, \
    initrds: [test/initrd.gz], args: \"report={{ report }}\"}\n";

/// What the server says of the machine, once it says so.
fn comes_to(farrier: &Farrier<'_>, lifecycle: &str) {
    let what = format!("the machine is {lifecycle}");
    eventually(Duration::from_secs(5), &what, || {
        let list = farrier.json(&["machine", "list"]);
        (list["machines"][0]["lifecycle"] == lifecycle).then_some(())
    });
}

/// A power cut: nothing is told before it, nobody tidies up.
fn power_cut(farrier: &mut Farrier<'_>, lifecycle: &str) {
    farrier.kill();
    farrier.start();
    comes_to(farrier, lifecycle);
}

/// What the server answers to a report.
fn reports(lan: &Lan, link: &str, body: &str) -> u16 {
    lan.client.run(|| {
        let mut stream = TcpStream::connect(SocketAddr::from((SERVER, 80))).expect("open");
        let length = body.len();
        let asked = format!(
            "POST {link} HTTP/1.1\r\nHost: {SERVER}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(asked.as_bytes()).expect("sent");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("read");
        http_parse(&bytes).status
    })
}

#[test]
fn a_server_killed_during_an_installation_still_knows_it_and_hears_the_report() {
    let lan = Lan::new();
    let mut farrier = Farrier::started(&lan.server);
    // The client's own card: a menu with links is given to no other machine.
    let mac = lan.client.mac("eth0");
    farrier.apply(INSTALLER);
    farrier.apply(&format!("kind: machine\nname: rack1\nmacs: ['{mac}']\n"));
    farrier.ok(&["machine", "install", "rack1", "--profile", "test"]);
    power_cut(&mut farrier, "armed");

    let menu = format!("/{}/boot.ipxe", mac.replace(':', "-"));
    let ask = || {
        let menu = lan.client.run(|| http_get(SERVER, &menu));
        String::from_utf8(menu).expect("text")
    };
    // The first question may come before its turn is given.
    let given = eventually(Duration::from_secs(5), "its turn", || {
        Some(ask()).filter(|menu| menu.contains("report=http://"))
    });
    let link = given.split("report=http://").nth(1).expect("a link");
    let link = link.split_whitespace().next().expect("a link");
    let link = &link[link.find('/').expect("a path")..];
    lan.client.run(|| {
        http_get(SERVER, "/images/test/linux");
        http_get(SERVER, "/images/test/initrd.gz");
    });
    comes_to(&farrier, "installing");
    power_cut(&mut farrier, "installing");
    assert_eq!(reports(&lan, link, "state=phase&text=base-system"), 200);
    power_cut(&mut farrier, "installing");

    assert_eq!(reports(&lan, link, "state=done"), 200);
    // Whoever got the answer may rely on it, whatever happens next.
    power_cut(&mut farrier, "installed");
    let given = ask();
    assert!(!given.contains("test/linux"), "it installs again: {given}");
    // A report that is repeated because its answer was lost does no harm.
    assert_eq!(reports(&lan, link, "state=done"), 200);
    comes_to(&farrier, "installed");
}
