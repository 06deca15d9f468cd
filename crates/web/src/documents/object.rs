//! `kind: template`, `kind: snippet` and `kind: group`: what answers are made of. Labels stay when
//! they are left out.

use super::kinds::{Document, Export, Kind};
use super::own::{self, Own};
use super::place::{Fault, Place, fault, places};
use super::plan::{Planner, Pruned};
use bootplan::{Group, Object, ObjectKind, ObjectName, Selector, Text, Variables};
use serde::Deserialize;
use std::collections::BTreeMap;
use store::{Decided, Step};

/// What answers name by `template:`.
pub(super) const TEMPLATE: Kind = Kind {
    name: "template",
    read: |yaml| {
        Ok(Box::new(
            TextDoc::deserialize(yaml)?.of(ObjectKind::Template),
        ))
    },
    export: |decided, out| export(decided, ObjectKind::Template, out),
    owned: |decided, own| owned(decided, ObjectKind::Template, own),
};

/// What templates include.
pub(super) const SNIPPET: Kind = Kind {
    name: "snippet",
    read: |yaml| {
        Ok(Box::new(
            TextDoc::deserialize(yaml)?.of(ObjectKind::Snippet),
        ))
    },
    export: |decided, out| export(decided, ObjectKind::Snippet, out),
    owned: |decided, own| owned(decided, ObjectKind::Snippet, own),
};

/// Variables of the machines that a selector finds.
pub(super) const GROUP: Kind = Kind {
    name: "group",
    read: |yaml| Ok(Box::new(GroupDoc::deserialize(yaml)?.group())),
    export: |decided, out| export(decided, ObjectKind::Group, out),
    owned: |decided, own| owned(decided, ObjectKind::Group, own),
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextDoc {
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    name: ObjectName,
    #[serde(default)]
    labels: Option<Labels>,
    text: String,
}

impl TextDoc {
    fn of(self, kind: ObjectKind) -> Doc {
        let text = Text {
            name: self.name,
            labels: Labels::new(),
            text: self.text,
        };
        let object = match kind {
            ObjectKind::Snippet => Object::Snippet(text),
            _ => Object::Template(text),
        };
        Doc {
            object,
            labels: self.labels,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupDoc {
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    name: ObjectName,
    #[serde(default)]
    labels: Option<Labels>,
    selector: Selector,
    #[serde(default)]
    variables: Variables,
}

impl GroupDoc {
    fn group(self) -> Doc {
        let object = Object::Group(Group {
            name: self.name,
            labels: Labels::new(),
            selector: self.selector,
            variables: self.variables,
        });
        Doc {
            object,
            labels: self.labels,
        }
    }
}

type Labels = BTreeMap<String, String>;

/// Any of the three.
#[derive(Debug)]
struct Doc {
    /// Without labels.
    object: Object,
    labels: Option<Labels>,
}

impl Document for Doc {
    fn plan(&self, planner: &mut Planner<'_>, place: &Place) {
        let (kind, name) = (self.object.kind(), self.object.name().clone());
        if !planner.once(kind.slug(), name.as_str(), place, "name") {
            return;
        }
        if let Some(bytes) = self.object.too_large() {
            let problem = format!("{bytes} bytes; at most 256 KiB fit");
            return planner.fault(place.fault("text", problem));
        }
        if let Err(fault) = readable(&self.object) {
            return planner.fault(place.fault("text", fault.to_string()));
        }
        let all = planner.catalog.objects().of(kind);
        let old = all.iter().find(|old| *old.name() == name);
        let has = old.map(Object::labels);
        let labels = match own::labels(planner.options, has, self.labels.as_ref()) {
            Ok(labels) => labels,
            Err(problem) => return planner.fault(place.fault("labels", problem)),
        };
        let object = self.object.clone().labelled(labels);
        let step = Step::PutObject(object.clone());
        planner.object(place, kind.slug(), name.as_str(), old, &object, step);
    }
}

/// Whether the writing of a template or snippet can be understood; a group has none.
pub(crate) fn readable(object: &Object) -> Result<(), answers::Fault> {
    match object {
        Object::Template(text) | Object::Snippet(text) => {
            answers::parse(text.name.as_str(), &text.text)
        }
        Object::Group(_) => Ok(()),
    }
}

/// A group of this name from what is written below its name: its selector and its variables.
///
/// # Errors
/// The first thing that is wrong, by line and column of that text.
pub(crate) fn group(name: &ObjectName, text: &str) -> Result<Object, Fault> {
    let head = format!("kind: group\nname: {name}\n");
    let below = |fault: Fault| Fault {
        line: fault.line.saturating_sub(2).max(1),
        ..fault
    };
    let whole = format!("{head}{text}");
    let place = places(&whole).into_iter().next().unwrap_or_default();
    let read = GroupDoc::deserialize(serde_yaml::Deserializer::from_str(&whole));
    let doc = read.map_err(|error| below(fault(&place, &error)))?.group();
    Ok(doc.object.labelled(doc.labels.unwrap_or_default()))
}

fn owned(decided: &Decided, kind: ObjectKind, own: &Own) -> Vec<Pruned> {
    let all = decided.catalog.objects().of(kind).into_iter();
    let owned = all.filter(|object| own.has(object.labels()));
    let pruned = owned.map(|object| {
        let name = object.name().clone();
        Pruned::named(kind.slug(), &name.clone(), Step::DeleteObject(kind, name))
    });
    pruned.collect()
}

fn export(decided: &Decided, kind: ObjectKind, out: &mut Export) {
    for object in decided.catalog.objects().of(kind) {
        match &object {
            Object::Template(text) | Object::Snippet(text) => out.push(kind.slug(), text),
            Object::Group(group) => out.push(kind.slug(), group),
        }
    }
}
