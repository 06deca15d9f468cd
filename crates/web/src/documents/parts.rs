//! Parts of documents as a page's text areas hold them: what files say of a profile beyond its
//! fields, and variables. They are read by the same types, so that what works in a file works in
//! the browser, and are wrong at the same places.

use super::place::{Fault, Place, fault, places};
use bootplan::{Answer, Limit, Profile, ProfileError, Variables, VariablesError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a document says of a profile beyond how it boots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rest {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) answers: Vec<Answer>,
    #[serde(default, skip_serializing_if = "Variables::is_empty")]
    pub(crate) variables: Variables,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) install: Option<Limit>,
}

impl Rest {
    /// Of a profile that there is.
    pub(crate) fn of(profile: &Profile) -> Self {
        Rest {
            answers: profile.answers.clone(),
            variables: profile.variables.clone(),
            install: profile.install,
        }
    }

    /// As [`rest`] reads it; empty when there is nothing to say.
    pub(crate) fn written(&self) -> String {
        match *self == Rest::default() {
            true => String::new(),
            false => yaml(self),
        }
    }
}

/// `answers:`, `variables:` and `install:` of a profile; nothing but comments is none of them.
///
/// # Errors
/// The first thing that is wrong, by line and column.
pub(crate) fn rest(text: &str) -> Result<Rest, Fault> {
    read(text)
}

/// Where in the text stands what a profile was refused for.
pub(crate) fn refused(text: &str, error: &ProfileError) -> Fault {
    let place = first(text);
    let problem = error.to_string();
    match error {
        ProfileError::Answer { name, .. } => place.fault_at("name", name, problem),
        // The second one is one too many.
        ProfileError::TwoAnswers { name } => place.fault_at_last("name", name, problem),
        ProfileError::Unfit { field, .. } | ProfileError::TooLong { field, .. } => {
            place.fault(field, problem)
        }
        _ => place.fault("", problem),
    }
}

/// Variables, each on a line of its own as `NAME: VALUE`.
///
/// # Errors
/// The first thing that is wrong, by line and column.
pub(crate) fn variables(text: &str) -> Result<Variables, Fault> {
    let map: BTreeMap<String, Value> = read(text)?;
    let place = first(text);
    if map.len() == 1 && map.get("variables").is_some_and(Value::is_object) {
        let problem = "write the variables alone, as NAME: VALUE, without 'variables:' above them";
        return Err(place.fault("variables", problem));
    }
    Variables::try_from(map).map_err(|error| {
        let field = match &error {
            VariablesError::Name(name)
            | VariablesError::Taken(name)
            | VariablesError::TooDeep { name } => name.clone(),
            VariablesError::TooLarge { .. } => String::new(),
        };
        place.fault(&field, error.to_string())
    })
}

/// As [`variables`] reads them; empty when there are none.
pub(crate) fn variable_lines(variables: &Variables) -> String {
    match variables.is_empty() {
        true => String::new(),
        false => yaml(variables),
    }
}

fn yaml(value: &impl Serialize) -> String {
    serde_yaml::to_string(value).expect("plain maps, lists and texts are YAML")
}

fn first(text: &str) -> Place {
    places(text).into_iter().next().unwrap_or_default()
}

fn read<T: DeserializeOwned + Default>(text: &str) -> Result<T, Fault> {
    let says = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    if !text.lines().any(says) {
        return Ok(T::default());
    }
    let read = T::deserialize(serde_yaml::Deserializer::from_str(text));
    read.map_err(|error| fault(&first(text), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = "answers:\n- name: preseed.cfg\n  kind: preseed\n  text: |\n    a {{ b }}\n    \
                    c\nvariables:\n  b: '1'\n  keys: [x, y]\ninstall: {tries: 2, minutes: 90}\n";
        let read = rest(text).expect("well-formed");
        assert_eq!(read.answers[0].text.as_deref(), Some("a {{ b }}\nc\n"));
        assert_eq!(read.install.map(|limit| limit.tries), Some(2));
        assert_eq!(rest(&read.written()).expect("ours"), read);
        let lines = variable_lines(&read.variables);
        assert_eq!(variables(&lines).expect("ours"), read.variables);
        for nothing in ["", "\n  \n", "# later\n"] {
            assert_eq!(rest(nothing).expect("nothing"), Rest::default());
            assert!(variables(nothing).expect("nothing").is_empty());
        }
        assert_eq!(Rest::default().written(), "");
        assert_eq!(variable_lines(&Variables::default()), "");
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        for (text, at, says) in [
            ("install:\n  tries: 2\n  hours: 4\n", (3, 3), "hours"),
            ("a: 1\n", (1, 1), "unknown field `a`"),
            ("answers:\n- name: x\n  kind: poem\n", (3, 9), "poem"),
            ("answers: [\n", (2, 1), ""),
            (
                "answers: []\n---\nanswers: []\n",
                (1, 1),
                "more than one document",
            ),
        ] {
            let fault = rest(text).expect_err(text);
            assert_eq!((fault.line, fault.column), at, "{text}: {fault:?}");
            assert!(fault.problem.contains(says), "{text}: {fault:?}");
        }
        for (text, at, says) in [
            ("a: 1\nHost: 2\n", (2, 1), "'Host' is not usable"),
            ("# x\nmachine: 2\n", (2, 1), "taken"),
            ("a: {\n", (2, 1), ""),
            ("just words\n", (1, 1), ""),
            ("variables:\n  a: 1\n", (1, 1), "without 'variables:'"),
        ] {
            let fault = variables(text).expect_err(text);
            assert_eq!((fault.line, fault.column), at, "{text}: {fault:?}");
            assert!(fault.problem.contains(says), "{text}: {fault:?}");
        }
    }

    #[test]
    fn a_refused_answer_is_found_by_its_name() {
        let text = "variables: {a: b}\nanswers:\n- name: a\n  text: x\n- name: b\n  minutes: 0\n  \
                    text: name\n- name: a\n  text: y\n";
        let of = |error| {
            let fault = refused(text, &error);
            (fault.line, fault.column)
        };
        let two = ProfileError::TwoAnswers { name: "a".into() };
        assert_eq!(of(two), (8, 3));
        let (name, rule) = ("b".to_owned(), "minutes: 1 to 1440".to_owned());
        assert_eq!(of(ProfileError::Answer { name, rule }), (5, 3));
    }
}
