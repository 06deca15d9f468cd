//! One boot as people see it: a fold over [`Event`]s, never a second state kept somewhere.

use crate::{BootPath, Event, EventKind, Intent, ProfileName, Stage, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How far a boot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Milestone {
    /// The firmware asked and was offered a boot file (or was refused).
    Asked,
    /// A loader was fetched.
    Loader,
    /// A menu or script was fetched.
    Menu,
    /// A kernel or program was fetched.
    Kernel,
    /// Everything of the default entry was fetched: the operating system has the machine. A boot
    /// from another server's files is never seen to come so far.
    HandedOver,
}

/// One boot of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootAttempt {
    /// When the firmware first asked.
    pub started: Timestamp,
    /// The last event.
    pub last: Timestamp,
    /// How far it has come.
    pub milestone: Milestone,
    /// The events, oldest first.
    pub events: Vec<Event>,
}

/// Splits the events of one machine (oldest first) into boots: a boot begins when firmware asks
/// (or iPXE after a long silence), and takes in everything up to the next beginning.
///
/// Firmware repeats its question until it is satisfied (EDK2 after 4, 8, 16 s), and tries PXE
/// and HTTP Boot one after the other: questions within [`REPEAT_MS`] of each other, with nothing
/// fetched in between, are one boot. An iPXE asks again by DHCP after it was loaded: that is the
/// same boot, unless it already had its script, or no firmware asked in the last
/// [`STAGE_MS`] (the machine's ROM is an iPXE).
///
/// What is no part of a boot (an assignment made while the machine sleeps) is left out.
pub fn attempts(events: impl IntoIterator<Item = Event>) -> Vec<BootAttempt> {
    let mut fold = Fold::default();
    for event in events {
        fold.handle(event);
    }
    fold.done.extend(fold.open.map(|open| open.attempt));
    fold.done
}

impl BootAttempt {
    /// One line for lists: how far it came and, if it stopped, where.
    pub fn summary(&self) -> String {
        let took = human_duration(self.last.0 - self.started.0);
        match self.milestone {
            Milestone::Asked => self.asked_summary(),
            Milestone::Loader => "loader fetched, no menu asked for yet".to_owned(),
            Milestone::Menu => match self.menu() {
                Some((Some(Intent::Wait), _)) => format!("waits for an assignment ({took})"),
                Some((Some(Intent::Queue), _)) => format!("waits for its turn ({took})"),
                Some((Some(Intent::Menu), _)) => "shows the menu".to_owned(),
                Some((Some(Intent::Assigned), Some(profile))) => {
                    format!("menu fetched, about to boot {profile}")
                }
                Some((None, _)) => "sent to its local disk".to_owned(),
                _ => "menu fetched".to_owned(),
            },
            Milestone::Kernel => format!("loading {}", self.booting()),
            Milestone::HandedOver => format!("started {}", self.booting()),
        }
    }

    fn asked_summary(&self) -> String {
        let asked = self
            .events
            .iter()
            .rev()
            .find_map(|event| match &event.kind {
                EventKind::Offered { file, .. } => Some(format!("offered {file}, not fetched yet")),
                EventKind::NotOffered { because, .. } => Some(format!("left alone: {because}")),
                EventKind::BootServerAck { file, .. } => {
                    Some(format!("sent to {file}, not fetched yet"))
                }
                _ => None,
            });
        asked.unwrap_or_else(|| "asked".to_owned())
    }

    /// The last menu served: what it was about and its default profile.
    fn menu(&self) -> Option<(Option<Intent>, Option<&ProfileName>)> {
        self.events
            .iter()
            .rev()
            .find_map(|event| match &event.kind {
                EventKind::MenuServed {
                    intent, profile, ..
                } => Some((*intent, profile.as_ref())),
                _ => None,
            })
    }

    /// The profile, or for an entry somebody chose in the menu, its first file.
    fn booting(&self) -> String {
        if let Some((Some(Intent::Assigned), Some(profile))) = self.menu() {
            return profile.to_string();
        }
        let image = self.events.iter().find_map(|event| match &event.kind {
            EventKind::FileServed { path, .. } if image_name(path).is_some() => Some(path.clone()),
            _ => None,
        });
        image.unwrap_or_else(|| "an entry of the menu".to_owned())
    }
}

/// "0.4 s", "42 s", "2 min 5 s", "3 h 10 min".
pub fn human_duration(millis: i64) -> String {
    let millis = millis.max(0);
    let seconds = millis / 1000;
    match seconds {
        0..10 => format!("{}.{} s", seconds, millis % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// "512 B", "262 KiB", "38.2 MiB", "1.4 GiB".
pub fn human_size(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    let tenths = |unit: u64| {
        let t = u128::from(bytes) * 10 / u128::from(unit);
        format!("{}.{}", t / 10, t % 10)
    };
    match bytes {
        0..KIB => format!("{bytes} B"),
        KIB..MIB => format!("{} KiB", bytes / KIB),
        MIB..GIB => format!("{} MiB", tenths(MIB)),
        _ => format!("{} GiB", tenths(GIB)),
    }
}

#[derive(Default)]
struct Fold {
    done: Vec<BootAttempt>,
    open: Option<Open>,
    /// Events just before a beginning that belong to it: "discovered" comes with the first ask.
    early: Vec<Event>,
}

struct Open {
    attempt: BootAttempt,
    /// When anything of this boot last asked by DHCP.
    asked: Timestamp,
    /// When firmware last asked.
    firmware: Option<Timestamp>,
    /// What the default entry fetches, as far as not fetched yet; `None` before any menu.
    awaited: Option<BTreeSet<String>>,
    /// Files below `images/` fetched since the last menu.
    images: BTreeSet<String>,
}

impl Fold {
    fn handle(&mut self, event: Event) {
        if self.begins(&event) {
            let early = std::mem::take(&mut self.early);
            let close = |e: &Event| event.at.0 - e.at.0 <= REPEAT_MS;
            let mut events: Vec<Event> = early.into_iter().filter(close).collect();
            let started = events.first().map_or(event.at, |e| e.at.min(event.at));
            self.done.extend(self.open.take().map(|open| open.attempt));
            let asks = asking(&event.kind);
            events.push(event);
            let last = events.last().map_or(started, |e| e.at);
            let mut open = Open {
                attempt: BootAttempt {
                    started,
                    last,
                    milestone: Milestone::Asked,
                    events: Vec::new(),
                },
                asked: last,
                firmware: (asks == Some(Stage::Firmware)).then_some(last),
                awaited: None,
                images: BTreeSet::new(),
            };
            for event in events {
                open.take(event);
            }
            self.open = Some(open);
            return;
        }
        match &mut self.open {
            Some(open) if on_the_wire(&event.kind) || open.still_goes_on(event.at) => {
                open.take(event);
            }
            _ => {
                if matches!(event.kind, EventKind::Discovered { .. }) {
                    self.early.push(event);
                }
            }
        }
    }

    fn begins(&self, event: &Event) -> bool {
        let Some(open) = &self.open else {
            return on_the_wire(&event.kind);
        };
        let repeated =
            open.attempt.milestone == Milestone::Asked && event.at.0 - open.asked.0 <= REPEAT_MS;
        match asking(&event.kind) {
            Some(Stage::Firmware) => !repeated,
            Some(_) => {
                let loaded_by_firmware = open
                    .firmware
                    .is_some_and(|asked| event.at.0 - asked.0 <= STAGE_MS);
                let chained = event.at.0 - open.attempt.last.0 <= STAGE_MS;
                let has_script = open.attempt.milestone >= Milestone::Menu;
                has_script || !(repeated || loaded_by_firmware || chained)
            }
            None => false,
        }
    }
}

impl Open {
    fn take(&mut self, event: Event) {
        if let Some(stage) = asking(&event.kind) {
            self.asked = event.at;
            if stage == Stage::Firmware {
                self.firmware = Some(event.at);
            }
        }
        if let Some(milestone) = self.reached(&event.kind) {
            self.attempt.milestone = self.attempt.milestone.max(milestone);
        }
        self.attempt.last = self.attempt.last.max(event.at);
        self.attempt.events.push(event);
    }

    fn reached(&mut self, kind: &EventKind) -> Option<Milestone> {
        match kind {
            EventKind::MenuServed { files, .. } => {
                self.awaited = Some(files.iter().cloned().collect());
                self.images.clear();
                Some(Milestone::Menu)
            }
            EventKind::FileServed { path, .. } => match boot_path(path)? {
                BootPath::Image(name) => Some(self.image(format!("images/{name}"))),
                BootPath::Loader(_) | BootPath::IpxeBootstrap | BootPath::GrubBootstrap => {
                    Some(Milestone::Loader)
                }
                BootPath::Ipxe { .. } | BootPath::Pxelinux { .. } | BootPath::Grub { .. } => {
                    Some(Milestone::Menu)
                }
            },
            _ => None,
        }
    }

    /// An image file was sent whole. Of the menu's default entry we know every file, and the last
    /// one of them hands the machine over. Of an entry that somebody chose at the console we know
    /// none: the first is taken for its kernel, the second for its initial RAM disk.
    fn image(&mut self, name: String) -> Milestone {
        let awaited = self.awaited.get_or_insert_default();
        let of_default = awaited.remove(&name);
        let all = of_default && awaited.is_empty();
        self.images.insert(name);
        if all || (!of_default && self.images.len() >= 2) {
            Milestone::HandedOver
        } else {
            Milestone::Kernel
        }
    }

    /// Whether an event that no machine sent (an assignment) still belongs to this boot.
    fn still_goes_on(&self, at: Timestamp) -> bool {
        self.attempt.milestone < Milestone::HandedOver && at.0 - self.attempt.last.0 <= QUIET_MS
    }
}

/// Which stage asked by DHCP, if the event is such a question.
fn asking(kind: &EventKind) -> Option<Stage> {
    match kind {
        EventKind::Offered { stage, .. } | EventKind::NotOffered { stage, .. } => Some(*stage),
        _ => None,
    }
}

/// Whether the machine itself did this.
fn on_the_wire(kind: &EventKind) -> bool {
    match kind {
        EventKind::Offered { .. }
        | EventKind::NotOffered { .. }
        | EventKind::BootServerAck { .. }
        | EventKind::MenuServed { .. }
        | EventKind::FileServed { .. }
        | EventKind::FileFailed { .. } => true,
        // A switch that stores its configuration does not boot.
        EventKind::FileStored { .. }
        | EventKind::UploadFailed { .. }
        | EventKind::AnswerServed { .. }
        | EventKind::AnswerRefused { .. }
        | EventKind::UnknownCard { .. }
        | EventKind::Discovered { .. }
        | EventKind::Assigned { .. }
        | EventKind::Changed { .. }
        | EventKind::RunChanged { .. }
        | EventKind::Powered { .. }
        | EventKind::HookFailed { .. }
        | EventKind::ImageFetched { .. }
        | EventKind::IdentityConflict { .. }
        | EventKind::ForeignServer { .. } => false,
    }
}

fn boot_path(path: &str) -> Option<BootPath> {
    let name = path.split('?').next().unwrap_or(path);
    BootPath::parse(name.as_bytes()).ok()
}

fn image_name(path: &str) -> Option<String> {
    match boot_path(path)? {
        BootPath::Image(name) => Some(format!("images/{name}")),
        _ => None,
    }
}

/// Questions this close together, with nothing fetched between, are one boot: EDK2's longest
/// pause is 32 s, and its PXE and HTTP entries follow each other within a minute.
pub const REPEAT_MS: i64 = 60_000;
/// How long after the firmware an iPXE may ask and still be the one that the firmware loaded.
pub const STAGE_MS: i64 = 180_000;
/// A boot without a sign of life for so long is over as far as people's actions go.
pub const QUIET_MS: i64 = 600_000;

#[cfg(test)]
mod tests;
