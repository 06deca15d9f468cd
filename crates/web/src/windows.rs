//! The hours in which an order may begin: said with it, or by the name of one of the site's windows.

use bootplan::{ObjectName, Site, Window};
use serde_json::Value;
use std::collections::BTreeMap;

/// Hours as an order says them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Hours {
    /// One of the site's windows.
    Named(String),
    /// These.
    These(Window),
}

impl Hours {
    /// `"nights"`, or `{"days": ["mon"], "from": "22:00", "to": "05:00"}`.
    pub(crate) fn read(said: &Value) -> Result<Hours, String> {
        if let Value::String(name) = said {
            return Ok(Hours::Named(name.clone()));
        }
        let window: Window =
            serde_json::from_value(said.clone()).map_err(|error| format!("window: {error}"))?;
        match window.days.is_empty() {
            true => Err("window: on which days?".to_owned()),
            false => Ok(Hours::These(window)),
        }
    }

    /// What they are now.
    pub(crate) fn at(&self, site: &Site) -> Result<Window, String> {
        match self {
            Hours::Named(name) => named(site, name),
            Hours::These(window) => Ok(window.clone()),
        }
    }
}

/// The window of this name.
fn named(site: &Site, name: &str) -> Result<Window, String> {
    let found = site
        .windows
        .iter()
        .find(|(known, _)| known.as_str() == name);
    found.map(|(_, window)| window.clone()).ok_or_else(|| {
        let all: Vec<&str> = site.windows.keys().map(ObjectName::as_str).collect();
        let short: String = name.chars().take(64).collect();
        let short = short.escape_debug();
        match all.is_empty() {
            true => format!("window: there is none called '{short}'; the settings name none"),
            false => format!(
                "window: there is none called '{short}'; there are {}",
                all.join(", ")
            ),
        }
    })
}

/// `nights = mon,tue/22:00-05:00` on each line.
pub(crate) fn lines(site: &Site) -> String {
    let line = |(name, window): (&ObjectName, &Window)| format!("{name} = {window}");
    let lines: Vec<String> = site.windows.iter().map(line).collect();
    lines.join("\n")
}

/// [`lines`] as somebody typed them.
pub(crate) fn typed(text: &str) -> Result<BTreeMap<ObjectName, Window>, String> {
    let mut windows = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (name, window) = line.split_once('=').unwrap_or(("", line));
        let name: ObjectName = name.trim().parse().map_err(|_| {
            let short: String = line.chars().take(60).collect();
            format!(
                "windows: '{}': expected NAME = mon,tue/22:00-05:00",
                short.escape_debug()
            )
        })?;
        let window = window.trim().parse();
        let window = window.map_err(|error| format!("windows: {name}: {error}"))?;
        if windows.insert(name.clone(), window).is_some() {
            return Err(format!("windows: '{name}' stands there twice"));
        }
    }
    Ok(windows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn site() -> Site {
        let windows = typed("nights = mon,tue/22:00-05:00\n\n weekend=sat,sun/00:00-00:00 ");
        Site {
            windows: windows.expect("two windows"),
            ..Site::default()
        }
    }

    #[test]
    fn typed_windows_come_back_as_they_were() {
        let site = site();
        let shown = lines(&site);
        assert_eq!(
            shown,
            "nights = mon,tue/22:00-05:00\nweekend = sat,sun/00:00-00:00"
        );
        assert_eq!(typed(&shown), Ok(site.windows));
        for (wrong, says) in [
            ("nights", "expected NAME ="),
            ("= mon/22:00-05:00", "expected NAME ="),
            ("Nights = mon/22:00-05:00", "expected NAME ="),
            ("a = mon", "a: 'mon' is no window"),
            ("a = mon/1:00-2:00", "a: '1:00' is not a time of day"),
            ("a = mon/01:00-02:00\na = tue/01:00-02:00", "twice"),
        ] {
            let error = typed(wrong).expect_err("refused");
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }

    fn said(site: &Site, said: &Value) -> Result<Window, String> {
        Hours::read(said)?.at(site)
    }

    #[test]
    fn an_order_names_its_hours_or_says_them() {
        let site = site();
        let nights = said(&site, &json!("nights")).expect("there is one");
        let hours = json!({"days": ["mon", "tue"], "from": "22:00", "to": "05:00"});
        assert_eq!(said(&site, &hours), Ok(nights));
        for (wrong, says) in [
            (json!("days"), "there are nights, weekend"),
            (json!({"days": ["mon"]}), "missing field"),
            (
                json!({"days": [], "from": "22:00", "to": "05:00"}),
                "on which days",
            ),
            (json!(7), "window: "),
        ] {
            let error = said(&site, &wrong).expect_err("refused");
            assert!(error.contains(says), "{wrong}: {error}");
        }
        let none = said(&Site::default(), &json!("nights")).expect_err("refused");
        assert!(none.contains("name none"), "{none}");
    }
}
