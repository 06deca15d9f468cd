//! What a machine's link says once it has been found to be ours.

use crate::{MachineId, Timestamp};

/// What a link is good for. The purpose is part of what is signed, so that a link for one cannot
/// be used for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkPurpose {
    /// Fetching the answer files of one try.
    Answers,
    /// Reporting how the install goes, and the machine's inventory.
    Report,
}

impl LinkPurpose {
    /// The word that is signed.
    pub fn slug(self) -> &'static str {
        match self {
            LinkPurpose::Answers => "answers",
            LinkPurpose::Report => "report",
        }
    }
}

/// A link whose signature and time were checked. Whether the run it names still stands is
/// another question, asked of the store.
///
/// Its fields are public because it is made in another room (`answers`), by `verify` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VerifiedLink {
    /// What it is good for.
    pub purpose: LinkPurpose,
    /// The machine it was made for.
    pub machine: MachineId,
    /// The run it belongs to; 0 for a machine that always boots its profile.
    pub run: i64,
    /// Which try of the run, counted from 1.
    pub try_number: u8,
    /// When it ends; always a whole second.
    pub expires: Timestamp,
}
