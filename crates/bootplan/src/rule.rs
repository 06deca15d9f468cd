//! Rules: what machines get that have no assignment of their own.

use crate::profile::is_slug;
use crate::{Mode, ProfileName, Seen, Selector};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a rule; written like a profile's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RuleName(Arc<str>);

/// The text is no rule's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "rule name '{0}' is not usable: 1 to 64 characters of a-z, 0-9, '-', '_' and '.', beginning \
     with a letter or digit"
)]
pub struct RuleNameError(String);

impl RuleName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RuleName {
    type Err = RuleNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_slug(text) {
            return Ok(RuleName(text.into()));
        }
        let short: String = text.chars().take(80).collect();
        Err(RuleNameError(short.escape_debug().to_string()))
    }
}

impl TryFrom<String> for RuleName {
    type Error = RuleNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What happens to a machine that nobody has adopted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NewMachines {
    /// It waits for a person; no rule applies to it until then.
    #[default]
    Hold,
    /// It is registered by itself, and rules apply to it at once.
    Register,
    /// It gets no answer.
    Ignore,
}

impl NewMachines {
    /// Every choice, the shipped one first.
    pub const ALL: [NewMachines; 3] = [
        NewMachines::Hold,
        NewMachines::Register,
        NewMachines::Ignore,
    ];

    /// The word used in YAML, forms and the API.
    pub fn slug(self) -> &'static str {
        match self {
            NewMachines::Hold => "hold",
            NewMachines::Register => "register",
            NewMachines::Ignore => "ignore",
        }
    }

    /// The choice whose [`slug`](Self::slug) this is.
    pub fn from_slug(slug: &str) -> Option<Self> {
        NewMachines::ALL.into_iter().find(|n| n.slug() == slug)
    }
}

/// Selector to profile, as an operator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Identity.
    pub name: RuleName,
    /// Operator's labels on the rule itself, such as whose files describe it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A disabled rule matches nothing.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// Which machines.
    pub selector: Selector,
    /// What they get.
    pub profile: ProfileName,
    /// Whether each time, or installed once when they are registered.
    #[serde(default, skip_serializing_if = "Mode::is_always")]
    pub mode: Mode,
    /// What becomes of new machines that it matches; `None` leaves it to the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_machines: Option<NewMachines>,
}

fn yes() -> bool {
    true
}
fn is_true(v: &bool) -> bool {
    *v
}

/// The enabled rules in the order they are asked: the narrowest selector first, of equal ones the
/// name that sorts first. Where a rule stands in a file, or when it was made, does not matter.
pub fn in_order(rules: impl IntoIterator<Item = Arc<Rule>>) -> Vec<Arc<Rule>> {
    let mut rules: Vec<Arc<Rule>> = rules.into_iter().filter(|rule| rule.enabled).collect();
    rules.sort_by_cached_key(|rule| (Reverse(rule.selector.specificity()), rule.name.clone()));
    rules
}

/// The first of these rules that matches. With `doubtful` also one that may match (`false`) as
/// soon as more is known of the machine: it is narrower than what matches for certain, and must
/// not be passed over before that is known. Allocates nothing. `rules` as [`in_order`] gives them.
pub fn first<'r>(
    rules: &'r [Arc<Rule>],
    seen: &Seen<'_>,
    doubtful: bool,
) -> Option<(&'r Arc<Rule>, bool)> {
    rules
        .iter()
        .find_map(|rule| match rule.selector.holds(seen) {
            Some(true) => Some((rule, true)),
            None if doubtful => Some((rule, false)),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::tests::any_selector;
    use crate::{BootClient, MacAddr, Stage};
    use proptest::prelude::*;
    use serde_json::json;

    fn rule(name: &str, selector: serde_json::Value) -> Arc<Rule> {
        let rule = json!({"name": name, "selector": selector, "profile": "debian-12"});
        Arc::new(serde_json::from_value(rule).expect("a rule"))
    }

    #[test]
    fn the_narrowest_wins_then_the_name() {
        let rules = in_order([
            rule("c", json!({"mac": ["52:54"]})),
            rule(
                "b",
                json!({"mac": ["52:54"], "not": {"label": {"x": ["1"]}}}),
            ),
            rule("z", json!({"mac": ["52:54"], "label": {"role": ["web"]}})),
        ]);
        let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["z", "b", "c"]);
        let client = BootClient::asking(MacAddr([0x52, 0x54, 0, 0, 0, 1]), Stage::Ipxe);
        let found = first(&rules, &Seen::of(&client, None), true).expect("a match");
        assert_eq!((found.0.name.as_str(), found.1), ("b", true));
    }

    #[test]
    fn a_narrower_one_that_may_match_is_not_passed_over() {
        let rules = in_order([
            rule("wide", json!({"mac": ["52:54"]})),
            rule("narrow", json!({"mac": ["52:54"], "serial": ["A*"]})),
        ]);
        let client = BootClient::asking(MacAddr([0x52, 0x54, 0, 0, 0, 1]), Stage::Firmware);
        let found = |doubtful| {
            let (rule, certain) = first(&rules, &Seen::of(&client, None), doubtful)?;
            Some((rule.name.as_str(), certain))
        };
        assert_eq!(found(true), Some(("narrow", false)));
        assert_eq!(found(false), Some(("wide", true)));
    }

    #[test]
    fn a_rule_as_written() {
        let written = json!({
            "name": "web-servers", "profile": "debian-12-auto", "mode": "install-once",
            "selector": {"label": {"role": ["web"]}}, "new_machines": "register",
        });
        let rule: Rule = serde_json::from_value(written.clone()).expect("a rule");
        assert!(rule.enabled);
        assert_eq!(serde_json::to_value(&rule).expect("JSON"), written);
        let unknown = json!({"name": "x", "selector": {"mac": ["52"]}, "profile": "p", "y": 1});
        assert!(serde_json::from_value::<Rule>(unknown).is_err());
        let error = "Web servers".parse::<RuleName>().expect_err("no slug");
        assert!(error.to_string().starts_with("rule name 'Web servers'"));
    }

    proptest! {
        #[test]
        fn the_order_in_the_file_does_not_matter(
            selectors in prop::collection::vec(any_selector(), 1..8),
            seed: u64,
        ) {
            let rules = selectors.into_iter().zip(0..).map(|(selector, n)| {
                let written = json!({"name": format!("r{n}"), "selector": selector,
                    "profile": "debian-12", "enabled": n % 5 != 4});
                Arc::new(serde_json::from_value::<Rule>(written).expect("a rule"))
            });
            let rules: Vec<Arc<Rule>> = rules.collect();
            let mut shuffled = rules.clone();
            let turn = usize::try_from(seed % 8).unwrap_or(0) % rules.len();
            shuffled.rotate_left(turn);
            if seed % 2 == 0 {
                shuffled.reverse();
            }
            prop_assert_eq!(in_order(rules), in_order(shuffled));
        }
    }
}
