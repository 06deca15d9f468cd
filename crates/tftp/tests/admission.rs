//! Who gets a transfer when there are too many.

mod common;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use common::{beginning, rrq};
use proptest::prelude::*;
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
};

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
        .map(|host| start(&mut sessions, peer(host, 2000)).0)
        .collect();
    assert_eq!(sessions.half_open(), SMALL.half_open);
    assert_eq!(start(&mut sessions, peer(9, 2000)).1, [forged[0]]);
    assert_eq!(start(&mut sessions, peer(10, 2000)).1, [forged[1]]);
    assert_eq!((sessions.len(), sessions.half_open()), (5, 4));
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
    for forged in 0..50_000_u32 {
        let [_, a, b, c] = forged.to_be_bytes();
        sessions.admit(
            beginning(),
            SocketAddr::from(([10, a, b, c], 2000)),
            &request("f", ""),
        );
        if forged % 5_000 == 0 {
            let (real, _) = start(&mut sessions, SocketAddr::from(([192, 168, 0, 1], 2070)));
            sessions.proved(real);
            sessions.end(real);
        }
    }
    assert_eq!(sessions.half_open(), Caps::default().half_open);
    assert!(sessions.len() <= Caps::default().half_open);
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
