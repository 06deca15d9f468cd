//! What a machine's link opens, and to whom (reliability.md R23, R24).

use super::super::{BootPlane, BootState};
use crate::listen::Budget;
use crate::listen::testing::{Reply, Served};
use crate::transfers::Transfers;
use answers::links::{self, LinkKey};
use bootfiles::BootFiles;
use bootplan::run::{Happening, Order};
use bootplan::{
    Arming, LinkPurpose, MacAddr, MachineId, Profile, RunKind, RunState, Secret, Site, Timestamp,
    VerifiedLink,
};
use proptest::prelude::{Strategy, any};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use store::journal::{EventSink, Report};
use store::{NewMachine, Store};
use tempfile::TempDir;

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const OTHER: MacAddr = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x57]);
const CANARY: &str = "k7Qz-canary-Wp31";

/// A boot plane with a real store: one machine to be installed, one that is not.
struct Installs {
    served: Served,
    store: Store,
    events: EventSink,
    /// Every event, as its debug text.
    told: Arc<Mutex<String>>,
    machine: MachineId,
    other: MachineId,
    _dir: TempDir,
}

impl Installs {
    async fn start() -> Installs {
        let dir = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", dir.path().join("farrier.db").display());
        let store = Store::open(&url).await.expect("a database");
        store.unlock(&dir.path().join("key")).await.expect("a key");
        let (loaders, images) = (dir.path().join("loaders"), dir.path().join("images"));
        let files = BootFiles::open(&[loaders], &images).expect("opened");
        let key = LinkKey::new(store.link_key().expect("unlocked"));
        let (events, mut reports) = EventSink::pair(4096);
        let state = BootState {
            files: Arc::new(files.with_link_key(key)),
            catalog: store.watch(),
            events: events.clone(),
            machines: store.clone().into(),
            transfers: Transfers::default(),
            http_port: 80,
            ui_port: 8080,
        };
        let told = Arc::new(Mutex::new(String::new()));
        let all = Arc::clone(&told);
        tokio::spawn(async move {
            while let Some(Report::Event(_, kind)) = reports.next().await {
                *all.lock().expect("whole") += &format!("{kind:?}\n");
            }
        });
        let name = "root".parse().expect("a name");
        let secret = Secret::new(CANARY);
        store.put_secret(&name, secret, "ann").await.expect("set");
        store.put_profile(profile(), "ann").await.expect("stored");
        let enter = async |name: &str, mac| {
            let new = NewMachine {
                name: Some(name.to_owned()),
                macs: vec![mac],
                ..NewMachine::default()
            };
            store
                .create_machine(new, "ann")
                .await
                .expect("made")
                .machine
                .id
        };
        Installs {
            machine: enter("web3", MAC).await,
            other: enter("web4", OTHER).await,
            served: Served::start(BootPlane::from(state), Budget::boot_plane()).await,
            store,
            events,
            told,
            _dir: dir,
        }
    }

    async fn arm(&self) {
        let arming = Arming {
            kind: RunKind::Install,
            profile: "debian".parse().expect("a name"),
            limit: Site::default().install_limit,
            not_before: None,
            window: None,
            force: false,
        };
        self.store
            .arm(&[self.machine], arming, "ann")
            .await
            .expect("armed");
        self.happen(Happening::Asked).await;
    }

    async fn happen(&self, happening: Happening) {
        let done = self.store.happen(&[self.machine], happening, "ann").await;
        assert_eq!(done.expect("stored"), 1);
    }

    fn state(&self) -> RunState {
        let record = self.store.machine(self.machine).expect("there");
        record.machine.run.as_ref().expect("a run").state.clone()
    }

    async fn get(&self, path: &str) -> Reply {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        self.served.ask(&request).await
    }

    async fn post(&self, path: &str, body: &str) -> Reply {
        let length = body.len();
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
        self.served.ask(&request).await
    }

    /// The paths of the answer and of the report, as the machine's menu says them.
    async fn menu(&self) -> (String, String) {
        let reply = self.get(&format!("/{}/boot.ipxe", MAC.dashed())).await;
        let text = reply.text();
        let path = |start: &str| {
            let url = text.split(start).nth(1).expect(text);
            let url = url.split_whitespace().next().expect("a URL");
            let path = url
                .split_once("//")
                .and_then(|(_, rest)| rest.split_once('/'));
            format!("/{}", path.expect("a path").1)
        };
        (path("url="), path("report="))
    }

    /// Its menu while nothing is ordered.
    async fn menu_of_nothing(&self) {
        let reply = self.get(&format!("/{}/boot.ipxe", MAC.dashed())).await;
        assert_eq!(reply.status(), 200);
    }

    fn mint(&self, change: impl Fn(&mut VerifiedLink)) -> String {
        let record = self.store.machine(self.machine).expect("there");
        let now = Timestamp::from(SystemTime::now());
        let mut link = VerifiedLink {
            purpose: LinkPurpose::Answers,
            machine: self.machine,
            run: record.machine.run.as_ref().map_or(1, |run| run.id.0),
            try_number: 1,
            expires: links::expiry(now, 5),
        };
        change(&mut link);
        let key = LinkKey::new(self.store.link_key().expect("unlocked"));
        links::mint(&key, &link)
    }
}

fn profile() -> Profile {
    serde_json::from_value(serde_json::json!({
        "name": "debian", "title": "Debian",
        "boot": {"kind": "linux", "kernel": "d/linux", "initrds": ["d/initrd.gz"],
                 "args": "auto url={{ answer('preseed.cfg') }} report={{ report }}"},
        "answers": [
            {"name": "preseed.cfg", "kind": "preseed",
             "text": "d-i passwd/root-password-crypted password {{ secret('root') }}\n"},
            {"name": "token", "text": "{{ run.try }}", "uses": "once"},
            {"name": "meta-data", "text": "instance-id: {{ machine.id }}\n"},
            {"name": "broken", "text": "a\n{{ nobody }}"},
            {"name": "open", "text": "{{ machine.name }}", "sealed": false},
            {"name": "onie", "kind": "device-file", "text": "x", "sealed": false},
        ],
    }))
    .expect("a profile")
}

#[tokio::test]
async fn a_machine_fetches_its_answers_and_reports() {
    let site = Installs::start().await;
    site.arm().await;
    let (answer, report) = site.menu().await;
    let reply = site.get(&answer).await;
    assert_eq!(reply.status(), 200);
    assert!(reply.text().ends_with(&format!("password {CANARY}\n")));
    assert_eq!(reply.header("Cache-Control"), Some("no-store"));
    // Fetched twice: installers do.
    assert_eq!(site.get(&answer).await.body, reply.body);
    let head = format!("HEAD {answer} HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = site.served.ask(&head).await;
    assert_eq!(head.status(), 200);
    assert_eq!(
        head.header("Content-Length"),
        reply.header("Content-Length")
    );

    site.happen(Happening::HandedOver).await;
    assert_eq!(
        site.get(&answer).await.status(),
        200,
        "after the hand-over, too"
    );
    let phase = site.post(&report, "state=phase&text=partitioning").await;
    assert_eq!((phase.status(), phase.text()), (200, "noted\n"));
    assert_eq!(site.state(), RunState::Installing);
    assert_eq!(site.post(&report, "state=what").await.status(), 400);
    assert_eq!(site.post(&report, "state=done").await.status(), 200);
    assert_eq!(site.state(), RunState::Installed);
    assert_eq!(site.get(&answer).await.status(), 410, "the run is over");
    let again = site.post(&report, "state=done").await;
    assert_eq!(again.status(), 200, "its first answer may have been lost");
    assert_eq!(site.post(&report, "state=failed").await.status(), 410);

    let told = site.told.lock().expect("whole").clone();
    let link = answer.split('/').nth(2).expect("a link");
    assert!(told.contains("AnswerServed") && told.contains("preseed.cfg"));
    assert!(!told.contains(link) && !told.contains(CANARY), "{told}");
}

#[tokio::test]
async fn a_link_is_good_for_its_machine_its_run_and_its_time() {
    let site = Installs::start().await;
    let before = site.mint(|_| {});
    let of = |link: &str, name: &str| format!("/a/{link}/{name}");
    let armed_not = site.get(&of(&before, "preseed.cfg")).await.status();
    assert_eq!(armed_not, 410, "a true link, but nothing is armed");
    site.arm().await;
    let now = Timestamp::from(SystemTime::now());
    for (link, name, expected) in [
        (site.mint(|_| {}), "preseed.cfg", 200),
        (site.mint(|_| {}), "open", 200),
        (site.mint(|_| {}), "nobody", 404),
        (site.mint(|_| {}), "onie", 404),
        (site.mint(|_| {}), "broken", 500),
        (site.mint(|_| {}), "vendor-data", 200),
        (site.mint(|_| {}), "network-config", 200),
        (site.mint(|l| l.try_number = 2), "preseed.cfg", 410),
        (site.mint(|l| l.run += 1), "preseed.cfg", 410),
        (site.mint(|l| l.machine = site.other), "preseed.cfg", 404),
        (site.mint(|l| l.machine = MachineId(99)), "preseed.cfg", 404),
        (
            site.mint(|l| l.purpose = LinkPurpose::Report),
            "preseed.cfg",
            404,
        ),
        (
            site.mint(|l| l.expires = Timestamp(now.0 - 1000)),
            "preseed.cfg",
            410,
        ),
        // Run 0 is that of machines that always boot their profile: this one does not.
        (site.mint(|l| l.run = 0), "open", 404),
        (site.mint(|_| {}).to_uppercase(), "preseed.cfg", 404),
        (String::new(), "preseed.cfg", 404),
    ] {
        // The other machine's link is refused because this address is known to be web3's.
        site.events.neighbours().learn(Ipv4Addr::LOCALHOST, MAC);
        let reply = site.get(&of(&link, name)).await;
        assert_eq!(reply.status(), expected, "{name} {}", reply.text());
        assert!(
            expected == 200 || !reply.text().contains("web"),
            "{}",
            reply.text()
        );
    }
    let good = site.mint(|_| {});
    site.events.neighbours().learn(Ipv4Addr::LOCALHOST, OTHER);
    assert_eq!(site.get(&of(&good, "preseed.cfg")).await.status(), 404);
    let menu = site.get(&format!("/{}/boot.ipxe", MAC.dashed())).await;
    assert_eq!(menu.status(), 404, "a menu with links is for its machine");
    let told = site.told.lock().expect("whole").clone();
    assert!(told.contains("the link is another machine's"), "{told}");

    site.events.neighbours().learn(Ipv4Addr::LOCALHOST, MAC);
    let cancel = Happening::Ordered(Order::Cancel);
    site.happen(cancel).await;
    assert_eq!(site.get(&of(&good, "preseed.cfg")).await.status(), 410);
}

#[tokio::test]
async fn an_answer_for_one_use_is_served_once_and_head_uses_nothing() {
    let site = Installs::start().await;
    site.arm().await;
    let path = format!("/a/{}/token", site.mint(|_| {}));
    let head = format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(site.served.ask(&head).await.status(), 200);
    assert_eq!(site.get(&path).await.text(), "1");
    assert_eq!(site.get(&path).await.status(), 410);
    site.happen(Happening::HandedOver).await;
    let next = format!("/a/{}/token", site.mint(|l| l.try_number = 2));
    assert_eq!(
        site.get(&next).await.status(),
        200,
        "the next try has its own"
    );
}

#[tokio::test]
async fn ten_thousand_made_up_links_open_nothing() {
    let site = Installs::start().await;
    site.arm().await;
    let good = site.mint(|_| {});
    let (claims, signature) = good.rsplit_once('-').expect("parts");
    let mut raw = site.served.connect().await;
    let mut random = TestRunner::deterministic();
    let shape = (any::<u8>(), "[a-z2-7]{26}", 0_usize..26, "[a-z2-7]");
    for n in 0..10_000 {
        let made = shape.new_tree(&mut random).expect("a value").current();
        let (kind, made_up, at, letter) = made;
        let link = match kind % 3 {
            0 => format!("{claims}-{made_up}"),
            1 => {
                let mut near = signature.to_owned();
                near.replace_range(at..=at, &letter);
                format!("{claims}-{near}")
            }
            _ => format!("{kind}-{n}-1-{}-{signature}", 1_900_000_000 + n),
        };
        if link == good {
            continue;
        }
        raw.send(&format!(
            "GET /a/{link}/preseed.cfg HTTP/1.1\r\nHost: x\r\n\r\n"
        ))
        .await;
        let reply = raw.reply(false).await;
        assert_eq!(
            (reply.status(), reply.text()),
            (404, "not found\n"),
            "{link}"
        );
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut() {
    let site = Installs::start().await;
    site.arm().await;
    let (_, report) = site.menu().await;
    let large = site.post(&report, &"x".repeat(65 * 1024)).await;
    assert_eq!(large.status(), 413);
    let refused = site.post("/images/d/linux", "state=done").await;
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.header("Allow"), Some("GET, HEAD"));
    let put = format!("PUT {report} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    let refused = site.served.ask(&put).await;
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.header("Allow"), Some("GET, HEAD, POST"));
    assert_eq!(site.state(), RunState::Armed);
}

/// PXE by one card, the installer by another one: a bond, a bridge, the second port.
#[tokio::test]
async fn a_second_card_fetches_and_reports_and_is_told_of() {
    let site = Installs::start().await;
    site.arm().await;
    let (answer, report) = site.menu().await;
    let second = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x99]);
    let neighbours = site.events.neighbours();
    neighbours.learn(Ipv4Addr::LOCALHOST, second);
    let menu = site.get(&format!("/{}/boot.ipxe", MAC.dashed())).await;
    assert_eq!(menu.status(), 404, "whoever has no link gets none");
    assert_eq!(site.get(&answer).await.status(), 200);
    site.happen(Happening::HandedOver).await;
    let done = site.post(&report, "state=done").await;
    assert_eq!((done.status(), site.state()), (200, RunState::Installed));
    let told = site.told.lock().expect("whole").clone();
    for what in ["preseed.cfg", "report"] {
        let expected = format!("UnknownCard {{ what: {what:?}, card: Some({second:?}) }}");
        assert!(told.contains(&expected), "{expected}: {told}");
    }
    // An own card is nothing to tell of.
    assert_eq!(told.matches("UnknownCard").count(), 3, "{told}");
}

/// Firmware tries each card: the second one was discovered as a machine of its own.
#[tokio::test]
async fn a_card_discovered_with_the_same_uuid_is_no_stranger() {
    let site = Installs::start().await;
    site.arm().await;
    let (answer, _) = site.menu().await;
    let uuid = "4c4c4544-0042-3510-8047-b2c04f383201"
        .parse()
        .expect("a UUID");
    let change = store::MachineChange {
        uuid: Some(Some(uuid)),
        ..store::MachineChange::default()
    };
    let known = site.store.update_machine(site.machine, change, "ann").await;
    known.expect("stored");
    for (last, said, expected) in [(0x99, Some(uuid), 200), (0x98, None, 404)] {
        let card = MacAddr([0x52, 0x54, 0, 0x12, 0x34, last]);
        let sighting = store::Sighting {
            uuid: said,
            ..store::Sighting::of(card, Timestamp(0))
        };
        site.store.sight(sighting).await.expect("seen");
        site.events.neighbours().learn(Ipv4Addr::LOCALHOST, card);
        let reply = site.get(&answer).await;
        assert_eq!(reply.status(), expected, "{card}");
    }
}

/// Behind a router no card is seen: the menu is served, and it is said.
#[tokio::test]
async fn links_shown_to_whoever_asks_are_told_of() {
    let idle = Installs::start().await;
    idle.menu_of_nothing().await;
    let site = Installs::start().await;
    site.arm().await;
    site.menu().await;
    // By now its address is known to be its card's.
    site.menu().await;
    let told = site.told.lock().expect("whole").clone();
    let shown = "UnknownCard { what: \"menu with links\", card: None }";
    assert_eq!(told.matches(shown).count(), 1, "{told}");
    let told = idle.told.lock().expect("whole").clone();
    assert!(
        !told.contains("UnknownCard"),
        "no links, nothing to tell: {told}"
    );
}

#[tokio::test]
async fn a_machine_tells_what_it_is_made_of() {
    let site = Installs::start().await;
    site.arm().await;
    let (_, report) = site.menu().await;
    let path = report.replace("/report", "/inventory");
    let told = r#"{"cpu": "EPYC", "memory_mib": 65536, "disks": ["sda 480 GB"]}"#;
    assert_eq!(site.post(&path, told).await.text(), "noted\n");
    let facts = || {
        site.store
            .machine(site.machine)
            .expect("there")
            .machine
            .facts
            .clone()
    };
    let kept = facts().hardware.expect("an inventory");
    assert_eq!(
        (kept.cpu.as_deref(), kept.memory_mib),
        (Some("EPYC"), Some(65536))
    );
    assert_eq!(site.state(), RunState::Armed, "it reports nothing");
    for wrong in [
        "state=done",
        "[]",
        &format!("{{\"cpu\": \"{}\"}}", "x".repeat(17_000)),
    ] {
        assert_eq!(site.post(&path, wrong).await.status(), 400);
    }
    assert_eq!(facts().hardware, Some(kept), "as it was");
    assert_eq!(
        site.post("/a/1-1-1-9-aaaaaaaaaaaaaaaaaaaaaaaaaa/inventory", told)
            .await
            .status(),
        404
    );
}
