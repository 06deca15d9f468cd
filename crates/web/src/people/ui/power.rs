//! A machine's power switch: buttons, and where its controller is.

use super::error::PageError;
use super::form::{Fields, Path};
use super::frame::{Stamp, Visit, done, failed};
use super::story::printable;
use crate::people::PeopleState;
use crate::people::power::Asked;
use axum::extract::State;
use axum::response::Response;
use bootplan::{EventKind, Ipmi, MachineId, Power, PowerAction, Redfish, Timestamp};
use store::{StoreError, StoredEvent};

/// What the panel shows.
pub(super) struct PowerPanel {
    pub(super) power: Power,
    /// How it is switched, for people.
    pub(super) way: String,
    pub(super) buttons: Vec<Button>,
    /// Whether it can be installed now, without anybody's hands.
    pub(super) boots: bool,
    /// What came of it last, and when.
    pub(super) last: Option<(String, Stamp)>,
}

/// One thing that can be asked of it.
pub(super) struct Button {
    pub(super) action: &'static str,
    pub(super) label: &'static str,
    /// What to ask before; empty: nothing.
    pub(super) confirm: String,
}

impl PowerPanel {
    pub(super) fn of(power: Power, name: &str) -> Self {
        let sure = |action| match action {
            PowerAction::Off => format!("Switch {name} off at once, whatever it is doing?"),
            PowerAction::Restart => format!("Restart {name} at once, whatever it is doing?"),
            _ => String::new(),
        };
        let buttons = BUTTONS.into_iter().filter(|(action, _)| {
            let known = power.way(*action).is_some();
            // A card may wake without anybody having said so; it is offered where nothing else is.
            known && (*action != PowerAction::Wake || power.wake || power.is_empty())
        });
        let buttons = buttons.map(|(action, label)| Button {
            action: action.slug(),
            label,
            confirm: sure(action),
        });
        let mut ways = Vec::new();
        if let Some(redfish) = &power.redfish {
            ways.push(format!("Redfish at {}", printable(&redfish.url)));
        }
        if let Some(ipmi) = &power.ipmi {
            ways.push(format!("IPMI at {}", printable(&ipmi.host)));
        }
        if power.wake {
            ways.push("Wake-on-LAN".to_owned());
        }
        PowerPanel {
            way: ways.join(", "),
            boots: !Asked::BootOrdered.steps(&power).is_empty(),
            buttons: buttons.collect(),
            last: None,
            power,
        }
    }

    /// With what came of it last, out of the machine's history (oldest first).
    pub(super) fn with_last(self, history: &[StoredEvent], now: Timestamp) -> Self {
        let powered = |kind: &EventKind| matches!(kind, EventKind::Powered { .. });
        let last = history.iter().rfind(|stored| powered(&stored.event.kind));
        let told = |stored: &StoredEvent| {
            let at = Stamp::ago(stored.event.at, now);
            (stored.event.kind.headline(), at)
        };
        PowerPanel {
            last: last.map(told),
            ..self
        }
    }

    fn redfish(&self) -> Redfish {
        self.power.redfish.clone().unwrap_or(Redfish {
            url: String::new(),
            user: String::new(),
            password_secret: String::new(),
            tls_pin: None,
        })
    }

    fn ipmi(&self) -> Ipmi {
        self.power.ipmi.clone().unwrap_or(Ipmi {
            host: String::new(),
            port: 623,
            user: String::new(),
            password_secret: String::new(),
        })
    }

    /// The form's text fields: name, label, value, an example.
    pub(super) fn fields(&self) -> [(&'static str, &'static str, String, &'static str); 7] {
        let (redfish, ipmi) = (self.redfish(), self.ipmi());
        [
            (
                "redfish_url",
                "Redfish URL",
                redfish.url,
                "https://10.9.0.3",
            ),
            ("redfish_user", "Its user", redfish.user, ""),
            (
                "redfish_secret",
                "Its password: name of the secret",
                redfish.password_secret,
                "power.rack1",
            ),
            (
                "redfish_pin",
                "Its certificate's SHA-256",
                redfish.tls_pin.unwrap_or_default(),
                "sha256:...",
            ),
            ("ipmi_host", "IPMI address", ipmi.host, "10.9.0.4"),
            ("ipmi_user", "Its user", ipmi.user, ""),
            (
                "ipmi_secret",
                "Its password: name of the secret",
                ipmi.password_secret,
                "power.rack1",
            ),
        ]
    }
}

/// `POST /machines/{id}/power`
pub(crate) async fn act(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Response, PageError> {
    let back = format!("/machines/{id}");
    let Some(action) = PowerAction::from_slug(fields.get("action")) else {
        return Ok(failed(&back, "that cannot be asked of a power switch"));
    };
    let asked = Asked::Action(action);
    let used = state.switch(vec![MachineId(id)], asked, &visit.actor.name);
    let used = used.await;
    let used = match used {
        Ok(used) => used,
        Err(StoreError::NotFound { .. }) => {
            return Err(PageError::NotFound(
                "this machine does not exist or was forgotten".to_owned(),
            ));
        }
        Err(error) => return Err(error.into()),
    };
    Ok(match used.first() {
        Some(used) if used.good() => {
            let name = printable(&used.name);
            done(&back, format!("{name}: {}.", used.told(asked)))
        }
        Some(used) => failed(&back, used.told(asked)),
        None => failed(&back, "the server is ending"),
    })
}

/// `POST /machines/{id}/power/edit`
pub(crate) async fn edit(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Response, PageError> {
    let back = format!("/machines/{id}");
    let before = state.store.power(MachineId(id)).await?;
    let text = |name| fields.get(name).to_owned();
    let redfish = (!fields.get("redfish_url").is_empty()).then(|| Redfish {
        url: text("redfish_url"),
        user: text("redfish_user"),
        password_secret: text("redfish_secret"),
        tls_pin: Some(text("redfish_pin")).filter(|pin| !pin.is_empty()),
    });
    let ipmi = (!fields.get("ipmi_host").is_empty()).then(|| Ipmi {
        host: text("ipmi_host"),
        // The form has no field for what hardly anybody changes.
        port: before.ipmi.map_or(623, |ipmi| ipmi.port),
        user: text("ipmi_user"),
        password_secret: text("ipmi_secret"),
    });
    let power = Power {
        redfish,
        ipmi,
        wake: fields.has("wake"),
    };
    match state
        .store
        .set_power(MachineId(id), power, &visit.actor.name)
        .await
    {
        Ok(()) => Ok(done(&back, "Power settings saved.")),
        Err(error @ StoreError::Database { .. }) => Err(error.into()),
        Err(error) => Ok(failed(&back, error)),
    }
}

const BUTTONS: [(PowerAction, &str); 7] = [
    (PowerAction::On, "Switch on"),
    (PowerAction::Restart, "Restart"),
    (PowerAction::Off, "Switch off"),
    (PowerAction::NextBootPxe, "Next boot by PXE"),
    (PowerAction::NextBootHttp, "Next boot by HTTP"),
    (PowerAction::Wake, "Wake"),
    (PowerAction::Status, "Ask state"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_done_is_offered() {
        let panel = |json: serde_json::Value| {
            let panel = PowerPanel::of(serde_json::from_value(json).expect("a switch"), "node-1");
            let buttons: Vec<&str> = panel.buttons.iter().map(|b| b.action).collect();
            (panel.way.clone(), buttons.join(" "))
        };
        assert_eq!(
            panel(serde_json::json!({})),
            (String::new(), "wake".to_owned())
        );
        assert_eq!(
            panel(serde_json::json!({"wake": true})),
            ("Wake-on-LAN".to_owned(), "on wake".to_owned())
        );
        assert_eq!(
            panel(serde_json::json!({"ipmi": {"host": "10.0.0.4"}})),
            (
                "IPMI at 10.0.0.4".to_owned(),
                "on restart off next-boot-pxe status".to_owned()
            )
        );
    }
}
