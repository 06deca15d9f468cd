//! Power switches: Redfish, IPMI through `ipmitool`, and magic packets.

mod ipmi;
mod redfish;
mod wake;

pub use wake::{Lan, magic_packet};

use crate::Client;
use bootplan::{MacAddr, Power, PowerAction, PowerFault, PowerState, PowerWay, SystemUuid};
use std::io;
use std::path::PathBuf;

/// What is needed to use any power switch. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Switches {
    client: Client,
    ipmitool: PathBuf,
}

/// Whose switch.
#[derive(Debug)]
pub struct Target<'a> {
    /// The ways to it.
    pub power: &'a Power,
    /// Its addresses, for magic packets.
    pub macs: &'a [MacAddr],
    /// Its UUID: finds it behind a controller of several systems.
    pub uuid: Option<SystemUuid>,
    /// The networks it may be on, for magic packets.
    pub lans: &'a [Lan],
}

/// Why a switch did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PowerError {
    /// Nothing that could do it is known.
    #[error(
        "{action}: no way to do this is known; enter its controller under 'power' (redfish or ipmi)"
    )]
    NoWay {
        /// What was asked.
        action: PowerAction,
    },
    /// The description of the switch is wrong.
    #[error("power: {0}")]
    Fault(#[from] PowerFault),
    /// The pinned certificate is not one.
    #[error("power: {0}")]
    Pin(#[from] crate::BadPin),
    /// A password is not there.
    #[error(
        "the secret '{0}' does not exist; enter it under Settings, or with `farrier secret set {0}`"
    )]
    NoPassword(String),
    /// The controller refused, or did not answer.
    #[error(transparent)]
    Asked(#[from] crate::Error),
    /// The controller answers something else than Redfish says.
    #[error("the controller at {url}: {problem}")]
    Controller {
        /// Which resource.
        url: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The program is not there.
    #[error(
        "IPMI needs the program {0}, which is not here; install the package ipmitool, or name it under power.ipmitool in the configuration"
    )]
    NoIpmitool(PathBuf),
    /// The program failed.
    #[error("ipmitool for {host}: {said}")]
    Ipmi {
        /// The controller.
        host: String,
        /// What it said.
        said: String,
    },
    /// No packet could be sent.
    #[error("cannot send a magic packet: {0}")]
    Wake(String),
    /// The system refused.
    #[error("cannot {doing}: {cause}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        cause: io::Error,
    },
}

impl Switches {
    /// Switches asked through `client`, and through the program `ipmitool`.
    pub fn new(client: Client, ipmitool: impl Into<PathBuf>) -> Switches {
        let ipmitool = ipmitool.into();
        Switches { client, ipmitool }
    }

    /// Does what is asked, by the way that [`Power::way`] names. The state is what the switch
    /// said: for [`PowerAction::Status`] always, else where it had to be asked first.
    ///
    /// # Errors
    /// Why it was not done. A switch that was told may still take its time.
    pub async fn act(
        &self,
        target: &Target<'_>,
        action: PowerAction,
        password: &(dyn Fn(&str) -> Option<String> + Sync),
    ) -> Result<Option<PowerState>, PowerError> {
        let power = target.power;
        power.validate()?;
        let known = |name: &str| match name {
            "" => Ok(String::new()),
            name => password(name).ok_or_else(|| PowerError::NoPassword(name.to_owned())),
        };
        match (power.way(action), &power.redfish, &power.ipmi) {
            (Some(PowerWay::Redfish), Some(redfish), _) => {
                let password = known(&redfish.password_secret)?;
                let controller = redfish::Controller::new(&self.client, redfish, password)?;
                controller.act(action, target.uuid).await
            }
            (Some(PowerWay::Ipmi), _, Some(ipmi)) => {
                let password = known(&ipmi.password_secret)?;
                ipmi::act(&self.ipmitool, ipmi, &password, action).await
            }
            (Some(PowerWay::WakeOnLan), ..) => {
                wake::wake(target.macs, target.lans).await?;
                Ok(None)
            }
            _ => Err(PowerError::NoWay { action }),
        }
    }
}
