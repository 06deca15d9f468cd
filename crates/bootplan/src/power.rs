//! How a machine is switched on and off from outside.

use crate::secret::POWER_SECRETS;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The ways to a machine's power switch. Passwords are names of secrets, never values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Power {
    /// A management controller that speaks Redfish; asked before any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redfish: Option<Redfish>,
    /// A management controller that speaks IPMI over LAN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipmi: Option<Ipmi>,
    /// Whether its network card wakes it by a magic packet.
    #[serde(skip_serializing_if = "is_false")]
    pub wake: bool,
}

/// A Redfish controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redfish {
    /// The controller (`https://10.9.0.3`) or one of its systems (`.../redfish/v1/Systems/1`).
    pub url: String,
    /// User name; empty: none is asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The secret that holds the password.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub password_secret: String,
    /// SHA-256 of its certificate, `sha256:` and hexadecimal; without, the system's authorities decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_pin: Option<String>,
}

/// An IPMI controller (RMCP+).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ipmi {
    /// Name or address.
    pub host: String,
    /// UDP port.
    #[serde(default = "ipmi_port", skip_serializing_if = "is_ipmi_port")]
    pub port: u16,
    /// User name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The secret that holds the password.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub password_secret: String,
}

/// What is asked of a power switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerAction {
    /// Switch it on.
    On,
    /// Switch it off at once, without asking its operating system.
    Off,
    /// Off and on again; on, if it is off.
    Restart,
    /// Only look.
    Status,
    /// Boot from the network by PXE the next time, and only then.
    NextBootPxe,
    /// Boot from the network by UEFI HTTP Boot the next time, and only then.
    NextBootHttp,
    /// Send a magic packet.
    Wake,
}

/// What a power switch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerState {
    /// On.
    On,
    /// Off.
    Off,
    /// On its way to either, or unknown even to it.
    Changing,
}

/// Which way was gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerWay {
    /// Redfish.
    Redfish,
    /// IPMI.
    Ipmi,
    /// A magic packet.
    WakeOnLan,
}

/// What is wrong with a description of a power switch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct PowerFault {
    /// `redfish.url` and the like.
    pub field: &'static str,
    /// What is wrong with it, for people.
    pub problem: String,
}

impl Power {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Power::default()
    }

    /// The way by which `action` goes, or `None`.
    pub fn way(&self, action: PowerAction) -> Option<PowerWay> {
        let controller = match (&self.redfish, &self.ipmi) {
            (Some(_), _) => Some(PowerWay::Redfish),
            (None, Some(_)) => Some(PowerWay::Ipmi),
            (None, None) => None,
        };
        match action {
            PowerAction::Wake => Some(PowerWay::WakeOnLan),
            PowerAction::On if self.wake => controller.or(Some(PowerWay::WakeOnLan)),
            PowerAction::NextBootHttp => controller.filter(|way| *way == PowerWay::Redfish),
            _ => controller,
        }
    }

    /// Looks for what cannot work, and for what could mean something else to a program it is given to.
    ///
    /// # Errors
    /// The first fault.
    pub fn validate(&self) -> Result<(), PowerFault> {
        let fault = |field, problem: &str| {
            let problem = problem.to_owned();
            Err(PowerFault { field, problem })
        };
        if let Some(redfish) = &self.redfish {
            let rest = redfish.url.strip_prefix("https://");
            let rest = rest.or_else(|| redfish.url.strip_prefix("http://"));
            if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
                return fault("redfish.url", "must be http:// or https:// and a host");
            }
            if !is_plain(&redfish.url, URL_LIMIT) || redfish.url.contains('@') {
                return fault(
                    "redfish.url",
                    "must be a plain URL without name and password; these have fields of their own",
                );
            }
            if redfish.tls_pin.as_deref().is_some_and(|pin| !is_pin(pin)) {
                return fault(
                    "redfish.tls_pin",
                    "must be sha256: and 64 hexadecimal digits",
                );
            }
            if !is_plain(&redfish.user, NAME_LIMIT) {
                return fault(
                    "redfish.user",
                    "must be printable, without spaces, and not begin with '-'",
                );
            }
            if !redfish.password_secret.is_empty() && redfish.user.is_empty() {
                return fault("redfish.user", "is missing beside the password");
            }
            if !is_own_secret(&redfish.password_secret) {
                return fault("redfish.password_secret", OWN_SECRET);
            }
        }
        if let Some(ipmi) = &self.ipmi {
            if ipmi.host.is_empty() || !is_plain(&ipmi.host, NAME_LIMIT) {
                return fault("ipmi.host", "must be a name or an address");
            }
            if !is_plain(&ipmi.user, NAME_LIMIT) {
                return fault(
                    "ipmi.user",
                    "must be printable, without spaces, and not begin with '-'",
                );
            }
            if !is_own_secret(&ipmi.password_secret) {
                return fault("ipmi.password_secret", OWN_SECRET);
            }
        }
        Ok(())
    }
}

/// Printable ASCII that is no option to a program.
fn is_plain(text: &str, limit: usize) -> bool {
    text.len() <= limit && !text.starts_with('-') && text.bytes().all(|b| b.is_ascii_graphic())
}

/// One that no answer can name; or none.
fn is_own_secret(name: &str) -> bool {
    is_plain(name, NAME_LIMIT) && (name.is_empty() || name.starts_with(POWER_SECRETS))
}

const OWN_SECRET: &str =
    "must be the name of a secret that begins with 'power.': no answer can name such a one";

fn is_pin(pin: &str) -> bool {
    let digits = pin.strip_prefix("sha256:").unwrap_or(pin).replace(':', "");
    digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

fn ipmi_port() -> u16 {
    623
}

fn is_ipmi_port(port: &u16) -> bool {
    *port == ipmi_port()
}

fn is_false(value: &bool) -> bool {
    !value
}

impl PowerAction {
    /// All of them.
    pub const ALL: [PowerAction; 7] = [
        PowerAction::On,
        PowerAction::Off,
        PowerAction::Restart,
        PowerAction::Status,
        PowerAction::NextBootPxe,
        PowerAction::NextBootHttp,
        PowerAction::Wake,
    ];

    /// The word in the API and on the command line.
    pub fn slug(self) -> &'static str {
        match self {
            PowerAction::On => "on",
            PowerAction::Off => "off",
            PowerAction::Restart => "restart",
            PowerAction::Status => "status",
            PowerAction::NextBootPxe => "next-boot-pxe",
            PowerAction::NextBootHttp => "next-boot-http",
            PowerAction::Wake => "wake",
        }
    }

    /// The action whose [`slug`](Self::slug) this is.
    pub fn from_slug(slug: &str) -> Option<Self> {
        PowerAction::ALL
            .into_iter()
            .find(|action| action.slug() == slug)
    }
}

/// For people: `switch on`.
impl fmt::Display for PowerAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PowerAction::On => "switch on",
            PowerAction::Off => "switch off",
            PowerAction::Restart => "restart",
            PowerAction::Status => "power status",
            PowerAction::NextBootPxe => "next boot by PXE",
            PowerAction::NextBootHttp => "next boot by UEFI HTTP",
            PowerAction::Wake => "wake",
        })
    }
}

impl fmt::Display for PowerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PowerState::On => "on",
            PowerState::Off => "off",
            PowerState::Changing => "changing",
        })
    }
}

impl fmt::Display for PowerWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PowerWay::Redfish => "Redfish",
            PowerWay::Ipmi => "IPMI",
            PowerWay::WakeOnLan => "Wake-on-LAN",
        })
    }
}

const URL_LIMIT: usize = 500;
const NAME_LIMIT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Power {
        serde_json::from_value(json).expect("a power switch")
    }

    #[test]
    fn the_way_that_knows_most_is_gone() {
        let wake = read(serde_json::json!({"wake": true}));
        let ipmi = read(serde_json::json!({"wake": true, "ipmi": {"host": "10.0.0.9"}}));
        let both =
            read(serde_json::json!({"ipmi": {"host": "h"}, "redfish": {"url": "https://h"}}));
        let ways = |power: &Power| PowerAction::ALL.map(|action| power.way(action));
        let (r, i, w) = (
            Some(PowerWay::Redfish),
            Some(PowerWay::Ipmi),
            Some(PowerWay::WakeOnLan),
        );
        assert_eq!(ways(&wake), [w, None, None, None, None, None, w]);
        assert_eq!(ways(&ipmi), [i, i, i, i, i, None, w]);
        assert_eq!(ways(&both), [r, r, r, r, r, r, w]);
        assert_eq!(
            ways(&Power::default()),
            [None, None, None, None, None, None, w]
        );
    }

    #[test]
    fn what_is_left_out_is_not_written() {
        for json in [
            serde_json::json!({"wake": true}),
            serde_json::json!({"redfish": {"url": "https://h/redfish/v1/Systems/1", "user": "admin", "password_secret": "power.bmc"}}),
            serde_json::json!({"ipmi": {"host": "10.0.0.9", "port": 6230}}),
        ] {
            assert_eq!(
                serde_json::to_value(read(json.clone())).expect("json"),
                json
            );
        }
        assert!(
            serde_json::from_str::<Power>(r#"{"ipmi": {"host": "h", "password": "x"}}"#).is_err()
        );
    }

    #[test]
    fn options_and_addresses_in_disguise_are_refused() {
        for (json, field) in [
            (
                serde_json::json!({"ipmi": {"host": "-oProxy"}}),
                "ipmi.host",
            ),
            (serde_json::json!({"ipmi": {"host": ""}}), "ipmi.host"),
            (
                serde_json::json!({"ipmi": {"host": "h", "user": "a b"}}),
                "ipmi.user",
            ),
            (
                serde_json::json!({"ipmi": {"host": "h", "user": "-x"}}),
                "ipmi.user",
            ),
            (
                serde_json::json!({"redfish": {"url": "ftp://h"}}),
                "redfish.url",
            ),
            (
                serde_json::json!({"redfish": {"url": "https://"}}),
                "redfish.url",
            ),
            (
                serde_json::json!({"redfish": {"url": "https://u:p@h"}}),
                "redfish.url",
            ),
            (
                serde_json::json!({"redfish": {"url": "https://h\n"}}),
                "redfish.url",
            ),
            (
                serde_json::json!({"redfish": {"url": "https://h", "tls_pin": "sha256:00"}}),
                "redfish.tls_pin",
            ),
            (
                serde_json::json!({"redfish": {"url": "https://h", "password_secret": "power.p"}}),
                "redfish.user",
            ),
            (
                serde_json::json!({"redfish": {"url": "https://h", "user": "a", "password_secret": "p"}}),
                "redfish.password_secret",
            ),
            (
                serde_json::json!({"ipmi": {"host": "h", "password_secret": "root-hash"}}),
                "ipmi.password_secret",
            ),
        ] {
            assert_eq!(
                read(json.clone()).validate().expect_err("refused").field,
                field,
                "{json}"
            );
        }
        read(serde_json::json!({"ipmi": {"host": "fd00::1", "user": "ADMIN"}}))
            .validate()
            .expect("valid");
    }
}
