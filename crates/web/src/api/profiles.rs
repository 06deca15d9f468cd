//! Profiles, and what they look like to a loader before anybody boots them.

use super::every_boot::{AlwaysQuery, confirmed};
use super::explain::language;
use super::problem::{Answer, Json, Path, Problem, Query};
use crate::every_boot;
use crate::people::{Actor, PeopleState};
use axum::extract::State;
use bootplan::{
    BootClient, Catalog, EfiStyle, LoaderInventory, LoaderKind, MacAddr, Machine, MachineId, Mode,
    Platform, Profile, ProfileName, decide, menu,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How to boot one operating system. (The description of what is really read and written by
/// `bootplan::Profile`.)
#[derive(ToSchema)]
#[schema(as = Profile)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct ProfileSchema {
    /// Identity: a-z, 0-9, '-', '_', '.'.
    name: String,
    /// What menus show.
    title: String,
    /// A sentence for people.
    #[schema(required = false)]
    description: String,
    /// Labels.
    #[schema(required = false)]
    labels: std::collections::BTreeMap<String, String>,
    /// A disabled profile boots nothing.
    #[schema(required = false, default = true)]
    enabled: bool,
    /// Whether it stands in boot menus beside the assigned one.
    #[schema(required = false)]
    in_menu: bool,
    /// Platforms it can boot; empty means any.
    #[schema(required = false, value_type = Vec<String>)]
    platforms: Vec<Platform>,
    /// Loader preference.
    #[schema(value_type = Option<String>)]
    loader: Option<LoaderKind>,
    /// `binl` or `direct`.
    #[schema(required = false, value_type = String)]
    efi_style: EfiStyle,
    /// `{kind: linux, kernel, initrds, args, console}`, `{kind: local-disk}`,
    /// `{kind: program, files: {platform: file}}` or `{kind: chain, url}`.
    #[schema(value_type = Object)]
    boot: (),
    /// Lines of the loaders' own languages: `{ipxe, pxelinux, grub}`.
    #[schema(required = false, value_type = Object)]
    extras: (),
    /// What its machines fetch: `{name, kind, text}` or `{name, kind, template}`, and more.
    #[schema(required = false, value_type = Vec<Object>)]
    answers: (),
    /// For its arguments, extras and answers.
    #[schema(required = false, value_type = Object)]
    variables: (),
    /// When an installation by it is held: `{tries, minutes}`.
    #[schema(required = false, value_type = Option<Object>)]
    install: (),
}

/// Every profile.
#[derive(Serialize, ToSchema)]
pub(super) struct ProfileList {
    /// By name.
    #[schema(value_type = Vec<ProfileSchema>)]
    profiles: Vec<Profile>,
}

/// Lists profiles.
#[utoipa::path(get, path = "/profiles", tag = "profiles",
    responses((status = OK, body = ProfileList), (status = "4XX", body = Problem)))]
pub(super) async fn list_profiles(_: Actor, State(state): State<PeopleState>) -> Json<ProfileList> {
    let catalog = state.store.catalog();
    let profiles = catalog.profiles().map(|p| p.as_ref().clone()).collect();
    Json(ProfileList { profiles })
}

/// Shows one profile.
#[utoipa::path(get, path = "/profiles/{name}", tag = "profiles",
    params(("name" = String, Path, description = "the profile")),
    responses((status = OK, body = ProfileSchema), (status = "4XX", body = Problem)))]
pub(super) async fn get_profile(
    _: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<ProfileName>,
) -> Answer<Json<Profile>> {
    one(&state.store.catalog(), &name).map(Json)
}

fn one(catalog: &Catalog, name: &ProfileName) -> Answer<Profile> {
    let found = catalog.profile(name).map(|p| p.as_ref().clone());
    found.ok_or_else(|| Problem::not_found(format!("profile '{name}'")))
}

/// Creates a profile or replaces it. Where machines boot it always, or a rule gives it always, and it
/// comes to install, `always` has to say so.
#[utoipa::path(put, path = "/profiles/{name}", tag = "profiles",
    params(("name" = String, Path, description = "the profile; the body must name the same"),
        AlwaysQuery),
    request_body = ProfileSchema,
    responses((status = OK, body = ProfileSchema), (status = "4XX", body = Problem)))]
pub(super) async fn put_profile(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<ProfileName>,
    Query(query): Query<AlwaysQuery>,
    Json(profile): Json<Profile>,
) -> Answer<Json<Profile>> {
    if profile.name != name {
        return Err(Problem::refused(format!(
            "the path names profile '{name}', the body '{}'; a profile is renamed by creating \
             the new one and deleting the old",
            profile.name
        )));
    }
    let erased = every_boot::by_profile(state.store.catalog(), profile.clone()).await;
    confirmed(&erased, query.always)?;
    state.store.put_profile(profile, &actor.name).await?;
    one(&state.store.catalog(), &name).map(Json)
}

/// Deletes a profile to which no machine is assigned.
#[utoipa::path(delete, path = "/profiles/{name}", tag = "profiles",
    params(("name" = String, Path, description = "the profile")),
    responses((status = NO_CONTENT), (status = "4XX", body = Problem)))]
pub(super) async fn delete_profile(
    actor: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<ProfileName>,
) -> Answer<StatusCode> {
    state.store.delete_profile(&name, &actor.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// For whom to render.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RenderQuery {
    /// `bios`, `efi-x64`, `efi-ia32`, `efi-arm64`; left out: the machine's, else the first that
    /// the profile boots.
    #[param(value_type = Option<String>)]
    platform: Option<Platform>,
    /// `ipxe`, `pxelinux` or `grub`; left out: what the machine or the profile prefers.
    #[param(value_type = Option<String>)]
    language: Option<LoaderKind>,
    /// A machine, by identity; left out: an example.
    machine: Option<i64>,
}

/// A rendered menu.
#[derive(Serialize, ToSchema)]
pub(super) struct Rendered {
    /// For which platform.
    #[schema(value_type = Option<String>)]
    platform: Option<Platform>,
    /// `ipxe`, `pxelinux` or `grub`.
    #[schema(value_type = String)]
    language: LoaderKind,
    /// Because of what it is so.
    because: String,
    /// The text as a loader would get it.
    text: String,
}

/// Renders a stored profile as a machine assigned to it would get it.
#[utoipa::path(get, path = "/profiles/{name}/render", tag = "profiles",
    params(("name" = String, Path, description = "the profile"), RenderQuery),
    responses((status = OK, body = Rendered), (status = "4XX", body = Problem)))]
pub(super) async fn render_profile(
    _: Actor,
    State(state): State<PeopleState>,
    Path(name): Path<ProfileName>,
    Query(query): Query<RenderQuery>,
) -> Answer<Json<Rendered>> {
    let profile = one(&state.store.catalog(), &name)?;
    render(&state, profile, &query).map(Json)
}

/// Renders a profile that is not stored: a preview while it is written.
#[utoipa::path(post, path = "/profiles/render", tag = "profiles", params(RenderQuery),
    request_body = ProfileSchema,
    responses((status = OK, body = Rendered), (status = "4XX", body = Problem)))]
pub(super) async fn render_draft(
    _: Actor,
    State(state): State<PeopleState>,
    Query(query): Query<RenderQuery>,
    Json(profile): Json<Profile>,
) -> Answer<Json<Rendered>> {
    profile.validate().map_err(Problem::refused)?;
    render(&state, profile, &query).map(Json)
}

fn render(state: &PeopleState, profile: Profile, query: &RenderQuery) -> Answer<Rendered> {
    let catalog = state.store.catalog();
    let machine = match query.machine {
        None => example(),
        Some(id) => {
            let found = catalog.machine(MachineId(id));
            let found = found.ok_or_else(|| Problem::not_found(format!("machine {id}")))?;
            found.as_ref().clone()
        }
    };
    let platform = query.platform.or(machine.facts.platform).or_else(|| {
        let likely = [Platform::EfiX64, Platform::Bios];
        let mut all = likely.into_iter().chain(Platform::ALL);
        all.find(|p| profile.boots_on(*p))
    });
    let preferred = machine.loader.or(profile.loader);
    let language_of = query.language.or(preferred).unwrap_or(catalog.site.loader);
    let (language, stage) = language(language_of);
    let mac = machine.macs.first().copied().unwrap_or(EXAMPLE);
    let sample = assigned(&catalog, machine, profile);
    let client = BootClient {
        platform,
        ..BootClient::asking(mac, stage)
    };
    let mut decision = decide(&client, &sample);
    let server = state.endpoint();
    answers::fill(
        &mut decision,
        &client,
        &sample,
        &server,
        answers::Links::Hidden,
    );
    Ok(Rendered {
        platform,
        language: language_of,
        because: decision.because.to_string(),
        text: menu::render(language, &client, &decision, &server, 0),
    })
}

/// The catalog as it would be with this machine assigned to this profile.
fn assigned(catalog: &Catalog, machine: Machine, profile: Profile) -> Catalog {
    let machine = Machine {
        profile: Some(profile.name.clone()),
        mode: Mode::Always,
        run: None,
        ..machine
    };
    let others = catalog.profiles().filter(|p| p.name != profile.name);
    let mut profiles: Vec<Profile> = others.map(|p| p.as_ref().clone()).collect();
    profiles.push(profile);
    let mut loaders = LoaderInventory::default();
    for (platform, role, file) in catalog.loaders.iter() {
        loaders.add(platform, role, file);
    }
    Catalog::new(
        catalog.revision,
        catalog.site.clone(),
        loaders,
        [machine],
        profiles,
    )
    .with_objects(catalog.objects().clone())
}

fn example() -> Machine {
    Machine {
        macs: vec![EXAMPLE],
        ..Machine::named(MachineId(0), "example")
    }
}

/// From the block for documentation (RFC 7042 2.1.2).
const EXAMPLE: MacAddr = MacAddr([0x00, 0x00, 0x5e, 0x00, 0x53, 0x01]);
