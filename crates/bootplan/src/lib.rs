//! The words of Farrier and the one question: *what does this client get, and because of what?*
//!
//! Everything here is pure: no sockets, no clock, no files, no randomness. A packet or a URL
//! becomes a [`BootClient`] (a claim, not to be trusted); [`decide`] answers it from an immutable
//! [`Catalog`]; the answer is a [`Decision`] whose [`Because`] travels into every event and onto
//! the machine's page. Menus are rendered from the same decision ([`menu`]), and what an operator
//! sees of a boot is a fold over [`Event`]s ([`timeline`]).

mod because;
mod boot_path;
mod catalog;
mod client;
mod decide;
mod event;
mod loader;
mod mac;
mod machine;
pub mod menu;
mod profile;
mod site;
pub mod timeline;
mod transfer;
mod uuid;

pub use because::Because;
pub use boot_path::{BootPath, ClientKey, PathRefusal, RelPath};
pub use catalog::Catalog;
pub use client::{Arch, BootClient, ClientClass, IpxeFeatures, Platform, Stage};
pub use decide::{
    BootFile, BootPlan, Decision, Intent, Outcome, Ruling, Sketch, Verdict, decide, judge,
};
pub use event::{Event, EventKind, Origin, Timestamp, Transport};
pub use loader::{EfiStyle, LoaderInventory, LoaderKind, LoaderRole};
pub use mac::{MacAddr, MacParseError};
pub use machine::{Facts, Machine, MachineId, MachineState};
pub use profile::{BootMethod, FileRef, Profile, ProfileError, ProfileName};
pub use site::{Endpoint, Site, UnassignedPolicy};
pub use transfer::TransferStats;
pub use uuid::{SystemUuid, UuidParseError};
