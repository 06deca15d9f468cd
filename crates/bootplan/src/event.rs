//! What happened, as values. Producers emit, one journal task puts them in order; pages, the
//! command line and verdicts only read.

mod headline;

use crate::{
    Because, ClientClass, Decision, Intent, MacAddr, Outcome, Platform, PowerAction, PowerState,
    PowerWay, ProfileName, RunId, RunState, Stage, TransferStats, menu,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl From<SystemTime> for Timestamp {
    /// A reading of the system's clock; one before 1970 counts as 1970.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Which transport a file left by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TFTP.
    Tftp,
    /// HTTP.
    Http,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Tftp => "TFTP",
            Transport::Http => "HTTP",
        })
    }
}

/// Where an event came from on the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The hardware address, when the packet or path said one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// The client's IPv4 address, when it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<Ipv4Addr>,
    /// The receiving interface's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// From where.
    pub origin: Origin,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// A network-boot DISCOVER was answered with an OFFER.
    Offered {
        /// Who asked.
        stage: Stage,
        /// What it can run.
        platform: Platform,
        /// PXE or HTTP Boot.
        class: ClientClass,
        /// The boot file named.
        file: String,
        /// Because of what.
        because: Because,
    },
    /// A network-boot DISCOVER was left unanswered on purpose.
    NotOffered {
        /// Who asked.
        stage: Stage,
        /// What it can run, if known.
        platform: Option<Platform>,
        /// The architecture code as sent.
        arch: Option<u16>,
        /// Because of what.
        because: Because,
    },
    /// A request on port 4011 was answered.
    BootServerAck {
        /// Who asked.
        stage: Stage,
        /// The boot file named.
        file: String,
    },
    /// A menu or script was rendered for this machine.
    MenuServed {
        /// Who asked.
        stage: Stage,
        /// By which transport.
        transport: Transport,
        /// The name asked for.
        path: String,
        /// What the menu is about; `None` when it sends the machine to its local disk.
        intent: Option<Intent>,
        /// The default profile.
        profile: Option<ProfileName>,
        /// The boot-plane names that the default entry makes the loader fetch from us
        /// (`images/debian-12/linux`), in order: the last of them hands the machine over.
        /// From [`menu::default_files`](crate::menu::default_files).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        files: Vec<String>,
        /// Because of what.
        because: Because,
    },
    /// A file was sent whole.
    FileServed {
        /// By which transport.
        transport: Transport,
        /// The name asked for.
        path: String,
        /// Bytes sent.
        bytes: u64,
        /// From request to last byte acknowledged or written, in milliseconds.
        millis: u64,
        /// How the way to the client was; by HTTP only of files that take a while.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transfer: Option<TransferStats>,
    },
    /// A transfer ended early: the client aborted, vanished, or was refused.
    FileFailed {
        /// By which transport.
        transport: Transport,
        /// The name asked for, escaped for printing.
        path: String,
        /// What happened, for people.
        reason: String,
        /// True for what firmware does in every healthy boot (a size probe, a look for an
        /// optional file that is absent): shown quietly.
        normal: bool,
        /// Bytes acknowledged or written until then.
        #[serde(default)]
        bytes: u64,
        /// From request to end, in milliseconds; 0 for a request that was refused at once.
        #[serde(default)]
        millis: u64,
        /// How the way to the client was, when a transfer had begun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transfer: Option<TransferStats>,
    },
    /// A device brought a file, and it is kept.
    FileStored {
        /// By which transport.
        transport: Transport,
        /// Its name, with the drop box's prefix.
        path: String,
        /// Its length.
        bytes: u64,
        /// From request to durable, in milliseconds.
        millis: u64,
        /// SHA-256 of its content, in lower-case hexadecimal.
        sha256: String,
        /// The time it is kept under, which tells it from other uploads of that name.
        version: String,
        /// How the way from the client was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transfer: Option<TransferStats>,
    },
    /// A device wanted to bring a file, and nothing of it is kept.
    UploadFailed {
        /// By which transport.
        transport: Transport,
        /// The name it gave, escaped for printing.
        path: String,
        /// What happened, for people.
        reason: String,
        /// Bytes received until then.
        bytes: u64,
        /// From request to end, in milliseconds; 0 for one that was refused at once.
        millis: u64,
        /// How the way from the client was, when a transfer had begun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transfer: Option<TransferStats>,
    },
    /// A machine fetched one of its answers.
    AnswerServed {
        /// The answer's name; the link is in no event.
        name: String,
        /// In which try of its run; 0 where there is none.
        attempt: u8,
        /// Bytes of it.
        bytes: u64,
    },
    /// Somebody came with a link that was good once, or from an address that is another
    /// machine's; or the answer could not be made.
    AnswerRefused {
        /// The answer's name.
        name: String,
        /// Why, for people.
        reason: String,
    },
    /// A machine's links were used, or shown in its menu, and nothing but the asking said that it was
    /// the machine: its second card, a bridge, a router between us, or somebody else.
    UnknownCard {
        /// What it was, for people: `report`, the answer's name, `menu with links`.
        what: String,
        /// The card that asked, which no machine has; `None`: behind a router none is seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        card: Option<MacAddr>,
    },
    /// A machine asked for the first time.
    Discovered {
        /// What it can run, if known.
        platform: Option<Platform>,
    },
    /// Somebody assigned a profile, or took it away.
    Assigned {
        /// The new profile.
        profile: Option<ProfileName>,
        /// Who did it: a user name, `cli` or `api`.
        by: String,
    },
    /// Somebody changed something else: a machine, a profile, a setting, a user.
    Changed {
        /// What was done, for people: `machine 'rack1-u3' adopted`.
        what: String,
        /// Who did it: a user name, `cli` or `api`.
        by: String,
    },
    /// An installation went on, was stopped, or ended.
    RunChanged {
        /// Which run.
        run: RunId,
        /// What it boots.
        profile: ProfileName,
        /// How far it is now.
        state: RunState,
        /// What the installer said that it is doing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phase: Option<String>,
        /// How often the machine was handed over.
        tries: u8,
        /// How often it may be.
        of: u8,
        /// Who did it: `machine`, `farrier` (time or a limit), a user name, `cli` or `api`.
        by: String,
    },
    /// Somebody used a machine's power switch.
    Powered {
        /// What was asked of it.
        action: PowerAction,
        /// Which way was gone; `None` when there is none.
        way: Option<PowerWay>,
        /// What the switch said, if it was asked or told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<PowerState>,
        /// Why it did not work, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
        /// Who did it: a user name, `cli` or `api`.
        by: String,
    },
    /// A web hook's receiver did not take events for a day, and they were given up.
    HookFailed {
        /// The hook's name.
        hook: String,
        /// How many events.
        events: u32,
        /// Why the last attempt failed, for people.
        why: String,
    },
    /// Farrier fetched an image by itself, or could not.
    ImageFetched {
        /// What it is called, or would have been.
        image: String,
        /// Where it came from, without what may be secret.
        from: String,
        /// Bytes that came.
        bytes: u64,
        /// From its turn to its end, in milliseconds.
        millis: u64,
        /// What it was compared with, for people; nothing: with nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verified: Option<String>,
        /// Why it is no image, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
        /// Who wanted it: a user name, `cli` or `api`.
        by: String,
    },
    /// It is not clear which machine has this address; a person has to say.
    IdentityConflict {
        /// Which address.
        mac: MacAddr,
        /// The names of the machines it may belong to.
        machines: Vec<String>,
    },
    /// Another DHCP or boot server was heard on the LAN.
    ForeignServer {
        /// Its address (option 54).
        server: Ipv4Addr,
        /// True when it offered boot files, not only addresses.
        boots: bool,
    },
}

impl EventKind {
    /// The event of a menu or script rendered from this decision.
    pub fn menu_served(
        stage: Stage,
        transport: Transport,
        path: &str,
        decision: &Decision,
    ) -> EventKind {
        let plan = match &decision.outcome {
            Outcome::Boot(plan) => Some(plan),
            Outcome::LocalDisk | Outcome::Silent => None,
        };
        let default = plan
            .filter(|p| p.intent == Intent::Assigned)
            .and_then(|p| p.entries.first());
        EventKind::MenuServed {
            stage,
            transport,
            path: path.to_owned(),
            intent: plan.map(|p| p.intent),
            profile: default.map(|p| p.name.clone()),
            files: menu::default_files(decision),
            because: decision.because.clone(),
        }
    }

    /// The event of a request that got no transfer at all: absent, forbidden, nonsense.
    pub fn refused(transport: Transport, path: String, reason: &str, normal: bool) -> EventKind {
        EventKind::FileFailed {
            transport,
            path,
            reason: reason.to_owned(),
            normal,
            bytes: 0,
            millis: 0,
            transfer: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LocalBoot, UnassignedPolicy};

    fn headline(json: serde_json::Value) -> String {
        let event: Event = serde_json::from_value(json).expect("an event");
        event.kind.headline()
    }

    #[test]
    fn headlines() {
        let because = serde_json::json!({
            "reason": "assignment", "machine": "node-7", "profile": "debian-12"
        });
        let lines: Vec<String> = [
            serde_json::json!({"event": "offered", "stage": "firmware", "platform": "efi-x64",
                "class": "pxe", "file": "snponly.efi", "because": because}),
            serde_json::json!({"event": "offered", "stage": "firmware", "platform": "efi-arm64",
                "class": "http", "file": "http://10.0.0.2/boot/shimaa64.efi",
                "because": because}),
            serde_json::json!({"event": "offered", "stage": "firmware",
                "platform": "raspberry-pi", "class": "pxe", "file": "", "because": because}),
            serde_json::json!({"event": "not-offered", "stage": "firmware", "platform": null,
                "arch": 42, "because": {"reason": "unknown-architecture", "code": 42}}),
            serde_json::json!({"event": "not-offered", "stage": "ipxe", "platform": "bios",
                "arch": 0, "because": {"reason": "site-default", "policy": "silence"}}),
            serde_json::json!({"event": "boot-server-ack", "stage": "firmware",
                "file": "snponly.efi"}),
            serde_json::json!({"event": "menu-served", "stage": "ipxe", "transport": "http",
                "path": "x", "intent": "assigned", "profile": "debian-12", "because": because}),
            serde_json::json!({"event": "menu-served", "stage": "grub", "transport": "tftp",
                "path": "x", "intent": "wait", "profile": null,
                "because": {"reason": "site-default", "policy": "wait"}}),
            serde_json::json!({"event": "menu-served", "stage": "pxelinux", "transport": "tftp",
                "path": "x", "intent": null, "profile": null,
                "because": {"reason": "profile-missing", "profile": "gone"}}),
            serde_json::json!({"event": "file-served", "transport": "tftp",
                "path": "snponly.efi", "bytes": 268_800, "millis": 412}),
            serde_json::json!({"event": "file-served", "transport": "http",
                "path": "images/debian-12/initrd.gz", "bytes": 40_123_456, "millis": 65_000}),
            serde_json::json!({"event": "file-failed", "transport": "tftp",
                "path": "x
y", "reason": "User aborted the transfer", "normal": true}),
            serde_json::json!({"event": "file-stored", "transport": "tftp",
                "path": "configs/sw1.cfg", "bytes": 4_100, "millis": 90,
                "sha256": "00", "version": "2026-11-23T11-05-12.123Z"}),
            serde_json::json!({"event": "upload-failed", "transport": "tftp",
                "path": "configs/x\ny", "reason": "the disk is full", "bytes": 0, "millis": 0}),
            serde_json::json!({"event": "discovered", "platform": "bios"}),
            serde_json::json!({"event": "assigned", "profile": "debian-12", "by": "cli"}),
            serde_json::json!({"event": "assigned", "profile": null, "by": "anna"}),
            serde_json::json!({"event": "foreign-server", "server": "10.0.0.9", "boots": true}),
            serde_json::json!({"event": "powered", "action": "on", "way": "redfish", "by": "anna"}),
            serde_json::json!({"event": "powered", "action": "status", "way": "ipmi",
                "state": "off", "by": "cli"}),
            serde_json::json!({"event": "powered", "action": "restart", "way": null,
                "problem": "no\nway", "by": "cli"}),
            serde_json::json!({"event": "hook-failed", "hook": "chat", "events": 3,
                "why": "no connection"}),
            serde_json::json!({"event": "image-fetched", "image": "x.iso", "bytes": 40_123_456,
                "from": "https://images.example.org/x.iso", "millis": 65_000, "by": "anna"}),
            serde_json::json!({"event": "image-fetched", "image": "x.iso", "bytes": 5,
                "from": "https://images.example.org/x.iso", "millis": 65_000, "by": "anna",
                "problem": "it was\ncut off"}),
            serde_json::json!({"event": "identity-conflict", "mac": "02:00:00:00:00:02",
                "machines": ["a", "b\nc"]}),
        ]
        .into_iter()
        .map(|mut json| {
            json["at"] = 0.into();
            json["origin"] = serde_json::json!({});
            headline(json)
        })
        .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn headlines_of_a_run() {
        let line = |state: serde_json::Value, phase: Option<&str>| {
            headline(
                serde_json::json!({"event": "run-changed", "run": 7, "profile": "debian-12",
                "state": state, "phase": phase, "tries": 1, "of": 3, "by": "anna",
                "at": 0, "origin": {}}),
            )
        };
        for (state, phase, expected) in [
            ("waiting", None, "debian-12 waits for its time, by anna"),
            ("armed", None, "debian-12 begins at the next boot, by anna"),
            ("installing", None, "debian-12: handed over, try 1 of 3"),
            ("installing", Some("a\nb"), "debian-12: a?b"),
            ("installed", None, "debian-12 is done, by anna"),
            ("cancelled", None, "debian-12 cancelled by anna"),
        ] {
            let told = line(serde_json::json!({"state": state}), phase);
            assert_eq!(told, expected);
        }
        let held = serde_json::json!({"state": "held", "why": {"held": "tries", "tries": 3}});
        assert_eq!(
            line(held, None),
            "debian-12 is held: 3 tries without a report, by anna"
        );
        let failed = serde_json::json!({"state": "failed", "why": "no disk"});
        assert_eq!(line(failed, None), "debian-12 failed: no disk");
    }

    #[test]
    fn events_stored_before_transfers_were_measured_are_still_read() {
        let read = |json: &str| -> EventKind { serde_json::from_str(json).expect("an event") };
        let served =
            r#"{"event":"file-served","transport":"tftp","path":"a","bytes":5,"millis":7}"#;
        let EventKind::FileServed { transfer, .. } = read(served) else {
            panic!("another kind of event");
        };
        assert_eq!(transfer, None);
        let failed =
            r#"{"event":"file-failed","transport":"tftp","path":"a","reason":"b","normal":true}"#;
        let refused = EventKind::refused(Transport::Tftp, "a".to_owned(), "b", true);
        assert_eq!(read(failed), refused);
    }

    #[test]
    fn the_numbers_of_a_transfer_survive_the_store() {
        let kind = EventKind::FileServed {
            transport: Transport::Tftp,
            path: "a".to_owned(),
            bytes: 5,
            millis: 7,
            transfer: Some(TransferStats {
                blksize: 1428,
                windowsize: 16,
                windows: 812,
                windows_repeated: 43,
                retransmits: 688,
                round_trip_micros: Some(350),
            }),
        };
        let json = serde_json::to_string(&kind).expect("JSON");
        assert_eq!(
            serde_json::from_str::<EventKind>(&json).expect("an event"),
            kind
        );
    }

    #[test]
    fn an_event_of_a_decision_names_the_files_of_its_default_entry() {
        let decision = Decision {
            outcome: Outcome::Silent,
            because: Because::SiteDefault {
                policy: UnassignedPolicy::Silence,
            },
            machine: None,
            local_boot: LocalBoot::Auto,
        };
        let event = EventKind::menu_served(Stage::Grub, Transport::Tftp, "p", &decision);
        let EventKind::MenuServed {
            intent,
            profile,
            files,
            ..
        } = event
        else {
            panic!("another kind of event");
        };
        assert_eq!((intent, profile, files), (None, None, Vec::new()));
    }
}
