//! Machines as the API shows and takes them, and which of them are meant.

use super::orders::RunView;
use crate::api::problem::Problem;
use crate::documents::given;
use crate::search::Query;
use bootplan::{
    Catalog, Facts, Lifecycle, LoaderKind, LocalBoot, MacAddr, MachineId, MachineState, Mode,
    ProfileName, SystemUuid, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::SystemTime;
use store::{MachineChange, MachineRecord, NewMachine};
use utoipa::ToSchema;

/// A machine and when it was seen.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct MachineView {
    /// Identity.
    #[schema(value_type = i64)]
    pub(super) id: MachineId,
    /// What people call it.
    pub(super) name: String,
    /// Its network cards.
    #[schema(value_type = Vec<String>)]
    pub(super) macs: Vec<MacAddr>,
    /// SMBIOS UUID.
    #[schema(value_type = Option<String>)]
    pub(super) uuid: Option<SystemUuid>,
    /// SMBIOS serial number.
    pub(super) serial: Option<String>,
    /// Labels.
    pub(super) labels: BTreeMap<String, String>,
    /// Free text of several lines.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) notes: String,
    /// `discovered` or `registered`.
    #[schema(value_type = String)]
    pub(super) state: MachineState,
    /// Loader preference: `ipxe`, `pxelinux`, `grub`.
    #[schema(value_type = Option<String>)]
    pub(super) loader: Option<LoaderKind>,
    /// How it starts its local disk; left out: as its model or the site.
    #[schema(value_type = Option<String>)]
    pub(super) local_boot: Option<LocalBoot>,
    /// The profile it is assigned to.
    #[schema(value_type = Option<String>)]
    pub(super) profile: Option<ProfileName>,
    /// How that is meant: `always` or `install-once`.
    #[schema(value_type = String)]
    pub(super) mode: Mode,
    /// `discovered`, `ready`, `armed`, `installing`, `installed`, `failed`, `held`.
    #[schema(value_type = String)]
    pub(super) lifecycle: Lifecycle,
    /// What there is to say beside that: `place 7 of 40 in the queue`.
    pub(super) progress: Option<String>,
    /// The order in progress, else the last one that ended.
    pub(super) run: Option<RunView>,
    /// What it said about itself: `platform`, `manufacturer`, `product`.
    #[schema(value_type = Object)]
    pub(super) facts: Facts,
    /// Whether somebody has to say first whose one of its addresses is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) in_conflict: bool,
    /// When it first asked, in milliseconds since the Unix epoch.
    #[schema(value_type = i64)]
    pub(super) first_seen: Timestamp,
    /// When it last asked.
    #[schema(value_type = Option<i64>)]
    pub(super) last_seen: Option<Timestamp>,
}

impl MachineView {
    /// `catalog` knows the queue.
    pub(in crate::api) fn of(record: MachineRecord, catalog: &Catalog) -> Self {
        let now = SystemTime::now().into();
        let machine = record.machine.as_ref().clone();
        MachineView {
            lifecycle: machine.lifecycle(),
            progress: machine.progress(catalog, now),
            run: RunView::of(&machine, catalog),
            mode: machine.mode,
            in_conflict: catalog.doubts_any_of(&machine),
            id: machine.id,
            name: machine.name,
            macs: machine.macs,
            uuid: machine.uuid,
            serial: machine.serial,
            labels: machine.labels,
            notes: machine.notes,
            state: machine.state,
            loader: machine.loader,
            local_boot: machine.local_boot,
            profile: machine.profile,
            facts: machine.facts,
            first_seen: record.first_seen,
            last_seen: record.last_seen,
        }
    }
}

/// Which machines are meant; everything left out matches all.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::api) struct Filter {
    /// Words that must all hold: text found anywhere, or `key:value` (`label:rack=1`, `state:held`,
    /// `mac:52:54`, `product:Dell*`); `!` before a word turns it around.
    pub(super) q: String,
    /// `discovered` or `registered`.
    #[schema(value_type = Option<String>)]
    pub(super) state: Option<MachineState>,
    /// `discovered`, `ready`, `armed`, `installing`, `installed`, `failed`, `held`.
    #[schema(value_type = Option<String>)]
    pub(super) lifecycle: Option<Lifecycle>,
    /// A profile's name; empty: machines without an assignment.
    pub(super) profile: Option<String>,
}

impl Filter {
    /// Those of the machines that match.
    pub(super) fn among(&self, mut all: Vec<MachineRecord>) -> Result<Vec<MachineRecord>, Problem> {
        let query = Query::parse(&self.q).map_err(Problem::refused)?;
        all.retain(|record| {
            let machine = &record.machine;
            let profile = machine.profile.as_ref().map_or("", ProfileName::as_str);
            let state = self.state.is_none_or(|state| state == machine.state);
            let word = self
                .lifecycle
                .is_none_or(|word| word == machine.lifecycle());
            let named = self.profile.as_deref().is_none_or(|name| name == profile);
            state && word && named && query.matches(machine)
        });
        Ok(all)
    }
}

/// A machine entered by hand.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct MachineBody {
    /// What people call it; left out: the first MAC with dashes.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// Its network cards; at least one.
    #[schema(value_type = Vec<String>)]
    pub(super) macs: Vec<MacAddr>,
    /// SMBIOS UUID.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) uuid: Option<SystemUuid>,
    /// SMBIOS serial number.
    #[serde(default)]
    pub(super) serial: Option<String>,
    /// Labels.
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    /// Free text of several lines.
    #[serde(default)]
    pub(super) notes: String,
    /// Loader preference.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) loader: Option<LoaderKind>,
    /// How it starts its local disk.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) local_boot: Option<LocalBoot>,
    /// Profile to boot.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) profile: Option<ProfileName>,
    /// Says that a profile which installs is meant to install at every boot.
    #[serde(default)]
    pub(super) always: bool,
}

/// What to change; a field left out stays as it is, `null` takes it away.
#[derive(Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub(in crate::api) struct MachinePatch {
    /// What people call it.
    pub(super) name: Option<String>,
    /// All its network cards.
    #[schema(value_type = Option<Vec<String>>)]
    pub(super) macs: Option<Vec<MacAddr>>,
    /// SMBIOS UUID.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) uuid: Option<Option<SystemUuid>>,
    /// SMBIOS serial number.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) serial: Option<Option<String>>,
    /// All its labels.
    pub(super) labels: Option<BTreeMap<String, String>>,
    /// Free text of several lines; empty: none.
    pub(super) notes: Option<String>,
    /// Loader preference.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) loader: Option<Option<LoaderKind>>,
    /// How it starts its local disk.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) local_boot: Option<Option<LocalBoot>>,
    /// Assignment.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) profile: Option<Option<ProfileName>>,
    /// Says that a profile which installs is meant to install at every boot.
    pub(super) always: bool,
}

impl From<MachineBody> for NewMachine {
    fn from(body: MachineBody) -> Self {
        NewMachine {
            name: body.name,
            macs: body.macs,
            uuid: body.uuid,
            serial: body.serial,
            labels: body.labels,
            notes: body.notes,
            loader: body.loader,
            local_boot: body.local_boot,
            profile: body.profile,
            ..NewMachine::default()
        }
    }
}

impl From<MachinePatch> for MachineChange {
    fn from(body: MachinePatch) -> Self {
        MachineChange {
            name: body.name,
            macs: body.macs,
            uuid: body.uuid,
            serial: body.serial,
            labels: body.labels,
            notes: body.notes,
            loader: body.loader,
            local_boot: body.local_boot,
            profile: body.profile,
            ..MachineChange::default()
        }
    }
}
