//! An answer costs no memory: what firmware sends is parsed, decided and answered in the memory
//! of the answer before.

mod common;

use allocation_counter::measure;
use bootplan::{
    BootMethod, Catalog, EfiStyle, FileRef, NewMachines, Profile, Rule, Ruling, Selector, judge,
};
use common::{broadcast, endpoint, unicast};
use proxydhcp::{Answer, Received, Way, parse, respond_into};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use testkit::packet::{LEASE, Packet, SERVER};
use testkit::site::{many_machines, std_catalog};

/// The packet's way, as the program goes it.
fn serve(
    received: &Received<'_>,
    catalog: &Catalog,
    answer: &mut Answer,
    reply: &mut Vec<u8>,
) -> Option<Way> {
    let request = parse(received).ok()?;
    let server = endpoint(received.local);
    let verdict = judge(request.client(), catalog);
    let Ruling::Boot(sketch) = &verdict.ruling else {
        return None;
    };
    answer.set_to(sketch, request.client(), &server);
    respond_into(&request, answer, &server, reply).ok()
}

#[test]
fn an_answer_allocates_nothing() {
    let catalog = many_machines(2000, profile());
    let client = SocketAddrV4::new(LEASE, 4011);
    let stranger = Packet {
        mac: [0x52, 0x54, 0, 0xff, 0xff, 0xff],
        ..Packet::d0()
    };
    let (d0, r0, stranger) = (
        Packet::d0().encode(),
        Packet::r0().encode(),
        stranger.encode(),
    );
    let http = Packet::d0()
        .with(60, b"HTTPClient:Arch:00016:UNDI:003001")
        .with(93, &[0, 16])
        .encode();
    let asks = [
        ("a known machine", broadcast(&d0, SERVER)),
        ("a known machine on port 4011", unicast(&r0, client, SERVER)),
        ("a known machine by HTTP", broadcast(&http, SERVER)),
        (
            "a stranger, by the site default",
            broadcast(&stranger, SERVER),
        ),
    ];
    let (mut answer, mut reply) = (Answer::default(), Vec::new());
    for (who, received) in &asks {
        let warm = serve(received, &catalog, &mut answer, &mut reply);
        assert!(warm.is_some(), "{who} is answered");
    }
    for (who, received) in &asks {
        let cost = measure(|| {
            let way = serve(received, &catalog, &mut answer, &mut reply);
            assert!(way.is_some(), "{who} is answered");
        });
        assert_eq!(cost.count_total, 0, "{who}: {cost:?}");
    }
}

fn profile() -> Profile {
    Profile {
        name: "disk".parse().expect("a slug"),
        title: "Disk".to_owned(),
        description: String::new(),
        enabled: true,
        in_menu: false,
        platforms: Vec::new(),
        loader: None,
        labels: Default::default(),
        efi_style: EfiStyle::Binl,
        boot: BootMethod::Chain {
            url: FileRef::Url("http://192.168.77.2/x".to_owned()),
        },
        extras: Default::default(),
        answers: Vec::new(),
        variables: Default::default(),
        install: None,
    }
}

/// Two hundred rules, of which the last one matches.
#[test]
fn rules_allocate_nothing() {
    let glob = |text: &str| vec![text.parse().expect("a glob")];
    let rules = (0..200).map(|n| {
        let conditions = vec![
            Selector::Subnet(vec!["192.168.77.0/24".parse().expect("a subnet")]),
            Selector::Any(vec![
                Selector::Circuit(glob("*ge-0/0/*")),
                Selector::Not(Box::new(Selector::Circuit(glob("xe-*")))),
            ]),
            Selector::Mac(vec![match n {
                199 => "52:54:00".parse().expect("a prefix"),
                _ => "00:00:5e".parse().expect("a prefix"),
            }]),
        ];
        Arc::new(Rule {
            name: format!("r{n}").parse().expect("a slug"),
            labels: Default::default(),
            enabled: true,
            selector: Selector::All(conditions),
            profile: "disk".parse().expect("a slug"),
            mode: bootplan::Mode::Always,
            new_machines: Some(NewMachines::Register),
        })
    });
    let catalog = many_machines(10, profile()).with_rules(rules);
    let stranger = Packet {
        mac: [0x52, 0x54, 0, 0xff, 0xff, 0xff],
        ..Packet::d0()
    };
    let bytes = stranger.encode();
    let received = broadcast(&bytes, SERVER);
    let verdict = judge(parse(&received).expect("a request").client(), &catalog);
    assert!(verdict.because().to_string().starts_with("rule 'r199'"));
    let (mut answer, mut reply) = (Answer::default(), Vec::new());
    assert!(serve(&received, &catalog, &mut answer, &mut reply).is_some());
    let cost = measure(|| {
        assert!(serve(&received, &catalog, &mut answer, &mut reply).is_some());
    });
    assert_eq!(cost.count_total, 0, "{cost:?}");
}

#[test]
fn what_is_not_for_us_allocates_nothing() {
    let catalog = std_catalog();
    let (mut answer, mut reply) = (Answer::default(), Vec::new());
    let ordinary = Packet::d0().without(60).encode();
    let request = Packet::d0().with(53, &[3]).encode();
    for bytes in [&ordinary[..], &request, &[0; 1000]] {
        let received = broadcast(bytes, Ipv4Addr::new(192, 168, 77, 2));
        let cost = measure(|| {
            assert_eq!(serve(&received, &catalog, &mut answer, &mut reply), None);
        });
        assert_eq!(cost.count_total, 0, "{cost:?}");
    }
}
