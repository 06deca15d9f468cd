//! Named values that templates use.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Variables of a site, a group, a profile or a machine: names to values of any shape. They are
/// not secret: exports and pages show them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>", into = "BTreeMap<String, Value>")]
pub struct Variables(BTreeMap<String, Value>);

/// Why a set of variables was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariablesError {
    /// Not a name that a template can use.
    #[error(
        "variable name '{0}' is not usable: 1 to 64 characters of a-z, 0-9 and '_', beginning \
         with a letter"
    )]
    Name(String),
    /// A name that means something else in every template.
    #[error("variable name '{0}' is taken: every template has something else by that name")]
    Taken(String),
    /// More text than a machine's variables may hold.
    #[error("the variables hold {bytes} bytes as JSON, at most {LIMIT} are allowed")]
    TooLarge {
        /// Their size as JSON.
        bytes: usize,
    },
    /// Lists in lists in lists.
    #[error("variable '{name}' is nested deeper than {DEPTH} levels")]
    TooDeep {
        /// The variable at fault.
        name: String,
    },
}

impl Variables {
    /// The value by this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, Value>> for Variables {
    type Error = VariablesError;

    fn try_from(map: BTreeMap<String, Value>) -> Result<Self, Self::Error> {
        for (name, value) in &map {
            if !is_name(name) {
                return Err(VariablesError::Name(name.chars().take(80).collect()));
            }
            if TAKEN.contains(&name.as_str()) {
                return Err(VariablesError::Taken(name.clone()));
            }
            if deeper_than(value, DEPTH) {
                return Err(VariablesError::TooDeep { name: name.clone() });
            }
        }
        // Writing a JSON value into memory cannot fail; a failure would count as too large.
        let bytes = serde_json::to_string(&map).map_or(usize::MAX, |text| text.len());
        if bytes > LIMIT {
            return Err(VariablesError::TooLarge { bytes });
        }
        Ok(Variables(map))
    }
}

impl From<Variables> for BTreeMap<String, Value> {
    fn from(variables: Variables) -> Self {
        variables.0
    }
}

fn is_name(name: &str) -> bool {
    let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    (1..=64).contains(&name.len())
        && name.bytes().all(legal)
        && name.as_bytes()[0].is_ascii_lowercase()
}

/// Recursive, and ends at `levels` however deep the value is.
fn deeper_than(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return true;
    };
    match value {
        Value::Array(items) => items.iter().any(|item| deeper_than(item, below)),
        Value::Object(items) => items.values().any(|item| deeper_than(item, below)),
        _ => false,
    }
}

/// All variables of one place together: enough for lists of keys, too little to fill the memory
/// of a server with thousands of machines.
const LIMIT: usize = 64 * 1024;
/// As deep as configuration goes; bounds every recursion over values.
const DEPTH: usize = 16;

/// Names that are words of the template language, or that the context holds (room `answers`).
const TAKEN: &[&str] = &[
    "and",
    "answer",
    "answers",
    "dict",
    "elif",
    "else",
    "endfor",
    "endif",
    "facts",
    "false",
    "file",
    "for",
    "if",
    "in",
    "inventory",
    "is",
    "labels",
    "loop",
    "machine",
    "namespace",
    "none",
    "not",
    "or",
    "range",
    "recursive",
    "report",
    "run",
    "secret",
    "self",
    "server",
    "true",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Variables, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn values_of_any_shape_are_kept() {
        let value = json!({"hostname": "web3", "disks": ["/dev/vda"], "n": 3, "on": true});
        let variables = read(value.clone()).expect("usable");
        assert_eq!(variables.get("n"), Some(&json!(3)));
        assert_eq!(variables.iter().count(), 4);
        assert_eq!(serde_json::to_value(&variables).expect("JSON"), value);
        assert!(Variables::default().is_empty());
    }

    #[test]
    fn refused_variables_say_which_and_why() {
        let mut deep = json!("x");
        for _ in 0..DEPTH {
            deep = json!([deep]);
        }
        for (value, expected) in [
            (json!({"Host": 1}), "variable name 'Host' is not usable"),
            (json!({"a-b": 1}), "variable name 'a-b' is not usable"),
            (json!({"": 1}), "variable name '' is not usable"),
            (json!({"_x": 1}), "variable name '_x' is not usable"),
            (json!({"machine": 1}), "variable name 'machine' is taken"),
            (json!({"secret": 1}), "variable name 'secret' is taken"),
            (json!({"d": deep}), "variable 'd' is nested deeper than 16"),
            (json!({"d": "x".repeat(LIMIT)}), "at most 65536 are allowed"),
        ] {
            let error = read(value).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_handled(name in "(?s).{0,70}") {
            let map = BTreeMap::from([(name.clone(), json!(1))]);
            let usable = Variables::try_from(map).is_ok();
            prop_assert_eq!(usable, is_name(&name) && !TAKEN.contains(&name.as_str()));
        }
    }
}
