//! The words of Farrier and the one question: *what does this client get, and because of what?*
//!
//! Everything here is pure: no sockets, no clock, no files, no randomness. A packet or a URL
//! becomes a [`BootClient`] (a claim, not to be trusted); [`decide`] answers it from an immutable
//! [`Catalog`]; the answer is a [`Decision`] whose [`Because`] travels into every event and onto
//! the machine's page. Menus are rendered from the same decision ([`menu`]), and what an operator
//! sees of a boot is a fold over [`Event`]s ([`timeline`]).

mod answer;
mod answer_kind;
mod because;
mod boot_path;
mod catalog;
mod circuit;
mod client;
mod decide;
pub mod diskless;
pub mod effect;
mod event;
mod extras;
pub mod hardware;
mod hook;
pub mod identity;
mod lifecycle;
mod link;
mod loader;
mod local_boot;
mod mac;
mod machine;
pub mod menu;
mod power;
mod profile;
pub mod rule;
pub mod run;
mod secret;
mod selector;
mod site;
pub mod timeline;
mod transfer;
mod uuid;
mod variables;
mod window;

pub use answer::{
    Answer, Group, Object, ObjectKind, ObjectName, ObjectNameError, Objects, Text, Uses,
};
pub use answer_kind::AnswerKind;
pub use because::Because;
pub use boot_path::{BootPath, ClientKey, PathRefusal, RelPath};
pub use catalog::{Catalog, Doubts, Unstored};
pub use circuit::CircuitId;
pub use client::{Arch, BootClient, ClientClass, IpxeFeatures, Platform, Stage};
pub use decide::{
    BootFile, BootPlan, Decision, Intent, Outcome, Ruling, Sketch, Verdict, decide, judge,
};
pub use diskless::{Diskless, Overlays};
pub use event::{Event, EventKind, Origin, Timestamp, Transport};
pub use extras::Extras;
pub use hardware::Hardware;
pub use hook::{Hook, HookFault};
pub use lifecycle::Lifecycle;
pub use link::{LinkPurpose, VerifiedLink};
pub use loader::{EfiStyle, LoaderInventory, LoaderKind, LoaderRole};
pub use local_boot::{LocalBoot, LocalBootModel};
pub use mac::{MacAddr, MacParseError};
pub use machine::{Facts, Machine, MachineId, MachineState, Mode};
pub use power::{Ipmi, Power, PowerAction, PowerFault, PowerState, PowerWay, Redfish};
pub use profile::{BootMethod, FileRef, Profile, ProfileError, ProfileName};
pub use rule::{NewMachines, Rule, RuleName, RuleNameError};
pub use run::{Arming, HeldWhy, Limit, Run, RunId, RunKind, RunState, Standing, Turn};
pub use secret::Secret;
pub use selector::{Finding, Glob, MacPrefix, Seen, Selector, SelectorError, Subnet};
pub use site::{Endpoint, Site, UnassignedPolicy};
pub use transfer::TransferStats;
pub use uuid::{SystemUuid, UuidParseError};
pub use variables::{Variables, VariablesError};
pub use window::{Day, TimeError, TimeOfDay, Window, WindowError};
