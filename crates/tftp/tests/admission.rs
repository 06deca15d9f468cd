//! Who gets a transfer when there are too many.

mod common;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use common::{beginning, rrq};
use proptest::prelude::*;
use tftp::admission::rate::BURST;
use tftp::admission::{Admission, Caps, JOIN_FOR, Refusal, SessionId, Sessions, is_client_port};
use tftp::{Request, parse_request};

fn request(name: &str, options: &str) -> Request {
    parse_request(&rrq(name, "octet", options)).expect("it is well-formed")
}

fn peer(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], port))
}

fn start(sessions: &mut Sessions, peer: SocketAddr) -> (SessionId, Vec<SessionId>) {
    match sessions.admit(beginning(), peer, &request("f", "")) {
        Admission::Start { id, ended } => (id, ended),
        other => panic!("{peer} is not admitted: {other:?}"),
    }
}

const SMALL: Caps = Caps {
    sessions: 6,
    per_client: 3,
    half_open: 4,
    per_network_half_open: 3,
    per_second: 1_000,
    burst: 1_000,
};

/// An address in a network of its own.
fn elsewhere(network: u8) -> SocketAddr {
    SocketAddr::from(([10, 1, network, 1], 2000))
}

#[test]
fn the_same_request_joins_and_any_other_begins_anew() {
    let now = beginning();
    let asked = request("f", "tsize=0");
    let mut sessions = Sessions::new(Caps::default());
    let Admission::Start { id: first, .. } = sessions.admit(now, peer(1, 2070), &asked) else {
        panic!("not admitted");
    };
    let repeated = sessions.admit(now + Duration::from_millis(260), peer(1, 2070), &asked);
    assert_eq!(repeated, Admission::Join(first));

    let mut latest = first;
    for other in [
        request("g", "tsize=0"),
        request("g", ""), // rejects the negotiation
    ] {
        let Admission::Start { id, ended } = sessions.admit(now, peer(1, 2070), &other) else {
            panic!("not admitted");
        };
        assert_eq!(ended, [latest]);
        latest = id;
    }
    // Another port is another client program.
    let (_, ended) = start(&mut sessions, peer(1, 2071));
    assert!(ended.is_empty());
    assert_eq!(sessions.len(), 2);
}

#[test]
fn a_machine_that_was_reset_does_not_join_its_old_transfer() {
    let mut sessions = Sessions::new(Caps::default());
    let (old, _) = start(&mut sessions, peer(1, 2070));
    sessions.proved(old);
    let again = sessions.admit(beginning() + JOIN_FOR, peer(1, 2070), &request("f", ""));
    assert!(matches!(again, Admission::Start { ended, .. } if ended == [old]));
}

#[test]
fn a_transfer_that_is_over_is_not_joined() {
    let mut sessions = Sessions::new(Caps::default());
    let (old, _) = start(&mut sessions, peer(1, 2070));
    sessions.end(old);
    sessions.end(old); // twice is as good as once
    let (_, ended) = start(&mut sessions, peer(1, 2070));
    assert!(ended.is_empty());
}

#[test]
fn the_oldest_half_open_transfer_makes_way() {
    let mut sessions = Sessions::new(SMALL);
    let (real, _) = start(&mut sessions, peer(1, 2000));
    sessions.proved(real);
    let forged: Vec<_> = (2..6)
        .map(|network| start(&mut sessions, elsewhere(network)).0)
        .collect();
    assert_eq!(sessions.half_open(), SMALL.half_open);
    assert_eq!(start(&mut sessions, elsewhere(9)).1, [forged[0]]);
    assert_eq!(start(&mut sessions, elsewhere(10)).1, [forged[1]]);
    assert_eq!((sessions.len(), sessions.half_open()), (5, 4));
}

#[test]
fn addresses_of_one_network_make_way_for_each_other() {
    let mut sessions = Sessions::new(SMALL);
    let (other, _) = start(&mut sessions, elsewhere(2));
    let forged: Vec<_> = (1..4)
        .map(|host| start(&mut sessions, peer(host, 2000)).0)
        .collect();
    // The other network's is older, and stays.
    assert_eq!(start(&mut sessions, peer(4, 2000)).1, [forged[0]]);
    assert_eq!(start(&mut sessions, peer(5, 2000)).1, [forged[1]]);
    sessions.proved(other);
    // Who is proved no longer counts.
    sessions.proved(forged[2]);
    assert!(start(&mut sessions, peer(6, 2000)).1.is_empty());
}

#[test]
fn an_address_that_asks_too_fast_is_refused_until_it_slows_down() {
    let mut sessions = Sessions::default();
    let ask = |sessions: &mut Sessions, after: Duration| {
        sessions.admit(beginning() + after, peer(1, 2070), &request("f", ""))
    };
    let refused = Admission::Refuse(Refusal::TooFast { per_second: 1_000 });
    for _ in 0..BURST {
        assert_ne!(ask(&mut sessions, Duration::ZERO), refused);
    }
    assert_eq!(ask(&mut sessions, Duration::ZERO), refused);
    assert_eq!(ask(&mut sessions, Duration::from_micros(900)), refused);
    assert_ne!(ask(&mut sessions, Duration::from_millis(1)), refused);
    assert_eq!(ask(&mut sessions, Duration::from_millis(1)), refused);
    // At the rate it may go on for ever, and rest makes a burst possible again.
    for second in 1..5_000 {
        assert_ne!(
            ask(&mut sessions, Duration::from_millis(1 + second)),
            refused
        );
    }
    for _ in 0..BURST {
        assert_ne!(ask(&mut sessions, Duration::from_secs(6)), refused);
    }
}

/// GRUB's modules, and a rack that starts behind one address.
#[test]
fn no_boot_is_too_fast() {
    let mut sessions = Sessions::default();
    for file in 0..300_u16 {
        let now = beginning() + Duration::from_millis(u64::from(file));
        let asked = request(
            &format!("grub/x86_64-efi/{file}.mod"),
            "blksize=1024 tsize=0",
        );
        for machine in 0..3 {
            let peer = peer(1, 10_000 + 1_000 * machine + file);
            let Admission::Start { id, ended } = sessions.admit(now, peer, &asked) else {
                panic!("module {file} of machine {machine} is refused");
            };
            assert!(ended.is_empty());
            sessions.proved(id);
            sessions.end(id);
        }
    }
}

#[test]
fn one_address_has_its_share() {
    let mut sessions = Sessions::new(SMALL);
    let own: Vec<_> = (0..3)
        .map(|port| start(&mut sessions, peer(1, 2000 + port)).0)
        .collect();
    assert_eq!(start(&mut sessions, peer(1, 3000)).1, [own[0]]);
    let mut proved = Sessions::new(SMALL);
    for port in 0..3 {
        let (id, _) = start(&mut proved, peer(1, 2000 + port));
        proved.proved(id);
    }
    let refused = proved.admit(beginning(), peer(1, 3000), &request("f", ""));
    assert_eq!(refused, Admission::Refuse(Refusal::ClientFull { cap: 3 }));
    assert!(start(&mut proved, peer(2, 2000)).1.is_empty());
}

#[test]
fn running_transfers_are_never_pushed_out() {
    let mut sessions = Sessions::new(SMALL);
    for host in 1..=6 {
        let (id, _) = start(&mut sessions, peer(host, 2000));
        sessions.proved(id);
    }
    let refused = sessions.admit(beginning(), peer(9, 2000), &request("f", ""));
    assert_eq!(refused, Admission::Refuse(Refusal::Full { cap: 6 }));
}

#[test]
fn ports_of_services_get_nothing() {
    let mut sessions = Sessions::default();
    for port in [0, 7, 19, 53, 67, 69, 1024, 4011] {
        assert!(!is_client_port(port));
        let refused = sessions.admit(beginning(), peer(1, port), &request("f", ""));
        assert_eq!(refused, Admission::Refuse(Refusal::ReservedPort { port }));
    }
    assert!(is_client_port(2070));
}

#[test]
fn a_flood_costs_bounded_memory_and_leaves_a_real_client_its_time() {
    let mut sessions = Sessions::new(Caps::default());
    let asked = request("f", "");
    let mut open: Option<SessionId> = None;
    for forged in 0..100_000_u32 {
        // 20,000 a second; a real client in the midst of them takes 10 ms to answer.
        let now = beginning() + Duration::from_micros(50) * forged;
        let [_, a, b, c] = forged.to_be_bytes();
        sessions.admit(now, SocketAddr::from(([10, a, c, b], 2000)), &asked);
        if forged % 400 == 0 {
            let client = SocketAddr::from(([10, 0, 7, 200], 2070));
            let Admission::Start { id, .. } = sessions.admit(now, client, &asked) else {
                panic!("the real client is refused after {forged} forged requests");
            };
            open = Some(id);
        } else if forged % 400 == 200
            && let Some(id) = open.take()
        {
            let before = sessions.half_open();
            sessions.proved(id);
            assert_eq!(sessions.half_open(), before - 1, "it was pushed out");
            sessions.end(id);
        }
        assert!(sessions.half_open() <= Caps::default().half_open);
    }
    assert!(sessions.len() <= Caps::default().half_open + 1);
}

proptest! {
    /// Against a plain list of who is there: counts agree, no cap is passed, nothing proved is pushed out by others.
    #[test]
    fn any_sequence(steps in prop::collection::vec((0_u8..3, 1_u8..5, 0_u16..4, 0_u8..3), 1..200)) {
        let mut sessions = Sessions::new(SMALL);
        let mut alive: Vec<(SessionId, SocketAddr, bool)> = Vec::new();
        for (step, host, port, name) in steps {
            let peer = peer(host, 2000 + port);
            match step {
                0 => match sessions.admit(beginning(), peer, &request(&name.to_string(), "")) {
                    Admission::Start { id, ended } => {
                        for gone in ended {
                            let at = alive.iter().position(|(id, ..)| *id == gone);
                            let (_, of, proved) = alive.remove(at.expect("it was alive"));
                            prop_assert!(!proved || of == peer);
                        }
                        prop_assert!(alive.iter().all(|(other, of, _)| *other != id && *of != peer));
                        alive.push((id, peer, false));
                    }
                    Admission::Join(id) => prop_assert!(alive.iter().any(|(other, of, _)| *other == id && *of == peer)),
                    Admission::Refuse(_) => {}
                },
                1 => {
                    if let Some(entry) = alive.first_mut() {
                        entry.2 = true;
                        sessions.proved(entry.0);
                    }
                }
                _ => {
                    if let Some((id, ..)) = alive.pop() {
                        sessions.end(id);
                    }
                }
            }
            prop_assert_eq!(sessions.len(), alive.len());
            prop_assert_eq!(sessions.half_open(), alive.iter().filter(|(.., proved)| !proved).count());
            prop_assert!(sessions.len() <= SMALL.sessions && sessions.half_open() <= SMALL.half_open);
            let hosts: HashSet<_> = alive.iter().map(|(_, of, _)| of.ip()).collect();
            for host in hosts {
                prop_assert!(alive.iter().filter(|(_, of, _)| of.ip() == host).count() <= SMALL.per_client);
            }
        }
    }
}
