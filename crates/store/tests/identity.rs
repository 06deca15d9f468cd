//! Whose address is it? Several cards, boards that share a UUID, adapters that go round; on SQLite
//! and on a real PostgreSQL.

mod common;

use bootplan::{
    Because, BootClient, Decision, Event, EventKind, MachineId, MachineState, Mode, NewMachines,
    Origin, Outcome, Rule, RunState, Site, Stage, SystemUuid, decide,
};
use common::{Place, at, install, mac, machine, on_both, run, with_profile};
use store::{EventQuery, MachineChange, Settlement, Sighting, Store, StoreError, StoreOptions};

on_both!(
    a_second_card_is_not_installed_by_a_rule,
    two_proofs_make_a_card_one_more_of_its_machine,
    boards_that_share_a_uuid_are_told_apart_for_good,
    a_new_mainboard_is_believed_when_somebody_says_so,
    what_one_packet_said_keeps_no_machine_from_booting,
    an_adapter_that_goes_round_tells_nothing,
    who_was_told_apart_gives_way_to_nobody,
    a_card_moves_to_the_machine_that_has_it_now,
    two_machines_become_one,
    nothing_is_merged_while_it_is_being_installed,
    one_machine_becomes_two,
    a_machine_that_goes_leaves_no_question,
);

fn uuid(n: u8) -> SystemUuid {
    let text = format!("{n:02x}345678-9abc-def0-1122-334455667788");
    text.parse().expect("a UUID")
}

/// What its firmware says.
fn says(card: u32, board: u8) -> Sighting {
    Sighting {
        uuid: Some(uuid(board)),
        ..Sighting::of(mac(card), at(0))
    }
}

async fn seen(store: &Store, sighting: Sighting) -> MachineId {
    let seen = store.sight(sighting).await.expect("recorded");
    seen.machine.machine.id
}

/// Said twice, which nobody takes back.
async fn known(store: &Store, card: u32, board: u8) -> MachineId {
    seen(store, says(card, board)).await;
    seen(store, says(card, board)).await
}

async fn settled(store: &Store, card: u32, settlement: Settlement) -> Option<MachineId> {
    let settled = store.settle(mac(card), settlement, "ann").await;
    settled.expect("settled")
}

fn in_doubt(store: &Store) -> Vec<u32> {
    let conflicts = store.conflicts();
    let last = |c: &store::Conflict| u32::from(c.mac.0[5]);
    conflicts.iter().map(last).collect()
}

fn asked(store: &Store, card: u32, board: Option<u8>) -> Decision {
    let client = BootClient {
        uuid: board.map(uuid),
        ..BootClient::asking(mac(card), Stage::Firmware)
    };
    decide(&client, &store.catalog())
}

fn in_conflict(store: &Store, card: u32, board: Option<u8>) -> bool {
    let decision = asked(store, card, board);
    let disk = matches!(decision.outcome, Outcome::LocalDisk);
    assert_eq!(decision.because == Because::IdentityConflict, disk);
    disk
}

fn asks(card: u32) -> Event {
    let kind = serde_json::json!({"event": "offered", "stage": "firmware", "platform": "efi-x64",
        "class": "pxe", "file": "snponly.efi",
        "because": {"reason": "site-default", "policy": "wait"}});
    Event {
        at: at(0),
        origin: Origin {
            mac: Some(mac(card)),
            ..Origin::default()
        },
        kind: serde_json::from_value(kind).expect("an event"),
    }
}

/// New machines are registered and installed once, whatever they are.
async fn eager(place: &Place) -> Store {
    let store = with_profile(place).await;
    let site = Site {
        new_machines: NewMachines::Register,
        ..store.site()
    };
    store.set_site(site, "ann").await.expect("stored");
    let rule = serde_json::json!({"name": "all", "selector": {"mac": ["02"]},
        "profile": "debian-12", "mode": "install-once"});
    let rule: Rule = serde_json::from_value(rule).expect("a rule");
    store.put_rule(rule, "ann").await.expect("stored");
    store
}

async fn a_second_card_is_not_installed_by_a_rule(place: Place) {
    let store = eager(&place).await;
    let node = known(&store, 1, 7).await;
    store.append(vec![asks(1)]).await.expect("stored");
    assert_eq!(run(&store, node).state, RunState::Armed, "it is new");

    assert!(
        in_conflict(&store, 2, Some(7)),
        "before anything is recorded"
    );
    let card = seen(&store, says(2, 7)).await;
    assert_ne!(card, node);
    store.append(vec![asks(2)]).await.expect("stored");
    let store = place.reopen(store).await;
    store.append(vec![asks(2)]).await.expect("stored");
    let found = store.machine(card).expect("there").machine;
    assert_eq!((&found.run, found.state), (&None, MachineState::Discovered));
    // Nor when somebody adopts it: nobody has said yet whose it is.
    store.adopt(&[card], "ann").await.expect("adopted");
    assert_eq!(store.machine(card).expect("there").machine.run, None);
    assert!(in_conflict(&store, 2, Some(7)) && in_conflict(&store, 2, None));
    assert!(!in_conflict(&store, 1, Some(7)));

    let conflicts = store.conflicts();
    assert_eq!(conflicts.len(), 1);
    let suspects: Vec<_> = conflicts[0].suspects.iter().map(|s| s.machine).collect();
    assert_eq!(suspects, [node, card]);
    assert_eq!(
        conflicts[0].claims.last().and_then(|c| c.uuid),
        Some(uuid(7))
    );
    let told = store.events(EventQuery::default()).await.expect("read");
    let doubts = told.iter().map(|stored| &stored.event.kind);
    let doubts = doubts.filter(|kind| matches!(kind, EventKind::IdentityConflict { .. }));
    assert_eq!(doubts.count(), 1, "told once");
    store.close().await;
}

async fn two_proofs_make_a_card_one_more_of_its_machine(place: Place) {
    let store = eager(&place).await;
    let loader = |card: u32| Sighting {
        serial: Some("S1".to_owned()),
        product: Some("R640".to_owned()),
        ..says(card, 7)
    };
    let node = seen(&store, loader(1)).await;
    assert_eq!(seen(&store, loader(2)).await, node);
    store.append(vec![asks(2)]).await.expect("stored");
    let found = store.machine(node).expect("there").machine;
    assert_eq!(found.macs, [mac(1), mac(2)]);
    assert_eq!(store.machines().len(), 1);
    assert!(in_doubt(&store).is_empty());

    // Firmware says less than loaders do, and what it said first is asked about.
    let card = seen(&store, says(3, 7)).await;
    assert_eq!(seen(&store, loader(3)).await, card);
    assert_eq!(in_doubt(&store), [3]);
    assert!(in_conflict(&store, 3, Some(7)) && !in_conflict(&store, 1, Some(7)));
    assert_eq!(settled(&store, 3, Settlement::Is(node)).await, Some(node));
    assert!(store.machine(card).is_none() && in_doubt(&store).is_empty());
    assert_eq!(seen(&store, says(3, 7)).await, node);
    store.close().await;
}

async fn boards_that_share_a_uuid_are_told_apart_for_good(place: Place) {
    let store = place.open().await;
    known(&store, 1, 7).await;
    let second = seen(&store, says(2, 7)).await;
    assert_eq!(settled(&store, 2, Settlement::Another).await, Some(second));
    let store = place.reopen(store).await;
    assert!(!in_conflict(&store, 1, Some(7)) && !in_conflict(&store, 2, Some(7)));
    // Two have it, so it tells nobody apart: the third board is no question.
    let third = seen(&store, says(3, 7)).await;
    for card in [1, 2, 3] {
        seen(&store, says(card, 7)).await;
        assert!(!in_conflict(&store, card, Some(7)), "{card}");
    }
    assert!(in_doubt(&store).is_empty() && third != second);
    assert_eq!(store.machines().len(), 3);
    store.close().await;
}

async fn a_new_mainboard_is_believed_when_somebody_says_so(place: Place) {
    let store = place.open().await;
    let node = known(&store, 1, 7).await;
    assert_eq!(seen(&store, says(1, 8)).await, node);
    assert_eq!(in_doubt(&store), [1]);
    assert_eq!(
        store.machine(node).expect("there").machine.uuid,
        Some(uuid(7))
    );
    assert!(in_conflict(&store, 1, Some(8)));

    assert_eq!(settled(&store, 1, Settlement::Dismiss).await, Some(node));
    assert!(in_doubt(&store).is_empty());
    seen(&store, says(1, 8)).await;
    assert_eq!(in_doubt(&store), [1], "it says so again");
    let same = Settlement::Is(node);
    assert_eq!(settled(&store, 1, same).await, Some(node));
    let store = place.reopen(store).await;
    let found = store.machine(node).expect("there").machine;
    assert_eq!(
        (&found.macs[..], found.uuid),
        (&[mac(1)][..], Some(uuid(8)))
    );
    seen(&store, says(1, 8)).await;
    assert!(in_doubt(&store).is_empty() && !in_conflict(&store, 1, Some(8)));
    let gone = store.settle(mac(1), Settlement::Dismiss, "ann").await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })));
    store.close().await;
}

async fn what_one_packet_said_keeps_no_machine_from_booting(place: Place) {
    let store = place.open().await;
    // The first that is heard of it is forged.
    let node = machine(&store, "node", &[1]).await;
    seen(&store, says(1, 9)).await;
    for _ in 0..2 {
        assert_eq!(seen(&store, says(1, 7)).await, node);
    }
    assert_eq!(
        store.machine(node).expect("there").machine.uuid,
        Some(uuid(7))
    );
    assert!(in_doubt(&store).is_empty());
    // A later one is shown, and the machine goes on.
    seen(&store, says(1, 9)).await;
    assert!(in_conflict(&store, 1, None), "one of the two asks");
    assert!(!in_conflict(&store, 1, Some(7)));
    seen(&store, says(1, 7)).await;
    let store = place.reopen(store).await;
    assert!(!in_conflict(&store, 1, None), "it was this one last");
    assert!(in_conflict(&store, 1, Some(9)));
    assert_eq!(in_doubt(&store), [1]);
    store.close().await;
}

async fn an_adapter_that_goes_round_tells_nothing(place: Place) {
    let store = place.open().await;
    let laptop = known(&store, 1, 7).await;
    for board in [8, 9] {
        seen(&store, says(1, board)).await;
    }
    let owner = store.machine(laptop).expect("there").machine;
    assert_eq!(store.conflicts()[0].users(Some(&owner)), 3);
    let why = || "USB-C dongle of the workshop".to_owned();
    let shared = Settlement::Shared { why: why() };
    assert_eq!(settled(&store, 1, shared).await, None);
    let store = place.reopen(store).await;
    assert_eq!(store.shared_macs()[0].why, why());
    assert_eq!(seen(&store, says(1, 7)).await, laptop);
    let other = seen(&store, says(1, 8)).await;
    assert_ne!(other, laptop);
    assert_eq!(seen(&store, says(1, 8)).await, other);
    assert!(store.sight(Sighting::of(mac(1), at(0))).await.is_err());
    assert!(in_doubt(&store).is_empty());
    assert_eq!(asked(&store, 1, Some(7)).machine, Some(laptop));
    assert_eq!(asked(&store, 1, Some(8)).machine, Some(other));
    assert_eq!(asked(&store, 1, None).machine, None);
    // What it does belongs to the one that used it last.
    let told = store.append(vec![asks(1)]).await.expect("stored");
    assert_eq!(told[0].machine, Some(other));

    let by_card = machine(&store, "by card alone", &[2]).await;
    let alone = store.mark_shared(mac(2), "dongle", None, "ann").await;
    assert!(
        matches!(alone, Err(StoreError::Conflict { .. })),
        "{by_card:?}"
    );
    assert!(
        store
            .mark_shared(mac(3), "two\nlines", None, "ann")
            .await
            .is_err()
    );
    let team = [("team".to_owned(), "web".to_owned())];
    let labels = Some(team.clone().into());
    let marked = store.mark_shared(mac(3), "dongle", labels, "ann").await;
    marked.expect("marked");
    let renamed = store.mark_shared(mac(3), "hub", None, "ann").await;
    renamed.expect("marked");
    let store = place.reopen(store).await;
    let hub = store.shared_macs().pop().expect("the newest");
    assert_eq!((hub.why.as_str(), hub.labels), ("hub", team.into()));
    for n in [1, 3] {
        store.unmark_shared(mac(n), "ann").await.expect("unmarked");
    }
    assert!(store.unmark_shared(mac(3), "ann").await.is_err());
    assert_eq!(**store.catalog().doubts(), bootplan::Doubts::default());
    store.close().await;
}

async fn who_was_told_apart_gives_way_to_nobody(place: Place) {
    let options = StoreOptions {
        discovered_limit: 3,
    };
    let store = place.open_with(options).await;
    known(&store, 1, 7).await;
    seen(&store, says(2, 7)).await;
    let own = settled(&store, 2, Settlement::Another).await;
    let own = own.expect("a machine of its own");
    for n in 10..30 {
        seen(&store, Sighting::of(mac(n), at(i64::from(n)))).await;
    }
    let store = place.reopen(store).await;
    let kept = store.machine(own).expect("somebody said who it is").machine;
    assert!(kept.settled && kept.state == MachineState::Discovered);
    assert_eq!(kept.uuid, Some(uuid(7)));
    assert_eq!(store.machines().len(), 1 + 3);
    store.close().await;
}

async fn a_card_moves_to_the_machine_that_has_it_now(place: Place) {
    let store = place.open().await;
    let (one, two) = (known(&store, 1, 7).await, known(&store, 2, 8).await);
    store.adopt(&[one, two], "ann").await.expect("adopted");
    seen(&store, says(1, 8)).await;
    let suspects = store.conflicts()[0].suspects.clone();
    assert_eq!(
        suspects.iter().map(|s| s.machine).collect::<Vec<_>>(),
        [one, two]
    );
    assert_eq!(settled(&store, 1, Settlement::Is(two)).await, Some(two));
    let store = place.reopen(store).await;
    let cards = |id| store.machine(id).expect("there").machine.macs.clone();
    assert_eq!((cards(one), cards(two)), (vec![], vec![mac(2), mac(1)]));
    assert_eq!(asked(&store, 1, Some(8)).machine, Some(two));
    // Its old machine is still found by its UUID, by whatever card it has now.
    assert_eq!(seen(&store, says(3, 7)).await, one);
    // A machine that nobody knows has the card.
    seen(&store, says(3, 9)).await;
    let new = settled(&store, 3, Settlement::Another).await;
    let new = store.machine(new.expect("a new one")).expect("there");
    assert_eq!(new.machine.state, MachineState::Discovered);
    assert_eq!(new.machine.uuid, Some(uuid(9)));
    assert!(in_doubt(&store).is_empty());
    // What nobody would know again is not taken apart.
    let by_card = machine(&store, "by card alone", &[4]).await;
    seen(&store, says(4, 8)).await;
    assert_eq!(in_doubt(&store), [4]);
    let refused = store.settle(mac(4), Settlement::Is(two), "ann").await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })));
    assert_eq!(in_doubt(&store), [4], "nothing has happened");
    store.merge(two, by_card, "ann").await.expect("merged");
    assert!(in_doubt(&store).is_empty());
    store.close().await;
}

async fn two_machines_become_one(place: Place) {
    let store = with_profile(&place).await;
    let into = machine(&store, "node", &[1]).await;
    let from = machine(&store, "twin", &[2]).await;
    let labelled = |rack: &str, more: &str| MachineChange {
        labels: Some(
            [("rack", rack), (more, "yes")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        ),
        serial: Some(Some(format!("S-{more}"))),
        notes: Some(more.to_owned()),
        ..MachineChange::default()
    };
    let power = serde_json::from_value(serde_json::json!({"wake": true})).expect("a switch");
    let changed = store.update_machine(into, labelled("1", "old"), "ann");
    changed.await.expect("changed");
    let changed = store.update_machine(from, labelled("2", "new"), "ann");
    changed.await.expect("changed");
    store.set_power(from, power, "ann").await.expect("stored");
    let profile = Some("debian-12".parse().expect("a slug"));
    let assigned = store.assign(&[into], profile.clone(), "ann").await;
    assigned.expect("assigned");
    store.arm(&[from], install(), "ann").await.expect("ordered");
    store.append(vec![asks(2)]).await.expect("stored");
    let cancelled = store.merge(into, from, "ann").await;
    assert!(matches!(cancelled, Err(StoreError::Conflict { .. })));
    let cancel = bootplan::run::Happening::Ordered(bootplan::run::Order::Cancel);
    store.happen(&[from], cancel, "ann").await.expect("ended");
    store.merge(into, from, "ann").await.expect("merged");

    let store = place.reopen(store).await;
    assert!(store.machine(from).is_none());
    let one = store.machine(into).expect("there").machine;
    assert_eq!(one.macs, [mac(1), mac(2)]);
    assert_eq!(
        (&one.name[..], one.serial.as_deref()),
        ("node", Some("S-old"))
    );
    assert_eq!((one.profile.clone(), one.mode), (profile, Mode::Always));
    assert_eq!(one.run, None, "its order went with it");
    let labels: Vec<_> = one.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["new=yes", "old=yes", "rack=1"]);
    assert_eq!(one.notes, "old\nnew");
    assert!(!store.power(into).await.expect("read").is_empty());
    let of = |machine| EventQuery {
        machine: Some(machine),
        ..EventQuery::default()
    };
    let history = store.events(of(into)).await.expect("read");
    let asked = history
        .iter()
        .filter(|e| e.event.origin.mac == Some(mac(2)));
    assert!(asked.count() >= 3, "its history came with it");
    assert!(store.events(of(from)).await.expect("read").is_empty());
    assert!(store.merge(into, into, "ann").await.is_err());
    assert!(store.merge(into, from, "ann").await.is_err());
    store.close().await;
}

async fn nothing_is_merged_while_it_is_being_installed(place: Place) {
    let store = with_profile(&place).await;
    let busy = machine(&store, "busy", &[1, 3]).await;
    let other = machine(&store, "other", &[2]).await;
    store.arm(&[busy], install(), "ann").await.expect("ordered");
    store.append(vec![asks(1)]).await.expect("stored");
    for (into, from) in [(busy, other), (other, busy)] {
        let refused = store.merge(into, from, "ann").await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })));
    }
    let refused = store.split(busy, vec![mac(3)], "ann").await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })));
    assert_eq!(store.machines().len(), 2);
    store.close().await;
}

async fn one_machine_becomes_two(place: Place) {
    let store = eager(&place).await;
    let id = machine(&store, "node", &[1, 2, 3]).await;
    let cancel = bootplan::run::Happening::Ordered(bootplan::run::Order::Cancel);
    store.happen(&[id], cancel, "ann").await.expect("ended");
    let new = store.split(id, vec![mac(3), mac(2)], "ann").await;
    let new = new.expect("split").machine;
    let store = place.reopen(store).await;
    assert_eq!(store.machine(id).expect("there").machine.macs, [mac(1)]);
    assert_eq!(store.machine(new.id).expect("there").machine, new);
    assert_eq!(new.macs, [mac(3), mac(2)]);
    // It is not new to the site: nothing installs it because it asks.
    seen(&store, Sighting::of(mac(2), at(0))).await;
    store.append(vec![asks(2)]).await.expect("stored");
    assert_eq!(store.machine(new.id).expect("there").machine.run, None);
    for macs in [vec![], vec![mac(1)], vec![mac(2)], vec![mac(1), mac(1)]] {
        let refused = store.split(id, macs.clone(), "ann").await;
        assert!(refused.is_err(), "{macs:?}");
    }
    assert_eq!(store.machine(id).expect("there").machine.macs, [mac(1)]);
    store.close().await;
}

async fn a_machine_that_goes_leaves_no_question(place: Place) {
    let store = place.open().await;
    let node = known(&store, 1, 7).await;
    let card = seen(&store, says(2, 7)).await;
    store.delete_machine(node, "ann").await.expect("gone");
    assert!(in_doubt(&store).is_empty(), "nobody else has that UUID");
    assert_eq!(known(&store, 2, 7).await, card);
    seen(&store, says(2, 8)).await;
    assert_eq!(in_doubt(&store), [2]);
    let cards = MachineChange {
        macs: Some(vec![mac(3)]),
        ..MachineChange::default()
    };
    let moved = store.update_machine(card, cards, "ann").await;
    moved.expect("changed");
    assert!(in_doubt(&store).is_empty(), "that card is nobody's");
    seen(&store, says(3, 8)).await;
    store.delete_machine(card, "ann").await.expect("gone");
    let store = place.reopen(store).await;
    assert!(in_doubt(&store).is_empty());
    store.close().await;
}
