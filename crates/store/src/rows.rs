//! Rows to values and back. Every SQL text that reads machines, profiles and settings.

use crate::{MachineRecord, StoreError};
use bootplan::{
    Facts, LoaderKind, LocalBoot, MacAddr, Machine, MachineId, MachineState, Mode, Profile, Rule,
    Site, SystemUuid, Timestamp,
};
use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row, Transaction};
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

/// A transaction on either database.
pub(crate) type Tx = Transaction<'static, Any>;

/// Turns the database's error into ours.
pub(crate) fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError + Copy {
    move |cause| StoreError::Database { doing, cause }
}

/// All machines, in two statements whatever their number.
pub(crate) async fn load_machines(tx: &mut Tx) -> Result<Vec<MachineRecord>, sqlx::Error> {
    let rows = sqlx::query(concat!(machine_columns!(), " ORDER BY m.id"))
        .fetch_all(&mut **tx)
        .await?;
    let macs =
        sqlx::query("SELECT machine_id, mac FROM machine_macs ORDER BY machine_id, position")
            .fetch_all(&mut **tx)
            .await?;
    assemble(rows, macs)
}

/// Some machines; those that do not exist are left out.
pub(crate) async fn load_some(
    tx: &mut Tx,
    ids: &[MachineId],
) -> Result<Vec<MachineRecord>, sqlx::Error> {
    let mut records = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let list = placeholders(1, chunk.len());
        let text = format!("{} WHERE m.id IN ({list})", machine_columns!());
        let mut query = sqlx::query(AssertSqlSafe(text));
        for id in chunk {
            query = query.bind(id.0);
        }
        let rows = query.fetch_all(&mut **tx).await?;
        let text = format!(
            "SELECT machine_id, mac FROM machine_macs WHERE machine_id IN ({list}) \
             ORDER BY machine_id, position"
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for id in chunk {
            query = query.bind(id.0);
        }
        let macs = query.fetch_all(&mut **tx).await?;
        records.extend(assemble(rows, macs)?);
    }
    Ok(records)
}

/// All profiles.
pub(crate) async fn load_profiles(tx: &mut Tx) -> Result<Vec<Profile>, sqlx::Error> {
    sqlx::query("SELECT name, spec FROM profiles ORDER BY name")
        .fetch_all(&mut **tx)
        .await?
        .iter()
        .map(|row| json(row, "spec"))
        .collect()
}

/// All rules.
pub(crate) async fn load_rules(tx: &mut Tx) -> Result<Vec<Rule>, sqlx::Error> {
    sqlx::query("SELECT name, spec FROM rules ORDER BY name")
        .fetch_all(&mut **tx)
        .await?
        .iter()
        .map(|row| json(row, "spec"))
        .collect()
}

/// Site settings; as shipped when nobody has set any.
pub(crate) async fn load_site(tx: &mut Tx) -> Result<Site, sqlx::Error> {
    let row = sqlx::query("SELECT value FROM settings WHERE name = 'site'")
        .fetch_optional(&mut **tx)
        .await?;
    row.map_or(Ok(Site::default()), |row| json(&row, "value"))
        .map(Site::clamped)
}

/// Reserves `count` identities and returns the first.
pub(crate) async fn reserve(
    tx: &mut Tx,
    sequence: &'static str,
    count: usize,
) -> Result<i64, sqlx::Error> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let row = sqlx::query("UPDATE sequences SET next = next + $1 WHERE name = $2 RETURNING next")
        .bind(count)
        .bind(sequence)
        .fetch_one(&mut **tx)
        .await?;
    Ok(row.try_get::<i64, _>("next")? - count)
}

/// `$first, $first+1, …`: the only text that is ever put into a statement.
pub(crate) fn placeholders(first: usize, count: usize) -> String {
    let list: Vec<String> = (first..first + count).map(|n| format!("${n}")).collect();
    list.join(", ")
}

/// Cuts the rows of one table into groups, a statement for each. Lengths are powers of two, so that
/// there are few different texts, which the connection keeps prepared.
pub(crate) fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = 1 << rows.len().min(MANY).checked_ilog2()?;
        let (piece, rest) = rows.split_at(length);
        rows = rest;
        Some(piece)
    })
}

/// The parameters of many rows: `(?, ?), (?, ?)` in SQLite, which looks for the name of each one
/// that has a name in a list as long as the statement; PostgreSQL wants `($1, $2), ($3, $4)`.
pub(crate) fn values(tx: &Tx, rows: usize, columns: usize) -> String {
    if tx.backend_name() == "SQLite" {
        let row = format!("({})", vec!["?"; columns].join(", "));
        return vec![row; rows].join(", ");
    }
    let rows: Vec<String> = (0..rows)
        .map(|n| format!("({})", placeholders(1 + n * columns, columns)))
        .collect();
    rows.join(", ")
}

/// A column that holds a value's text form.
pub(crate) fn parsed<T: FromStr>(row: &AnyRow, column: &'static str) -> Result<T, sqlx::Error>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.try_get(column)?;
    text.parse().map_err(|e| decode_error(column, e))
}

/// A column that holds JSON.
pub(crate) fn json<T: DeserializeOwned>(
    row: &AnyRow,
    column: &'static str,
) -> Result<T, sqlx::Error> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|e| decode_error(column, e))
}

/// The JSON of a value of ours.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our types have string keys and no failing Serialize")
}

fn decode_error(
    column: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: Box::new(source),
    }
}

fn assemble(rows: Vec<AnyRow>, macs: Vec<AnyRow>) -> Result<Vec<MachineRecord>, sqlx::Error> {
    let mut cards: HashMap<i64, Vec<MacAddr>> = HashMap::with_capacity(rows.len());
    for row in &macs {
        let mac = parsed(row, "mac")?;
        cards
            .entry(row.try_get("machine_id")?)
            .or_default()
            .push(mac);
    }
    rows.iter()
        .map(|row| {
            let id: i64 = row.try_get("id")?;
            machine(row, id, cards.remove(&id).unwrap_or_default())
        })
        .collect()
}

fn machine(row: &AnyRow, id: i64, macs: Vec<MacAddr>) -> Result<MachineRecord, sqlx::Error> {
    let optional = |column: &'static str| row.try_get::<Option<String>, _>(column);
    let uuid = match optional("uuid")? {
        Some(text) => Some(
            text.parse::<SystemUuid>()
                .map_err(|e| decode_error("uuid", e))?,
        ),
        None => None,
    };
    let profile = match optional("profile")? {
        Some(text) => Some(text.parse().map_err(|e| decode_error("profile", e))?),
        None => None,
    };
    let run = match optional("run")? {
        Some(text) => {
            let run = serde_json::from_str(&text).map_err(|e| decode_error("run", e))?;
            Some(Arc::new(run))
        }
        None => None,
    };
    // An assignment of a kind that this program does not know installs nothing.
    let mode = match optional("mode")?.as_deref() {
        None | Some("always") => Mode::Always,
        Some(_) => Mode::InstallOnce,
    };
    let state: String = row.try_get("state")?;
    let facts: Facts = json(row, "facts")?;
    Ok(MachineRecord {
        machine: Arc::new(Machine {
            id: MachineId(id),
            name: row.try_get("name")?,
            macs,
            uuid,
            serial: optional("serial")?,
            asset: optional("asset")?,
            notes: row.try_get("notes")?,
            variables: json(row, "variables")?,
            labels: json(row, "labels")?,
            state: if state == MachineState::Registered.slug() {
                MachineState::Registered
            } else {
                MachineState::Discovered
            },
            settled: row.try_get::<i64, _>("settled")? != 0,
            // A loader that this program no longer knows is no preference.
            loader: optional("loader")?.and_then(|slug| LoaderKind::from_slug(&slug)),
            local_boot: optional("local_boot")?.and_then(|slug| LocalBoot::from_slug(&slug)),
            profile,
            mode,
            run,
            facts,
        }),
        first_seen: Timestamp(row.try_get("first_seen")?),
        last_seen: row.try_get::<Option<i64>, _>("last_seen")?.map(Timestamp),
    })
}

macro_rules! machine_columns {
    () => {
        "SELECT m.id, m.name, m.uuid, m.serial, m.labels, m.state, m.loader, m.facts, \
         m.first_seen, m.last_seen, m.asset, m.notes, m.variables, m.local_boot, m.settled, a.profile, \
         a.mode, r.spec AS run FROM machines m LEFT JOIN assignments a ON a.machine_id = m.id \
         LEFT JOIN runs r ON r.id = (SELECT MAX(n.id) FROM runs n WHERE n.machine_id = m.id)"
    };
}
use machine_columns;

/// Values of one statement: far below both databases' limits on parameters, and few enough that
/// SQLite is not slowed down (see `values`).
pub(crate) const CHUNK: usize = 100;
/// Rows of one statement that [`pieces`] makes.
const MANY: usize = 128;
