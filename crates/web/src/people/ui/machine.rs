//! `/machines/{id}`: one machine, what it will get, and what it did.

use super::confirm;
use super::conflicts::IdentityPanel;
use super::error::{PageError, PageResult, page, sentence};
use super::form::{Fields, Path};
use super::frame::{Frame, Stamp, Visit, done, failed, local, now};
use super::install::{self, Install};
use super::machine_list::{Choice, assignment_problem, choices};
use super::machine_more::MoreForm;
use super::power::PowerPanel;
use super::preview::{Answer, Menu, answers, menus};
use super::profile_form::{label_lines, labels_of};
use super::rules::{StandLine, stands};
use super::settings::LOADERS;
use super::story::{Attempt, printable, size};
use super::transfers::Moving;
use crate::kept::{self, ForgetError};
use crate::people::PeopleState;
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use bootplan::{
    LoaderKind, MacAddr, Machine, MachineId, MachineState, ProfileName, UnassignedPolicy, effect,
    timeline,
};
use http::StatusCode;
use std::collections::BTreeMap;
use store::{EventQuery, MachineChange, MachineRecord, StoreError};

#[derive(Template)]
#[template(path = "machine.html")]
pub(super) struct MachinePage {
    frame: Frame,
    id: i64,
    name: String,
    macs: Vec<String>,
    uuid: Option<String>,
    serial: Option<String>,
    platform: Option<String>,
    product: String,
    /// What it says that it is made of, line by line.
    hardware: Vec<String>,
    labels: BTreeMap<String, String>,
    /// Of several lines.
    notes: String,
    discovered: bool,
    /// The rule that installs it once it is adopted.
    adopts: Option<String>,
    /// The rule that would install it anew if it were forgotten.
    returns: Option<String>,
    /// How much it keeps on the server.
    kept: Option<String>,
    profile: Option<String>,
    install: Install,
    problem: Option<&'static str>,
    /// Files of the assigned profile that are not there.
    missing: String,
    policy: UnassignedPolicy,
    loaders: [(LoaderKind, &'static str); 3],
    first_seen: Stamp,
    last_seen: Option<Stamp>,
    profiles: Vec<Choice>,
    answers: Vec<Answer>,
    menus: Vec<Menu>,
    rules: Vec<StandLine>,
    moving: Moving,
    attempts: Vec<Attempt>,
    form: EditForm,
    more: MoreForm,
    power: PowerPanel,
    identity: IdentityPanel,
}

/// The edit form as typed, with its errors.
#[derive(Default)]
pub(crate) struct EditForm {
    pub(crate) name: String,
    pub(crate) macs: String,
    pub(crate) uuid: String,
    pub(crate) serial: String,
    pub(crate) labels: String,
    pub(crate) loader: String,
    /// As the store has them: lines end in a line feed.
    pub(crate) notes: String,
    /// The fields as the page first showed them; empty for a machine that is yet to be made.
    pub(crate) was: BTreeMap<&'static str, String>,
    /// Field name to what is wrong with it.
    pub(crate) errors: BTreeMap<&'static str, String>,
}

#[derive(Template)]
#[template(path = "unseen.html")]
struct UnseenPage {
    frame: Frame,
    mac: MacAddr,
}

/// `GET /machines/{id}`
pub(crate) async fn show(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(id): Path<i64>,
) -> PageResult {
    let record = find(&state, id)?;
    page(&machine_page(&state, &visit, record, None, None).await?)
}

/// `GET /m/{mac}`: the address that a waiting machine shows on its screen.
pub(crate) async fn by_mac(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(mac): Path<String>,
) -> PageResult {
    let mac: MacAddr = mac
        .parse()
        .map_err(|e: bootplan::MacParseError| PageError::NotFound(e.to_string()))?;
    if let Some(machine) = state.store.catalog().find(mac, None) {
        return Ok(Redirect::to(&format!("/machines/{}", machine.id.0)).into_response());
    }
    let frame = visit.frame(&state, "machines");
    Ok((StatusCode::NOT_FOUND, page(&UnseenPage { frame, mac })?).into_response())
}

/// `POST /machines/{id}`
pub(crate) async fn edit(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(id): Path<i64>,
    fields: Fields,
) -> PageResult {
    let record = find(&state, id)?;
    let mut form = EditForm::typed(&fields);
    if let Some(change) = form.change() {
        let saved = state
            .store
            .update_machine(MachineId(id), change, &visit.actor.name)
            .await;
        match saved {
            Ok(record) => {
                let name = printable(&record.machine.name);
                return Ok(done(&format!("/machines/{id}"), format!("Saved {name}.")));
            }
            Err(error) => form.blame(error)?,
        }
    }
    let body = page(&machine_page(&state, &visit, record, Some(form), None).await?)?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, body).into_response())
}

/// `POST /machines/{id}/assign`
pub(crate) async fn assign(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Response, PageError> {
    let back = back_to(&fields, id);
    let record = find(&state, id)?;
    let profile = match fields.get("profile") {
        "" => None,
        name => match name.parse::<ProfileName>() {
            Ok(name) => Some(name),
            Err(error) => return Ok(failed(&back, error)),
        },
    };
    let wanted = fields.get("profile");
    if let Some(question) = confirm::asks_about(&state, MachineId(id), "assign", wanted, &back) {
        return Ok(question);
    }
    let name = printable(&record.machine.name);
    let text = match &profile {
        Some(profile) => format!("{name} boots {profile} from now on."),
        None => format!("{name} has no assignment any more; the site default applies."),
    };
    let ids = [MachineId(id)];
    answered(
        state.store.assign(&ids, profile, &visit.actor.name).await,
        &back,
        text,
    )
}

/// `POST /machines/{id}/adopt`
pub(crate) async fn adopt(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Response, PageError> {
    let back = back_to(&fields, id);
    let machine = find(&state, id)?.machine;
    let catalog = state.store.catalog();
    let rule = effect::adopted(&machine, &catalog).map(|rule| rule.name.to_string());
    // The page may be older than the rule: what its button did not say is asked about.
    if rule
        .as_deref()
        .is_some_and(|rule| rule != fields.get("rule"))
        && let Some(question) = confirm::asks_about(&state, MachineId(id), "adopt", "", &back)
    {
        return Ok(question);
    }
    let ordered = rule.is_some();
    let name = printable(&machine.name);
    if let Err(error) = state.adopt(&[MachineId(id)], &visit.actor.name).await {
        return install::not_ordered(&back, error);
    }
    let text = match ordered {
        true => format!("{name} is adopted, and installed at its next boot."),
        false => format!("{name} is adopted."),
    };
    Ok(done(&back, text))
}

/// `POST /machines/{id}/delete`
pub(crate) async fn delete(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Response, PageError> {
    let name = printable(&find(&state, id)?.machine.name);
    let discard = fields.get("discard_kept") == "yes";
    let back = format!("/machines/{id}");
    let more = match kept::forget(&state, &[MachineId(id)], discard, &visit.actor.name).await {
        Ok(0) => String::new(),
        Ok(_) => format!(
            " What it kept on the server stays; 'farrier diskless reset {id}' throws it away."
        ),
        Err(ForgetError::Store(error)) => return answered(Err(error), &back, String::new()),
        Err(error) => return Ok(failed(&back, error)),
    };
    let text =
        format!("{name} is forgotten; it shows up again when it next asks the network.{more}");
    Ok(done("/machines", text))
}

pub(super) fn find(state: &PeopleState, id: i64) -> Result<MachineRecord, PageError> {
    let gone = || PageError::NotFound("this machine does not exist or was forgotten".to_owned());
    state.store.machine(MachineId(id)).ok_or_else(gone)
}

fn back_to(fields: &Fields, id: i64) -> String {
    match fields.get("back") {
        "" => format!("/machines/{id}"),
        back => local(back).to_owned(),
    }
}

/// A refusal by the store is told on the page one came from; a failing database is an error.
fn answered(
    result: Result<(), StoreError>,
    back: &str,
    text: String,
) -> Result<Response, PageError> {
    match result {
        Ok(()) => Ok(done(back, text)),
        Err(error @ StoreError::Database { .. }) => Err(error.into()),
        Err(error) => Ok(failed(back, error)),
    }
}

/// The page; its forms as they were typed, or as the machine is stored.
pub(super) async fn machine_page(
    state: &PeopleState,
    visit: &Visit,
    record: MachineRecord,
    form: Option<EditForm>,
    more: Option<MoreForm>,
) -> Result<MachinePage, PageError> {
    let machine = &record.machine;
    let catalog = state.store.catalog();
    let server = state.endpoint();
    let query = EventQuery {
        machine: Some(machine.id),
        limit: HISTORY,
        ..EventQuery::default()
    };
    let mut events = state.store.events(query).await?;
    events.reverse();
    let at = now();
    let power = state.store.power(machine.id).await?;
    let power = PowerPanel::of(power, &printable(&machine.name)).with_last(&events, at);
    let boots = timeline::attempts(events.into_iter().map(|e| e.event));
    let facts = &machine.facts;
    let product = [&facts.manufacturer, &facts.product];
    let product: Vec<&str> = product.into_iter().flatten().map(String::as_str).collect();
    let menus = machine
        .macs
        .first()
        .map(|mac| menus(&catalog, *mac, machine.uuid, &server));
    Ok(MachinePage {
        frame: visit.frame(state, "machines"),
        id: machine.id.0,
        name: printable(&machine.name),
        macs: machine.macs.iter().map(ToString::to_string).collect(),
        uuid: machine.uuid.map(|u| u.to_string()),
        serial: machine.serial.as_deref().map(printable),
        platform: facts.platform.map(|p| p.to_string()),
        product: printable(&product.join(" ")),
        hardware: facts
            .hardware
            .iter()
            .flat_map(|hardware| hardware.lines())
            .map(|line| printable(&line))
            .collect(),
        labels: machine
            .labels
            .iter()
            .map(|(k, v)| (printable(k), printable(v)))
            .collect(),
        notes: printable_lines(&machine.notes),
        discovered: machine.state == MachineState::Discovered,
        adopts: effect::adopted(machine, &catalog).map(|rule| rule.name.to_string()),
        returns: effect::forgotten(machine, &catalog).map(|rule| rule.name.to_string()),
        kept: kept::bytes(state, machine.id).await.map(size),
        profile: machine.profile.as_ref().map(ToString::to_string),
        install: install::of(machine, &catalog),
        problem: assignment_problem(&catalog, machine),
        missing: machine
            .profile
            .as_ref()
            .and_then(|name| catalog.profile(name))
            .map(|profile| state.missing(profile).join(", "))
            .unwrap_or_default(),
        policy: catalog.site.unassigned,
        loaders: LOADERS,
        first_seen: Stamp::ago(record.first_seen, at),
        last_seen: record.last_seen.map(|seen| Stamp::ago(seen, at)),
        profiles: choices(&catalog),
        answers: answers(&catalog, machine, &server),
        menus: menus.unwrap_or_default(),
        rules: stands(machine, &catalog),
        moving: Moving::of(state, machine),
        attempts: boots.iter().rev().map(|a| Attempt::new(a, at)).collect(),
        form: form.unwrap_or_else(|| EditForm::of(machine)),
        more: more.unwrap_or_else(|| MoreForm::of(machine)),
        power,
        identity: IdentityPanel::of(state, machine),
    })
}

impl EditForm {
    fn of(machine: &Machine) -> Self {
        let macs: Vec<String> = machine.macs.iter().map(ToString::to_string).collect();
        let mut form = EditForm {
            name: printable(&machine.name),
            macs: macs.join("\n"),
            uuid: machine.uuid.map(|u| u.to_string()).unwrap_or_default(),
            serial: machine.serial.as_deref().map(printable).unwrap_or_default(),
            labels: label_lines(&machine.labels),
            loader: machine
                .loader
                .map(LoaderKind::slug)
                .unwrap_or("")
                .to_owned(),
            notes: printable_lines(&machine.notes),
            ..EditForm::default()
        };
        form.was = form.fields().map(|(k, v)| (k, v.to_owned())).into();
        form
    }

    /// The fields as they were typed.
    pub(crate) fn typed(fields: &Fields) -> Self {
        EditForm {
            name: fields.get("name").to_owned(),
            macs: fields.raw("macs").to_owned(),
            uuid: fields.get("uuid").to_owned(),
            serial: fields.get("serial").to_owned(),
            labels: fields.raw("labels").to_owned(),
            loader: fields.get("loader").to_owned(),
            notes: plain_lines(fields.raw("notes")),
            was: FIELDS
                .iter()
                .filter(|(_, hidden)| fields.has(hidden))
                .map(|(field, hidden)| (*field, fields.raw(hidden).to_owned()))
                .collect(),
            errors: BTreeMap::new(),
        }
    }

    fn fields(&self) -> [(&'static str, &str); 7] {
        let texts = [
            &self.name,
            &self.macs,
            &self.uuid,
            &self.serial,
            &self.labels,
            &self.loader,
            &self.notes,
        ];
        std::array::from_fn(|n| (FIELDS[n].0, texts[n].as_str()))
    }

    /// Whether the person changed a field. What they left alone is not saved: firmware may have
    /// told us its UUID or serial since the page was opened.
    fn changed(&self, field: &str) -> bool {
        let lines = |text: &str| -> Vec<String> {
            let lines = text.lines().map(|l| l.trim().to_owned());
            lines.filter(|l| !l.is_empty()).collect()
        };
        let now = self.fields().into_iter().find(|(k, _)| *k == field);
        let was = self.was.get(field).map(|was| lines(was));
        was != now.map(|(_, text)| lines(text))
    }

    /// In notes every blank counts.
    fn notes_changed(&self) -> bool {
        let was = self.was.get("notes").map(|was| plain_lines(was));
        was.as_ref() != Some(&self.notes)
    }

    /// What is wrong with a field; empty when nothing is.
    pub(crate) fn error(&self, field: &str) -> &str {
        self.errors.get(field).map_or("", String::as_str)
    }

    /// What differs from the page as it was shown, as a change; `None` leaves the reasons in `errors`.
    pub(crate) fn change(&mut self) -> Option<MachineChange> {
        let mut macs = Vec::new();
        for text in self
            .macs
            .split([',', '\n', ' ', '\r'])
            .filter(|t| !t.is_empty())
        {
            match text.parse::<MacAddr>() {
                Ok(mac) => macs.push(mac),
                Err(error) => drop(self.errors.insert("macs", sentence(&error.to_string()))),
            }
        }
        if macs.is_empty() && !self.errors.contains_key("macs") {
            let text = "At least one hardware address is needed.";
            self.errors.insert("macs", text.to_owned());
        }
        let uuid = match self.uuid.as_str() {
            "" => None,
            text => match text.parse() {
                Ok(uuid) => Some(uuid),
                Err(error) => {
                    let error: bootplan::UuidParseError = error;
                    self.errors.insert("uuid", sentence(&error.to_string()));
                    None
                }
            },
        };
        let labels = labels_of(&self.labels);
        let only = |field| self.changed(field).then_some(());
        self.errors.is_empty().then(|| MachineChange {
            name: only("name")
                .filter(|()| !self.name.is_empty())
                .map(|()| self.name.clone()),
            macs: only("macs").map(|()| macs),
            uuid: only("uuid").map(|()| uuid),
            serial: only("serial").map(|()| (!self.serial.is_empty()).then(|| self.serial.clone())),
            labels: only("labels").map(|()| labels),
            loader: only("loader").map(|()| LoaderKind::from_slug(&self.loader)),
            notes: self.notes_changed().then(|| self.notes.clone()),
            ..MachineChange::default()
        })
    }

    /// Puts a refusal by the store beside the field it is about.
    pub(crate) fn blame(&mut self, error: StoreError) -> Result<(), PageError> {
        let (field, text) = match error {
            StoreError::Invalid { field, problem } => (field, problem),
            StoreError::Conflict { what, advice } => {
                let field = match what.starts_with("the MAC ") {
                    true => "macs",
                    false => "name",
                };
                (field.to_owned(), format!("{what}; {advice}"))
            }
            other => return Err(other.into()),
        };
        let known = ["macs", "uuid", "serial", "labels", "loader", "notes"];
        let field = known
            .into_iter()
            .find(|k| field.starts_with(k) || field.starts_with("mac") && *k == "macs")
            .unwrap_or("name");
        self.errors.insert(field, sentence(&text));
        Ok(())
    }
}

/// [`printable`] but for its line breaks.
fn printable_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(printable).collect();
    lines.join("\n")
}

/// Browsers send a text's lines with a carriage return each, and what files wrote ends in a line feed.
fn plain_lines(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    text.trim_end().to_owned()
}

/// The fields of the form, and the hidden ones that carry what they were.
const FIELDS: [(&str, &str); 7] = [
    ("name", "was_name"),
    ("macs", "was_macs"),
    ("uuid", "was_uuid"),
    ("serial", "was_serial"),
    ("labels", "was_labels"),
    ("loader", "was_loader"),
    ("notes", "was_notes"),
];
/// Events shown of one machine: a boot has 10 to 40.
const HISTORY: u32 = 400;
