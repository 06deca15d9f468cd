//! What a person said of whose an address is, on a server made anew from its export.

use super::site::Site;
use crate::documents::Options;
use bootplan::{MacAddr, MachineState, SystemUuid, Timestamp};
use store::{Settlement, Sighting, StoreError};

const UUID: &str = "12345678-9abc-def0-1122-334455667788";

/// A machine that was entered with its UUID, which a second card says, too.
const NODE: &str = "kind: machine\nname: node-1\nmacs: [52:54:00:00:00:01]\n\
                    uuid: 12345678-9abc-def0-1122-334455667788\n";

fn mac(n: u8) -> MacAddr {
    MacAddr([0x52, 0x54, 0, 0, 0, n])
}

impl Site {
    /// This card asks, and says the UUID.
    async fn sees(&self, n: u8) {
        let uuid: SystemUuid = UUID.parse().expect("a UUID");
        let sighting = Sighting {
            uuid: Some(uuid),
            ..Sighting::of(mac(n), Timestamp(1_000_000))
        };
        self.store.sight(sighting).await.expect("recorded");
    }

    /// In doubt by now: which address.
    fn doubted(&self) -> Vec<MacAddr> {
        self.store.conflicts().iter().map(|c| c.mac).collect()
    }

    async fn settled(&self, settlement: Settlement) {
        let settled = self.store.settle(mac(2), settlement, "ann").await;
        settled.expect("settled");
        assert_eq!(self.doubted(), []);
    }

    /// A server made anew from the export of this one, and exactly so.
    async fn again(&self) -> Site {
        let yaml = self.export(false).await;
        let again = Site::of(&yaml).await;
        assert_eq!(again.export(false).await, yaml);
        let unchanged = again.done(&yaml, &Options::default()).await;
        assert!(unchanged.lines().all(|l| l.starts_with('=')), "{unchanged}");
        again
    }

    fn owner(&self, n: u8) -> Option<(String, MachineState)> {
        let id = self.store.catalog().find(mac(n), None)?.id;
        let machine = self.store.machine(id)?.machine;
        Some((machine.name.clone(), machine.state))
    }
}

#[tokio::test]
async fn a_machine_of_its_own_stays_one_and_is_not_adopted() {
    let site = Site::of(NODE).await;
    site.sees(2).await;
    assert_eq!(site.doubted(), [mac(2)], "a person has to say");
    assert!(
        !site.export(false).await.contains("discovered"),
        "no decision yet"
    );
    site.settled(Settlement::Another).await;

    let again = site.again().await;
    let new = ("52-54-00-00-00-02".to_owned(), MachineState::Discovered);
    assert_eq!(
        again.owner(2),
        Some(new),
        "it still waits for somebody to adopt it"
    );
    for card in [2, 1] {
        again.sees(card).await;
        assert_eq!(again.doubted(), [], "it is not asked again");
    }
    // Without its document it would be.
    let other = Site::of(NODE).await;
    other.sees(2).await;
    assert_eq!(other.doubted(), [mac(2)]);

    // Adopted, it is exported as any other.
    let adopt = "kind: machine\nname: 52-54-00-00-00-02\n";
    let told = again.done(adopt, &Options::default()).await;
    insta::assert_snapshot!(told, @r#"
    ~ machine 52-54-00-00-00-02
        state: "discovered" -> "registered"
    "#);
    assert!(!again.export(false).await.contains("state:"));
    // Files of before then adopt nobody back.
    let before = "kind: machine\nname: 52-54-00-00-00-02\nstate: discovered\n";
    let told = again.done(before, &Options::default()).await;
    assert_eq!(told, "= machine 52-54-00-00-00-02\n");
}

#[tokio::test]
async fn a_card_that_is_a_known_machines_is_one_of_its_cards() {
    let site = Site::of(NODE).await;
    site.sees(2).await;
    let node = site
        .store
        .machine_named("node-1")
        .expect("known")
        .machine
        .id;
    site.settled(Settlement::Is(node)).await;
    let again = site.again().await;
    again.sees(2).await;
    assert_eq!(again.doubted(), []);
    assert_eq!(again.owner(2), again.owner(1));
    // So it is where nobody has adopted the machine.
    let site = Site::open().await;
    for card in [1, 1, 2] {
        site.sees(card).await;
    }
    assert_eq!(site.doubted(), [mac(2)]);
    let first = site.store.catalog().find(mac(1), None).expect("known").id;
    site.settled(Settlement::Is(first)).await;
    let again = site.again().await;
    again.sees(2).await;
    assert_eq!((again.doubted(), again.store.machines().len()), (vec![], 1));
    assert_eq!(again.owner(2), again.owner(1));
}

#[tokio::test]
async fn a_shared_adapter_tells_nothing_anywhere() {
    let site = Site::of(NODE).await;
    site.sees(2).await;
    let why = "dongle".to_owned();
    site.settled(Settlement::Shared { why }).await;
    assert!(!site.export(false).await.contains("discovered"));
    let again = site.again().await;
    let silent = again.store.sight(Sighting::of(mac(2), Timestamp(1))).await;
    assert!(
        matches!(silent, Err(StoreError::NotFound { .. })),
        "{silent:?}"
    );
    assert_eq!(again.owner(2), None);
    again.sees(2).await;
    assert_eq!((again.doubted(), again.store.machines().len()), (vec![], 1));
}

#[tokio::test]
async fn what_is_discovered_and_nothing_more_is_no_decision() {
    let site = Site::open().await;
    site.sees(1).await;
    assert!(!site.export(false).await.contains("kind: machine"));
    let text = format!("{NODE}state: discovered\n");
    let told = Site::open().await.done(&text, &Options::default()).await;
    assert!(told.contains("state: \"discovered\""), "{told}");
    let problem = site
        .refused(&format!(
            "{text}profile: disk\n---\nkind: profile\nname: disk\n\
                                         title: d\nboot: {{kind: local-disk}}\n"
        ))
        .await;
    assert!(problem.contains("adopts it"), "{problem}");
}

const DONGLE: &str = "kind: adapter\nmac: 52:54:00:00:00:03\nshared: dongle\n";
const TWO_CARDS: &str =
    "kind: machine\nname: node-2\nmacs: [52:54:00:00:00:04, 52:54:00:00:00:03]\n";

#[tokio::test]
async fn an_adapter_is_taken_from_the_machine_that_had_it() {
    let site = Site::of(TWO_CARDS).await;
    let dry = Options {
        dry_run: true,
        ..Options::default()
    };
    let told = site.done(DONGLE, &dry).await;
    insta::assert_snapshot!(told, @r#"
    + adapter 52:54:00:00:00:03
        labels: {}
        shared: "dongle"
        machine: "node-2" -> null
    "#);
    assert!(site.owner(3).is_some(), "a dry run");
    assert_eq!(site.done(DONGLE, &dry).await, told);
    site.done(DONGLE, &Options::default()).await;
    assert_eq!(site.owner(3), None);
    // Nor is it given to one again.
    let problem = site.refused(TWO_CARDS).await;
    assert!(
        problem.contains("several machines use 52:54:00:00:00:03"),
        "{problem}"
    );
    let both = format!("{DONGLE}---\n{}", TWO_CARDS.replace("node-2", "node-3"));
    assert!(
        Site::open()
            .await
            .refused(&both)
            .await
            .contains("several machines")
    );
    // What has nothing else to be known by keeps its card, and the place is told.
    let alone = "kind: machine\nname: a\nmacs: [52:54:00:00:00:03]\n";
    let site = Site::of(alone).await;
    let problem = site.refused(DONGLE).await;
    assert!(
        problem.contains("known by 52:54:00:00:00:03 alone"),
        "{problem}"
    );
}

#[tokio::test]
async fn an_adapter_is_owned_pruned_and_edited_as_all_else() {
    let site = Site::open().await;
    let own = |prune| Options {
        own: Some("team=web".parse().expect("a label")),
        prune,
        force: prune,
        ..Options::default()
    };
    site.done(DONGLE, &own(false)).await;
    let edited = site.store.mark_shared(mac(3), "Ann's", None, "ann").await;
    edited.expect("said");
    assert_eq!(site.store.shared_macs()[0].labels.len(), 1, "labels stay");
    let problem = site.refused(DONGLE).await;
    assert!(
        problem.contains("shared was edited") && problem.contains("by ann"),
        "{problem}"
    );
    let other = "kind: adapter\nmac: 52:54:00:00:00:05\nshared: x\n";
    site.done(other, &Options::default()).await;
    assert_eq!(
        site.done("", &own(true)).await,
        "- adapter 52:54:00:00:00:03\n"
    );
    let left: Vec<_> = site.store.shared_macs().iter().map(|s| s.mac).collect();
    assert_eq!(left, [mac(5)]);
    for (text, says) in [
        (
            "kind: adapter\nmac: ff:ff:ff:ff:ff:ff\nshared: x\n",
            "not the address",
        ),
        (
            "kind: adapter\nmac: 52:54:00:00:00:05\n",
            "missing field `shared`",
        ),
        (
            "kind: adapter\nmac: 52:54:00:00:00:05\nshared: \"\"\n",
            "must be 1 to",
        ),
    ] {
        let problem = site.refused(text).await;
        assert!(problem.contains(says), "{text}: {problem}");
    }
}
