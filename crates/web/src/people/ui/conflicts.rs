//! `/conflicts`: whose address it is, said by a person; and machines that are one or two.

use super::error::{PageError, PageResult, page};
use super::form::{Fields, Path};
use super::frame::{Frame, Stamp, Visit, done, failed, now};
use super::story::printable;
use crate::kept::{self, Moved};
use crate::people::PeopleState;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use bootplan::identity::{Claim, contradicts};
use bootplan::{MacAddr, Machine, MachineId, Timestamp};
use store::{Conflict, MachineRecord, Settlement, StoreError};

#[derive(Template)]
#[template(path = "conflicts.html")]
struct ConflictsPage {
    frame: Frame,
    questions: Vec<Question>,
    /// How many more there are than the page shows.
    more: usize,
    shared: Vec<SharedLine>,
}

/// One address of which somebody has to say whose it is.
struct Question {
    mac: MacAddr,
    since: Stamp,
    /// What was said last, then before.
    said: Vec<String>,
    users: usize,
    quiet: bool,
    suspects: Vec<SuspectLine>,
    /// Whether it may be a machine that is none of these.
    another: bool,
}

struct SuspectLine {
    id: i64,
    name: String,
    evidence: String,
    known: String,
    owner: bool,
}

struct SharedLine {
    mac: MacAddr,
    why: String,
    since: Stamp,
}

/// What a machine's own page says of it.
pub(super) struct IdentityPanel {
    /// Addresses in question that are its own or may be.
    pub(super) questions: Vec<MacAddr>,
    /// Its cards, if it can be split.
    pub(super) cards: Vec<MacAddr>,
    pub(super) asset: Option<String>,
    /// Memory and processor.
    pub(super) equipment: String,
}

impl IdentityPanel {
    pub(super) fn of(state: &PeopleState, machine: &Machine) -> Self {
        let about = |conflict: &Conflict| conflict.suspects.iter().any(|s| s.machine == machine.id);
        let questions = state.store.conflicts().into_iter().filter(about);
        let facts = &machine.facts;
        let memory = facts.memory_mib.map(|mib| match mib % 1024 {
            0 => format!("{} GiB", mib / 1024),
            _ => format!("{mib} MiB"),
        });
        let cpu = facts.cpu.as_deref().map(printable);
        let equipment: Vec<String> = memory.into_iter().chain(cpu).collect();
        IdentityPanel {
            questions: questions.map(|conflict| conflict.mac).collect(),
            cards: match machine.macs.len() {
                0 | 1 => Vec::new(),
                _ => machine.macs.clone(),
            },
            asset: machine.asset.as_deref().map(printable),
            equipment: equipment.join(", "),
        }
    }
}

/// `GET /conflicts`
pub(crate) async fn show(State(state): State<PeopleState>, visit: Visit) -> PageResult {
    let at = now();
    let all = state.store.conflicts();
    let more = all.len().saturating_sub(SHOWN);
    let questions = all.into_iter().take(SHOWN);
    let shared = state.store.shared_macs().into_iter();
    page(&ConflictsPage {
        frame: visit.frame(&state, "machines"),
        questions: questions.map(|c| question(&state, c, at)).collect(),
        more,
        shared: shared
            .map(|shared| SharedLine {
                mac: shared.mac,
                why: printable(&shared.why),
                since: Stamp::ago(shared.since, at),
            })
            .collect(),
    })
}

fn question(state: &PeopleState, conflict: Conflict, at: Timestamp) -> Question {
    let owner = state.store.catalog().find(conflict.mac, None).cloned();
    let machines = conflict.suspects.iter().filter_map(|suspect| {
        let record = state.store.machine(suspect.machine)?;
        Some((record.machine, &suspect.evidence))
    });
    let suspects = machines.map(|(machine, evidence)| SuspectLine {
        id: machine.id.0,
        name: printable(&machine.name),
        evidence: {
            let words: Vec<String> = evidence.iter().map(ToString::to_string).collect();
            words.join(", ")
        },
        known: known(&machine),
        owner: owner.as_ref().is_some_and(|owner| owner.id == machine.id),
    });
    let said = conflict.claims.iter().rev().map(spoken).collect();
    let newest = conflict.claims.last().and_then(|claim| claim.uuid);
    let strange = owner
        .as_ref()
        .is_some_and(|owner| contradicts(newest, owner));
    let nobody_has_it = newest.is_some_and(|uuid| state.store.catalog().find_uuid(uuid).is_none());
    Question {
        said,
        users: conflict.users(owner.as_deref()),
        quiet: conflict.quiet,
        since: Stamp::ago(conflict.since, at),
        mac: conflict.mac,
        suspects: suspects.collect(),
        another: strange && nobody_has_it,
    }
}

/// What was said of itself, in one line.
fn spoken(claim: &Claim) -> String {
    let uuid = claim.uuid.map(|uuid| uuid.to_string());
    told(uuid, &claim.serial, &claim.asset, &claim.product)
}

/// What is known of a machine, in one line.
fn known(machine: &Machine) -> String {
    let uuid = machine.uuid.map(|uuid| uuid.to_string());
    told(
        uuid,
        &machine.serial,
        &machine.asset,
        &machine.facts.product,
    )
}

fn told(
    uuid: Option<String>,
    serial: &Option<String>,
    asset: &Option<String>,
    product: &Option<String>,
) -> String {
    let parts = [
        ("UUID", &uuid),
        ("serial", serial),
        ("asset tag", asset),
        ("product", product),
    ];
    let parts = parts.iter().filter_map(|(word, value)| {
        let value = printable(value.as_deref()?);
        Some(format!("{word} {value}"))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// `POST /conflicts/{mac}`
pub(crate) async fn settle(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(mac): Path<String>,
    fields: Fields,
) -> Result<Response, PageError> {
    let mac = address(&mac)?;
    let settlement = match (fields.get("how"), fields.get("is").parse()) {
        ("another", _) => Settlement::Another,
        ("shared", _) => Settlement::Shared {
            why: fields.get("why").to_owned(),
        },
        ("dismiss", _) => Settlement::Dismiss,
        (_, Ok(id)) => Settlement::Is(MachineId(id)),
        _ => return Ok(failed(PAGE, "say whose it is")),
    };
    match state.store.settle(mac, settlement, &visit.actor.name).await {
        Ok(Some(id)) => {
            let name = state
                .store
                .machine(id)
                .map(|record| printable(&record.machine.name));
            let name = name.unwrap_or_default();
            Ok(done(PAGE, format!("{mac} is {name}.")))
        }
        Ok(None) => Ok(done(PAGE, format!("{mac} is no machine's."))),
        Err(error) => refused(error, PAGE),
    }
}

/// `POST /conflicts/{mac}/unshare`
pub(crate) async fn unshare(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(mac): Path<String>,
) -> Result<Response, PageError> {
    let mac = address(&mac)?;
    match state.store.unmark_shared(mac, &visit.actor.name).await {
        Ok(()) => Ok(done(
            PAGE,
            format!("{mac} is one machine's again, whoever asks by it next."),
        )),
        Err(error) => refused(error, PAGE),
    }
}

/// `POST /machines/{id}/merge`
pub(crate) async fn merge(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Response, PageError> {
    let back = format!("/machines/{id}");
    let key = fields.get("other");
    let Some(other) = meant(&state, key) else {
        let text = format!("no machine is called '{}'", printable(key));
        return Ok(failed(&back, text));
    };
    let other = other.machine.id;
    let merged = kept::merge(&state, MachineId(id), other, &visit.actor.name);
    match merged.await {
        Ok((_, moved)) => {
            let more = match moved {
                Moved::Nothing => String::new(),
                Moved::Over => " What it kept on the server is this machine's now.".to_owned(),
                Moved::Left => format!(
                    " Both kept something on the server: what the other kept stays there; \
                     'farrier diskless reset {}' throws it away.",
                    other.0
                ),
            };
            Ok(done(
                &back,
                format!("Merged: the other entry is gone.{more}"),
            ))
        }
        Err(error) => refused(error, &back),
    }
}

/// `POST /machines/{id}/split`
pub(crate) async fn split(
    State(state): State<PeopleState>,
    visit: Visit,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Response, PageError> {
    let back = format!("/machines/{id}");
    let macs: Vec<MacAddr> = fields
        .all("mac")
        .filter_map(|mac| mac.parse().ok())
        .collect();
    let split = state.store.split(MachineId(id), macs, &visit.actor.name);
    match split.await {
        Ok(new) => Ok(done(
            &format!("/machines/{}", new.machine.id.0),
            "Split off: this is a machine of its own now.",
        )),
        Err(error) => refused(error, &back),
    }
}

/// The machine that a person means by its name, one of its MACs, or its number.
pub(super) fn meant(state: &PeopleState, key: &str) -> Option<MachineRecord> {
    let named = state.store.machine_named(key);
    let by_mac = || {
        let mac = key.parse().ok()?;
        let id = state.store.catalog().find(mac, None)?.id;
        state.store.machine(id)
    };
    let by_id = || state.store.machine(MachineId(key.parse().ok()?));
    named.or_else(by_mac).or_else(by_id)
}

fn address(text: &str) -> Result<MacAddr, PageError> {
    text.parse()
        .map_err(|error: bootplan::MacParseError| PageError::NotFound(error.to_string()))
}

/// A refusal is told on the page one came from; a failing database is an error.
fn refused(error: StoreError, back: &str) -> Result<Response, PageError> {
    match error {
        error @ StoreError::Database { .. } => Err(error.into()),
        error => Ok(failed(back, error)),
    }
}

const PAGE: &str = "/conflicts";
/// A flood of made-up addresses must not make a page that nobody can load.
const SHOWN: usize = 100;
