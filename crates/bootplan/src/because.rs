//! The reason of a decision; it travels into every event and onto the machine's page.

use crate::{LoaderKind, Platform, ProfileName, UnassignedPolicy};
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
        }
    }
}
