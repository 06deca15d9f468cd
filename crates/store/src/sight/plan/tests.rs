use super::*;
use crate::SharedMac;
use crate::doubts::Doubted;
use bootplan::SystemUuid;
use proptest::prelude::*;

/// Few of each, so that they meet.
fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

fn uuid(n: u8) -> SystemUuid {
    let text = format!("{n:02x}345678-9abc-def0-1122-334455667788");
    text.parse().expect("a UUID")
}

fn sighting((card, board, serial, at): (u8, Option<u8>, Option<u8>, i64)) -> Sighting {
    Sighting {
        uuid: board.map(uuid),
        serial: serial.map(|n| format!("S{n}")),
        product: serial.map(|_| "R640".to_owned()),
        ..Sighting::of(mac(card), Timestamp(at))
    }
}

fn sightings() -> impl Strategy<Value = Vec<Sighting>> {
    let board = || proptest::option::weighted(0.8, 1..5u8);
    let serial = || proptest::option::weighted(0.4, 1..4u8);
    let one = (1..6u8, board(), serial(), 0..20i64);
    proptest::collection::vec(one.prop_map(sighting), 1..40)
}

/// Two that somebody entered, one by its card and one by its UUID, and a shared adapter.
fn known() -> Model {
    let mut model = Model::default();
    let entered = [
        Machine {
            macs: vec![mac(1)],
            uuid: Some(uuid(1)),
            ..Machine::named(MachineId(1), "one")
        },
        Machine {
            uuid: Some(uuid(2)),
            ..Machine::named(MachineId(2), "two")
        },
    ];
    for machine in entered {
        model.put(record(Arc::new(machine), Timestamp(0), Timestamp(0)));
    }
    let shared = SharedMac {
        mac: mac(5),
        why: "dongle".to_owned(),
        labels: Default::default(),
        since: Timestamp(0),
    };
    model.put_doubts(Doubted {
        shared: [(mac(5), shared)].into(),
        ..Doubted::default()
    });
    model
}

fn record(machine: Arc<Machine>, first: Timestamp, last: Timestamp) -> MachineRecord {
    MachineRecord {
        machine,
        first_seen: first,
        last_seen: Some(last),
    }
}

/// What the store does with a plan, without the database.
fn carry_out(model: &mut Model, mut plan: Plan) {
    let last = model.machines.keys().next_back();
    let mut next = last.map_or(1, |id| id.0 + 1);
    for draft in &mut plan.drafts {
        if draft.known.is_none() {
            let made_up = draft.machine.id;
            Arc::make_mut(&mut draft.machine).id = MachineId(next);
            plan.doubts.rename(made_up, MachineId(next));
            next += 1;
        }
        let machine = Arc::clone(&draft.machine);
        model.put(record(machine, draft.first_seen, draft.last_seen));
    }
    let mut doubts = model.doubts.clone();
    for (mac, conflict) in plan.doubts.changed() {
        match conflict {
            Some(conflict) => doubts.conflicts.insert(mac, conflict.clone()),
            None => doubts.conflicts.remove(&mac),
        };
    }
    model.put_doubts(doubts);
}

fn see(model: &mut Model, sightings: &[Sighting]) {
    let plan = Plan::new(model, sightings);
    carry_out(model, plan);
}

fn machines(model: &Model) -> Vec<Arc<Machine>> {
    let rows = model.machines.values();
    rows.map(|row| Arc::clone(&row.record.machine)).collect()
}

fn check(model: &Model) {
    let all = machines(model);
    let cards: Vec<MacAddr> = all.iter().flat_map(|m| m.macs.clone()).collect();
    let unique: BTreeSet<_> = cards.iter().collect();
    assert_eq!(unique.len(), cards.len(), "a card is one machine's");
    assert!(!unique.contains(&mac(5)), "a shared adapter is nobody's");
    // What people entered stays, whatever anybody says.
    let [one, two] = [&all[0], &all[1]];
    assert!(one.macs.contains(&mac(1)) && one.uuid == Some(uuid(1)));
    assert_eq!(two.uuid, Some(uuid(2)));
    assert!(
        [one, two]
            .iter()
            .all(|m| m.state == MachineState::Registered)
    );
    for conflict in model.doubts.conflicts.values() {
        let owner = model.with_mac(conflict.mac).expect("somebody has it");
        let suspects: Vec<_> = conflict.suspects.iter().map(|s| s.machine).collect();
        assert!(
            suspects.contains(&owner) && suspects.is_sorted(),
            "{suspects:?}"
        );
        assert!(suspects.iter().all(|id| model.machine(*id).is_some()));
        assert!(!conflict.claims.is_empty(), "a person sees why");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nobody_loses_a_card_or_an_identity(sightings in sightings()) {
        let mut model = known();
        for sighting in &sightings {
            let owner = model.with_mac(sighting.mac);
            let before = machines(&model);
            see(&mut model, std::slice::from_ref(sighting));
            check(&model);
            // A card stays with the machine that has it.
            if owner.is_some() {
                prop_assert_eq!(model.with_mac(sighting.mac), owner);
            }
            // Where a question is open about what was just said, nothing was learned from it.
            let said = sighting.uuid;
            let asked = model.doubts.conflicts.get(&sighting.mac);
            let doubted = asked.is_some_and(|c| c.claims.last().is_some_and(|c| c.uuid == said && said.is_some()));
            if doubted && asked.is_some_and(|c| !c.quiet) {
                for old in &before {
                    let new = model.machine(old.id).expect("still there");
                    prop_assert_eq!(&new.machine.macs, &old.macs);
                    prop_assert_eq!(new.machine.uuid, old.uuid);
                }
            }
        }
    }

    #[test]
    fn one_batch_comes_to_the_same_as_one_by_one(sightings in sightings()) {
        let (mut together, mut alone) = (known(), known());
        see(&mut together, &sightings);
        for sighting in &sightings {
            see(&mut alone, std::slice::from_ref(sighting));
        }
        prop_assert_eq!(machines(&together), machines(&alone));
        prop_assert_eq!(&together.doubts, &alone.doubts);
    }

    #[test]
    fn a_machine_that_says_the_same_is_always_found_again(board in 1..200u8, cards in 1..4u8) {
        let mut model = known();
        // Through its first card, then with serial number through the others, over and over.
        for round in 0..3 {
            for card in 0..cards {
                let said = (20 + card, Some(9 + board % 20), Some(9), round);
                see(&mut model, &[sighting(said)]);
                check(&model);
            }
        }
        let all = machines(&model);
        prop_assert_eq!(all.len(), 3);
        prop_assert_eq!(all[2].macs.len(), usize::from(cards));
        prop_assert!(model.doubts.conflicts.is_empty());
    }
}

#[test]
fn only_people_take_a_card_away() {
    let mut model = known();
    for n in 0..40u8 {
        see(&mut model, &[sighting((1, Some(10 + n), Some(n), 0))]);
        check(&model);
    }
    let conflict = &model.doubts.conflicts[&mac(1)];
    assert_eq!(conflict.claims.len(), 8, "of a flood the newest are kept");
    let newest = conflict.claims.last().and_then(|claim| claim.uuid);
    assert_eq!(newest, Some(uuid(49)));
    assert_eq!(machines(&model).len(), 2);
}
