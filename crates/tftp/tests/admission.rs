//! Who gets a transfer when there are too many.

mod common;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use common::{beginning, rrq};
use proptest::prelude::*;
use tftp::admission::quiet::QUIET_AFTER;
use tftp::admission::rate::BURST;
use tftp::admission::{
    Admission, Caps, Ended, JOIN_FOR, MakesWay, Refusal, SessionId, Sessions, is_client_port,
};
use tftp::{Request, parse_request};

fn request(name: &str, options: &str) -> Request {
    parse_request(&rrq(name, "octet", options)).expect("it is well-formed")
}

fn peer(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], port))
}

fn start(sessions: &mut Sessions, peer: SocketAddr) -> (SessionId, Vec<SessionId>) {
    match sessions.admit(beginning(), peer, &request("f", "")) {
        Admission::Start { id, ended } => (id, ended.iter().map(|ended| ended.id).collect()),
        other => panic!("{peer} is not admitted: {other:?}"),
    }
}

/// One that has answered.
fn proved(sessions: &mut Sessions, peer: SocketAddr) -> SessionId {
    let (id, _) = start(sessions, peer);
    sessions.proved(id);
    id
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
        let why = MakesWay::BeganAnew;
        assert_eq!(ended, [Ended { id: latest, why }]);
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
    assert!(matches!(again, Admission::Start { ended, .. } if ended[0].id == old));
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

/// Clients that answered once and then never again must not keep others out.
#[test]
fn who_has_been_quiet_for_longest_makes_way_when_no_place_is_left() {
    let mut sessions = Sessions::new(SMALL);
    let later = beginning() + QUIET_AFTER;
    let ids: Vec<_> = (1..=6)
        .map(|host| proved(&mut sessions, peer(host, 2000)))
        .collect();
    // The order of silence counts, not the order of beginning. One got on again, one is over.
    for (n, millis) in [(3, 300), (0, 200), (4, 100), (1, 50), (2, 0)] {
        let since = later - Duration::from_millis(millis);
        sessions.quiet(ids[n], since);
    }
    sessions.moves(ids[3]);
    sessions.end(ids[4]);
    assert_eq!(sessions.quiet_ones(), 3);
    // There is a place.
    let (newcomer, ended) = start(&mut sessions, peer(7, 2000));
    assert!(ended.is_empty());
    sessions.proved(newcomer);
    for (host, wanted) in [(8, 0), (9, 1), (10, 2)] {
        let admission = sessions.admit(later, peer(host, 2000), &request("f", ""));
        let Admission::Start { id, ended } = admission else {
            panic!("not admitted: {admission:?}");
        };
        let why = MakesWay::Quiet;
        assert_eq!(
            ended,
            [Ended {
                id: ids[wanted],
                why
            }]
        );
        sessions.proved(id);
    }
    // Those that are left get on.
    let refused = sessions.admit(later, peer(11, 2000), &request("f", ""));
    assert_eq!(refused, Admission::Refuse(Refusal::Full { cap: 6 }));
    assert_eq!((sessions.len(), sessions.quiet_ones()), (6, 0));
}

/// While somebody proves himself: with all places held by quiet ones, those who ask do not push out each other.
#[test]
fn the_quiet_make_way_before_those_who_have_just_asked() {
    let mut sessions = Sessions::new(SMALL);
    for host in 1..=6 {
        let id = proved(&mut sessions, peer(host, 2000));
        sessions.quiet(id, beginning());
    }
    let asking: Vec<_> = (1..=4)
        .map(|network| start(&mut sessions, elsewhere(network)).0)
        .collect();
    assert_eq!((sessions.half_open(), sessions.quiet_ones()), (4, 2));
    // No more of the quiet than there may be half-open ones: those may all be forged.
    assert_eq!(start(&mut sessions, elsewhere(5)).1, [asking[0]]);
    assert_eq!(sessions.quiet_ones(), 2);
}

#[test]
fn one_address_ends_its_own_quiet_transfers_and_nobody_elses() {
    let caps = Caps {
        per_client: 4,
        ..SMALL
    };
    let mut sessions = Sessions::new(caps.clone());
    let other = proved(&mut sessions, peer(1, 2000));
    sessions.quiet(other, beginning());
    let own: Vec<_> = (0..4)
        .map(|port| proved(&mut sessions, peer(2, 2000 + port)))
        .collect();
    let refused = sessions.admit(beginning(), peer(2, 3000), &request("f", ""));
    assert_eq!(refused, Admission::Refuse(Refusal::ClientFull { cap: 4 }));
    sessions.quiet(own[2], beginning());
    assert_eq!(start(&mut sessions, peer(2, 3000)).1, [own[2]]);

    // Requests forged from a machine's address push out each other, not the machine's transfer that pauses.
    let mut forged = Sessions::new(caps);
    let paused = proved(&mut forged, peer(1, 2000));
    forged.quiet(paused, beginning());
    for port in 1..40 {
        let (_, ended) = start(&mut forged, peer(1, 2000 + port));
        assert!(!ended.contains(&paused), "after {port}");
    }
}

#[test]
fn only_who_is_proved_is_quiet() {
    let mut sessions = Sessions::new(SMALL);
    let (id, _) = start(&mut sessions, peer(1, 2000));
    sessions.quiet(id, beginning());
    assert_eq!(sessions.quiet_ones(), 0);
    sessions.end(id);
    sessions.quiet(id, beginning());
    sessions.moves(id);
    assert_eq!(sessions.quiet_ones(), 0);
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
    /// Against a plain list of who is there: counts agree, no cap is passed, nothing proved that gets on is pushed out by
    /// others.
    #[test]
    fn any_sequence(steps in prop::collection::vec((0_u8..5, 1_u8..5, 0_u16..4, 0_u8..3), 1..200)) {
        let mut sessions = Sessions::new(SMALL);
        let mut alive: Vec<(SessionId, SocketAddr, bool)> = Vec::new();
        let mut quiet: HashSet<SessionId> = HashSet::new();
        for (step, host, port, name) in steps {
            let peer = peer(host, 2000 + port);
            match step {
                0 => match sessions.admit(beginning(), peer, &request(&name.to_string(), "")) {
                    Admission::Start { id, ended } => {
                        for gone in ended {
                            let at = alive.iter().position(|(id, ..)| *id == gone.id);
                            let (_, of, proved) = alive.remove(at.expect("it was alive"));
                            let was_quiet = quiet.remove(&gone.id);
                            let may_go = match gone.why {
                                MakesWay::BeganAnew => of == peer,
                                MakesWay::HalfOpen => !proved,
                                MakesWay::Quiet => was_quiet,
                            };
                            prop_assert!(may_go);
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
                2 => {
                    if let Some((id, ..)) = alive.pop() {
                        quiet.remove(&id);
                        sessions.end(id);
                    }
                }
                3 => {
                    if let Some((id, _, proved)) = alive.get(usize::from(host)) {
                        sessions.quiet(*id, beginning() + Duration::from_millis(port.into()));
                        if *proved {
                            quiet.insert(*id);
                        }
                    }
                }
                _ => {
                    if let Some((id, ..)) = alive.get(usize::from(port)) {
                        sessions.moves(*id);
                        quiet.remove(id);
                    }
                }
            }
            prop_assert_eq!(sessions.quiet_ones(), quiet.len());
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
