//! Where something stands in a text, and what is wrong there.

use serde::Serialize;
use utoipa::ToSchema;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// Which document of the stream, from 1; of a CSV file, which row below its head.
    pub document: usize,
    /// Line in the whole text, from 1.
    pub line: usize,
    /// Column, from 1; of a CSV file, which of its columns.
    pub column: usize,
    /// The field at fault; empty when the document as a whole is.
    pub field: String,
    /// What is wrong and what is expected.
    pub problem: String,
}

/// Where a document stands in the text, and where its fields do.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Place {
    /// From 1; 0 for what stands in no document.
    index: usize,
    /// Line of its first content, from 1.
    line: usize,
    /// Each key that begins a line.
    keys: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq)]
struct Key {
    name: String,
    /// What follows on the same line.
    value: String,
    line: usize,
    column: usize,
}

impl Key {
    fn is(&self, name: &str, value: &str) -> bool {
        let quotes = ['"', '\''];
        self.name == name && self.value.trim_matches(quotes) == value
    }
}

impl Place {
    /// A row of a table, and the names of its columns.
    pub(super) fn row(index: usize, line: usize, columns: &[String]) -> Place {
        let key = |(column, name): (usize, &String)| Key {
            name: name.clone(),
            value: String::new(),
            line,
            column,
        };
        Place {
            index,
            line,
            keys: (1..).zip(columns).map(key).collect(),
        }
    }

    /// Something is wrong with this field.
    pub(super) fn fault(&self, field: &str, problem: impl Into<String>) -> Fault {
        let last = field.rsplit('.').next().unwrap_or(field);
        let last = last.split('[').next().unwrap_or(last);
        let found = self.keys.iter().find(|key| key.name == last);
        self.fault_here(found, field, problem)
    }

    /// Something is wrong with that one of several things whose field has this value.
    pub(super) fn fault_at(&self, field: &str, value: &str, problem: impl Into<String>) -> Fault {
        let found = self.keys.iter().find(|key| key.is(field, value));
        self.fault_here(found, field, problem)
    }

    /// As [`Place::fault_at`], with the last of them.
    pub(super) fn fault_at_last(
        &self,
        field: &str,
        value: &str,
        problem: impl Into<String>,
    ) -> Fault {
        let found = self.keys.iter().rfind(|key| key.is(field, value));
        self.fault_here(found, field, problem)
    }

    fn fault_here(&self, found: Option<&Key>, field: &str, problem: impl Into<String>) -> Fault {
        let (line, column) = found.map_or((self.line, 1), |key| (key.line, key.column));
        Fault {
            document: self.index,
            line,
            column,
            field: field.to_owned(),
            problem: problem.into(),
        }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }
}

/// Finds the documents as the parser counts them: each `---` begins one, and so does content
/// before the first `---`.
pub(super) fn places(text: &str) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let mut open = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line == "---" || line.starts_with("--- ") {
            places.push(Place {
                line: number + 1,
                ..Place::default()
            });
            open = true;
            continue;
        }
        if line == "..." {
            open = false;
            continue;
        }
        let content = line.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if !open {
            places.push(Place {
                line: number,
                ..Place::default()
            });
            open = true;
        }
        let key = content.trim_start_matches("- ").split_once(':');
        if let (Some((name, value)), Some(place)) = (key, places.last_mut()) {
            place.keys.push(Key {
                name: name.trim().to_owned(),
                value: value.trim().to_owned(),
                line: number,
                column: line.len() - content.trim_start_matches("- ").len() + 1,
            });
        }
    }
    for (index, place) in (1..).zip(&mut places) {
        place.index = index;
    }
    places
}

/// The parser's own words, with the field taken out of them.
pub(super) fn fault(place: &Place, error: &serde_yaml::Error) -> Fault {
    let text = error.to_string();
    let at = error.location();
    let problem = match text.rfind(" at line ") {
        Some(end) if at.is_some() => text[..end].to_owned(),
        _ => text,
    };
    let quoted = |begin: &str| {
        let rest = problem.split(begin).nth(1)?;
        rest.split('`').next().map(str::to_owned)
    };
    let path = |problem: &str| {
        let (path, _) = problem.split_once(": ")?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.[]?".contains(c);
        path.chars().all(plain).then(|| path.to_owned())
    };
    let unknown = quoted("unknown field `");
    let known = unknown.clone().or_else(|| quoted("missing field `"));
    // Inside `boot` the parser has lost the place, but our own errors quote the value.
    let by_value = || {
        let value = problem.split('\'').nth(1).filter(|v| !v.is_empty())?;
        let key = place.keys.iter().find(|key| key.value.contains(value))?;
        Some(key.name.clone())
    };
    let said = known.or_else(|| path(&problem));
    if let (None, Some(field)) = (&said, by_value()) {
        return place.fault(&field, problem);
    }
    let field = said.unwrap_or_default();
    let mut fault = place.fault(&field, problem);
    if let (Some(at), true) = (at, unknown.is_none()) {
        (fault.line, fault.column) = (at.line(), at.column());
    }
    fault
}
