//! Everything a machine will fetch under a profile, rendered and checked before the first packet.

use crate::debconf;
use crate::people::PeopleState;
use answers::{Case, Links, Reviewed, SecretBook, Secrets};
use bootplan::{AnswerKind, Catalog, Endpoint, Machine, Mode, Profile, ProfileName};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::ToSchema;

/// What a machine will fetch, and what is wrong with it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Review {
    /// The profile that was looked at.
    pub(crate) profile: String,
    /// Whether it may be armed: nothing is wrong, nothing is missing.
    pub(crate) good: bool,
    /// The kernel arguments (`args`), when they are a template, and every answer.
    pub(crate) documents: Vec<Document>,
    /// Every variable, with its origin.
    pub(crate) variables: Vec<Variable>,
    /// Boot files that are not there.
    pub(crate) missing: Vec<String>,
}

/// One text that a machine will fetch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Document {
    /// The name it is fetched by.
    pub(crate) name: String,
    /// The text, with a mask for each secret; empty if it could not be made.
    pub(crate) text: String,
    /// The secrets in it, by name.
    pub(crate) secrets: Vec<String>,
    /// What is wrong.
    pub(crate) faults: Vec<Fault>,
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// The template, or the text made from it.
    pub(crate) template: String,
    /// From 1.
    pub(crate) line: u32,
    /// From 1.
    pub(crate) column: u32,
    /// What is wrong.
    pub(crate) problem: String,
}

/// A variable in force.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    #[schema(value_type = Object)]
    pub(crate) value: serde_json::Value,
    /// Who wrote it: `site`, `group NAME`, `profile NAME`, `machine`.
    pub(crate) origin: String,
    /// Whose values it covers, nearest first.
    pub(crate) covers: Vec<String>,
    /// Groups as narrow as the one in force that say otherwise.
    pub(crate) disputed_by: Vec<String>,
}

/// Looks at what this machine would fetch if it were ordered to install this profile now.
pub(crate) fn look(
    state: &PeopleState,
    catalog: &Catalog,
    machine: &Machine,
    profile: &Profile,
) -> Review {
    let mut review = ours(state, catalog, machine, profile);
    ask_debconf(profile, &mut review.documents);
    review.good &= review.documents.iter().all(|d| d.faults.is_empty());
    review
}

/// The same by our own checks alone, which take no time to speak of.
fn ours(state: &PeopleState, catalog: &Catalog, machine: &Machine, profile: &Profile) -> Review {
    let book = SecretBook::from(state.store.secrets());
    let secrets = Secrets::Plain(Arc::new(book));
    let missing = state.missing(profile);
    reviewed(
        catalog,
        machine,
        profile,
        &state.endpoint(),
        &secrets,
        missing,
    )
}

fn reviewed(
    catalog: &Catalog,
    machine: &Machine,
    profile: &Profile,
    server: &Endpoint,
    secrets: &Secrets,
    missing: Vec<String>,
) -> Review {
    let machine = Machine {
        profile: Some(profile.name.clone()),
        mode: Mode::InstallOnce,
        ..machine.clone()
    };
    let case = Case::new(catalog, &machine, profile, server, Links::Hidden);
    let documents: Vec<Document> = case.review(secrets).into_iter().map(document).collect();
    let scope = case.scope();
    let conflicts = scope.conflicts();
    let variables = scope.names().into_iter().filter_map(|name| {
        let found = scope.resolve(name)?;
        let disputed = conflicts.iter().find(|c| c.variable == name);
        Some(Variable {
            name: name.to_owned(),
            value: found.value.clone(),
            origin: found.origin.to_string(),
            covers: found.covers.iter().map(ToString::to_string).collect(),
            disputed_by: disputed.map_or_else(Vec::new, |c| c.others.clone()),
        })
    });
    Review {
        profile: profile.name.to_string(),
        good: missing.is_empty() && documents.iter().all(|d| d.faults.is_empty()),
        variables: variables.collect(),
        documents,
        missing,
    }
}

/// Of those in which we have found nothing ourselves.
fn ask_debconf(profile: &Profile, documents: &mut [Document]) {
    let preseed = |name: &str| {
        let mut answers = profile.answers.iter();
        answers.any(|answer| answer.name == name && answer.kind == AnswerKind::Preseed)
    };
    for document in documents {
        if document.faults.is_empty() && preseed(&document.name) {
            let found = debconf::faults(&document.text).into_iter();
            document.faults = found
                .map(|(line, problem)| Fault {
                    template: document.name.clone(),
                    line,
                    column: 1,
                    problem: format!("debconf-set-selections: {problem}"),
                })
                .collect();
        }
    }
}

fn document(reviewed: Reviewed) -> Document {
    let fault = |fault: answers::Fault| Fault {
        template: fault.template,
        line: fault.line,
        column: fault.column,
        problem: fault.text,
    };
    Document {
        name: reviewed.name,
        text: reviewed.text,
        secrets: reviewed.secrets_used.into_iter().collect(),
        faults: reviewed.faults.into_iter().map(fault).collect(),
    }
}

/// The first things that speak against arming these machines; empty when nothing does.
pub(crate) fn against(
    state: &PeopleState,
    machines: &[(Arc<Machine>, ProfileName)],
) -> Vec<String> {
    let catalog = state.store.catalog();
    let profiles: BTreeSet<&ProfileName> = machines.iter().map(|(_, name)| name).collect();
    let profiles = profiles
        .into_iter()
        .filter_map(|name| catalog.profile(name));
    let absent = profiles.flat_map(|profile| {
        let name = &profile.name;
        let files = state.missing(profile).into_iter();
        files.map(move |file| format!("profile {name}: {file} is not in the images directory"))
    });
    let mut said: Vec<String> = absent.take(SHOWN).collect();
    let mut looked_at = BTreeSet::new();
    for (machine, name) in machines {
        let Some(profile) = catalog.profile(name) else {
            continue;
        };
        // No text is made for it, so none can be wrong.
        if profile.answers.is_empty() && !profile.has_template() {
            continue;
        }
        if said.len() >= SHOWN {
            break;
        }
        // A program started for each of a thousand machines would take minutes.
        let seen = match looked_at.insert(name) {
            true => look(state, &catalog, machine, profile),
            false => ours(state, &catalog, machine, profile),
        };
        for fault in seen.documents.iter().flat_map(|d| &d.faults) {
            let Fault {
                template,
                line,
                column,
                problem,
            } = fault;
            let who = &machine.name;
            said.push(format!("{who}: {template}:{line}:{column}: {problem}"));
        }
    }
    said.truncate(SHOWN);
    said
}

/// Enough to see what is wrong; a template's fault shows at each machine.
const SHOWN: usize = 5;
