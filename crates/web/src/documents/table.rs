//! Machines as a CSV table, for spreadsheets.
//!
//! A row says what a `kind: machine` document says; a column that is not there, and an empty cell,
//! leave things as they are, and `-` takes away. What a spreadsheet would take for a formula is
//! written with an apostrophe before it, which is taken off again when it is read.

use super::kinds::Placed;
use super::machine::{AssignDoc, MachineDoc};
use super::place::{Fault, Place};
use bootplan::{Catalog, LoaderKind, LocalBoot, Machine, Mode, ProfileName};
use csv::{ReaderBuilder, StringRecord, Writer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

/// The columns of a table, in the order in which they are written.
pub(super) const COLUMNS: [&str; 11] = [
    "name",
    "macs",
    "uuid",
    "serial",
    "asset",
    "labels",
    "loader",
    "local_boot",
    "profile",
    "mode",
    "notes",
];

/// Reads a table, or says everything that is wrong with it by line and column. Cells are separated by
/// commas, or by semicolons or tabs when its head is.
pub(super) fn parse(text: &str) -> Result<Vec<Placed>, Vec<Fault>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter(text))
        .flexible(true)
        .from_reader(text.as_bytes());
    let broken = |error: csv::Error| {
        let line = error.position().map_or(1, |at| at.line());
        vec![Place::row(0, count(line), &[]).fault("", error.to_string())]
    };
    let head = reader.headers().map_err(broken)?;
    let columns: Vec<String> = head.iter().map(|c| c.trim().to_lowercase()).collect();
    let head = Place::row(0, 1, &columns);
    let mut faults = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        let shown: String = column.chars().take(40).collect();
        let all = COLUMNS.join(", ");
        if !COLUMNS.contains(&column.as_str()) {
            let problem = format!("'{}' is no column; there are {all}", shown.escape_debug());
            faults.push(head.fault(column, problem));
        } else if columns[..index].contains(column) {
            faults.push(head.fault(column, format!("'{shown}' stands there twice")));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut documents = Vec::new();
    for (index, record) in (1..).zip(reader.records()) {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, csv::Position::line);
        let place = Place::row(index, count(line), &columns);
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if record.len() > columns.len() {
            let problem = format!("{} cells, but {} columns", record.len(), columns.len());
            faults.push(place.fault("", problem));
            continue;
        }
        let row = Row {
            columns: &columns,
            record: &record,
        };
        match row.machine() {
            Ok(doc) => documents.push(Placed {
                kind: "machine",
                document: Box::new(doc),
                place,
            }),
            Err((field, problem)) => faults.push(place.fault(field, problem)),
        }
    }
    match faults.is_empty() {
        true => Ok(documents),
        false => Err(faults),
    }
}

/// Writes these machines as a table that [`parse`] reads back.
pub(super) fn export<'a>(machines: impl Iterator<Item = &'a Machine>, catalog: &Catalog) -> String {
    let mut writer = Writer::from_writer(Vec::new());
    let written = "a Vec takes everything";
    writer.write_record(COLUMNS).expect(written);
    for machine in machines {
        let macs: Vec<String> = machine.macs.iter().map(ToString::to_string).collect();
        let profile = machine.profile.as_ref();
        let installs = profile.and_then(|name| catalog.profile(name));
        let installs = installs.is_some_and(|profile| profile.installs());
        // As in documents: what goes without saying is not said.
        let said = profile.filter(|_| installs || !machine.mode.is_always());
        let cells = [
            machine.name.clone(),
            macs.join(" "),
            machine.uuid.map(|u| u.to_string()).unwrap_or_default(),
            machine.serial.clone().unwrap_or_default(),
            machine.asset.clone().unwrap_or_default(),
            labels_cell(&machine.labels),
            machine.loader.map_or("", LoaderKind::slug).to_owned(),
            machine.local_boot.map_or("", LocalBoot::slug).to_owned(),
            profile.map(ToString::to_string).unwrap_or_default(),
            said.map_or("", |_| machine.mode.slug()).to_owned(),
            machine.notes.clone(),
        ];
        let guarded = cells.iter().map(|cell| guard(cell).into_owned());
        writer.write_record(guarded).expect(written);
    }
    let bytes = writer.into_inner().expect(written);
    String::from_utf8(bytes).expect("made of texts")
}

/// Whether the first line names columns of ours.
pub(super) fn has_head(text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let head = text.lines().next().unwrap_or("").to_lowercase();
    let cells = head.split(char::from(delimiter(text)));
    let mut names = cells.map(|cell| cell.trim().trim_matches('"'));
    !head.contains(':') && names.any(|name| COLUMNS.contains(&name))
}

struct Row<'a> {
    columns: &'a [String],
    record: &'a StringRecord,
}

type Wrong = (&'static str, String);

impl Row<'_> {
    fn machine(&self) -> Result<MachineDoc, Wrong> {
        let text = |cell: &str| Ok::<_, String>(cell.to_owned());
        let macs = self.cell("macs");
        let macs = macs
            .split([' ', ',', ';', '\n'])
            .filter(|mac| !mac.is_empty());
        let macs = macs.map(|mac| mac.parse().map_err(|e| ("macs", said(&e))));
        let notes = match self.raw("notes") {
            "" => None,
            "-" => Some(String::new()),
            notes => Some(bare(notes).to_owned()),
        };
        let labels = match self.cell("labels") {
            "" => None,
            "-" => Some(BTreeMap::new()),
            // A value may end in a space, with a backslash before it.
            _ => Some(labels_of(bare(self.raw("labels"))).map_err(|e| ("labels", e))?),
        };
        let profile = self.optional("profile", ProfileName::from_str)?;
        let mode = self.optional("mode", |cell| slug(cell, Mode::from_slug(cell)))?;
        let assign = match (&profile, mode.flatten()) {
            (_, None) => None,
            (Some(Some(profile)), mode) => Some(AssignDoc {
                profile: profile.clone(),
                mode,
            }),
            (_, Some(_)) => {
                let problem = "it says how a profile is meant: write that, too";
                return Err(("mode", problem.to_owned()));
            }
        };
        Ok(MachineDoc {
            name: Some(bare(self.cell("name")).to_owned()).filter(|name| !name.is_empty()),
            macs: macs.collect::<Result<_, _>>()?,
            uuid: self.optional("uuid", str::parse)?,
            serial: self.optional("serial", text)?,
            asset: self.optional("asset", text)?,
            labels,
            loader: self.optional("loader", |cell| slug(cell, LoaderKind::from_slug(cell)))?,
            local_boot: self
                .optional("local_boot", |cell| slug(cell, LocalBoot::from_slug(cell)))?,
            profile: profile.filter(|_| assign.is_none()),
            assign,
            notes,
            ..MachineDoc::default()
        })
    }

    /// As it stands there; empty when there is no such column.
    fn raw(&self, column: &str) -> &str {
        let index = self.columns.iter().position(|c| c == column);
        index.and_then(|index| self.record.get(index)).unwrap_or("")
    }

    fn cell(&self, column: &str) -> &str {
        self.raw(column).trim()
    }

    fn optional<T, E: Display>(
        &self,
        column: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<Option<T>>, Wrong> {
        match self.cell(column) {
            "" => Ok(None),
            "-" => Ok(Some(None)),
            cell => match read(bare(cell)) {
                Ok(value) => Ok(Some(Some(value))),
                Err(error) => Err((column, said(&error))),
            },
        }
    }
}

fn slug<T>(cell: &str, found: Option<T>) -> Result<T, String> {
    let shown: String = cell.chars().take(40).collect();
    found.ok_or_else(|| format!("'{}' is none of those that there are", shown.escape_debug()))
}

/// One line, whatever the cell held.
fn said(error: &impl Display) -> String {
    let text = error.to_string();
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn delimiter(text: &str) -> u8 {
    let head = text.lines().next().unwrap_or("");
    [b',', b';', b'\t']
        .into_iter()
        .find(|d| head.contains(char::from(*d)))
        .unwrap_or(b',')
}

fn count(line: u64) -> usize {
    usize::try_from(line).unwrap_or(usize::MAX)
}

/// With an apostrophe before what a spreadsheet would calculate, or take for our own apostrophe.
fn guard(cell: &str) -> Cow<'_, str> {
    match cell.starts_with(FORMULA) {
        true => Cow::Owned(format!("'{cell}")),
        false => Cow::Borrowed(cell),
    }
}

/// Without the apostrophe that [`guard`] has put before it.
fn bare(cell: &str) -> &str {
    let rest = cell.strip_prefix('\'');
    rest.filter(|rest| rest.starts_with(FORMULA))
        .unwrap_or(cell)
}

/// `rack=1; role=web`, with a backslash before what would end a value too early.
fn labels_cell(labels: &BTreeMap<String, String>) -> String {
    let pair = |(key, value): (&String, &String)| {
        let last = value.chars().count().saturating_sub(1);
        let mut text = format!("{key}=");
        for (index, c) in value.chars().enumerate() {
            let at_the_end = index == 0 || index == last;
            if c == ';' || c == '\\' || (c.is_whitespace() && at_the_end) {
                text.push('\\');
            }
            text.push(c);
        }
        text
    };
    labels.iter().map(pair).collect::<Vec<_>>().join("; ")
}

fn labels_of(cell: &str) -> Result<BTreeMap<String, String>, String> {
    /// A character, and whether a backslash stood before it.
    type Marked = (char, bool);
    let mut parts: Vec<Vec<Marked>> = vec![Vec::new()];
    let mut chars = cell.chars();
    while let Some(c) = chars.next() {
        let part = parts.last_mut().expect("there is always one");
        match c {
            ';' => parts.push(Vec::new()),
            '\\' => part.push((chars.next().unwrap_or('\\'), true)),
            c => part.push((c, false)),
        }
    }
    let blank = |(c, escaped): &Marked| c.is_whitespace() && !escaped;
    let trimmed = |text: &[Marked]| -> String {
        let start = text.iter().position(|c| !blank(c)).unwrap_or(text.len());
        let end = text
            .iter()
            .rposition(|c| !blank(c))
            .map_or(start, |i| i + 1);
        text[start..end].iter().map(|(c, _)| c).collect()
    };
    let mut labels = BTreeMap::new();
    for part in &parts {
        let equals = part
            .iter()
            .position(|c| *c == ('=', false))
            .unwrap_or(part.len());
        let key = trimmed(&part[..equals]);
        let value = part.get(equals + 1..).map(trimmed).unwrap_or_default();
        if key.is_empty() && value.is_empty() {
            continue;
        }
        if labels.insert(key.clone(), value).is_some() {
            return Err(format!("'{key}' stands there twice"));
        }
    }
    Ok(labels)
}

/// What a cell begins with that a spreadsheet does not take as text, and our own mark for it.
const FORMULA: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\''];
