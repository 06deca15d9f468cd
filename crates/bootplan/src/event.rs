//! What happened, as values. Producers emit, one journal task puts them in order; pages, the
//! command line and verdicts only read.

use crate::{
    Because, ClientClass, Decision, Intent, MacAddr, Outcome, Platform, ProfileName, Stage, menu,
};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// Milliseconds since the Unix epoch, UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// Which transport a file left by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TFTP.
    Tftp,
    /// HTTP.
    Http,
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
}
