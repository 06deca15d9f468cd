//! `/machines/confirm`: what an action would install or cut off, before it is done. A page with an address of
//! its own, so that it asks with and without a script.

use super::error::{PageResult, page};
use super::form::{Fields, Query};
use super::frame::{Frame, Visit, failed, local};
use super::install::{not_ordered, wanted};
use super::machine_list::chosen;
use super::story::printable;
use crate::orders::{AtEveryBoot, ByRules, counted};
use crate::people::PeopleState;
use crate::people::auth::form_encode;
use crate::people::power::Asked;
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use bootplan::{Catalog, MachineId, Power, PowerAction, ProfileName, RunKind};
use std::collections::BTreeMap;

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    frame: Frame,
    back: String,
    question: Question,
    /// What the form sends once more.
    hidden: Vec<(String, String)>,
}

/// What has to be said before an action is done.
struct Question {
    title: &'static str,
    lines: Vec<String>,
    /// The machines it is about, by name.
    names: Vec<(i64, String)>,
    more: usize,
    /// The careful one first.
    ways: Vec<Way>,
}

/// Action, label and class of a way out.
type Way = (&'static str, &'static str, &'static str);

/// A page that asks, if what these fields say would install something and nobody has confirmed it.
pub(super) fn asks(state: &PeopleState, fields: &Fields, ids: &[MachineId]) -> Option<Response> {
    if fields.has("sure") {
        return None;
    }
    if fields.get("action") != "install-now" {
        question(&state.store.catalog(), fields, ids)?;
    }
    let pairs = FIELDS.iter().flat_map(|name| {
        let values = fields.all(name);
        values.map(move |value| format!("{name}={}", form_encode(value)))
    });
    let query: Vec<String> = pairs.collect();
    let to = format!("/machines/confirm?{}", query.join("&"));
    Some(Redirect::to(&to).into_response())
}

/// [`asks`] about one machine.
pub(super) fn asks_about(
    state: &PeopleState,
    id: MachineId,
    action: &str,
    profile: &str,
    back: &str,
) -> Option<Response> {
    let number = id.0.to_string();
    let fields = Fields::from_iter([
        ("action", action),
        ("profile", profile),
        ("scope", "selected"),
        ("id", &number),
        ("back", back),
    ]);
    asks(state, &fields, &[id])
}

/// The page that asks about installing one machine at once.
pub(super) fn now(state: &PeopleState, id: MachineId, fields: &Fields, back: &str) -> Response {
    let when = ["not_before", "from", "to", "day"];
    if when.iter().any(|field| !fields.get(field).is_empty()) {
        return failed(back, "now, or at another time: leave 'When' empty");
    }
    let profile = fields.get("profile");
    let question = asks_about(state, id, "install-now", profile, back);
    question.unwrap_or_else(|| failed(back, "that is not possible any more; look again"))
}

/// `GET /machines/confirm`
pub(crate) async fn show(
    State(state): State<PeopleState>,
    visit: Visit,
    Query(pairs): Query<Vec<(String, String)>>,
) -> PageResult {
    let fields: Fields = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let back = local(fields.get("back")).to_owned();
    let ids = match chosen(&state, &fields) {
        Ok(ids) => ids,
        Err(problem) => return Ok(failed(&back, problem)),
    };
    let question = match fields.get("action") {
        // What cannot be ordered is not asked about.
        "install-now" => match wanted(RunKind::Install, &fields) {
            Err(problem) => return Ok(failed(&back, problem)),
            Ok(wanted) => match state.reviewed(&ids, wanted.profile.as_ref(), false).await {
                Err(error) => return not_ordered(&back, error),
                Ok(targets) => Some(at_once(&state, &targets, &state.store.powers().await?)),
            },
        },
        _ => question(&state.store.catalog(), &fields, &ids),
    };
    let Some(question) = question else {
        let text = "nothing of it has to be confirmed any more; look again, then repeat";
        return Ok(failed(&back, text));
    };
    let sent = pairs.into_iter();
    let hidden = sent.filter(|(name, _)| name != "action" && FIELDS.contains(&name.as_str()));
    page(&ConfirmPage {
        frame: visit.frame(&state, "machines"),
        back,
        question,
        hidden: hidden.collect(),
    })
}

fn question(catalog: &Catalog, fields: &Fields, ids: &[MachineId]) -> Option<Question> {
    match fields.get("action") {
        "power" => cut_off(catalog, fields.get("power"), ids),
        "assign" => at_every_boot(catalog, fields.get("profile"), ids),
        "adopt" => by_rule(catalog, ids),
        "forget" => come_back(catalog, ids),
        _ => None,
    }
}

fn at_every_boot(catalog: &Catalog, profile: &str, ids: &[MachineId]) -> Option<Question> {
    let profile: ProfileName = profile.parse().ok()?;
    let asked = AtEveryBoot::of(catalog, Some(&profile), ids)?;
    let (names, more) = named(catalog, ids);
    let orders = "An order to install once is counted, waits for its turn, and ends on the disk.";
    Some(Question {
        title: "Install at every boot?",
        lines: vec![
            super::error::sentence(&asked.to_string()),
            orders.to_owned(),
        ],
        names,
        more,
        ways: vec![
            ("install", "Install once instead", "primary"),
            ("assign", "Boot always: install at every boot", "danger"),
        ],
    })
}

fn by_rule(catalog: &Catalog, ids: &[MachineId]) -> Option<Question> {
    let rules = ByRules::adopting(catalog, ids);
    let ways = vec![
        ("register", "Adopt only", "primary"),
        ("adopt", "Adopt and install", "danger"),
    ];
    asked(catalog, "Adopt and install?", &rules, rules.adopted(), ways)
}

fn come_back(catalog: &Catalog, ids: &[MachineId]) -> Option<Question> {
    let rules = ByRules::forgetting(catalog, ids);
    let ways = vec![("forget", "Forget, and have them installed anew", "danger")];
    asked(catalog, "Forget?", &rules, rules.forgotten(), ways)
}

/// Whether rules may install.
fn asked(
    catalog: &Catalog,
    title: &'static str,
    rules: &ByRules,
    lines: Vec<String>,
    ways: Vec<Way>,
) -> Option<Question> {
    let installed: Vec<MachineId> = rules.machines.iter().map(|(id, ..)| *id).collect();
    let (names, more) = named(catalog, &installed);
    (!rules.is_empty()).then_some(Question {
        title,
        lines,
        names,
        more,
        ways,
    })
}

/// Installing them now: what is lost, and how each of them is switched.
fn at_once(
    state: &PeopleState,
    targets: &BTreeMap<MachineId, ProfileName>,
    powers: &BTreeMap<MachineId, Power>,
) -> Question {
    let mut by_profile: BTreeMap<&ProfileName, usize> = BTreeMap::new();
    // By a controller, by a magic packet, by hand.
    let mut ways = [0, 0, 0];
    let unknown = Power::default();
    for (id, profile) in targets {
        *by_profile.entry(profile).or_default() += 1;
        let power = powers.get(id).unwrap_or(&unknown);
        ways[match Asked::BootOrdered.steps(power)[..] {
            [] => 2,
            [PowerAction::Wake] => 1,
            _ => 0,
        }] += 1;
    }
    let lost = by_profile.into_iter().map(|(profile, count)| match count {
        1 => format!("{profile} is installed on 1 machine, now: what is on its disk is lost."),
        n => {
            format!("{profile} is installed on {n} machines, now: what is on their disks is lost.")
        }
    });
    let switched = [
        "is told to boot by PXE once and restarted at once, whatever it is doing; what is off is \
         switched on.",
        "is woken by a magic packet; what is on hears none, and has to be restarted by hand.",
        "has no power switch that is known: its order waits until somebody powers it on.",
    ];
    let counts = ways.into_iter().zip(switched).filter(|(n, _)| *n > 0);
    let switched = counts.map(|(count, what)| match (count, targets.len()) {
        (1, 1) => format!("It {what}"),
        (n, all) if n == all => format!("Each {what}"),
        (n, all) => format!("{n} of {all}: each {what}"),
    });
    let ids: Vec<MachineId> = targets.keys().copied().collect();
    let (names, more) = named(&state.store.catalog(), &ids);
    Question {
        title: "Install now?",
        lines: lost.chain(switched).collect(),
        names,
        more,
        ways: vec![
            ("install", "Install at its next boot", "primary"),
            ("install-now", "Install now", "danger"),
        ],
    }
}

/// Switching many off, or restarting them, whatever they are doing.
fn cut_off(catalog: &Catalog, action: &str, ids: &[MachineId]) -> Option<Question> {
    let (title, label) = match PowerAction::from_slug(action)? {
        PowerAction::Off => ("Switch off?", "Switch off at once"),
        PowerAction::Restart => ("Restart?", "Restart at once"),
        _ => return None,
    };
    let many = counted(ids.len());
    let (names, more) = named(catalog, ids);
    Some(Question {
        title,
        lines: vec![format!(
            "{many}, at once, whatever is running: operating systems are not asked."
        )],
        names,
        more,
        ways: vec![("power", label, "danger")],
    })
}

fn named(catalog: &Catalog, ids: &[MachineId]) -> (Vec<(i64, String)>, usize) {
    let machines = ids.iter().filter_map(|id| catalog.machine(*id));
    let names = machines.map(|m| (m.id.0, printable(&m.name)));
    let mut names: Vec<_> = names.collect();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    (names, more)
}

/// What says which machines are meant, and what is done to them.
const FIELDS: [&str; 9] = [
    "action", "profile", "power", "scope", "q", "state", "expect", "id", "back",
];
/// Machines listed by name; of more only the number is told.
const SHOWN: usize = 40;
