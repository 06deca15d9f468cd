//! What a profile's machines fetch while they are installed, and what those texts are made of.

use crate::profile::is_slug;
use crate::{AnswerKind, ProfileError, RelPath, Selector, Variables};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// One text that a profile's machines fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The name it is fetched by, as `user-data` or `preseed.cfg`.
    pub name: String,
    /// What reads it; decides how it is checked.
    #[serde(default)]
    pub kind: AnswerKind,
    /// The template in store that it is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<ObjectName>,
    /// The template itself, where it is in no store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Served only while a run stands; only such an answer can name secrets.
    #[serde(default = "yes")]
    pub sealed: bool,
    /// How often one try may fetch it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub uses: Uses,
    /// Minutes after which its link ends (1 to 1440).
    #[serde(default = "half_an_hour", skip_serializing_if = "is_half_an_hour")]
    pub minutes: u16,
}

/// How often one try may fetch an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uses {
    /// Until the run has ended: some installers fetch everything twice.
    #[default]
    UntilDone,
    /// Once in each try.
    Once,
}

fn yes() -> bool {
    true
}
fn half_an_hour() -> u16 {
    30
}
fn is_half_an_hour(minutes: &u16) -> bool {
    *minutes == half_an_hour()
}
fn is_default(uses: &Uses) -> bool {
    *uses == Uses::default()
}

impl Answer {
    /// Whether a device asks for it by its plain name, without a link.
    pub fn is_plain(&self) -> bool {
        self.kind == AnswerKind::DeviceFile
    }

    pub(crate) fn validate(&self) -> Result<(), ProfileError> {
        let unfit = |rule: String| ProfileError::Answer {
            name: self.name.chars().take(80).collect(),
            rule,
        };
        // It becomes part of URLs that stand in kernel arguments and in shell commands.
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.+/".contains(&c);
        if self.name.len() > 128
            || !self.name.bytes().all(plain)
            || RelPath::from_str(&self.name).is_err()
        {
            return Err(unfit(
                "the name is a plain path of letters, digits, '-', '_', '.' and '+'".to_owned(),
            ));
        }
        if self.template.is_some() == self.text.is_some() {
            return Err(unfit("it has either a template or a text".to_owned()));
        }
        if self.text.as_ref().is_some_and(|t| t.len() > TEXT_LIMIT) {
            return Err(unfit(format!("its text has more than {TEXT_LIMIT} bytes")));
        }
        if !(1..=1440).contains(&self.minutes) {
            return Err(unfit("minutes: 1 to 1440".to_owned()));
        }
        if self.is_plain() && self.sealed {
            return Err(unfit(
                "a device file is asked for by its plain name, so it cannot be sealed".to_owned(),
            ));
        }
        if self.is_plain() && self.uses == Uses::Once {
            return Err(unfit("a device file cannot be for one use".to_owned()));
        }
        Ok(())
    }
}

/// The name of a template, a snippet, a group or a secret; written like a profile's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ObjectName(Arc<str>);

/// The text is no such name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "name '{0}' is not usable: 1 to 64 characters of a-z, 0-9, '-', '_' and '.', beginning with a \
     letter or digit"
)]
pub struct ObjectNameError(String);

impl ObjectName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectName {
    type Err = ObjectNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_slug(text) {
            return Ok(ObjectName(text.into()));
        }
        let short: String = text.chars().take(80).collect();
        Err(ObjectNameError(short.escape_debug().to_string()))
    }
}

impl TryFrom<String> for ObjectName {
    type Error = ObjectNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A template, or a snippet that templates include.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Identity among its kind.
    pub name: ObjectName,
    /// Operator's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// In the template language (docs/TEMPLATES.md).
    pub text: String,
}

/// Variables of the machines that a selector finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Identity.
    pub name: ObjectName,
    /// Operator's labels of the group itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whose.
    pub selector: Selector,
    /// What they have.
    #[serde(default, skip_serializing_if = "Variables::is_empty")]
    pub variables: Variables,
}

/// What answers are made of besides machines and profiles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Object {
    /// What answers name by `template:`.
    Template(Text),
    /// What templates include.
    Snippet(Text),
    /// Variables of several machines.
    Group(Group),
}

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// [`Object::Template`].
    Template,
    /// [`Object::Snippet`].
    Snippet,
    /// [`Object::Group`].
    Group,
}

impl ObjectKind {
    /// All of them.
    pub const ALL: [ObjectKind; 3] = [ObjectKind::Template, ObjectKind::Snippet, ObjectKind::Group];

    /// The word stored, and after `kind:` in files.
    pub fn slug(self) -> &'static str {
        match self {
            ObjectKind::Template => "template",
            ObjectKind::Snippet => "snippet",
            ObjectKind::Group => "group",
        }
    }
}

impl Object {
    /// Which of the three it is.
    pub fn kind(&self) -> ObjectKind {
        match self {
            Object::Template(_) => ObjectKind::Template,
            Object::Snippet(_) => ObjectKind::Snippet,
            Object::Group(_) => ObjectKind::Group,
        }
    }

    /// Its identity among its kind.
    pub fn name(&self) -> &ObjectName {
        match self {
            Object::Template(text) | Object::Snippet(text) => &text.name,
            Object::Group(group) => &group.name,
        }
    }

    /// What operators labelled it with.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        match self {
            Object::Template(text) | Object::Snippet(text) => &text.labels,
            Object::Group(group) => &group.labels,
        }
    }

    /// The same with these labels.
    pub fn labelled(mut self, labels: BTreeMap<String, String>) -> Object {
        match &mut self {
            Object::Template(text) | Object::Snippet(text) => text.labels = labels,
            Object::Group(group) => group.labels = labels,
        }
        self
    }

    /// The size of its text in bytes, if that is more than may be stored.
    pub fn too_large(&self) -> Option<usize> {
        match self {
            Object::Template(text) | Object::Snippet(text) => {
                Some(text.text.len()).filter(|bytes| *bytes > TEXT_LIMIT)
            }
            Object::Group(_) => None,
        }
    }
}

/// All templates, snippets and groups at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// Templates by name.
    pub templates: BTreeMap<String, String>,
    /// Snippets by name; shared with the template engine.
    pub snippets: Arc<BTreeMap<String, String>>,
    /// Groups, by name.
    pub groups: Vec<Group>,
    /// Labels of templates and snippets that have some: nothing that is rendered asks for them.
    labels: BTreeMap<(ObjectKind, String), BTreeMap<String, String>>,
}

impl FromIterator<Object> for Objects {
    fn from_iter<I: IntoIterator<Item = Object>>(all: I) -> Self {
        let (mut templates, mut snippets, mut groups) =
            (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let mut labels = BTreeMap::new();
        for object in all {
            let kind = object.kind();
            if kind != ObjectKind::Group && !object.labels().is_empty() {
                let key = (kind, object.name().to_string());
                labels.insert(key, object.labels().clone());
            }
            match object {
                Object::Template(text) => {
                    templates.insert(text.name.to_string(), text.text);
                }
                Object::Snippet(text) => {
                    snippets.insert(text.name.to_string(), text.text);
                }
                Object::Group(group) => groups.push(group),
            }
        }
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Objects {
            templates,
            snippets: Arc::new(snippets),
            groups,
            labels,
        }
    }
}

impl Objects {
    /// Every one of a kind, in the order of their names.
    pub fn of(&self, kind: ObjectKind) -> Vec<Object> {
        let texts = |texts: &BTreeMap<String, String>| -> Vec<Text> {
            let named = texts.iter().filter_map(|(name, text)| {
                Some(Text {
                    name: name.parse().ok()?,
                    labels: self
                        .labels
                        .get(&(kind, name.clone()))
                        .cloned()
                        .unwrap_or_default(),
                    text: text.clone(),
                })
            });
            named.collect()
        };
        match kind {
            ObjectKind::Template => {
                let all = texts(&self.templates).into_iter();
                all.map(Object::Template).collect()
            }
            ObjectKind::Snippet => {
                let all = texts(&self.snippets).into_iter();
                all.map(Object::Snippet).collect()
            }
            ObjectKind::Group => self.groups.iter().cloned().map(Object::Group).collect(),
        }
    }
}

/// As much as the engine reads.
const TEXT_LIMIT: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(value: serde_json::Value) -> Result<(), String> {
        let answer: Answer = serde_json::from_value(value).map_err(|e| e.to_string())?;
        answer.validate().map_err(|e| e.to_string())
    }

    #[test]
    fn an_answer_is_sealed_unless_it_says_otherwise() {
        let read: Answer =
            serde_json::from_value(json!({"name": "user-data", "text": "x"})).expect("an answer");
        assert!(read.sealed && read.minutes == 30 && read.uses == Uses::UntilDone);
        assert_eq!(read.kind, AnswerKind::Generic);
    }

    #[test]
    fn unfit_answers_say_why() {
        for (value, expected) in [
            (json!({"name": "../x", "text": ""}), "a plain path"),
            (json!({"name": "a b", "text": ""}), "a plain path"),
            (json!({"name": "x'y", "text": ""}), "a plain path"),
            (json!({"name": "a"}), "either a template or a text"),
            (json!({"name": "a", "text": "", "template": "t"}), "either"),
            (json!({"name": "a", "text": "", "minutes": 0}), "1 to 1440"),
            (
                json!({"name": "a", "text": "", "kind": "device-file"}),
                "cannot be sealed",
            ),
            (json!({"name": "a", "text": "", "x": 1}), "unknown field"),
            (
                json!({"name": "a", "text": "x".repeat(TEXT_LIMIT + 1)}),
                "more than 262144 bytes",
            ),
        ] {
            let error = answer(value).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(
            answer(json!({"name": "nested/user-data", "text": ""})),
            Ok(())
        );
    }

    #[test]
    fn objects_come_back_as_they_were_put() {
        let all: Vec<Object> = serde_json::from_value(json!([
            {"kind": "template", "name": "b", "text": "B", "labels": {"team": "web"}},
            {"kind": "template", "name": "a", "text": "A"},
            {"kind": "snippet", "name": "a", "text": "S"},
            {"kind": "group", "name": "g", "labels": {"x": ""}, "selector": {"label": {"rack": ["1"]}},
             "variables": {"x": 1}},
        ]))
        .expect("objects");
        let objects: Objects = all.iter().cloned().collect();
        let back: Vec<Object> = ObjectKind::ALL
            .into_iter()
            .flat_map(|k| objects.of(k))
            .collect();
        assert_eq!(back.len(), all.len());
        assert!(all.iter().all(|object| back.contains(object)));
        assert_eq!(back[0].name().as_str(), "a");
    }
}
