//! "What would this client get, and because of what?", asked of the live Catalog.

use super::problem::{Answer, Json, Problem, Query};
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use bootplan::effect::{self, Account, Stand};
use bootplan::menu::{self, Language};
use bootplan::{
    Arch, Because, BootClient, Catalog, ClientClass, Decision, Endpoint, Finding, Intent,
    IpxeFeatures, LoaderKind, MacAddr, Outcome, Platform, Stage, SystemUuid, decide,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A client as it would introduce itself.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainQuery {
    /// Its hardware address.
    #[param(value_type = String)]
    mac: MacAddr,
    /// Option 93: a number (`7`, `0x0007`) or a platform (`efi-x64`); left out: what the machine
    /// last said.
    #[serde(default)]
    arch: Option<String>,
    /// `firmware` (as left out), `ipxe`, `pxelinux`, `grub`.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    stage: Option<Stage>,
    /// SMBIOS UUID.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    uuid: Option<SystemUuid>,
}

/// What the client would get.
#[derive(Serialize, ToSchema)]
pub(super) struct Explanation {
    /// `boot`, `local-disk` or `silent`.
    outcome: &'static str,
    /// Why there is something to boot: `assigned`, `wait` (for an assignment) or `menu`.
    #[schema(value_type = Option<String>)]
    intent: Option<Intent>,
    /// Title of the profile that boots when nobody chooses.
    boots: Option<String>,
    /// What a DHCP answer would name; `null` when it names nothing.
    boot_file: Option<String>,
    /// The loader family in force.
    #[schema(value_type = Option<String>)]
    loader: Option<LoaderKind>,
    /// Because of what, as a sentence.
    because: String,
    /// The same as a value: `reason` and what belongs to it.
    #[schema(value_type = Object)]
    reason: Because,
    /// The machine it is taken for.
    machine: Option<KnownMachine>,
    /// What it is taken to run.
    #[schema(value_type = Option<String>)]
    platform: Option<Platform>,
    /// Profiles offered, in order.
    profiles: Vec<String>,
    /// The menu it would be served next.
    menu: Option<MenuText>,
    /// What became of each rule in force, in the order they are asked.
    rules: Vec<RuleAccount>,
}

/// How a rule stands to the client.
#[derive(Serialize, ToSchema)]
pub(super) struct RuleAccount {
    /// Its name.
    rule: String,
    /// What it gives.
    profile: String,
    /// `decides`, `may-decide` (as soon as more is known), `later` (matches, but a rule before it
    /// decides), `overruled` (matches, but an assignment or order comes first), `no-match` or
    /// `unknown`.
    #[schema(value_type = String)]
    stand: Stand,
    /// The same for people.
    text: String,
    /// Its conditions, in the order written.
    #[schema(value_type = Vec<Object>)]
    conditions: Vec<Finding>,
}

/// A machine in short.
#[derive(Serialize, ToSchema)]
pub(super) struct KnownMachine {
    /// Identity.
    id: i64,
    /// What people call it.
    name: String,
}

/// A menu as a loader gets it.
#[derive(Serialize, ToSchema)]
pub(super) struct MenuText {
    /// `ipxe`, `pxelinux` or `grub`.
    #[schema(value_type = String)]
    language: LoaderKind,
    /// The text.
    text: String,
}

/// Asks the function that answers the network.
#[utoipa::path(get, path = "/explain", tag = "machines", params(ExplainQuery),
    responses((status = OK, body = Explanation), (status = "4XX", body = Problem)))]
pub(super) async fn explain(
    _: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<ExplainQuery>,
) -> Answer<Json<Explanation>> {
    let catalog = state.store.catalog();
    let client = client(&query, &catalog)?;
    Ok(Json(explanation(&client, &catalog, &state.endpoint())))
}

fn client(query: &ExplainQuery, catalog: &Catalog) -> Answer<BootClient> {
    let stage = query.stage.unwrap_or(Stage::Firmware);
    let asks_dhcp = matches!(stage, Stage::Firmware | Stage::Ipxe);
    let said = query.arch.as_deref().map(arch).transpose()?;
    let known = || {
        let machine = catalog.find(query.mac, query.uuid)?;
        machine.facts.platform.map(code)
    };
    let arch = said.or_else(|| known().filter(|_| asks_dhcp));
    let platform = arch.and_then(Arch::platform);
    Ok(BootClient {
        uuid: query.uuid,
        arch,
        platform,
        class: match arch {
            // The HTTP Boot codes of option 93 (IANA).
            Some(Arch(15..=20)) => ClientClass::Http,
            _ => ClientClass::Pxe,
        },
        ipxe: (stage == Stage::Ipxe).then(|| IpxeFeatures {
            http: true,
            bzimage: true,
            efi: platform.is_some_and(Platform::is_efi),
        }),
        ..BootClient::asking(query.mac, stage)
    })
}

fn arch(text: &str) -> Answer<Arch> {
    if let Some(platform) = Platform::from_slug(text) {
        return Ok(code(platform));
    }
    let number = match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map(Arch).map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        Problem::refused(format!(
            "arch '{shown}' is neither a code of option 93 (like 7 or 0x0007) nor one of bios, \
             efi-x64, efi-ia32, efi-arm64, raspberry-pi"
        ))
    })
}

fn code(platform: Platform) -> Arch {
    Arch(match platform {
        Platform::Bios => 0,
        Platform::EfiIa32 => 6,
        Platform::EfiX64 => 7,
        Platform::EfiArm64 => 11,
        Platform::RaspberryPi => 41,
    })
}

fn explanation(client: &BootClient, catalog: &Catalog, server: &Endpoint) -> Explanation {
    let decision = decide(client, catalog);
    let plan = match &decision.outcome {
        Outcome::Boot(plan) => Some(plan.as_ref()),
        Outcome::LocalDisk | Outcome::Silent => None,
    };
    let file = plan.map(|plan| plan.boot_file_name(client.class, server));
    let machine = decision.machine.and_then(|id| catalog.machine(id));
    Explanation {
        outcome: match &decision.outcome {
            Outcome::Boot(_) => "boot",
            Outcome::LocalDisk => "local-disk",
            Outcome::Silent => "silent",
        },
        intent: plan.map(|plan| plan.intent),
        boots: plan
            .filter(|plan| plan.intent == Intent::Assigned)
            .and_then(|plan| plan.entries.first())
            .map(|profile| profile.title.clone()),
        boot_file: file.filter(|name| !name.is_empty()),
        loader: plan.map(|plan| plan.loader),
        because: decision.because.to_string(),
        machine: machine.map(|machine| KnownMachine {
            id: machine.id.0,
            name: machine.name.clone(),
        }),
        platform: client
            .platform
            .or_else(|| machine.and_then(|m| m.facts.platform)),
        profiles: plan.map_or_else(Vec::new, |plan| {
            plan.entries.iter().map(|p| p.name.to_string()).collect()
        }),
        menu: plan.map(|plan| next_menu(plan.loader, client, catalog, server)),
        rules: effect::account(client, catalog)
            .into_iter()
            .map(RuleAccount::from)
            .collect(),
        reason: decision.because,
    }
}

impl From<Account> for RuleAccount {
    fn from(account: Account) -> Self {
        RuleAccount {
            rule: account.rule.name.to_string(),
            profile: account.rule.profile.to_string(),
            stand: account.stand,
            text: account.stand.to_string(),
            conditions: account.findings,
        }
    }
}

/// The menu that the loader, once started, asks for: a question of its own.
fn next_menu(
    loader: LoaderKind,
    client: &BootClient,
    catalog: &Catalog,
    server: &Endpoint,
) -> MenuText {
    let (language, stage) = language(loader);
    let asking = BootClient {
        uuid: client.uuid,
        platform: client.platform,
        ..BootClient::asking(client.mac, stage)
    };
    let mut decision: Decision = decide(&asking, catalog);
    answers::fill(
        &mut decision,
        &asking,
        catalog,
        server,
        answers::Links::Hidden,
    );
    MenuText {
        language: loader,
        text: menu::render(language, &asking, &decision, server, 0),
    }
}

/// What a loader reads, and as whom it asks for it.
pub(super) fn language(loader: LoaderKind) -> (Language, Stage) {
    match loader {
        LoaderKind::Ipxe => (Language::Ipxe, Stage::Ipxe),
        LoaderKind::Pxelinux => (Language::Pxelinux, Stage::Pxelinux),
        LoaderKind::Grub => (Language::Grub, Stage::Grub),
    }
}
