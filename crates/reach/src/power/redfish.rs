//! Redfish (DSP0266): finding the system, its power and its next boot.

use super::PowerError;
use crate::{Client, Error, Fault, Login, Request, Trust, Zone};
use bootplan::{PowerAction, PowerState, Redfish, SystemUuid};
use reqwest::Url;
use reqwest::header::{HeaderValue, IF_MATCH};
use serde_json::{Value, json};

/// A controller and how it is asked.
pub(super) struct Controller<'a> {
    client: &'a Client,
    url: Url,
    trust: Trust,
    login: Option<Login>,
}

/// A computer behind it.
struct System {
    url: Url,
    etag: Option<HeaderValue>,
    said: Value,
}

impl<'a> Controller<'a> {
    pub(super) fn new(
        client: &'a Client,
        redfish: &Redfish,
        password: String,
    ) -> Result<Self, PowerError> {
        let trust = match &redfish.tls_pin {
            Some(pin) => Trust::Pinned(pin.parse()?),
            None => Trust::System,
        };
        let user = redfish.user.clone();
        let login = (!user.is_empty()).then_some(Login { user, password });
        let url = crate::request::parse(&redfish.url)?;
        Ok(Controller {
            client,
            url,
            trust,
            login,
        })
    }

    pub(super) async fn act(
        &self,
        action: PowerAction,
        uuid: Option<SystemUuid>,
    ) -> Result<Option<PowerState>, PowerError> {
        let system = self.system(uuid).await?;
        match action {
            PowerAction::Status => Ok(Some(power(&system.said))),
            PowerAction::On => {
                self.reset(&system, &["On", "ForceOn", "PushPowerButton"])
                    .await
            }
            PowerAction::Off => {
                self.reset(
                    &system,
                    &["ForceOff", "GracefulShutdown", "PushPowerButton"],
                )
                .await
            }
            PowerAction::Restart if power(&system.said) == PowerState::Off => {
                self.reset(&system, &["On", "ForceOn"]).await
            }
            PowerAction::Restart => {
                self.reset(&system, &["ForceRestart", "PowerCycle", "GracefulRestart"])
                    .await
            }
            PowerAction::NextBootPxe => self.next_boot(&system, "Pxe").await,
            PowerAction::NextBootHttp => self.next_boot(&system, "UefiHttp").await,
            PowerAction::Wake => Err(PowerError::NoWay { action }),
        }
    }

    /// The system that the URL names; else the only one; else the one with the machine's UUID.
    async fn system(&self, uuid: Option<SystemUuid>) -> Result<System, PowerError> {
        let path = self.url.path().trim_end_matches('/');
        let named = path
            .rsplit_once("/Systems/")
            .is_some_and(|(_, id)| !id.is_empty());
        if named {
            return self.look(self.url.clone()).await;
        }
        let list = self.join("/redfish/v1/Systems")?;
        let members = self.look(list.clone()).await?.said;
        let members = members["Members"].as_array().cloned().unwrap_or_default();
        let members: Vec<&str> = members
            .iter()
            .filter_map(|m| m["@odata.id"].as_str())
            .take(MANY)
            .collect::<Vec<_>>();
        if let [only] = members[..] {
            return self.look(self.join(only)?).await;
        }
        for member in &members {
            let system = self.look(self.join(member)?).await?;
            let its = system.said["UUID"]
                .as_str()
                .and_then(|text| text.parse().ok());
            if uuid.is_some() && its == uuid {
                return Ok(system);
            }
        }
        Err(at(
            &list,
            match members.is_empty() {
                true => "it lists no system".to_owned(),
                false => format!(
                    "it has several systems, none with this machine's UUID; name one in the URL: {}",
                    members.join(", ")
                ),
            },
        ))
    }

    async fn look(&self, url: Url) -> Result<System, PowerError> {
        let answer = self.client.get(&self.request(&url)).await.map_err(plain)?;
        let etag = answer
            .header(reqwest::header::ETAG)
            .and_then(|tag| HeaderValue::from_str(tag).ok());
        let said = answer.json().await?;
        Ok(System { url, etag, said })
    }

    async fn reset(
        &self,
        system: &System,
        wanted: &[&str],
    ) -> Result<Option<PowerState>, PowerError> {
        let action = &system.said["Actions"]["#ComputerSystem.Reset"];
        let target = action["target"].as_str();
        let target = target.ok_or_else(|| {
            at(
                &system.url,
                "it offers no Reset; is the URL that of a system?".to_owned(),
            )
        })?;
        let kind =
            chosen(&action["ResetType@Redfish.AllowableValues"], wanted).map_err(|offered| {
                at(
                    &system.url,
                    format!("it can do none of {}, only {offered}", wanted.join(", ")),
                )
            })?;
        let request = self.request(&self.join(target)?);
        self.client
            .post_json(&request, &json!({"ResetType": kind}))
            .await
            .map_err(plain)?;
        Ok(None)
    }

    async fn next_boot(
        &self,
        system: &System,
        device: &str,
    ) -> Result<Option<PowerState>, PowerError> {
        let offered = &system.said["Boot"]["BootSourceOverrideTarget@Redfish.AllowableValues"];
        chosen(offered, &[device]).map_err(|offered| {
            at(
                &system.url,
                format!("it cannot boot from {device} once, only from {offered}"),
            )
        })?;
        let mut request = self.request(&system.url);
        // Several makers refuse a change that does not say of which version.
        if let Some(etag) = &system.etag {
            request = request.header(IF_MATCH, etag.clone());
        }
        let body = json!({"Boot": {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": device}});
        self.client
            .patch_json(&request, &body)
            .await
            .map_err(plain)?;
        Ok(None)
    }

    fn request(&self, url: &Url) -> Request {
        let request = Request::of(url.clone()).zone(Zone::Site).trust(self.trust);
        match &self.login {
            Some(login) => request.login(login.clone()),
            None => request,
        }
    }

    /// Where a path that the controller named lies: on the controller, or the password went elsewhere.
    fn join(&self, path: &str) -> Result<Url, PowerError> {
        let joined = self.url.join(path).ok();
        let same = joined.filter(|url| url.origin() == self.url.origin());
        same.ok_or_else(|| {
            at(
                &self.url,
                format!("it names the resource '{path}', which is not on it"),
            )
        })
    }
}

fn power(system: &Value) -> PowerState {
    match system["PowerState"].as_str() {
        Some("On") => PowerState::On,
        Some("Off") => PowerState::Off,
        _ => PowerState::Changing,
    }
}

/// The first of the wanted values that is offered; the first of all where nothing is said.
fn chosen<'w>(offered: &Value, wanted: &[&'w str]) -> Result<&'w str, String> {
    let Some(offered) = offered.as_array() else {
        return wanted.first().copied().ok_or_else(String::new);
    };
    let offered: Vec<&str> = offered.iter().filter_map(Value::as_str).collect();
    let found = wanted.iter().find(|w| offered.contains(w)).copied();
    found.ok_or_else(|| offered.join(", "))
}

fn at(url: &Url, problem: String) -> PowerError {
    let url = crate::request::shown(url);
    PowerError::Controller { url, problem }
}

/// Errors of Redfish hold a sentence for people deep inside JSON.
fn plain(mut error: Error) -> Error {
    if let Fault::Status { status, text } = &mut error.fault {
        let said: Option<Value> = serde_json::from_str(text).ok();
        let inside = said.as_ref().and_then(|said| {
            let info = said["error"]["@Message.ExtendedInfo"][0]["Message"].as_str();
            info.or_else(|| said["error"]["message"].as_str())
        });
        if let Some(inside) = inside {
            *text = inside.chars().take(300).collect();
        }
        if matches!(status, 401 | 403) {
            text.push_str(" (check user and password)");
        }
    }
    error
}

/// A chassis of blades; more are not one controller's.
const MANY: usize = 64;
