//! The rule form: from a [`Rule`] to fields and back, with errors beside the fields.

use super::form::Fields;
use bootplan::{Mode, NewMachines, Platform, ProfileName, Rule, RuleName, Selector};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The form as typed, with its errors.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleForm {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) enabled: bool,
    pub(crate) profile: String,
    pub(crate) mode: String,
    pub(crate) new_machines: String,
    pub(crate) platforms: Vec<Platform>,
    /// Of each key in [`ROWS`] its values, one on a line.
    rows: BTreeMap<&'static str, String>,
    /// What rows cannot say, as YAML.
    pub(crate) more: String,
    /// Field name to what is wrong with it.
    pub(crate) errors: BTreeMap<String, String>,
}

/// A condition with a text area of its own.
pub(crate) struct Row {
    /// Its key in a selector.
    pub(crate) key: &'static str,
    pub(crate) label: &'static str,
    pub(crate) hint: &'static str,
    pub(crate) example: &'static str,
}

const fn row(
    key: &'static str,
    label: &'static str,
    hint: &'static str,
    example: &'static str,
) -> Row {
    Row {
        key,
        label,
        hint,
        example,
    }
}

/// In the order of the form.
#[rustfmt::skip]
pub(crate) const ROWS: [Row; 8] = [
    row("label", "Labels", "key=value. The same key again is an alternative.", "role=web"),
    row("subnet", "Subnets", "Where it asks from.", "10.1.0.0/16"),
    row("mac", "MAC begins", "One to six octets.", "52:54:00"),
    row("manufacturer", "Manufacturer", "* stands for anything.", "Dell*"),
    row("product", "Product", "* stands for anything.", "PowerEdge R6?0"),
    row("serial", "Serial number", "* stands for anything.", "CN7*"),
    row("relay", "Relay agent", "The address of the router that forwards.", "10.2.0.1"),
    row("circuit", "Port at the relay", "As option 82 names it.", "ge-0/0/*"),
];

impl RuleForm {
    /// An empty form for a new rule.
    pub(crate) fn blank() -> Self {
        RuleForm {
            enabled: true,
            mode: Mode::Always.slug().to_owned(),
            ..RuleForm::default()
        }
    }

    /// A saved rule as a form: conditions that must all hold in rows, the rest as YAML.
    pub(crate) fn of(rule: &Rule) -> Self {
        let mut form = RuleForm {
            name: rule.name.to_string(),
            labels: rule.labels.clone(),
            enabled: rule.enabled,
            profile: rule.profile.to_string(),
            mode: rule.mode.slug().to_owned(),
            new_machines: rule.new_machines.map_or("", NewMachines::slug).to_owned(),
            ..RuleForm::default()
        };
        let parts = match &rule.selector {
            Selector::All(parts) => parts.as_slice(),
            part => std::slice::from_ref(part),
        };
        let rest: Vec<&Selector> = parts.iter().filter(|part| !form.takes(part)).collect();
        form.more = match rest.as_slice() {
            [] => String::new(),
            [one] => yaml(one),
            many => yaml(&json!({ "all": many })),
        };
        form
    }

    /// Puts a condition into its row; false when that is taken, or there is none.
    fn takes(&mut self, part: &Selector) -> bool {
        if let Selector::Arch(platforms) = part {
            let free = self.platforms.is_empty();
            if free {
                self.platforms.clone_from(platforms);
            }
            return free;
        }
        let Ok(Value::Object(written)) = serde_json::to_value(part) else {
            return false;
        };
        let Some((key, value)) = written.iter().next() else {
            return false;
        };
        let known = ROWS.iter().find(|row| row.key == key);
        let Some(row) = known.filter(|row| !self.rows.contains_key(row.key)) else {
            return false;
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let lines: Vec<String> = match value {
            Value::Object(labels) => labels
                .iter()
                .flat_map(|(key, values)| {
                    let values = values.as_array().into_iter().flatten();
                    values.map(move |value| format!("{key}={}", text(value)))
                })
                .collect(),
            list => list.as_array().into_iter().flatten().map(text).collect(),
        };
        self.rows.insert(row.key, lines.join("\n"));
        true
    }

    /// The form as somebody sent it.
    pub(crate) fn typed(fields: &Fields) -> Self {
        let platform = |slug: &str| Platform::from_slug(slug);
        RuleForm {
            name: fields.get("name").to_owned(),
            enabled: fields.has("enabled"),
            profile: fields.get("profile").to_owned(),
            mode: fields.get("mode").to_owned(),
            new_machines: fields.get("new_machines").to_owned(),
            platforms: fields.all("arch").filter_map(platform).collect(),
            rows: ROWS
                .iter()
                .map(|row| (row.key, fields.raw(row.key).to_owned()))
                .collect(),
            more: fields.raw("more").to_owned(),
            ..RuleForm::default()
        }
    }

    /// The rule that the form describes, or `None` and what is wrong in `errors`.
    pub(crate) fn rule(&mut self) -> Option<Rule> {
        let name = self.name.parse::<RuleName>();
        let profile = self.profile.parse::<ProfileName>();
        let selector = self.selector();
        if let Err(error) = &name {
            self.blame("name", error.to_string());
        }
        if profile.is_err() {
            self.blame("profile", "Choose what these machines get.".to_owned());
        }
        let rule = Rule {
            name: name.ok()?,
            labels: self.labels.clone(),
            enabled: self.enabled,
            selector: selector?,
            profile: profile.ok()?,
            mode: Mode::from_slug(&self.mode).unwrap_or_default(),
            new_machines: NewMachines::from_slug(&self.new_machines),
        };
        self.errors.is_empty().then_some(rule)
    }

    fn selector(&mut self) -> Option<Selector> {
        let mut parts = Vec::new();
        for row in &ROWS {
            let lines = self.row(row.key).lines().map(str::trim);
            let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
            if lines.is_empty() {
                continue;
            }
            let value = match row.key {
                "label" => labels(&lines),
                _ => Ok(json!(lines)),
            };
            let written = |value| Value::Object(Map::from_iter([(row.key.to_owned(), value)]));
            let read = value.and_then(|value| {
                let read = serde_json::from_value::<Selector>(written(value));
                read.map_err(|error| error.to_string())
            });
            match read {
                Ok(part) => parts.push(part),
                Err(problem) => self.blame(row.key, problem),
            }
        }
        if !self.platforms.is_empty() {
            parts.push(Selector::Arch(self.platforms.clone()));
        }
        if !self.more.trim().is_empty() {
            match serde_yaml::from_str::<Selector>(&self.more) {
                Ok(Selector::All(more)) => parts.extend(more),
                Ok(part) => parts.push(part),
                Err(error) => self.blame("more", error.to_string()),
            }
        }
        if parts.is_empty() && self.errors.is_empty() {
            let text = "Say at least one condition; a rule for every machine is the site default.";
            self.blame("conditions", text.to_owned());
            return None;
        }
        // Through the written form, which counts and bounds what was put together.
        let whole = match parts.len() {
            1 => parts.remove(0),
            _ => Selector::All(parts),
        };
        let read = serde_json::to_value(&whole).and_then(serde_json::from_value::<Selector>);
        match read {
            Ok(selector) => Some(selector),
            Err(error) => {
                if self.errors.is_empty() {
                    self.blame("conditions", error.to_string());
                }
                None
            }
        }
    }

    fn blame(&mut self, field: &str, problem: String) {
        let problem = super::error::sentence(&problem);
        self.errors.insert(field.to_owned(), problem);
    }

    /// What is wrong with a field; empty when nothing is.
    pub(crate) fn error(&self, field: &str) -> &str {
        self.errors.get(field).map_or("", String::as_str)
    }

    /// The lines of a row.
    pub(crate) fn row(&self, key: &str) -> &str {
        self.rows.get(key).map_or("", String::as_str)
    }

    /// Whether a platform is ticked.
    pub(crate) fn lists(&self, platform: &Platform) -> bool {
        self.platforms.contains(platform)
    }

    /// Whether conditions that few rules have are in use.
    pub(crate) fn is_special(&self) -> bool {
        ["relay", "circuit", "more"]
            .iter()
            .any(|key| !self.row(key).is_empty() || !self.error(key).is_empty())
            || !self.more.is_empty()
    }
}

fn labels(lines: &[&str]) -> Result<Value, String> {
    let mut labels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in lines {
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| format!("'{line}' is no label: expected key=value"))?;
        labels.entry(key.trim()).or_default().push(value.trim());
    }
    Ok(json!(labels))
}

fn yaml<T: serde::Serialize>(value: &T) -> String {
    serde_yaml::to_string(value).expect("plain values and string keys")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(selector: Value) -> Rule {
        let written = json!({"name": "r", "selector": selector, "profile": "p"});
        serde_json::from_value(written).expect("a rule")
    }

    fn sent(form: &RuleForm) -> RuleForm {
        let mut pairs = vec![
            ("name", form.name.clone()),
            ("enabled", "1".to_owned()),
            ("profile", form.profile.clone()),
            ("mode", form.mode.clone()),
            ("new_machines", form.new_machines.clone()),
            ("more", form.more.clone()),
        ];
        pairs.extend(form.platforms.iter().map(|p| ("arch", p.slug().to_owned())));
        pairs.extend(
            ROWS.iter()
                .map(|row| (row.key, form.row(row.key).to_owned())),
        );
        let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
        RuleForm::typed(&pairs.collect())
    }

    #[test]
    fn simple_conditions_stand_in_rows_and_the_rest_as_yaml() {
        let form = RuleForm::of(&rule(json!({
            "label": {"rack": ["1"], "role": ["web", "api"]},
            "arch": ["efi-x64"],
            "manufacturer": ["Micro-Star International Co., Ltd."],
            "not": {"serial": ["OLD*"]},
            "any": [{"subnet": ["10.1.0.0/16"]}, {"relay": ["10.2.0.1"]}],
        })));
        assert_eq!(form.row("label"), "rack=1\nrole=web\nrole=api");
        assert_eq!(
            form.row("manufacturer"),
            "Micro-Star International Co., Ltd."
        );
        assert_eq!(form.platforms, [Platform::EfiX64]);
        assert!(
            form.more.contains("OLD*") && form.more.contains("10.2.0.1"),
            "{}",
            form.more
        );
        assert!(form.is_special());
    }

    #[test]
    fn what_is_wrong_stands_beside_its_field() {
        let wrong = [
            ("subnet", "10.1.0.5/16", "the subnet is 10.1.0.0/16"),
            ("label", "role", "expected key=value"),
            ("mac", "5", "is not the beginning of a MAC"),
            ("more", "not: {serial: []}", "must not be empty"),
            ("more", "nott: {serial: [x]}", "Unknown field `nott`"),
        ];
        for (field, text, problem) in wrong {
            let fields = [("name", "r"), ("profile", "p"), (field, text)];
            let mut form = RuleForm::typed(&fields.into_iter().collect());
            assert_eq!(form.rule(), None, "{field}");
            assert!(
                form.error(field).contains(problem),
                "{field}: {:?}",
                form.errors
            );
        }
        let mut empty = RuleForm::blank();
        assert_eq!(empty.rule(), None);
        let named: Vec<&String> = empty.errors.keys().collect();
        assert_eq!(named, ["conditions", "name", "profile"]);
    }

    fn part() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!({"label": {"role": ["web", "a b"], "x": [""]}})),
            Just(json!({"mac": ["52:54", "00"]})),
            Just(json!({"arch": ["bios", "efi-x64"]})),
            Just(json!({"subnet": ["10.0.0.0/8"]})),
            Just(json!({"serial": ["A?*", "B, C"]})),
            Just(json!({"circuit": ["ge-0/0/*"]})),
        ];
        leaf.prop_recursive(2, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..3).prop_map(|all| json!({ "all": all })),
                prop::collection::vec(inner.clone(), 1..3).prop_map(|any| json!({ "any": any })),
                inner.prop_map(|not| json!({ "not": not })),
            ]
        })
    }

    proptest! {
        /// A saved rule, looked at and saved again as it stands, fits the same machines: only the
        /// order of its conditions may change.
        #[test]
        fn what_is_shown_is_what_is_sent_back(parts in prop::collection::vec(part(), 1..4)) {
            let rule = rule(json!({ "all": parts }));
            let again = sent(&RuleForm::of(&rule)).rule().expect("nothing is wrong");
            let leaves = |rule: &Rule| {
                let text = rule.selector.to_string();
                let mut words: Vec<String> = text
                    .replace(['(', ')', ','], " ")
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect();
                words.retain(|word| word != "and");
                words.sort();
                words
            };
            prop_assert_eq!(leaves(&again), leaves(&rule));
            prop_assert_eq!(again.selector.specificity(), rule.selector.specificity());
        }
    }
}
