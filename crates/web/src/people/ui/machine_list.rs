//! `/machines`: the table, its filter, and what is done to many machines at once.

use super::batch;
use super::confirm;
use super::error::{PageError, PageResult, page};
use super::form::{Fields, Query};
use super::frame::{Frame, Stamp, Visit, done, failed, local, now};
use super::install;
use super::story::{line, printable};
use crate::kept::{self, ForgetError};
use crate::orders::counted;
use crate::people::PeopleState;
use crate::people::auth::form_encode;
use crate::search::{Query as Words, QueryError};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use bootplan::run::{Happening, Order};
use bootplan::{
    Catalog, Lifecycle, Machine, MachineId, MachineState, Mode, ProfileName, RunKind, Timestamp,
    UnassignedPolicy, effect,
};
use data_encoding::HEXLOWER;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use store::{EventQuery, MachineRecord};

#[derive(Template)]
#[template(path = "machines.html")]
struct MachinesPage {
    frame: Frame,
    policy: UnassignedPolicy,
    back: String,
    filter: Filter,
    rows: Vec<Row>,
    /// Addresses of which somebody has to say whose they are.
    conflicts: usize,
    total: usize,
    matching: usize,
    /// Why the filter's words make no sense.
    wrong: Option<String>,
    /// Which machines match, to be sent back with an action for all of them.
    expect: String,
    profiles: Vec<Choice>,
    views: Vec<View>,
    columns: Vec<Column>,
    previous: Option<String>,
    next: Option<String>,
}

struct Row {
    id: i64,
    name: String,
    product: String,
    mac: String,
    more_macs: usize,
    platform: Option<String>,
    discovered: bool,
    /// The rule that installs it once it is adopted.
    adopts: Option<String>,
    word: &'static str,
    class: &'static str,
    icon: &'static str,
    progress: Option<String>,
    /// Its profile is what was ordered, not what it boots always.
    once: bool,
    profile: Option<String>,
    /// Why the assigned profile boots nothing.
    problem: Option<&'static str>,
    seen: Option<Stamp>,
    activity: Option<String>,
    /// Somebody has to say whose one of its addresses is.
    in_conflict: bool,
}

/// A profile to choose.
pub(crate) struct Choice {
    /// Its name.
    pub(crate) name: String,
    /// Name and title.
    pub(crate) label: String,
}

struct View {
    href: String,
    label: &'static str,
    count: usize,
    offered: bool,
    current: bool,
}

struct Column {
    label: &'static str,
    /// The column's class on wide screens.
    href: Option<String>,
    sorted: Option<&'static str>,
}

/// The part of the URL that says which machines are shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filter {
    pub(crate) q: String,
    pub(crate) state: String,
    pub(crate) sort: String,
    pub(crate) page: usize,
}

/// `GET /machines`
pub(crate) async fn show(
    State(state): State<PeopleState>,
    visit: Visit,
    Query(mut filter): Query<Filter>,
) -> PageResult {
    let catalog = state.store.catalog();
    let all = state.store.machines();
    let total = all.len();
    let views = VIEWS.iter().map(|(key, label)| View {
        href: filter.href(|f| {
            f.state = (*key).to_owned();
            f.page = 0;
        }),
        label,
        count: all.iter().filter(|r| in_view(&r.machine, key)).count(),
        offered: !OLD_VIEWS.contains(key),
        current: filter.view() == *key,
    });
    let views: Vec<View> = views.filter(|view| view.is_shown()).collect();
    let (mut found, wrong) = match filter.among(all) {
        Ok(found) => (found, None),
        Err(error) => (Vec::new(), Some(super::error::sentence(&error.to_string()))),
    };
    filter.sort(&mut found);
    let matching = found.len();
    let last = matching.saturating_sub(1) / PAGE;
    filter.page = filter.page.min(last);
    let first = filter.page * PAGE;
    let activity = activity(&state).await?;
    let at = now();
    let rows = found.iter().skip(first).take(PAGE);
    let rows = rows.map(|r| row(r, &catalog, &activity, at)).collect();
    let turn = |page| filter.href(|f| f.page = page);
    page(&MachinesPage {
        frame: visit.frame(&state, "machines"),
        policy: catalog.site.unassigned,
        back: visit.here.clone(),
        rows,
        conflicts: catalog.doubts().conflicts.len(),
        total,
        matching,
        wrong,
        expect: mark(found.iter().map(|r| r.machine.id)),
        profiles: choices(&catalog),
        views,
        columns: filter.columns(),
        previous: (filter.page > 0).then(|| turn(filter.page - 1)),
        next: (first + PAGE < matching).then(|| turn(filter.page + 1)),
        filter,
    })
}

/// `POST /machines/bulk`: assigns, installs, calls off, adopts, labels, switches or forgets the
/// ticked rows or all that match.
pub(crate) async fn bulk(
    State(state): State<PeopleState>,
    visit: Visit,
    fields: Fields,
) -> Result<Response, PageError> {
    let back = local(fields.get("back"));
    let ids = match chosen(&state, &fields) {
        Ok(ids) => ids,
        Err(problem) => return Ok(failed(back, problem)),
    };
    if let Some(question) = confirm::asks(&state, &fields, &ids) {
        return Ok(question);
    }
    let by = &visit.actor.name;
    let many = counted(ids.len());
    let (result, text) = match fields.get("action") {
        "adopt" => {
            if let Err(error) = state.adopt(&ids, by).await {
                return install::not_ordered(back, error);
            }
            (Ok(()), format!("Adopted {many}."))
        }
        // Registered as any edit registers, so that no rule orders anything.
        "register" => (
            state.register(&ids, by).await,
            format!("Adopted {many}; nothing is ordered."),
        ),
        "unassign" => (
            state.store.assign(&ids, None, by).await,
            format!("Took the assignment of {many} away."),
        ),
        "assign" => {
            let Ok(profile) = fields.get("profile").parse::<ProfileName>() else {
                return Ok(failed(back, "choose a profile to assign first"));
            };
            let text = format!("Assigned {many} to {profile}, at every boot.");
            (state.store.assign(&ids, Some(profile), by).await, text)
        }
        "install" => {
            let wanted = match install::wanted(RunKind::Install, &fields) {
                Ok(wanted) => wanted,
                Err(problem) => return Ok(failed(back, problem)),
            };
            let profiles = match state.order(&ids, wanted, by).await {
                Ok(ordered) => install::profiles(ordered.values()),
                Err(error) => return install::not_ordered(back, error),
            };
            let text = format!("Ordered {many} to be installed with {profiles}, once.");
            (Ok(()), text)
        }
        "install-now" => return batch::install_now(&state, &fields, &ids, by, back).await,
        "power" => return Ok(batch::switch(&state, &fields, ids, by, back)),
        "cancel" => {
            let cancel = Happening::Ordered(Order::Cancel);
            let called_off = state.store.happen(&ids, cancel, by).await;
            let count = called_off.as_ref().map_or(0, |count| *count);
            let text = format!("Cancelled what was ordered of {}.", counted(count));
            (called_off.map(drop), text)
        }
        action @ ("label" | "unlabel") => {
            let (set, remove) = match labels(fields.get("labels"), action == "label") {
                Ok(labels) => labels,
                Err(problem) => return Ok(failed(back, problem)),
            };
            let text = format!("Labelled {many} anew.");
            let done = state.store.label_machines(&ids, set, remove, by);
            (done.await, text)
        }
        "forget" => match kept::forget(&state, &ids, false, by).await {
            Ok(0) => (Ok(()), format!("Forgot {many}.")),
            Ok(keeping) => {
                let those = counted(keeping);
                let text = format!(
                    "Forgot {many}. What {those} kept on the server stays; 'farrier diskless list' shows it."
                );
                (Ok(()), text)
            }
            Err(ForgetError::Store(error)) => (Err(error), String::new()),
            Err(error) => return Ok(failed(back, error)),
        },
        _ => return Ok(failed(back, "choose what to do first")),
    };
    Ok(match result {
        Ok(()) => done(back, text),
        Err(error @ store::StoreError::Database { .. }) => return Err(error.into()),
        Err(error) => failed(back, error),
    })
}

type Labels = (BTreeMap<String, String>, BTreeSet<String>);

/// Labels to set (`rack=1 role=web`), or to take away (their names are enough).
fn labels(typed: &str, set: bool) -> Result<Labels, &'static str> {
    let words = typed.split([' ', ',']).filter(|word| !word.is_empty());
    let pairs: BTreeMap<String, String> = words
        .map(|word| word.split_once('=').unwrap_or((word, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    match (pairs.is_empty(), set) {
        (true, _) => Err("type the labels first, such as rack=12"),
        (false, true) => Ok((pairs, BTreeSet::new())),
        (false, false) => Ok((BTreeMap::new(), pairs.into_keys().collect())),
    }
}

/// The machines an action is for. "All that match" is computed again here and must still be the
/// same machines that the person saw.
pub(super) fn chosen(state: &PeopleState, fields: &Fields) -> Result<Vec<MachineId>, String> {
    if fields.get("scope") != "all" {
        let ids: Vec<_> = fields
            .all("id")
            .filter_map(|id| id.parse().ok())
            .map(MachineId)
            .collect();
        return match ids.is_empty() {
            true => Err("select at least one machine first".to_owned()),
            false => Ok(ids),
        };
    }
    let filter = Filter {
        q: fields.get("q").to_owned(),
        state: fields.get("state").to_owned(),
        ..Filter::default()
    };
    let found = filter.among(state.store.machines());
    let found = found.map_err(|error| error.to_string())?;
    let ids: Vec<_> = found.iter().map(|r| r.machine.id).collect();
    if fields.get("expect") != mark(ids.iter().copied()) {
        return Err(format!(
            "nothing was changed: other machines match now than you saw ({} in all); look again, \
             then repeat",
            ids.len()
        ));
    }
    Ok(ids)
}

/// Says which machines were meant: the same for the same set in any order.
fn mark(ids: impl Iterator<Item = MachineId>) -> String {
    let mut ids: Vec<i64> = ids.map(|id| id.0).collect();
    ids.sort_unstable();
    let mut hash = Sha256::new();
    for id in ids {
        hash.update(id.to_be_bytes());
    }
    HEXLOWER.encode(&hash.finalize()[..8])
}

impl View {
    /// What nobody is in is not offered.
    fn is_shown(&self) -> bool {
        self.current || (self.count > 0 && self.offered) || self.label == VIEWS[0].1
    }
}

impl Filter {
    fn view(&self) -> &str {
        let known = VIEWS.iter().map(|(key, _)| *key);
        known.into_iter().find(|k| *k == self.state).unwrap_or("")
    }

    /// Those for which every word holds.
    fn among(&self, mut all: Vec<MachineRecord>) -> Result<Vec<MachineRecord>, QueryError> {
        let query = Words::parse(&self.q)?;
        let view = self.view();
        all.retain(|r| in_view(&r.machine, view) && query.matches(&r.machine));
        Ok(all)
    }

    fn sort(&self, found: &mut [MachineRecord]) {
        let (key, down) = match self.sort.strip_prefix('-') {
            Some(key) => (key, true),
            None => (self.sort.as_str(), false),
        };
        match key {
            "name" => found.sort_by_cached_key(|r| natural(&r.machine.name)),
            "mac" => found.sort_by_key(|r| r.machine.macs.first().copied()),
            "platform" => found.sort_by_key(|r| r.machine.facts.platform),
            "profile" => found.sort_by_cached_key(|r| r.machine.profile.clone()),
            "seen" => found.sort_by_key(|r| std::cmp::Reverse(r.last_seen)),
            // Newest first: a machine that has just asked stands on top and then stays put.
            _ => found.sort_by_key(|r| std::cmp::Reverse((r.first_seen, r.machine.id))),
        }
        if down {
            found.reverse();
        }
    }

    fn columns(&self) -> Vec<Column> {
        let column = |(label, key): &(&'static str, &'static str)| {
            let (up, down) = (self.sort == *key, self.sort == format!("-{key}"));
            let next = if up {
                format!("-{key}")
            } else {
                (*key).to_owned()
            };
            Column {
                label,
                href: (!key.is_empty()).then(|| {
                    self.href(|f| {
                        f.sort = next;
                        f.page = 0;
                    })
                }),
                sorted: match (up, down) {
                    _ if key.is_empty() => None,
                    (true, _) => Some("ascending"),
                    (_, true) => Some("descending"),
                    _ => None,
                },
            }
        };
        COLUMNS.iter().map(column).collect()
    }

    fn href(&self, change: impl FnOnce(&mut Filter)) -> String {
        let mut filter = self.clone();
        change(&mut filter);
        let page = match filter.page {
            0 => String::new(),
            n => n.to_string(),
        };
        let pairs = [
            ("q", filter.q.as_str()),
            ("state", filter.view()),
            ("sort", &filter.sort),
            ("page", &page),
        ];
        let set = pairs.iter().filter(|(_, v)| !v.is_empty());
        let query: Vec<_> = set
            .map(|(k, v)| format!("{k}={}", form_encode(v)))
            .collect();
        match query.is_empty() {
            true => "/machines".to_owned(),
            false => format!("/machines?{}", query.join("&")),
        }
    }
}

fn in_view(machine: &Machine, view: &str) -> bool {
    match view {
        "registered" => machine.state == MachineState::Registered,
        "assigned" => machine.profile.is_some(),
        "unassigned" => machine.profile.is_none(),
        word => Lifecycle::from_slug(word).is_none_or(|word| word == machine.lifecycle()),
    }
}

/// Numbers inside a name count as numbers: `node-2` comes before `node-10`.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text_end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (text, tail) = rest.split_at(text_end);
        let digits_end = tail
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (digits, tail) = tail.split_at(digits_end);
        parts.push((text.to_lowercase(), digits.parse().unwrap_or(u64::MAX)));
        rest = tail;
    }
    parts
}

/// Profiles that can be assigned.
pub(crate) fn choices(catalog: &Catalog) -> Vec<Choice> {
    let enabled = catalog.profiles().filter(|p| p.enabled);
    enabled
        .map(|p| Choice {
            name: p.name.to_string(),
            label: format!("{} ({})", printable(&p.title), p.name),
        })
        .collect()
}

/// Why an assignment boots nothing, in two words.
pub(crate) fn assignment_problem(catalog: &Catalog, machine: &Machine) -> Option<&'static str> {
    let profile = match catalog.profile(machine.profile.as_ref()?) {
        None => return Some("profile is gone"),
        Some(profile) => profile,
    };
    if !profile.enabled {
        return Some("profile is disabled");
    }
    let wrong = machine.facts.platform.is_some_and(|p| !profile.boots_on(p));
    wrong.then_some("not for this platform")
}

fn row(
    record: &MachineRecord,
    catalog: &Catalog,
    activity: &HashMap<MachineId, String>,
    at: Timestamp,
) -> Row {
    let machine = &record.machine;
    let facts = &machine.facts;
    let product = [&facts.manufacturer, &facts.product];
    let product: Vec<&str> = product.into_iter().flatten().map(String::as_str).collect();
    Row {
        id: machine.id.0,
        name: printable(&machine.name),
        product: printable(&product.join(" ")),
        mac: machine
            .macs
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
        more_macs: machine.macs.len().saturating_sub(1),
        platform: facts.platform.map(|p| p.to_string()),
        discovered: machine.state == MachineState::Discovered,
        adopts: effect::adopted(machine, catalog).map(|rule| rule.name.to_string()),
        word: install::title(machine.lifecycle()),
        class: install::class(machine.lifecycle()),
        icon: install::icon(machine.lifecycle()),
        progress: machine.progress(catalog, at),
        once: machine.profile.is_some() && machine.mode == Mode::InstallOnce,
        profile: machine.profile.as_ref().map(ToString::to_string),
        problem: assignment_problem(catalog, machine),
        seen: record.last_seen.map(|seen| Stamp::ago(seen, at)),
        activity: activity.get(&machine.id).cloned(),
        in_conflict: catalog.doubts_any_of(machine),
    }
}

/// What each machine did last, as far as the recent history says.
async fn activity(state: &PeopleState) -> Result<HashMap<MachineId, String>, PageError> {
    let query = EventQuery {
        limit: RECENT,
        ..EventQuery::default()
    };
    let mut last = HashMap::new();
    for stored in state.store.events(query).await? {
        let told = line(&stored.event, stored.event.at);
        let own = !told.quiet && told.class != "people";
        if let (Some(machine), true) = (stored.machine, own) {
            last.entry(machine).or_insert(told.what);
        }
    }
    Ok(last)
}

const VIEWS: [(&str, &str); 11] = [
    ("", "All"),
    ("discovered", "New"),
    ("ready", "Ready"),
    ("armed", "Armed"),
    ("installing", "Installing"),
    ("held", "Held"),
    ("failed", "Failed"),
    ("installed", "Installed"),
    ("registered", "Registered"),
    ("assigned", "Assigned"),
    ("unassigned", "Unassigned"),
];
/// Bookmarks of these still work.
const OLD_VIEWS: [&str; 2] = ["registered", "assigned"];
const COLUMNS: [(&str, &str); 6] = [
    ("Name", "name"),
    ("MAC", "mac"),
    ("Platform", "platform"),
    ("State", ""),
    ("Profile", "profile"),
    ("Last seen", "seen"),
];
/// Rows on one page; more would make every live update heavy.
const PAGE: usize = 100;
const RECENT: u32 = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn record(name: &str, mac: u8) -> MachineRecord {
        let machine = Machine {
            macs: vec![bootplan::MacAddr([0x52, 0x54, 0, 0, 0, mac])],
            serial: Some("S3R1AL".to_owned()),
            labels: [("rack".to_owned(), "12".to_owned())].into(),
            state: MachineState::Discovered,
            ..Machine::named(MachineId(i64::from(mac)), name)
        };
        MachineRecord {
            machine: Arc::new(machine),
            first_seen: Timestamp(i64::from(mac)),
            last_seen: None,
        }
    }

    #[test]
    fn names_sort_as_people_count() {
        let mut all = ["node-10", "Node-2", "node-1"].map(|n| record(n, 1));
        let filter = Filter {
            sort: "name".to_owned(),
            ..Filter::default()
        };
        filter.sort(&mut all);
        let names = all.map(|r| r.machine.name.clone());
        assert_eq!(names, ["node-1", "Node-2", "node-10"]);
    }

    #[test]
    fn a_view_is_a_bookmark() {
        let filter = Filter {
            q: "rack=12 a&b".to_owned(),
            state: "discovered".to_owned(),
            sort: "-seen".to_owned(),
            page: 2,
        };
        insta::assert_snapshot!(filter.href(|_| ()), @"/machines?q=rack%3D12%20a%26b&state=discovered&sort=-seen&page=2");
        insta::assert_snapshot!(Filter::default().href(|_| ()), @"/machines");
    }
}
