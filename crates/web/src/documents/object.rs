//! `kind: template`, `kind: snippet` and `kind: group`: what answers are made of. Secrets are of no
//! kind: their values belong into no file, and their names into the templates that want them.

use super::kinds::{Document, Export, Kind};
use super::place::Place;
use super::plan::Planner;
use bootplan::{Catalog, Group, Object, ObjectKind, ObjectName, Selector, Text, Variables};
use serde::Deserialize;
use store::Step;

/// What answers name by `template:`.
pub(super) const TEMPLATE: Kind = Kind {
    name: "template",
    read: |yaml| {
        Ok(Box::new(
            TextDoc::deserialize(yaml)?.of(ObjectKind::Template),
        ))
    },
    export: |catalog, out| export(catalog, ObjectKind::Template, out),
    owned: |_, _| Vec::new(),
};

/// What templates include.
pub(super) const SNIPPET: Kind = Kind {
    name: "snippet",
    read: |yaml| {
        Ok(Box::new(
            TextDoc::deserialize(yaml)?.of(ObjectKind::Snippet),
        ))
    },
    export: |catalog, out| export(catalog, ObjectKind::Snippet, out),
    owned: |_, _| Vec::new(),
};

/// Variables of the machines that a selector finds.
pub(super) const GROUP: Kind = Kind {
    name: "group",
    read: |yaml| Ok(Box::new(Doc(GroupDoc::deserialize(yaml)?.group()))),
    export: |catalog, out| export(catalog, ObjectKind::Group, out),
    owned: |_, _| Vec::new(),
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextDoc {
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    name: ObjectName,
    text: String,
}

impl TextDoc {
    fn of(self, kind: ObjectKind) -> Doc {
        let text = Text {
            name: self.name,
            text: self.text,
        };
        Doc(match kind {
            ObjectKind::Snippet => Object::Snippet(text),
            _ => Object::Template(text),
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupDoc {
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    name: ObjectName,
    selector: Selector,
    #[serde(default)]
    variables: Variables,
}

impl GroupDoc {
    fn group(self) -> Object {
        Object::Group(Group {
            name: self.name,
            selector: self.selector,
            variables: self.variables,
        })
    }
}

/// Any of the three.
#[derive(Debug)]
struct Doc(Object);

impl Document for Doc {
    fn plan(&self, planner: &mut Planner<'_>, place: &Place) {
        let Doc(object) = self;
        let (kind, name) = (object.kind(), object.name().clone());
        if !planner.once(kind.slug(), name.as_str(), place, "name") {
            return;
        }
        if let Some(bytes) = object.too_large() {
            let problem = format!("{bytes} bytes; at most 256 KiB fit");
            return planner.fault(place.fault("text", problem));
        }
        let all = planner.catalog.objects().of(kind);
        let old = all.iter().find(|old| *old.name() == name);
        let step = Step::PutObject(object.clone());
        planner.object(place, kind.slug(), name.as_str(), old, object, step);
    }
}

fn export(catalog: &Catalog, kind: ObjectKind, out: &mut Export) {
    for object in catalog.objects().of(kind) {
        match &object {
            Object::Template(text) | Object::Snippet(text) => out.push(kind.slug(), text),
            Object::Group(group) => out.push(kind.slug(), group),
        }
    }
}
