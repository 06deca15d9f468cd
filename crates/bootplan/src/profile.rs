//! How to boot one operating system.

mod templates;

use crate::extras::is_template;
use crate::{Answer, Diskless, EfiStyle, Extras, Limit, LoaderKind, Platform, RelPath, Variables};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a profile: a slug that is safe in URLs, file names and every menu language. Cheap
/// to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ProfileName(Arc<str>);

/// Why a profile was refused; each text names the field, the value and the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Not a slug.
    #[error(
        "profile name '{0}' is not usable: 1 to 64 characters of a-z, 0-9, '-', '_' and '.', \
         beginning with a letter or digit"
    )]
    Name(String),
    /// A control character, which could end a line and become a command.
    #[error("{field}: control characters such as line breaks are not allowed")]
    Control {
        /// The field at fault.
        field: &'static str,
    },
    /// Something that iPXE would take for itself: it has no quoting (vector R47).
    #[error(
        "{field}: '{word}' cannot be passed on, iPXE would act on it; '${{', the words '||', \
         '&&', ';' and words beginning with '#' are not allowed"
    )]
    Command {
        /// The field at fault.
        field: &'static str,
        /// The word at fault.
        word: String,
    },
    /// Longer than a menu or a kernel takes.
    #[error("{field}: {length} bytes, at most {limit} are allowed")]
    TooLong {
        /// The field at fault.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A required field is empty.
    #[error("{field}: must not be empty")]
    Empty {
        /// The field at fault.
        field: &'static str,
    },
    /// Does not go with the other fields, or is out of bounds.
    #[error("{field}: {rule}")]
    Unfit {
        /// The field at fault.
        field: &'static str,
        /// What is allowed.
        rule: String,
    },
    /// An answer that could not be served.
    #[error("answer '{name}': {rule}")]
    Answer {
        /// Its name.
        name: String,
        /// What is allowed.
        rule: String,
    },
    /// Two answers that are fetched by one name.
    #[error("answers: two have the name '{name}'")]
    TwoAnswers {
        /// The name.
        name: String,
    },
    /// Neither a relative path nor a URL.
    #[error(
        "'{0}' is neither a path below the images directory (like debian-12/linux) nor an \
         http:// or https:// URL without spaces or braces"
    )]
    File(String),
}

impl ProfileName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProfileName {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_slug(text) {
            Ok(ProfileName(text.into()))
        } else {
            Err(ProfileError::Name(text.chars().take(80).collect()))
        }
    }
}

/// Safe in URLs, file names and every menu language.
pub(crate) fn is_slug(text: &str) -> bool {
    let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_.".contains(&c);
    let first = text.bytes().next();
    (1..=64).contains(&text.len())
        && text.bytes().all(legal)
        && first.is_some_and(|c| c.is_ascii_alphanumeric())
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ProfileName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A file that a loader fetches: below our images directory, or anywhere on the web.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileRef {
    /// A path below the images directory, with forward slashes.
    Image(RelPath),
    /// An absolute `http://` or `https://` URL.
    Url(String),
}

impl FromStr for FileRef {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ProfileError::File(text.chars().take(120).collect());
        let is_url = text.starts_with("http://") || text.starts_with("https://");
        if is_url {
            // Printable ASCII without what would end a word or a quote in any menu language.
            let plain = text
                .bytes()
                .all(|c| c.is_ascii_graphic() && !b"\"'\\`<>{}|^$;".contains(&c));
            let has_host = text
                .split("//")
                .nth(1)
                .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
            return if plain && has_host && text.len() <= 1024 {
                Ok(FileRef::Url(text.to_owned()))
            } else {
                Err(bad())
            };
        }
        // The three menu languages agree on these only: PXELINUX ends a word at a space and an
        // initrd at a comma, GRUB's screen knows ASCII.
        if !text.bytes().all(|c| c.is_ascii_graphic() && c != b',') {
            return Err(bad());
        }
        text.parse::<RelPath>()
            .map(FileRef::Image)
            .map_err(|_| bad())
    }
}

impl FileRef {
    /// Whether it is iPXE's loader of Windows, which takes all other files by their names.
    pub fn is_wimboot(&self) -> bool {
        self.file_name() == "wimboot"
    }

    /// The last part of the path.
    pub fn file_name(&self) -> &str {
        match self {
            FileRef::Image(path) => path.file_name(),
            FileRef::Url(url) => url.rsplit('/').next().unwrap_or(url),
        }
    }
}

impl fmt::Display for FileRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileRef::Image(path) => f.write_str(path.as_str()),
            FileRef::Url(url) => f.write_str(url),
        }
    }
}

impl Serialize for FileRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What happens once the loader has the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum BootMethod {
    /// A Linux kernel with its initial RAM disks.
    Linux {
        /// The kernel image.
        kernel: FileRef,
        /// Initial RAM disks, in order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        initrds: Vec<FileRef>,
        /// Kernel command line, without the console argument.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        args: String,
        /// Serial console, e.g. `ttyS0,115200`; becomes `console=…`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        console: Option<String>,
    },
    /// The machine's own disk.
    LocalDisk {},
    /// A stand-alone program per platform, such as memtest86+.
    Program {
        /// Platform to file.
        files: BTreeMap<Platform, FileRef>,
    },
    /// A root file system over the network.
    Diskless(Diskless),
    /// Hand over to another boot server's script or program by URL.
    Chain {
        /// Where to go on.
        url: FileRef,
    },
}

/// How to boot one operating system, as an operator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Identity.
    pub name: ProfileName,
    /// What menus and pages show.
    pub title: String,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Operator's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A disabled profile boots nothing; its machines stay silent.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// Whether it stands in boot menus beside the assigned one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub in_menu: bool,
    /// Platforms it can boot; empty means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<Platform>,
    /// Loader preference; `None` leaves it to the site (iPXE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loader: Option<LoaderKind>,
    /// How UEFI machines of this profile are answered.
    #[serde(default, skip_serializing_if = "is_default")]
    pub efi_style: EfiStyle,
    /// What is booted.
    pub boot: BootMethod,
    /// Lines of the loaders' own languages before it.
    #[serde(default, skip_serializing_if = "Extras::is_empty")]
    pub extras: Extras,
    /// What its machines fetch by link, or a device by plain name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
    /// For its arguments and answers, between those of groups and of the machine.
    #[serde(default, skip_serializing_if = "Variables::is_empty")]
    pub variables: Variables,
    /// When an installation by it is held; `None` leaves that to the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<Limit>,
}

impl Profile {
    /// Whether it is another one for each machine: its arguments or extras are a template, or it
    /// gives its answers to wimboot.
    pub fn has_template(&self) -> bool {
        self.extras.has_template() || self.boot_has_template()
    }

    fn boot_has_template(&self) -> bool {
        let given = match &self.boot {
            BootMethod::Linux { kernel, .. } => kernel.is_wimboot() && !self.answers.is_empty(),
            _ => false,
        };
        given || self.boot.args().is_some_and(is_template)
    }

    /// Whether it is made to install: booted always, it would install at every boot, and no run
    /// counts its tries.
    pub fn installs(&self) -> bool {
        self.install.is_some() || self.answers.iter().any(|answer| answer.sealed)
    }

    /// The same with these kernel arguments.
    ///
    /// # Errors
    /// Arguments that a loader would act on, as in [`validate`](Self::validate).
    pub fn with_args(&self, filled: String) -> Result<Profile, ProfileError> {
        let mut profile = self.clone();
        match &mut profile.boot {
            BootMethod::Linux { args, .. } => {
                literal("args", &filled, ARGS_LIMIT)?;
                *args = filled;
            }
            BootMethod::Diskless(diskless) => {
                diskless.args = filled;
                diskless.validate()?;
            }
            _ => {}
        }
        Ok(profile)
    }

    /// The same with these extras.
    ///
    /// # Errors
    /// Extras that would leave their entry, as in [`validate`](Self::validate).
    pub fn with_extras(mut self, filled: Extras) -> Result<Profile, ProfileError> {
        filled.validate()?;
        self.extras = filled;
        Ok(self)
    }
}

fn yes() -> bool {
    true
}
fn is_true(v: &bool) -> bool {
    *v
}
fn is_false(v: &bool) -> bool {
    !*v
}
fn is_default(v: &EfiStyle) -> bool {
    *v == EfiStyle::default()
}

impl Profile {
    /// Whether this profile has something for the platform.
    pub fn boots_on(&self, platform: Platform) -> bool {
        let listed = self.platforms.is_empty() || self.platforms.contains(&platform);
        match &self.boot {
            BootMethod::Program { files } => listed && files.contains_key(&platform),
            _ => listed,
        }
    }

    /// Checks what the types cannot: lengths and characters of the free texts.
    ///
    /// # Errors
    /// The first field that would be dangerous or useless in a menu.
    pub fn validate(&self) -> Result<(), ProfileError> {
        if self.title.trim().is_empty() {
            return Err(ProfileError::Empty { field: "title" });
        }
        printable("title", &self.title, TITLE_LIMIT)?;
        printable("description", &self.description, DESCRIPTION_LIMIT)?;
        if self.answers.len() > ANSWERS_LIMIT {
            return Err(ProfileError::TooLong {
                field: "answers",
                length: self.answers.len(),
                limit: ANSWERS_LIMIT,
            });
        }
        for (index, answer) in self.answers.iter().enumerate() {
            answer.validate()?;
            if self.answers[..index].iter().any(|a| a.name == answer.name) {
                let name = answer.name.clone();
                return Err(ProfileError::TwoAnswers { name });
            }
        }
        if self.install.is_some_and(|limit| limit != limit.clamped()) {
            return Err(ProfileError::Unfit {
                field: "install",
                rule: "tries go from 1 to 20, minutes from 5 to 10080 (a week)".to_owned(),
            });
        }
        self.extras.validate()?;
        self.boot.nothing_to_fill()?;
        match &self.boot {
            BootMethod::Linux { args, console, .. } => {
                literal("args", args, ARGS_LIMIT)?;
                serial_line(console.as_deref().unwrap_or(""))
            }
            BootMethod::Diskless(diskless) => diskless.validate(),
            BootMethod::Program { files } if files.is_empty() => {
                Err(ProfileError::Empty { field: "files" })
            }
            _ => Ok(()),
        }
    }
}

/// A serial console: one word.
pub(crate) fn serial_line(console: &str) -> Result<(), ProfileError> {
    literal("console", console, CONSOLE_LIMIT)?;
    match console.split_once(char::is_whitespace) {
        Some((_, more)) => Err(ProfileError::Command {
            field: "console",
            word: more.to_owned(),
        }),
        None => Ok(()),
    }
}

/// Kernel arguments: literal in every menu language, nothing in them expands or ends a command.
pub(crate) fn literal(field: &'static str, text: &str, limit: usize) -> Result<(), ProfileError> {
    printable(field, text, limit)?;
    let acted_on = |word: &&str| {
        word.contains("${") || word.starts_with('#') || ["||", "&&", ";"].contains(word)
    };
    match text.split_whitespace().find(acted_on) {
        Some(word) => Err(ProfileError::Command {
            field,
            word: word.chars().take(40).collect(),
        }),
        None => Ok(()),
    }
}

fn printable(field: &'static str, text: &str, limit: usize) -> Result<(), ProfileError> {
    if text.chars().any(char::is_control) {
        return Err(ProfileError::Control { field });
    }
    if text.len() > limit {
        return Err(ProfileError::TooLong {
            field,
            length: text.len(),
            limit,
        });
    }
    Ok(())
}

/// More than any installer asks for.
const ANSWERS_LIMIT: usize = 32;
/// Fits one line of an 80-column menu twice over.
const TITLE_LIMIT: usize = 120;
const DESCRIPTION_LIMIT: usize = 2000;
/// The x86 kernel takes 2048 bytes of command line including what loaders add.
const ARGS_LIMIT: usize = 1900;
const CONSOLE_LIMIT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_slugs() {
        for good in ["debian-12", "a", "memtest86_x.1"] {
            assert!(good.parse::<ProfileName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "Debian", "a b", "a\n", "../a", &"a".repeat(65)] {
            assert!(bad.parse::<ProfileName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_is_one_that_counts() {
        let profile = |install: serde_json::Value| -> Profile {
            let profile = serde_json::json!({"name": "x", "title": "X", "install": install,
                "boot": {"kind": "local-disk"}});
            serde_json::from_value(profile).expect("well-formed")
        };
        for (tries, minutes, good) in [
            (1, 5, true),
            (20, 10_080, true),
            (0, 60, false),
            (3, 4, false),
        ] {
            let limit = serde_json::json!({"tries": tries, "minutes": minutes});
            assert_eq!(profile(limit).validate().is_ok(), good, "{tries} {minutes}");
        }
    }

    #[test]
    fn a_file_is_a_plain_path_or_a_plain_url() {
        for good in [
            "debian-12/linux",
            "http://10.0.0.1/x?a=b&c=%20d",
            "https://boot.example/ipxe",
        ] {
            assert!(good.parse::<FileRef>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "../x",
            "http://",
            "http:///x",
            "http://h/a b",
            "http://h/\nchain",
            "http://h/${net0/mac}",
            "http://h/{{ machine.name }}",
            "ftp://h/x",
            "file:///etc/passwd",
        ] {
            assert!(bad.parse::<FileRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn free_text_with_line_breaks_is_refused() {
        let profile: Profile = serde_json::from_value(serde_json::json!({
            "name": "x", "title": "X",
            "boot": {"kind": "linux", "kernel": "a/linux", "args": "a\nb"},
        }))
        .expect("well-formed");
        assert_eq!(
            profile.validate(),
            Err(ProfileError::Control { field: "args" })
        );
    }

    #[test]
    fn arguments_that_a_loader_would_act_on_are_refused() {
        let profile = |args: &str, console: &str| -> Profile {
            serde_json::from_value(serde_json::json!({
                "name": "x", "title": "X",
                "boot": {"kind": "linux", "kernel": "a/linux", "args": args, "console": console},
            }))
            .expect("well-formed")
        };
        for bad in [
            "a=${net0/mac}",
            "a || shell",
            "a && b",
            "a ; reboot",
            "a #b",
        ] {
            let error = profile(bad, "ttyS0").validate().expect_err(bad);
            assert!(
                matches!(error, ProfileError::Command { field: "args", .. }),
                "{error}"
            );
        }
        for good in ["ds=nocloud;s=http://x/ --- quiet", "a=$b c#d", "x=\"y z\""] {
            assert_eq!(profile(good, "ttyS0,115200").validate(), Ok(()), "{good}");
        }
        let error = profile("", "ttyS0 init=/bin/sh").validate();
        let error = error.expect_err("two arguments in one");
        assert!(
            matches!(
                error,
                ProfileError::Command {
                    field: "console",
                    ..
                }
            ),
            "{error}"
        );
    }
}
