//! Owning by label: what a set of files owns has their label, and only that is pruned.

use super::Options;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The label of everything that a set of files owns, as `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Own {
    key: String,
    value: String,
}

/// The text is no label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no label: expected KEY=VALUE, such as team=web")]
pub struct NoLabel(String);

impl Own {
    /// Whether these labels say so.
    pub fn has(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(&self.key) == Some(&self.value)
    }
}

impl FromStr for Own {
    type Err = NoLabel;

    fn from_str(text: &str) -> Result<Self, NoLabel> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() && !value.trim().is_empty() => Ok(Own {
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
            }),
            _ => {
                let short: String = text.chars().take(80).collect();
                Err(NoLabel(short.escape_debug().to_string()))
            }
        }
    }
}

impl TryFrom<String> for Own {
    type Error = NoLabel;

    fn try_from(text: String) -> Result<Self, NoLabel> {
        text.parse()
    }
}

impl From<Own> for String {
    fn from(own: Own) -> String {
        own.to_string()
    }
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// The labels of an object that a document describes: those given, else those that it has, and the
/// owner's. What another owner has is only taken from it by force.
pub(super) fn labels(
    options: &Options,
    has: Option<&BTreeMap<String, String>>,
    given: Option<&BTreeMap<String, String>>,
) -> Result<BTreeMap<String, String>, String> {
    let mut labels = given.or(has).cloned().unwrap_or_default();
    let Some(own) = &options.own else {
        return Ok(labels);
    };
    let other = |labels: Option<&BTreeMap<String, String>>| {
        let found = labels.and_then(|labels| labels.get(&own.key));
        found.filter(|value| **value != own.value).cloned()
    };
    if let Some(value) = other(given) {
        return Err(format!(
            "the document says {}={value}, but these files own {own}",
            own.key
        ));
    }
    if let (Some(value), false) = (other(has), options.force) {
        return Err(format!(
            "it belongs to {}={value}, and these files own {own}; force takes it over",
            own.key
        ));
    }
    labels.insert(own.key.clone(), own.value.clone());
    Ok(labels)
}
