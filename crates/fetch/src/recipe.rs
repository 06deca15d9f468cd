//! Which files of a distribution's mirror make an image, and who signs them: data, so that a new
//! release needs no new program (`boot-assets/mirrors`).

use crate::FetchError;
use bootfiles::images::check_name;
use bootplan::RelPath;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// One set of files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// A slug.
    pub name: String,
    /// For people.
    pub title: String,
    /// Which mirror has it.
    pub site: String,
    /// Who signs.
    pub(crate) keyring: KeyringFile,
    /// The signed file, below the mirror's root.
    pub(crate) release: Inside,
    /// What it says of itself.
    pub(crate) is: BTreeMap<String, String>,
    /// The list of checksums, below the release's directory.
    pub(crate) sums: Inside,
    /// Name in the image, path in the list.
    pub(crate) files: BTreeMap<String, Inside>,
}

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyringFile {
    pub(crate) file: String,
    pub(crate) package: String,
}

/// A path that leads nowhere but down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Inside(RelPath);

impl Inside {
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for Inside {
    type Error = String;

    fn try_from(text: String) -> Result<Inside, String> {
        let path = text.parse().map(Inside);
        path.map_err(|_| format!("'{text}' is no path below the mirror"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    mirrors: Vec<Mirror>,
}

/// The recipes of a directory (`*.yaml`, by name), and then the built-in ones.
///
/// # Errors
/// Names the file.
pub(crate) fn load(directory: &Path) -> Result<Vec<Mirror>, FetchError> {
    let mut all = Vec::new();
    let mut paths = Vec::new();
    match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        entries => {
            for entry in entries? {
                paths.push(entry?.path());
            }
        }
    }
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "yaml"));
    paths.sort();
    for path in paths {
        read(
            &path.display().to_string(),
            &fs::read_to_string(&path)?,
            &mut all,
        )?;
    }
    read("debian.yaml", BUILTIN, &mut all)?;
    Ok(all)
}

fn read(path: &str, text: &str, all: &mut Vec<Mirror>) -> Result<(), FetchError> {
    let fault = |why: String| FetchError::Order(format!("{path}: {why}"));
    let document: Document = serde_yaml::from_str(text).map_err(|e| fault(e.to_string()))?;
    if document.format != 1 {
        let format = document.format;
        return Err(fault(format!(
            "format {format} is not known to this version of Farrier (1 is)"
        )));
    }
    for mirror in document.mirrors {
        let names = mirror.files.keys().chain([&mirror.name]);
        for name in names {
            check_name(name).map_err(|error| fault(format!("{}: {error}", mirror.name)))?;
        }
        if mirror.files.is_empty() || mirror.is.is_empty() {
            return Err(fault(format!(
                "{}: 'files' and 'is' must say something",
                mirror.name
            )));
        }
        if all.iter().all(|known| known.name != mirror.name) {
            all.push(mirror);
        }
    }
    Ok(())
}

const BUILTIN: &str = include_str!("../../../boot-assets/mirrors/debian.yaml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_recipes_are_read_and_an_operators_come_first() {
        let temp = tempfile::tempdir().expect("a directory");
        let builtin = load(&temp.path().join("absent")).expect("readable");
        let names: Vec<&str> = builtin.iter().map(|mirror| mirror.name.as_str()).collect();
        assert!(names.contains(&"debian-12-netboot") && names.contains(&"debian-13-netboot-arm64"));
        let ours = BUILTIN.replace("Debian 12", "Ours");
        fs::write(temp.path().join("ours.yaml"), ours).expect("written");
        let all = load(temp.path()).expect("readable");
        assert_eq!(all.len(), builtin.len());
        assert!(all[0].title.starts_with("Ours"));
    }

    #[test]
    fn faults_name_the_file_and_what_is_wrong() {
        for (from, to, expected) in [
            ("format: 1", "format: 2", "format 2 is not known"),
            ("linux:", "../linux:", "no name for an image"),
            ("dists/bookworm/", "../dists/", "no path below the mirror"),
            ("    title", "    titel", "unknown field `titel`"),
        ] {
            let told = read("x.yaml", &BUILTIN.replace(from, to), &mut Vec::new());
            let told = told.expect_err(expected).to_string();
            assert!(told.starts_with("x.yaml: "), "{told}");
            assert!(told.contains(expected), "{told}");
        }
    }
}
