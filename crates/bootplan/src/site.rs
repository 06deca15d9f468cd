//! Settings that hold for the whole site, and the address one request is answered from.

use crate::{
    Limit, LoaderKind, LocalBoot, LocalBootModel, Machine, NewMachines, ObjectName, Variables,
    Window,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::net::Ipv4Addr;

/// What a machine without an assignment gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnassignedPolicy {
    /// No answer at all. As shipped: a boot server that answers strangers can wipe a disk.
    #[default]
    Silence,
    /// It shows its MAC and where to assign it, asks again every few seconds, boots as soon as
    /// somebody assigns, and goes to its local disk after a limit.
    Wait,
    /// A menu of the profiles marked for it; the local disk is the default entry.
    Menu,
}

impl UnassignedPolicy {
    /// Every policy, the shipped one first.
    pub const ALL: [UnassignedPolicy; 3] = [
        UnassignedPolicy::Silence,
        UnassignedPolicy::Wait,
        UnassignedPolicy::Menu,
    ];

    /// The word used in YAML, forms and the API.
    pub fn slug(self) -> &'static str {
        match self {
            UnassignedPolicy::Silence => "silence",
            UnassignedPolicy::Wait => "wait",
            UnassignedPolicy::Menu => "menu",
        }
    }

    /// The policy whose [`slug`](Self::slug) this is.
    pub fn from_slug(slug: &str) -> Option<Self> {
        UnassignedPolicy::ALL.into_iter().find(|p| p.slug() == slug)
    }
}

impl fmt::Display for UnassignedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}

/// Site settings; durable, edited in the browser or by `farrier apply`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// What a machine without an assignment gets.
    pub unassigned: UnassignedPolicy,
    /// Seconds a menu waits before it boots its default entry (0 to 300).
    pub menu_timeout_s: u16,
    /// Seconds between two questions of a waiting machine (2 to 60).
    pub wait_poll_s: u16,
    /// Seconds after which a waiting machine goes to its local disk (10 to 86400).
    pub wait_limit_s: u32,
    /// Loader for machines and profiles that prefer none.
    pub loader: LoaderKind,
    /// What becomes of machines that nobody has adopted.
    pub new_machines: NewMachines,
    /// How many machines install at the same time; 0: any number.
    pub install_slots: u16,
    /// When an installation that does not report is held.
    pub install_limit: Limit,
    /// How loaders start the local disk of machines that say nothing of their own.
    pub local_boot: LocalBoot,
    /// How those of some models do; the first that fits counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub local_boot_models: Vec<LocalBootModel>,
    /// For every machine's arguments and answers; groups, profiles and machines cover them.
    #[serde(skip_serializing_if = "Variables::is_empty")]
    pub variables: Variables,
    /// Maintenance windows that orders name. An order keeps the hours that the name meant then.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub windows: BTreeMap<ObjectName, Window>,
}

impl Default for Site {
    fn default() -> Self {
        Site {
            unassigned: UnassignedPolicy::Silence,
            menu_timeout_s: 5,
            wait_poll_s: 5,
            wait_limit_s: 600,
            loader: LoaderKind::Ipxe,
            new_machines: NewMachines::Hold,
            install_slots: 10,
            install_limit: Limit {
                tries: 3,
                minutes: 240,
            },
            local_boot: LocalBoot::Auto,
            local_boot_models: Vec::new(),
            variables: Variables::default(),
            windows: BTreeMap::new(),
        }
    }
}

impl Site {
    /// Brings every number into its documented range.
    pub fn clamped(mut self) -> Self {
        self.menu_timeout_s = self.menu_timeout_s.min(300);
        self.wait_poll_s = self.wait_poll_s.clamp(2, 60);
        self.wait_limit_s = self.wait_limit_s.clamp(10, 86_400);
        self.install_limit = self.install_limit.clamped();
        self
    }

    /// How a machine starts its disk: as it says itself, else as its model, else as the site.
    pub fn local_boot_of(&self, machine: Option<&Machine>) -> LocalBoot {
        let own = machine.and_then(|machine| machine.local_boot);
        let model = || {
            let facts = &machine?.facts;
            let mut models = self.local_boot_models.iter();
            models.find(|model| model.is_of(facts))
        };
        own.or_else(|| Some(model()?.local_boot))
            .unwrap_or(self.local_boot)
    }

    /// How often a waiting machine asks before it gives up.
    pub fn wait_rounds(&self) -> u32 {
        self.wait_limit_s
            .div_ceil(u32::from(self.wait_poll_s.max(1)))
            .max(1)
    }
}

/// Where one answer says we are: the address of the interface the request came in on.
///
/// Never a setting and never the first interface found: each network is told its own address
/// (protocol.md F.5, vector H19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Our IPv4 address on the receiving interface.
    pub ip: Ipv4Addr,
    /// TCP port of the HTTP boot plane.
    pub http_port: u16,
    /// TCP port of the people's pages, for texts that say where to assign a machine.
    pub ui_port: u16,
}

impl Endpoint {
    /// `http://192.168.77.2` (port 80 is left out: many shipped GRUBs know no port syntax).
    pub fn http_base(&self) -> String {
        let mut base = String::new();
        self.write_http_base(&mut base);
        base
    }

    /// Appends [`http_base`](Self::http_base): the packet's way allocates nothing.
    pub(crate) fn write_http_base(&self, out: &mut String) {
        let written = match self.http_port {
            80 => write!(out, "http://{}", self.ip),
            port => write!(out, "http://{}:{port}", self.ip),
        };
        written.expect("text that grows takes everything");
    }

    /// `http://192.168.77.2:8080`, where a person assigns machines.
    pub fn ui_base(&self) -> String {
        match self.ui_port {
            80 => format!("http://{}", self.ip),
            port => format!("http://{}:{port}", self.ip),
        }
    }
}
