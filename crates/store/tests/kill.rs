//! `kill -9` at any moment loses no acknowledged change and leaves none half made (R25).
//!
//! This program runs itself as the victim: it makes random changes and prints each one when the
//! store has acknowledged it; the parent kills it and compares.

mod common;

use bootplan::{MachineId, ProfileName, Site};
use common::{mac, machine, named, profile};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use store::{EventQuery, MachineChange, Step, Store};

const VICTIM: &str = "FARRIER_TEST_VICTIM";
const ROUNDS: u32 = 60;

#[test]
fn no_acknowledged_change_is_lost() {
    if let Ok(url) = std::env::var(VICTIM) {
        return runtime().block_on(change_for_ever(&url));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite:{}", dir.path().join("farrier.db").display());
    let mut kept = Kept::default();
    let mut acknowledged = 0;
    let mut in_flight = 0;
    for round in 0..ROUNDS {
        let lines = kill_in_the_midst(&url, round);
        acknowledged += lines.len();
        for line in &lines {
            kept.acknowledge(line);
        }
        runtime().block_on(async {
            integrity(&dir.path().join("farrier.db")).await;
            let store = Store::open(&url).await.expect("opens after a kill");
            in_flight += usize::from(kept.compare(&store).await);
            store.close().await;
        });
    }
    eprintln!("{acknowledged} changes acknowledged in {ROUNDS} rounds, {in_flight} made unheard");
    assert!(
        acknowledged > ROUNDS as usize,
        "the victim hardly lived: {acknowledged}"
    );
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .expect("a directory")
        .map(|entry| entry.expect("readable").file_name())
        // One that was killed between two migrations is upgraded, and keeps its copy.
        .filter(|name| !name.to_string_lossy().contains(".before-v"))
        .collect();
    assert!(left.len() <= 2, "temporary files are swept: {left:?}");
}

/// Starts the victim, lets it work for a random while, kills it, and returns what it said.
fn kill_in_the_midst(url: &str, round: u32) -> Vec<String> {
    let mut victim = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "no_acknowledged_change_is_lost", "--nocapture"])
        .env(VICTIM, url)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("runs itself");
    let output = victim.stdout.take().expect("piped");
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        let told = |line: String| line.split_once("ack ").map(|(_, rest)| rest.to_owned());
        lines.filter_map(told).collect::<Vec<_>>()
    });
    // Also while it opens, migrates and recovers: those take the first tens of milliseconds.
    let longest = if round.is_multiple_of(3) { 60 } else { 500 };
    std::thread::sleep(Duration::from_millis(rand::random_range(0..longest)));
    victim.kill().expect("SIGKILL");
    victim.wait().expect("reaped");
    reader.join().expect("read to the end")
}

/// The victim: every change is printed once the store has acknowledged it.
async fn change_for_ever(url: &str) {
    let store = Store::open(url).await.expect("opens");
    let started = Instant::now();
    for name in ["p0", "p1"] {
        store
            .put_profile(profile(name), "victim")
            .await
            .expect("stored");
    }
    let mut round = store.machines().len();
    // An end of its own, should the parent itself be killed.
    while started.elapsed() < Duration::from_secs(20) {
        let said = change(&store, round).await;
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nack {said}").expect("the parent listens");
        out.flush().expect("the parent listens");
        drop(out);
        round += 1;
    }
}

async fn change(store: &Store, round: usize) -> String {
    let machines = store.machines();
    let pick = || &machines[rand::random_range(0..machines.len())].machine;
    match rand::random_range(0..6) {
        _ if machines.len() < 3 => create(store).await,
        5 if machines.len() < 40 => batch(store, pick().id).await,
        0 if machines.len() < 40 => create(store).await,
        1 => {
            let target: ProfileName = format!("p{}", round % 2).parse().expect("a name");
            // Several at once, in one transaction: all of them or none.
            let ids: Vec<MachineId> = machines.iter().take(3).map(|m| m.machine.id).collect();
            store
                .assign(&ids, Some(target.clone()), "victim")
                .await
                .expect("assigned");
            let ids: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
            format!("assign {} {target}", ids.join(","))
        }
        2 if machines.len() > 10 => {
            let id = pick().id;
            store.delete_machine(id, "victim").await.expect("deleted");
            format!("delete {}", id.0)
        }
        _ => {
            let id = pick().id;
            let name = format!("n-{}", rand::random::<u64>());
            let change = MachineChange {
                name: Some(name.clone()),
                ..MachineChange::default()
            };
            store
                .update_machine(id, change, "victim")
                .await
                .expect("renamed");
            format!("name {} {name}", id.0)
        }
    }
}

/// A profile, two machines that are assigned to it, another machine's name, and a setting: every
/// one of them carries the same number.
async fn batch(store: &Store, id: MachineId) -> String {
    let number = rand::random_range(0..=300_u16);
    let profile_name = format!("b{number}");
    let name = |part: &str| format!("b{number}-{part}-{}", rand::random::<u64>());
    let renamed = name("renamed");
    let mut profile = profile(&profile_name);
    profile.title = name("title");
    let mut told = format!("batch {number} {} {renamed}", id.0);
    let mut steps = vec![Step::PutProfile(profile)];
    let mut names = Vec::new();
    for part in ["one", "two"] {
        let cards = [rand::random(), rand::random()];
        let mut new = named(&name(part), &cards);
        new.profile = profile_name.parse().ok();
        names.extend(new.name.clone().map(|name| (name, cards)));
        steps.push(Step::CreateMachine(new));
    }
    let change = MachineChange {
        name: Some(renamed),
        ..MachineChange::default()
    };
    steps.push(Step::UpdateMachine(id, change));
    steps.push(Step::SetSite(Site {
        menu_timeout_s: number,
        ..store.site()
    }));
    store.apply(steps, "victim").await.expect("applied");
    for (name, [a, b]) in names {
        let made = store.machine_named(&name).expect("made").machine.id.0;
        told.push_str(&format!(" {made} {name} {a} {b}"));
    }
    told
}

async fn create(store: &Store) -> String {
    let name = format!("n-{}", rand::random::<u64>());
    // Two cards: a machine with one of them would be half made.
    let cards = [
        rand::random_range(1..u32::MAX),
        rand::random_range(1..u32::MAX),
    ];
    let id = machine(store, &name, &cards).await;
    format!("create {} {name} {} {}", id.0, cards[0], cards[1])
}

/// What the victim's acknowledged changes come to.
#[derive(Default)]
struct Kept {
    machines: std::collections::BTreeMap<i64, Expected>,
    /// The number of the last batch: the setting that its last step made.
    batch: Option<u16>,
}

#[derive(Clone, Debug, PartialEq)]
struct Expected {
    name: String,
    cards: Vec<bootplan::MacAddr>,
    profile: Option<String>,
}

impl Kept {
    fn acknowledge(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| word.parse::<i64>().expect("a number");
        match words.as_slice() {
            ["create", id, name, a, b] => {
                let card = |n: &str| mac(n.parse().expect("a number"));
                let expected = Expected {
                    name: (*name).to_owned(),
                    cards: vec![card(a), card(b)],
                    profile: None,
                };
                self.machines.insert(number(id), expected);
            }
            ["name", id, name] => {
                let machine = self
                    .machines
                    .get_mut(&number(id))
                    .expect("acknowledged before");
                machine.name = (*name).to_owned();
            }
            ["assign", ids, profile] => {
                for id in ids.split(',') {
                    let machine = self
                        .machines
                        .get_mut(&number(id))
                        .expect("acknowledged before");
                    machine.profile = Some((*profile).to_owned());
                }
            }
            ["delete", id] => {
                self.machines
                    .remove(&number(id))
                    .expect("acknowledged before");
            }
            ["batch", batch, id, name, made @ ..] => {
                self.batch = Some(batch.parse().expect("a number"));
                self.acknowledge(&format!("name {id} {name}"));
                for new in made.chunks(4) {
                    self.acknowledge(&format!("create {}", new.join(" ")));
                    let machine = self.machines.get_mut(&number(new[0])).expect("just made");
                    machine.profile = Some(format!("b{batch}"));
                }
            }
            other => panic!("the victim said {other:?}"),
        }
    }

    /// Everything acknowledged is there. At most one change more is: the one whose
    /// acknowledgement the kill cut off, and that one whole, with its event.
    async fn compare(&mut self, store: &Store) -> bool {
        let found: std::collections::BTreeMap<i64, Expected> = store
            .machines()
            .into_iter()
            .map(|record| {
                let machine = &record.machine;
                let expected = Expected {
                    name: machine.name.clone(),
                    cards: machine.macs.clone(),
                    profile: machine.profile.as_ref().map(ToString::to_string),
                };
                (machine.id.0, expected)
            })
            .collect();
        let setting = |batch: Option<u16>| batch.unwrap_or(Site::default().menu_timeout_s);
        if found == self.machines {
            let stored = store.site().menu_timeout_s;
            assert_eq!(stored, setting(self.batch), "a part of a batch");
            return false;
        }
        let ids = found.keys().chain(self.machines.keys());
        let mut differing: Vec<i64> = ids
            .copied()
            .filter(|id| found.get(id) != self.machines.get(id))
            .collect();
        differing.sort_unstable();
        differing.dedup();
        let context = || format!("{differing:?}\nfound {found:?}\nkept {:?}", self.machines);
        let pairs: Vec<_> = differing
            .iter()
            .map(|id| (self.machines.get(id), found.get(id)))
            .collect();
        match pairs.as_slice() {
            // A batch: both machines, the profile they are assigned to, the other machine's new
            // name, and the setting.
            [
                (Some(old), Some(renamed)),
                (None, Some(one)),
                (None, Some(two)),
            ] => {
                let (batch, _) = renamed.name.split_once('-').expect("a batch's name");
                assert_eq!(old.cards, renamed.cards, "{}", context());
                assert_eq!(old.profile, renamed.profile, "{}", context());
                for (new, part) in [(one, "one"), (two, "two")] {
                    let begin = format!("{batch}-{part}-");
                    assert!(new.name.starts_with(&begin), "{}", context());
                    assert_eq!(new.profile.as_deref(), Some(batch), "{}", context());
                    assert_eq!(new.cards.len(), 2, "{}", context());
                }
                let name: ProfileName = batch.parse().expect("a profile name");
                let title = store.catalog().profile(&name).map(|p| p.title.clone());
                let ours = |title: &String| title.starts_with(&format!("{batch}-title-"));
                assert!(title.as_ref().is_some_and(ours), "{title:?}");
                self.batch = batch[1..].parse().ok();
            }
            // A creation: whole.
            [(None, Some(new))] => assert_eq!(new.cards.len(), 2, "{}", context()),
            // A deletion.
            [(Some(_), None)] => {}
            // A new name, or an assignment that changed one machine only.
            [(Some(old), Some(new))] => {
                assert_eq!(old.cards, new.cards, "{}", context());
                let renamed = old.name != new.name;
                let assigned = old.profile != new.profile;
                assert!(renamed != assigned, "{}", context());
            }
            // An assignment of several: all of them to the same.
            several => {
                let target = several[0].1.and_then(|m| m.profile.clone());
                assert!(several.len() <= 3 && target.is_some(), "{}", context());
                for (old, new) in several {
                    let (old, new) = (old.expect("was there"), new.expect("is there"));
                    assert_eq!(
                        (&old.name, &old.cards),
                        (&new.name, &new.cards),
                        "{}",
                        context()
                    );
                    assert_eq!(new.profile, target, "{}", context());
                }
                let first_three: Vec<_> = found.values().take(3).collect();
                assert!(
                    first_three.iter().all(|m| m.profile == target),
                    "{}",
                    context()
                );
            }
        }
        let stored = store.site().menu_timeout_s;
        assert_eq!(stored, setting(self.batch), "{}", context());
        let query = EventQuery {
            limit: 3,
            ..EventQuery::default()
        };
        let events = store.events(query).await.expect("read");
        let of_it =
            |event: &store::StoredEvent| event.machine.is_some_and(|id| differing.contains(&id.0));
        assert!(
            events.iter().any(of_it),
            "a change without its event: {}",
            context()
        );
        self.machines = found;
        true
    }
}

async fn integrity(path: &Path) {
    use sqlx::Connection;
    if !path.exists() {
        return;
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = sqlx::SqliteConnection::connect_with(&options)
        .await
        .expect("opens");
    let verdict: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut connection)
        .await
        .expect("runs");
    assert_eq!(verdict, "ok");
    connection.close().await.expect("closes");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}
