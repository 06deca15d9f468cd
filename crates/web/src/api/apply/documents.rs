//! YAML documents and what they stand for. Pure.
//!
//! A stream holds any number of documents, each with a `kind`: `profile`, `machine` or `site`. A
//! profile's document is the whole profile. A machine's or the site's document says only what
//! it wants changed: a field left out stays as it is, `null` takes it away.

use crate::api::machines::given;
use crate::api::problem::Fault;
use bootplan::{
    Answer, BootMethod, Catalog, EfiStyle, Limit, LoaderKind, LocalBoot, LocalBootModel, MacAddr,
    Machine, MachineState, Mode, NewMachines, Platform, Profile, ProfileName, Site, SystemUuid,
    UnassignedPolicy, Variables,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A document and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub(super) document: Document,
    pub(super) place: Place,
}

/// What a document asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Document {
    Profile(Profile),
    Machine(MachineDoc),
    Site(SiteDoc),
}

/// A machine, found by any of its MACs, else by its name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MachineDoc {
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) macs: Vec<MacAddr>,
    #[serde(default, deserialize_with = "given")]
    pub(super) uuid: Option<Option<SystemUuid>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) serial: Option<Option<String>>,
    #[serde(default)]
    pub(super) labels: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) loader: Option<Option<LoaderKind>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) profile: Option<Option<ProfileName>>,
    /// Says how the profile is meant, too; instead of `profile`.
    #[serde(default)]
    pub(super) assign: Option<AssignDoc>,
    #[serde(default, deserialize_with = "given")]
    pub(super) local_boot: Option<Option<LocalBoot>>,
}

/// An assignment; one to be installed once orders nothing by itself.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignDoc {
    profile: ProfileName,
    #[serde(default)]
    mode: Mode,
}

impl MachineDoc {
    /// What is said of its profile, and how that is meant if that is said.
    pub(super) fn assignment(&self) -> (Option<Option<ProfileName>>, Option<Mode>) {
        match &self.assign {
            Some(assign) => (Some(Some(assign.profile.clone())), Some(assign.mode)),
            None => (self.profile.clone(), None),
        }
    }
}

/// Site settings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SiteDoc {
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    unassigned: Option<UnassignedPolicy>,
    menu_timeout_s: Option<u16>,
    wait_poll_s: Option<u16>,
    wait_limit_s: Option<u32>,
    loader: Option<LoaderKind>,
    new_machines: Option<NewMachines>,
    install_slots: Option<u16>,
    install_limit: Option<Limit>,
    local_boot: Option<LocalBoot>,
    local_boot_models: Option<Vec<LocalBootModel>>,
    variables: Option<Variables>,
}

impl SiteDoc {
    /// The settings with what this document says.
    pub(super) fn over(&self, site: &Site) -> Site {
        Site {
            unassigned: self.unassigned.unwrap_or(site.unassigned),
            menu_timeout_s: self.menu_timeout_s.unwrap_or(site.menu_timeout_s),
            wait_poll_s: self.wait_poll_s.unwrap_or(site.wait_poll_s),
            wait_limit_s: self.wait_limit_s.unwrap_or(site.wait_limit_s),
            loader: self.loader.unwrap_or(site.loader),
            new_machines: self.new_machines.unwrap_or(site.new_machines),
            install_slots: self.install_slots.unwrap_or(site.install_slots),
            install_limit: self.install_limit.unwrap_or(site.install_limit),
            local_boot: self.local_boot.unwrap_or(site.local_boot),
            local_boot_models: self
                .local_boot_models
                .clone()
                .unwrap_or_else(|| site.local_boot_models.clone()),
            variables: self
                .variables
                .clone()
                .unwrap_or_else(|| site.variables.clone()),
        }
    }
}

/// `bootplan::Profile` with its `kind`. Not flattened, because flattening loses the line and
/// column of what is wrong, and refuses no unknown fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileDoc {
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    name: ProfileName,
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    in_menu: bool,
    #[serde(default)]
    platforms: Vec<Platform>,
    #[serde(default)]
    loader: Option<LoaderKind>,
    #[serde(default)]
    efi_style: EfiStyle,
    boot: BootMethod,
    #[serde(default)]
    answers: Vec<Answer>,
    #[serde(default)]
    variables: Variables,
    #[serde(default)]
    install: Option<Limit>,
}

fn yes() -> bool {
    true
}

impl From<ProfileDoc> for Profile {
    fn from(doc: ProfileDoc) -> Self {
        Profile {
            name: doc.name,
            title: doc.title,
            description: doc.description,
            enabled: doc.enabled,
            in_menu: doc.in_menu,
            platforms: doc.platforms,
            loader: doc.loader,
            efi_style: doc.efi_style,
            boot: doc.boot,
            answers: doc.answers,
            variables: doc.variables,
            install: doc.install,
        }
    }
}

/// Reads every document, or says everything that is wrong with them.
pub(super) fn parse(text: &str) -> Result<Vec<Placed>, Vec<Fault>> {
    let places = places(text);
    let kinds = kinds(text, &places)?;
    let mut documents = Vec::new();
    let mut faults = Vec::new();
    for (index, yaml) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let place = places.get(index).cloned().unwrap_or_default();
        let parsed = match kinds.get(index) {
            Some(Kind::Profile) => {
                ProfileDoc::deserialize(yaml).map(|d| Document::Profile(d.into()))
            }
            Some(Kind::Machine) => MachineDoc::deserialize(yaml).map(Document::Machine),
            Some(Kind::Site) => SiteDoc::deserialize(yaml).map(Document::Site),
            Some(Kind::Nothing) | None => continue,
        };
        match parsed {
            Ok(document) => documents.push(Placed { document, place }),
            Err(error) => faults.push(fault(&place, &error)),
        }
    }
    if faults.is_empty() {
        Ok(documents)
    } else {
        Err(faults)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Profile,
    Machine,
    Site,
    /// An empty document: what stands before the first `---`, or after the last.
    Nothing,
}

fn kinds(text: &str, places: &[Place]) -> Result<Vec<Kind>, Vec<Fault>> {
    let mut kinds = Vec::new();
    let mut faults = Vec::new();
    for (index, yaml) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let place = places.get(index).cloned().unwrap_or_default();
        let value = match serde_yaml::Value::deserialize(yaml) {
            Ok(value) => value,
            Err(error) => {
                // Nothing after a syntax error can be trusted to mean what it seems to.
                faults.push(fault(&place, &error));
                return Err(faults);
            }
        };
        let kind = value.get("kind").and_then(serde_yaml::Value::as_str);
        kinds.push(match kind {
            Some("profile") => Kind::Profile,
            Some("machine") => Kind::Machine,
            Some("site") => Kind::Site,
            _ if value.is_null() => Kind::Nothing,
            other => {
                let problem = match other {
                    Some(kind) => format!("'{}' is not one of profile, machine, site", short(kind)),
                    None => "missing; expected profile, machine or site".to_owned(),
                };
                faults.push(place.fault("kind", problem));
                Kind::Nothing
            }
        });
    }
    if faults.is_empty() {
        Ok(kinds)
    } else {
        Err(faults)
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Where a document stands in the text, and where its fields do.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Place {
    /// From 1.
    index: usize,
    /// Line of its first content, from 1.
    line: usize,
    /// Each key that begins a line.
    keys: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq)]
struct Key {
    name: String,
    /// What follows on the same line.
    value: String,
    line: usize,
    column: usize,
}

impl Place {
    /// Something is wrong with this field.
    pub(super) fn fault(&self, field: &str, problem: impl Into<String>) -> Fault {
        let last = field.rsplit('.').next().unwrap_or(field);
        let last = last.split('[').next().unwrap_or(last);
        let found = self.keys.iter().find(|key| key.name == last);
        let (line, column) = found.map_or((self.line, 1), |key| (key.line, key.column));
        Fault {
            document: self.index,
            line,
            column,
            field: field.to_owned(),
            problem: problem.into(),
        }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }
}

/// Finds the documents as the parser counts them: each `---` begins one, and so does content
/// before the first `---`.
fn places(text: &str) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let mut open = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line == "---" || line.starts_with("--- ") {
            places.push(Place {
                line: number + 1,
                ..Place::default()
            });
            open = true;
            continue;
        }
        if line == "..." {
            open = false;
            continue;
        }
        let content = line.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if !open {
            places.push(Place {
                line: number,
                ..Place::default()
            });
            open = true;
        }
        let key = content.trim_start_matches("- ").split_once(':');
        if let (Some((name, value)), Some(place)) = (key, places.last_mut()) {
            place.keys.push(Key {
                name: name.trim().to_owned(),
                value: value.trim().to_owned(),
                line: number,
                column: line.len() - content.trim_start_matches("- ").len() + 1,
            });
        }
    }
    for (index, place) in (1..).zip(&mut places) {
        place.index = index;
    }
    places
}

/// The parser's own words, with the field taken out of them.
fn fault(place: &Place, error: &serde_yaml::Error) -> Fault {
    let text = error.to_string();
    let at = error.location();
    let problem = match text.rfind(" at line ") {
        Some(end) if at.is_some() => text[..end].to_owned(),
        _ => text,
    };
    let quoted = |begin: &str| {
        let rest = problem.split(begin).nth(1)?;
        rest.split('`').next().map(str::to_owned)
    };
    let path = |problem: &str| {
        let (path, _) = problem.split_once(": ")?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.[]?".contains(c);
        path.chars().all(plain).then(|| path.to_owned())
    };
    let unknown = quoted("unknown field `");
    let known = unknown.clone().or_else(|| quoted("missing field `"));
    // Inside `boot` the parser has lost the place, but our own errors quote the value.
    let by_value = || {
        let value = problem.split('\'').nth(1).filter(|v| !v.is_empty())?;
        let key = place.keys.iter().find(|key| key.value.contains(value))?;
        Some(key.name.clone())
    };
    let said = known.or_else(|| path(&problem));
    if let (None, Some(field)) = (&said, by_value()) {
        return place.fault(&field, problem);
    }
    let field = said.unwrap_or_default();
    let mut fault = place.fault(&field, problem);
    if let (Some(at), true) = (at, unknown.is_none()) {
        (fault.line, fault.column) = (at.line(), at.column());
    }
    fault
}

/// Everything an operator has decided, as documents that [`parse`] reads back: the site, every
/// profile, and every registered machine. What is merely discovered is no decision.
pub(super) fn export(catalog: &Catalog) -> String {
    #[derive(Serialize)]
    struct Out<'a, T> {
        kind: &'static str,
        #[serde(flatten)]
        spec: &'a T,
    }
    #[derive(Serialize)]
    struct MachineOut<'a> {
        name: &'a str,
        macs: &'a [MacAddr],
        #[serde(skip_serializing_if = "Option::is_none")]
        uuid: Option<SystemUuid>,
        #[serde(skip_serializing_if = "Option::is_none")]
        serial: Option<&'a str>,
        labels: &'a BTreeMap<String, String>,
        loader: Option<LoaderKind>,
        #[serde(skip_serializing_if = "Option::is_none")]
        profile: Option<Option<&'a ProfileName>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        assign: Option<AssignOut<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        local_boot: Option<LocalBoot>,
    }
    #[derive(Serialize)]
    struct AssignOut<'a> {
        profile: &'a ProfileName,
        mode: Mode,
    }
    fn push<T: Serialize>(text: &mut String, kind: &'static str, spec: &T) {
        let yaml = serde_yaml::to_string(&Out { kind, spec });
        text.push_str("---\n");
        text.push_str(&yaml.expect("plain values and string keys"));
    }
    let mut text = String::new();
    push(&mut text, "site", &catalog.site);
    for profile in catalog.profiles() {
        push(&mut text, "profile", profile.as_ref());
    }
    let registered = |m: &&std::sync::Arc<Machine>| m.state == MachineState::Registered;
    for machine in catalog.machines().filter(registered) {
        let once = machine
            .profile
            .as_ref()
            .filter(|_| !machine.mode.is_always());
        let out = MachineOut {
            name: &machine.name,
            macs: &machine.macs,
            uuid: machine.uuid,
            serial: machine.serial.as_deref(),
            labels: &machine.labels,
            loader: machine.loader,
            profile: once.is_none().then_some(machine.profile.as_ref()),
            assign: once.map(|profile| AssignOut {
                profile,
                mode: machine.mode,
            }),
            local_boot: machine.local_boot,
        };
        push(&mut text, "machine", &out);
    }
    text
}
