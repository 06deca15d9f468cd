//! `tftp.drop_boxes` and `tftp.publish`: directories that network hardware writes into and reads from.

use super::Config;
use bootfiles::dropbox::{DropBoxSettings, Overwrite};
use bootfiles::{Network, Networks, Published};
use bootplan::{BootPath, RelPath};
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// One entry of `tftp.drop_boxes`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DropBox {
    /// Names below this path are the box's.
    #[serde(deserialize_with = "parsed")]
    pub prefix: RelPath,
    /// Who may write, and read back where that is allowed.
    #[serde(deserialize_with = "networks")]
    pub networks: Networks,
    /// Where the files lie; below the data directory when it is left out.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// Most bytes in all.
    #[serde(default = "default_quota")]
    pub quota: Size,
    /// Most bytes of one file.
    #[serde(default = "default_max_file")]
    pub max_file: Size,
    /// What happens to a name that exists already.
    #[serde(default)]
    pub overwrite: Rule,
    /// Whether files can be read back.
    #[serde(default)]
    pub readable: bool,
}

/// `overwrite`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rule {
    /// The upload is refused.
    Never,
    /// Every upload is kept under its time.
    #[default]
    Version,
    /// The new content takes the place of the old.
    Replace,
}

/// One entry of `tftp.publish`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publish {
    /// Names below this path are the directory's.
    #[serde(deserialize_with = "parsed")]
    pub prefix: RelPath,
    /// Where the files lie.
    pub directory: PathBuf,
    /// Who may read.
    #[serde(deserialize_with = "networks")]
    pub networks: Networks,
    /// Whether letter case is ignored.
    #[serde(default)]
    pub ignore_case: bool,
}

/// A number of bytes: `4096`, `64 MiB`, `2GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub u64);

/// What is wrong with an entry as a whole, and where.
pub(super) struct Fault {
    /// The key at fault.
    pub key: &'static str,
    /// Its value, which tells the entry from others.
    pub value: String,
    /// For people.
    pub message: String,
}

impl Config {
    /// The drop boxes, with the defaults filled in.
    pub(crate) fn drop_boxes(&self) -> Vec<DropBoxSettings> {
        let boxes = self.tftp.drop_boxes.iter();
        boxes
            .map(|b| DropBoxSettings {
                prefix: b.prefix.clone(),
                directory: self.directory_of(b),
                networks: b.networks.clone(),
                quota: b.quota.0,
                max_file: b.max_file.0.min(b.quota.0),
                overwrite: match b.overwrite {
                    Rule::Never => Overwrite::Never,
                    Rule::Version => Overwrite::Version,
                    Rule::Replace => Overwrite::Replace,
                },
                readable: b.readable,
            })
            .collect()
    }

    /// The directories that are served below a prefix: those published, and drop boxes that can be read back.
    pub(crate) fn published(&self) -> Vec<Published> {
        let plain = self.tftp.publish.iter().map(|p| Published {
            prefix: p.prefix.clone(),
            directory: p.directory.clone(),
            networks: p.networks.clone(),
            ignore_case: p.ignore_case,
        });
        let boxes = self.tftp.drop_boxes.iter().filter(|b| b.readable);
        let boxes = boxes.map(|b| Published {
            prefix: b.prefix.clone(),
            directory: self.directory_of(b),
            networks: b.networks.clone(),
            ignore_case: false,
        });
        plain.chain(boxes).collect()
    }

    fn directory_of(&self, drop_box: &DropBox) -> PathBuf {
        let below = || self.below_data(&drop_box.prefix);
        drop_box.directory.clone().unwrap_or_else(below)
    }

    /// The place of a drop box that names none.
    fn below_data(&self, prefix: &RelPath) -> PathBuf {
        self.data_dir.join("uploads").join(prefix.as_str())
    }
}

/// The first entry that is wrong as a whole.
pub(super) fn fault(config: &Config) -> Option<Fault> {
    entry_fault(config).or_else(|| directory_fault(config))
}

fn entry_fault(config: &Config) -> Option<Fault> {
    let tftp = &config.tftp;
    let boxes = tftp.drop_boxes.iter();
    let boxes = boxes.map(|b| ("drop_boxes", &b.prefix, &b.networks, b.directory.as_deref()));
    let published = tftp.publish.iter();
    let published = published.map(|p| ("publish", &p.prefix, &p.networks, Some(&*p.directory)));
    let mut before: Vec<&RelPath> = Vec::new();
    for (list, prefix, networks, directory) in boxes.chain(published) {
        let at = |key, value: &dyn ToString, text: String| Fault {
            key,
            value: value.to_string(),
            message: format!("tftp.{list}: {text}"),
        };
        if let Some(owner) = reserved(prefix) {
            let text = format!("prefix '{prefix}' belongs to {owner}; choose another");
            return Some(at("prefix", prefix, text));
        }
        let overlaps = |other: &&&RelPath| {
            // A published directory may ignore letter case.
            let (a, b) = (lower_case(prefix), lower_case(other));
            a == b || a.below(&b).is_some() || b.below(&a).is_some()
        };
        if let Some(other) = before.iter().find(overlaps) {
            let text = format!("prefix '{prefix}' and prefix '{other}' overlap");
            return Some(at("prefix", prefix, text));
        }
        if networks.is_empty() {
            let text = format!("'{prefix}' has no networks, so nobody could use it");
            return Some(at("prefix", prefix, text));
        }
        if let Some(directory) = directory.filter(|directory| !directory.is_absolute()) {
            let shown = directory.display();
            let text = format!("directory '{shown}' must be an absolute path");
            return Some(at("directory", &shown, text));
        }
        before.push(prefix);
    }
    None
}

fn lower_case(prefix: &RelPath) -> RelPath {
    let lower = prefix.as_str().to_ascii_lowercase();
    lower.parse().unwrap_or_else(|_| prefix.clone())
}

/// A drop box within another would be counted, listed and tidied by both; one around our own files would let devices
/// write them, and a published directory around them would give them away. Several published directories may
/// share files.
fn directory_fault(config: &Config) -> Option<Fault> {
    let ours = ["farrier.db", "images", "loaders", "run"].map(|name| config.data_dir.join(name));
    let database = config.database_url();
    let file = |url: &str| url.split('?').next().map(PathBuf::from);
    let database = database.strip_prefix("sqlite:").and_then(file);
    let mut used: Vec<(PathBuf, String)> = ours
        .into_iter()
        .chain(database)
        .map(|path| (plain(&path), "Farrier's own files".to_owned()))
        .collect();
    let boxes = config.tftp.drop_boxes.iter();
    let boxes = boxes.map(|b| ("drop_boxes", &b.prefix, config.directory_of(b)));
    let published = config.tftp.publish.iter();
    let published = published.map(|p| ("publish", &p.prefix, p.directory.clone()));
    for (list, prefix, directory) in boxes.chain(published) {
        let path = plain(&directory);
        let overlaps =
            |other: &&(PathBuf, String)| path.starts_with(&other.0) || other.0.starts_with(&path);
        if let Some((other, owner)) = used.iter().find(overlaps) {
            let (shown, other) = (directory.display(), other.display());
            let is_written = directory != config.below_data(prefix);
            let (key, value) = match is_written {
                true => ("directory", shown.to_string()),
                false => ("prefix", prefix.to_string()),
            };
            return Some(Fault {
                key,
                value,
                message: format!(
                    "tftp.{list}: directory '{shown}' of '{prefix}' overlaps with '{other}' ({owner}); choose another"
                ),
            });
        }
        if list == "drop_boxes" {
            used.push((path, format!("drop box '{prefix}'")));
        }
    }
    None
}

/// Without `.` and `..`, and without symbolic links as far as it exists, so that one directory has one name.
fn plain(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in path.ancestors() {
        if let (Ok(real), Ok(below)) = (above.canonicalize(), path.strip_prefix(above)) {
            return lexically_plain(&real.join(below));
        }
    }
    lexically_plain(&path)
}

fn lexically_plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

/// Whose names lie below this prefix already.
fn reserved(prefix: &RelPath) -> Option<&'static str> {
    let first = prefix.as_str().split('/').next().unwrap_or_default();
    match first.to_ascii_lowercase().as_str() {
        "images" => return Some("the images directory"),
        "boot" | "farrier" | "pxelinux.cfg" | "grub" | "efi" => return Some("boot loaders"),
        _ => {}
    }
    let below = |name: &str| format!("{prefix}/{name}");
    let plain = |name: &str| matches!(BootPath::parse(name.as_bytes()), Ok(BootPath::Loader(_)));
    let names = ["boot.ipxe", "grub.cfg", "default"];
    let all_plain = names.iter().all(|name| plain(&below(name)));
    (!all_plain).then_some("boot menus")
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        let expected = "a number of bytes such as 4096, 64 MiB or 2 GiB";
        match Written::deserialize(deserializer) {
            Ok(Written::Number(bytes)) if bytes > 0 => Ok(Size(bytes)),
            Ok(Written::Number(_)) => Err(Error::invalid_value(Unexpected::Unsigned(0), &expected)),
            Ok(Written::Text(text)) => text
                .parse()
                .map_err(|()| Error::invalid_value(Unexpected::Str(&text), &expected)),
            Err(_) => Err(Error::custom(format!("expected {expected}"))),
        }
    }
}

impl FromStr for Size {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit());
        let (number, unit) = text.split_at(end.unwrap_or(text.len()));
        let unit: u64 = match unit.trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(()),
        };
        let number: u64 = number.parse().map_err(|_| ())?;
        let bytes = number.checked_mul(unit).filter(|bytes| *bytes > 0);
        bytes.map(Size).ok_or(())
    }
}

fn parsed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RelPath, D::Error> {
    let text = String::deserialize(deserializer)?;
    let plain = text.trim_start_matches('/');
    plain.parse().map_err(|refusal| {
        Error::custom(format!("'{text}' cannot be a prefix of names: {refusal}"))
    })
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Networks, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let networks: Result<_, _> = texts.iter().map(|text| text.parse::<Network>()).collect();
    networks.map_err(Error::custom)
}

/// Where an entry's value stands in the file.
pub(super) fn place(text: &str, fault: &Fault) -> (usize, usize) {
    let key = format!("{}:", fault.key);
    let here = |line: &str| {
        let column = line.find(&key)?;
        line[column..].contains(&fault.value).then_some(column)
    };
    let mut lines = text.lines().enumerate();
    let place = lines.find_map(|(index, line)| Some((index + 1, here(line)? + 1)));
    place.unwrap_or((1, 1))
}

fn default_quota() -> Size {
    Size(1 << 30)
}

/// Firmware of a large switch has some hundred megabytes, and what is stored are configurations.
fn default_max_file() -> Size {
    Size(64 << 20)
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::{fault, parsed as config};
    use super::*;
    use std::path::Path;

    #[test]
    fn a_drop_box_and_a_published_directory_as_people_write_them() {
        let config = config(
            "data_dir: /d
tftp:
  drop_boxes:
    - {prefix: /configs, networks: [10.1.0.0/16, 10.2.0.9]}
    - prefix: crash/dumps
      networks: [0.0.0.0/0]
      directory: /srv/dumps
      quota: 2 GiB
      max_file: 512MiB
      overwrite: never
      readable: true
  publish:
    - {prefix: firmware, directory: /srv/fw, networks: [10.0.0.0/8], ignore_case: true}
",
        );
        let boxes = config.drop_boxes();
        assert_eq!(boxes[0].directory, Path::new("/d/uploads/configs"));
        assert_eq!(boxes[0].overwrite, Overwrite::Version);
        assert_eq!((boxes[0].quota, boxes[0].max_file), (1 << 30, 64 << 20));
        assert!(boxes[0].networks.contains([10, 2, 0, 9].into()));
        assert_eq!((boxes[1].quota, boxes[1].max_file), (2 << 30, 512 << 20));
        let published = config.published();
        let prefixes: Vec<&str> = published.iter().map(|p| p.prefix.as_str()).collect();
        assert_eq!(prefixes, ["firmware", "crash/dumps"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let with = |entry: &str| format!("tftp:\n  drop_boxes:\n    - {entry}\n");
        for (entry, expected) in [
            (
                "{prefix: a}",
                "f.yaml:3:7: tftp.drop_boxes[0]: missing field `networks`",
            ),
            (
                "{prefix: a, networks: []}",
                "f.yaml:3:8: tftp.drop_boxes: 'a' has no networks",
            ),
            (
                "{prefix: a, networks: [10.1/16]}",
                "'10.1/16' is no IPv4 network; write 10.1.0.0/16",
            ),
            (
                "{prefix: ../a, networks: [10.0.0.0/8]}",
                "'../a' cannot be a prefix of names",
            ),
            (
                "{prefix: images/a, networks: [10.0.0.0/8]}",
                "f.yaml:3:8: tftp.drop_boxes: prefix 'images/a' belongs to the images directory",
            ),
            (
                "{prefix: x/grub, networks: [10.0.0.0/8]}",
                "belongs to boot menus",
            ),
            (
                "{prefix: a, networks: [10.0.0.0/8], directory: b}",
                "directory 'b' must be an absolute path",
            ),
            (
                "{prefix: a, networks: [10.0.0.0/8], quota: 5 apples}",
                "expected a number of bytes such as 4096, 64 MiB or 2 GiB",
            ),
            (
                "{prefix: a, networks: [10.0.0.0/8], quota: 0}",
                "expected a number of bytes",
            ),
            (
                "{prefix: a, networks: [10.0.0.0/8], overwrite: perhaps}",
                "unknown variant `perhaps`",
            ),
            (
                "{prefix: a, networks: [10.0.0.0/8], qouta: 1}",
                "unknown key 'qouta', did you mean 'quota'?",
            ),
        ] {
            let message = fault(&with(entry));
            assert!(
                message.starts_with("f.yaml:3:") && message.contains(expected),
                "{entry} gave {message}"
            );
        }
        let two = "tftp:\n  drop_boxes:\n  - {prefix: a, networks: [10.0.0.0/8]}\n  publish:\n  - prefix: a/b\n    networks: [10.0.0.0/8]\n    directory: /srv\n";
        let message = fault(two);
        assert!(
            message.starts_with("f.yaml:5:5: tftp.publish: prefix 'a/b' and prefix 'a' overlap"),
            "{message}"
        );
        let message = fault(&two.replace("prefix: a/b", "prefix: A/b"));
        assert!(
            message.starts_with("f.yaml:5:5: tftp.publish: prefix 'A/b' and prefix 'a' overlap"),
            "{message}"
        );
    }

    /// Two drop boxes, of which the first has the place it gets by itself, and a published directory.
    fn directories(second: &str, published: &str) -> String {
        format!(
            "data_dir: /d
tftp:
  drop_boxes:
  - {{prefix: a, networks: [10.0.0.0/8]}}
  - {{prefix: b, networks: [10.0.0.0/8], directory: {second}}}
  publish:
  - {{prefix: c, networks: [10.0.0.0/8], directory: {published}}}
  - {{prefix: d, networks: [10.0.0.0/8], directory: {published}/below}}
"
        )
    }

    #[test]
    fn directories_are_nobody_elses() {
        config(&directories("/srv/b", "/srv/c"));
        config(&directories("/d/uploads/b", "/d/firmware"));
        for (second, published, expected) in [
            (
                "/d/uploads/a",
                "/c",
                "f.yaml:5:41: tftp.drop_boxes: directory '/d/uploads/a' of 'b' overlaps with '/d/uploads/a' (drop box 'a')",
            ),
            ("/d/uploads/x/../a/y", "/c", "(drop box 'a')"),
            ("/d/uploads", "/c", "(drop box 'a')"),
            (
                "/d/images/x",
                "/c",
                "'/d/images/x' of 'b' overlaps with '/d/images' (Farrier's own files)",
            ),
            ("/d", "/c", "(Farrier's own files)"),
            ("/", "/c", "(Farrier's own files)"),
            (
                "/b",
                "/d/loaders",
                "f.yaml:7:41: tftp.publish: directory '/d/loaders' of 'c' overlaps",
            ),
            ("/b", "/d", "(Farrier's own files)"),
            ("/b", "/b", "overlaps with '/b' (drop box 'b')"),
            ("/b/c", "/b", "overlaps with '/b/c' (drop box 'b')"),
        ] {
            let message = fault(&directories(second, published));
            assert!(
                message.contains(expected),
                "{second} {published}: {message}"
            );
        }
        let elsewhere = directories("/var/db", "/c") + "database: sqlite:/var/db/farrier.db\n";
        let message = fault(&elsewhere);
        assert!(
            message.contains("overlaps with '/var/db/farrier.db'"),
            "{message}"
        );
    }

    #[test]
    fn a_symbolic_link_is_no_other_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let real = dir.path().join("real");
        std::fs::create_dir(&real).expect("made");
        std::os::unix::fs::symlink(&real, dir.path().join("link")).expect("made");
        let link = dir.path().join("link/below").display().to_string();
        let message = fault(&directories(&link, &real.display().to_string()));
        assert!(message.contains("(drop box 'b')"), "{message}");
    }
}
