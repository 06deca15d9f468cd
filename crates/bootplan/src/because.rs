//! The reason of a decision; it travels into every event and onto the machine's page.

use crate::{LoaderKind, Platform, ProfileName, RuleName, RunState, UnassignedPolicy};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Because of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Because {
    /// The machine's own assignment.
    Assignment {
        /// The machine's name.
        machine: String,
        /// The profile assigned.
        profile: ProfileName,
    },
    /// No assignment; the site default applies.
    SiteDefault {
        /// The site default.
        policy: UnassignedPolicy,
    },
    /// The assigned profile is switched off.
    ProfileDisabled {
        /// Which one.
        profile: ProfileName,
    },
    /// The assigned profile no longer exists.
    ProfileMissing {
        /// Which one.
        profile: ProfileName,
    },
    /// The assigned profile has nothing for this platform.
    ProfileNotForPlatform {
        /// Which one.
        profile: ProfileName,
        /// The platform.
        platform: Platform,
    },
    /// The architecture code is none we know; hardware we do not know is never guessed at.
    UnknownArchitecture {
        /// Option 93, if there was one.
        code: Option<u16>,
    },
    /// The loader this client needs is not on disk.
    LoaderMissing {
        /// For which platform.
        platform: Platform,
        /// Which family.
        loader: LoaderKind,
    },
    /// All-zero, broadcast or multicast hardware address.
    NoMachineAddress,
    /// An installation, or one other boot, is ordered.
    Run {
        /// The machine's name.
        machine: String,
        /// What it boots.
        profile: ProfileName,
        /// Which try this is, from 1.
        attempt: u8,
        /// How many it has.
        of: u8,
    },
    /// An installation is ordered, and others come first.
    Queue {
        /// What it will boot.
        profile: ProfileName,
        /// Its place, from 1.
        place: usize,
        /// How many wait.
        of: usize,
    },
    /// A profile is to be installed once, and not now.
    Once {
        /// Which one.
        profile: ProfileName,
        /// How far that is; `None`: nobody has ordered it.
        state: Option<RunState>,
    },
    /// It was handed over already, and the database cannot count that now.
    Unstored {
        /// To what.
        profile: ProfileName,
    },
    /// No assignment; the first rule that matches.
    Rule {
        /// Which one.
        rule: RuleName,
        /// What it gives.
        profile: ProfileName,
    },
    /// The first rule that matches installs once, and has not been made an order.
    RuleOnce {
        /// Which one.
        rule: RuleName,
        /// What it installs.
        profile: ProfileName,
    },
    /// A rule may match as soon as the loader tells more of the machine.
    RuleUndecided {
        /// Which one.
        rule: RuleName,
    },
    /// A rule matches, but nobody has adopted the machine.
    Unapproved {
        /// Which one.
        rule: RuleName,
        /// What the machine will get.
        profile: ProfileName,
        /// The site default, which applies until then.
        policy: UnassignedPolicy,
    },
    /// Nobody has adopted the machine, and such machines are ignored.
    Ignored,
    /// The profile's arguments could not be filled in for this machine.
    Template {
        /// Which profile.
        profile: ProfileName,
        /// What is wrong, with its line and column.
        fault: String,
    },
    /// What it says of itself fits no one machine; a person has to say which one it is.
    IdentityConflict,
}

impl Because {
    /// The profile that the machine is given, if it is given one.
    pub fn profile(&self) -> Option<&ProfileName> {
        match self {
            Because::Assignment { profile, .. }
            | Because::Run { profile, .. }
            | Because::Rule { profile, .. } => Some(profile),
            _ => None,
        }
    }

    /// The rule that it comes from, if one does.
    pub fn rule(&self) -> Option<&RuleName> {
        match self {
            Because::Rule { rule, .. }
            | Because::RuleOnce { rule, .. }
            | Because::RuleUndecided { rule }
            | Because::Unapproved { rule, .. } => Some(rule),
            _ => None,
        }
    }

    /// Whether a person should look at it: it is not what anybody has set up.
    pub fn is_fault(&self) -> bool {
        match self {
            Because::Once { state, .. } => {
                matches!(state, Some(RunState::Held { .. } | RunState::Failed { .. }))
            }
            Because::ProfileDisabled { .. }
            | Because::ProfileMissing { .. }
            | Because::ProfileNotForPlatform { .. }
            | Because::UnknownArchitecture { .. }
            | Because::LoaderMissing { .. }
            | Because::NoMachineAddress
            | Because::Unstored { .. }
            | Because::Template { .. }
            | Because::IdentityConflict => true,
            Because::Assignment { .. }
            | Because::SiteDefault { .. }
            | Because::Run { .. }
            | Because::Queue { .. }
            | Because::Rule { .. }
            | Because::RuleOnce { .. }
            | Because::RuleUndecided { .. }
            | Because::Unapproved { .. }
            | Because::Ignored => false,
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Because::Assignment { machine, profile } => {
                write!(f, "machine '{machine}' is assigned to profile '{profile}'")
            }
            Because::SiteDefault { policy } => {
                write!(
                    f,
                    "no assignment; the site default for such machines is '{policy}'"
                )
            }
            Because::ProfileDisabled { profile } => {
                write!(
                    f,
                    "profile '{profile}' is disabled; enable it or assign another"
                )
            }
            Because::ProfileMissing { profile } => {
                write!(
                    f,
                    "assigned profile '{profile}' does not exist; assign another"
                )
            }
            Because::ProfileNotForPlatform { profile, platform } => {
                write!(
                    f,
                    "profile '{profile}' has nothing for {platform}; assign another"
                )
            }
            Because::UnknownArchitecture { code: Some(code) } => {
                write!(
                    f,
                    "architecture code {code} (option 93) is not supported; it is not guessed at"
                )
            }
            Because::UnknownArchitecture { code: None } => {
                f.write_str("the client names no architecture")
            }
            Because::LoaderMissing { platform, loader } => {
                write!(
                    f,
                    "no {loader} loader for {platform} is installed; run 'farrier assets sync'"
                )
            }
            Because::NoMachineAddress => f.write_str("not the hardware address of a machine"),
            Because::Run {
                machine,
                profile,
                attempt,
                of,
            } => write!(
                f,
                "machine '{machine}' is to boot profile '{profile}' (try {attempt} of {of})"
            ),
            Because::Queue { profile, place, of } => {
                write!(f, "place {place} of {of} in the queue for '{profile}'")
            }
            Because::Once { profile, state } => once(profile, state.as_ref(), f),
            Because::Unstored { profile } => write!(
                f,
                "it was handed over to '{profile}', and that is not stored yet: its disk, until the \
                 database takes it"
            ),
            Because::Rule { rule, profile } => {
                write!(f, "rule '{rule}' gives it profile '{profile}'")
            }
            Because::RuleOnce { rule, profile } => write!(
                f,
                "rule '{rule}' installs '{profile}' only when a machine is registered, or when \
                 somebody orders it"
            ),
            Because::RuleUndecided { rule } => {
                write!(
                    f,
                    "rule '{rule}' may match; the loader tells what is missing"
                )
            }
            Because::Unapproved {
                rule,
                profile,
                policy,
            } => write!(
                f,
                "rule '{rule}' gives it '{profile}' once somebody adopts it; until then '{policy}'"
            ),
            Because::Template { profile, fault } => {
                write!(f, "profile '{profile}' cannot be filled in for it: {fault}")
            }
            Because::Ignored => f.write_str("machines that nobody has adopted are ignored"),
            Because::IdentityConflict => f.write_str(
                "it says of itself what fits no one machine; say on its page which one it is",
            ),
        }
    }
}

fn once(
    profile: &ProfileName,
    state: Option<&RunState>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match state {
        None => write!(
            f,
            "'{profile}' is to be installed once, and nobody ordered it"
        ),
        Some(RunState::Waiting) => write!(f, "'{profile}' is installed when its time has come"),
        Some(RunState::Armed) => write!(f, "'{profile}' is installed at the next boot"),
        Some(RunState::Installing) => write!(f, "the installer of '{profile}' wants the disk"),
        Some(RunState::Installed) => write!(f, "'{profile}' is installed"),
        Some(RunState::Failed { why }) => write!(f, "installing '{profile}' failed: {why}"),
        Some(RunState::Held { why }) => write!(f, "installing '{profile}' is held: {why}"),
        Some(RunState::Cancelled) => write!(f, "installing '{profile}' was cancelled"),
    }
}
