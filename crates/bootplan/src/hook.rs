//! Web hooks: who is told of what happens.

use crate::EventKind;
use crate::secret::HOOK_SECRETS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A receiver of events by HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// What people call it: lower-case letters, digits and `-`.
    pub name: String,
    /// Operator's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where events are posted. It may itself be a secret, as those of chats are.
    pub url: String,
    /// Kinds of events (`assigned`, `run-changed`); empty: all but the steps of every boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// The secret that signs what is posted; empty: nothing is signed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secret: String,
    /// Whether it is told anything.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// What is wrong with a hook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct HookFault {
    /// `url` and the like.
    pub field: &'static str,
    /// What is wrong with it, for people.
    pub problem: String,
}

impl Hook {
    /// Whether this event is one of its own. That a hook failed is never told by that hook.
    pub fn wants(&self, kind: &EventKind) -> bool {
        if let EventKind::HookFailed { hook, .. } = kind
            && *hook == self.name
        {
            return false;
        }
        let slug = slug(kind);
        self.enabled
            && match self.events.is_empty() {
                true => !EVERY_BOOT.contains(&slug.as_str()),
                false => self.events.contains(&slug),
            }
    }

    /// Looks for what cannot work.
    ///
    /// # Errors
    /// The first fault.
    pub fn validate(&self) -> Result<(), HookFault> {
        let fault = |field, problem: String| Err(HookFault { field, problem });
        let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(letters) {
            let problem = "must be 1 to 64 lower-case letters, digits and '-'";
            return fault("name", problem.to_owned());
        }
        let rest = self.url.strip_prefix("https://");
        let rest = rest.or_else(|| self.url.strip_prefix("http://"));
        let graphic = self.url.bytes().all(|b| b.is_ascii_graphic());
        if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/'))
            || !graphic
            || self.url.len() > 2000
        {
            return fault("url", "must be http:// or https:// and a host".to_owned());
        }
        let plain = self.secret.bytes().all(|b| b.is_ascii_graphic());
        let own = self.secret.is_empty() || self.secret.starts_with(HOOK_SECRETS);
        if self.secret.len() > 128 || !plain || !own {
            let problem = "must be the name of a secret that begins with 'hook.': no answer can \
                           name such a one";
            return fault("secret", problem.to_owned());
        }
        match self.events.iter().find_map(|name| unknown(name)) {
            Some(problem) => fault("events", problem),
            None => Ok(()),
        }
    }

    /// Scheme and host of its URL: what may be shown of it.
    pub fn place(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{host}")
    }
}

/// The word for a kind of event in JSON.
fn slug(kind: &EventKind) -> String {
    let json = serde_json::to_value(kind).unwrap_or_default();
    json["event"].as_str().unwrap_or_default().to_owned()
}

/// Asks the reader of events itself, so that there is no second list of their kinds.
fn unknown(name: &str) -> Option<String> {
    let bare = serde_json::json!({ "event": name });
    let error = serde_json::from_value::<EventKind>(bare).err()?.to_string();
    let known = error.strip_prefix("unknown variant ")?;
    Some(
        known
            .replace('`', "'")
            .replace("', expected", "' is no kind of event; expected"),
    )
}

fn yes() -> bool {
    true
}

/// A rack that boots makes thousands of these; who wants them names them.
const EVERY_BOOT: [&str; 6] = [
    "offered",
    "not-offered",
    "boot-server-ack",
    "menu-served",
    "file-served",
    "file-failed",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(json: serde_json::Value) -> Hook {
        let mut whole = serde_json::json!({"name": "chat", "url": "https://h/x"});
        let given = json.as_object().expect("an object").clone();
        whole.as_object_mut().expect("an object").extend(given);
        serde_json::from_value(whole).expect("a hook")
    }

    fn kind(json: serde_json::Value) -> EventKind {
        serde_json::from_value(json).expect("an event")
    }

    #[test]
    fn it_hears_what_people_care_for_or_what_it_names() {
        let assigned = kind(serde_json::json!({"event": "assigned", "profile": null, "by": "ann"}));
        let served = kind(
            serde_json::json!({"event": "file-served", "transport": "http",
            "path": "a", "bytes": 1, "millis": 1}),
        );
        let failed = kind(
            serde_json::json!({"event": "hook-failed", "hook": "chat", "events": 1, "why": "x"}),
        );
        let all = hook(serde_json::json!({}));
        let some = hook(serde_json::json!({"events": ["file-served", "hook-failed"]}));
        let off = hook(serde_json::json!({"enabled": false}));
        let other = Hook {
            name: "other".to_owned(),
            ..all.clone()
        };
        let wants = |hook: &Hook| [&assigned, &served, &failed].map(|kind| hook.wants(kind));
        assert_eq!(wants(&all), [true, false, false]);
        assert_eq!(wants(&some), [false, true, false]);
        assert_eq!(wants(&off), [false, false, false]);
        assert_eq!(wants(&other), [true, false, true]);
    }

    #[test]
    fn faults_name_the_field() {
        for (json, field, text) in [
            (serde_json::json!({"name": "A b"}), "name", "lower-case"),
            (serde_json::json!({"url": "ftp://h"}), "url", "http://"),
            (serde_json::json!({"url": "https:///x"}), "url", "a host"),
            (
                serde_json::json!({"secret": "hook.a b"}),
                "secret",
                "name of a secret",
            ),
            (
                serde_json::json!({"secret": "root-password-hash"}),
                "secret",
                "begins with 'hook.'",
            ),
            (
                serde_json::json!({"events": ["asigned"]}),
                "events",
                "'asigned' is no kind of event; expected one of 'offered', 'not-offered'",
            ),
        ] {
            let fault = hook(json).validate().expect_err(text);
            assert_eq!(fault.field, field);
            assert!(fault.problem.contains(text), "{fault}");
        }
        hook(serde_json::json!({"events": ["assigned", "run-changed", "powered"]}))
            .validate()
            .expect("valid");
    }

    #[test]
    fn only_its_place_is_shown() {
        let place = |url: &str| hook(serde_json::json!({ "url": url })).place();
        assert_eq!(place("https://h:8443/services/SECRET?x"), "https://h:8443");
        assert_eq!(place("http://u:p@h?x"), "http://h");
    }

    /// Who writes a receiver reads that table.
    #[test]
    fn the_table_of_events_names_every_kind() {
        let told = unknown("nonsense").expect("no such kind");
        let (_, kinds) = told.split_once("expected one of ").expect("a list");
        let kinds: Vec<&str> = kinds
            .split(", ")
            .map(|kind| kind.trim_matches('\''))
            .collect();
        assert!(kinds.len() > 15, "{kinds:?}");
        let page = include_str!("../../../docs/EVENTS.md");
        for kind in kinds {
            assert!(
                page.contains(&format!("\n| `{kind}` | ")),
                "{kind} is not in docs/EVENTS.md"
            );
        }
    }
}
