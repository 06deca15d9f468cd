//! The profile form: from a [`Profile`] to fields and back, with errors beside the fields.

use super::error::sentence;
use super::form::Fields;
use super::story::printable;
use super::yaml_area::YamlArea;
use crate::documents;
use bootplan::{
    BootMethod, Diskless, EfiStyle, Extras, FileRef, LoaderKind, Platform, Profile, ProfileError,
    ProfileName,
};
use std::collections::BTreeMap;

/// The form as typed, with its errors.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProfileForm {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) labels: String,
    pub(crate) enabled: bool,
    pub(crate) in_menu: bool,
    pub(crate) platforms: Vec<Platform>,
    pub(crate) loader: String,
    pub(crate) efi_style: String,
    pub(crate) kind: String,
    pub(crate) kernel: String,
    pub(crate) initrds: String,
    pub(crate) args: String,
    pub(crate) console: String,
    pub(crate) console_other: String,
    pub(crate) files: BTreeMap<Platform, String>,
    pub(crate) url: String,
    pub(crate) root: String,
    pub(crate) access: String,
    pub(crate) start: String,
    pub(crate) overlay: String,
    pub(crate) overlay_gib: String,
    /// Lines of the loaders' own languages, as typed.
    pub(crate) extras: Extras,
    /// Answers, variables and the limit, as documents write them.
    pub(crate) more: YamlArea,
    /// Field name to what is wrong with it.
    pub(crate) errors: BTreeMap<String, String>,
}

/// Labels as they stand in a text area: one on a line.
pub(crate) fn label_lines(labels: &BTreeMap<String, String>) -> String {
    let lines = labels.iter().map(|(key, value)| match value.is_empty() {
        true => printable(key),
        false => printable(&format!("{key}={value}")),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Labels from the lines of a text area.
pub(crate) fn labels_of(lines: &str) -> BTreeMap<String, String> {
    let lines = lines.lines().map(str::trim).filter(|l| !l.is_empty());
    let pairs = lines.map(|line| line.split_once('=').unwrap_or((line, "")));
    pairs
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

impl ProfileForm {
    /// An empty form for a new profile.
    pub(crate) fn blank() -> Self {
        ProfileForm {
            enabled: true,
            efi_style: "binl".to_owned(),
            kind: "linux".to_owned(),
            overlay_gib: "8".to_owned(),
            ..ProfileForm::default()
        }
    }

    /// A saved profile as a form.
    pub(crate) fn of(profile: &Profile) -> Self {
        let mut form = ProfileForm {
            name: profile.name.to_string(),
            title: profile.title.clone(),
            description: profile.description.clone(),
            labels: label_lines(&profile.labels),
            extras: profile.extras.clone(),
            more: YamlArea::of(documents::Rest::of(profile).written()),
            enabled: profile.enabled,
            in_menu: profile.in_menu,
            platforms: profile.platforms.clone(),
            loader: profile
                .loader
                .map(LoaderKind::slug)
                .unwrap_or("")
                .to_owned(),
            efi_style: match profile.efi_style {
                EfiStyle::Binl => "binl".to_owned(),
                EfiStyle::Direct => "direct".to_owned(),
            },
            ..ProfileForm::blank()
        };
        form.kind = match &profile.boot {
            BootMethod::Linux {
                kernel,
                initrds,
                args,
                console,
            } => {
                form.kernel_fields(kernel, initrds, args, console.as_ref());
                "linux"
            }
            BootMethod::Diskless(d) => {
                form.kernel_fields(&d.kernel, &d.initrds, &d.args, d.console.as_ref());
                form.root = d.root.clone();
                (form.access, form.start) = (slug(&d.access), slug(&d.start));
                (form.overlay, form.overlay_gib) = (slug(&d.overlay), d.overlay_gib.to_string());
                "diskless"
            }
            BootMethod::LocalDisk {} => "local-disk",
            BootMethod::Program { files } => {
                form.files = files.iter().map(|(p, f)| (*p, f.to_string())).collect();
                "program"
            }
            BootMethod::Chain { url } => {
                form.url = url.to_string();
                "chain"
            }
        }
        .to_owned();
        form
    }

    fn kernel_fields(
        &mut self,
        kernel: &FileRef,
        initrds: &[FileRef],
        args: &str,
        console: Option<&String>,
    ) {
        self.kernel = kernel.to_string();
        let lines: Vec<String> = initrds.iter().map(ToString::to_string).collect();
        self.initrds = lines.join("\n");
        self.args = args.to_owned();
        let console = console.cloned().unwrap_or_default();
        match console.is_empty() || CONSOLES.contains(&console.as_str()) {
            true => self.console = console,
            false => (self.console, self.console_other) = ("other".to_owned(), console),
        }
    }

    /// The fields as they were typed.
    pub(crate) fn typed(fields: &Fields) -> Self {
        let text = |name: &str| fields.get(name).to_owned();
        let file = |p: Platform| (p, text(&format!("file_{}", p.slug())));
        ProfileForm {
            name: text("name"),
            title: text("title"),
            description: text("description").replace("\r\n", " ").replace('\n', " "),
            labels: fields.lines("labels").collect::<Vec<_>>().join("\n"),
            extras: Extras {
                ipxe: typed_lines(fields, "extras.ipxe"),
                pxelinux: typed_lines(fields, "extras.pxelinux"),
                grub: typed_lines(fields, "extras.grub"),
            },
            more: YamlArea::typed(fields, "more"),
            enabled: fields.has("enabled"),
            in_menu: fields.has("in_menu"),
            platforms: fields
                .all("platform")
                .filter_map(Platform::from_slug)
                .collect(),
            loader: text("loader"),
            efi_style: text("efi_style"),
            kind: text("kind"),
            kernel: text("kernel"),
            initrds: fields.lines("initrds").collect::<Vec<_>>().join("\n"),
            args: text("args").replace("\r\n", " ").replace('\n', " "),
            console: text("console"),
            console_other: text("console_other"),
            files: Platform::ALL
                .into_iter()
                .map(file)
                .filter(|(_, f)| !f.is_empty())
                .collect(),
            url: text("url"),
            root: text("root"),
            access: text("access"),
            start: text("start"),
            overlay: text("overlay"),
            overlay_gib: text("overlay_gib"),
            errors: BTreeMap::new(),
        }
    }

    /// What is wrong with a field; empty when nothing is.
    pub(crate) fn error(&self, field: &str) -> &str {
        self.errors.get(field).map_or("", String::as_str)
    }

    /// Whether a platform is ticked.
    pub(crate) fn lists(&self, platform: &Platform) -> bool {
        self.platforms.contains(platform)
    }

    /// The file typed for a platform.
    pub(crate) fn file(&self, platform: &Platform) -> &str {
        self.files.get(platform).map_or("", String::as_str)
    }

    /// What is wrong with the file of a platform; empty when nothing is.
    pub(crate) fn file_error(&self, platform: &Platform) -> &str {
        self.error(&format!("file_{}", platform.slug()))
    }

    /// The whole form as a profile; `None` leaves the reasons in `errors`.
    pub(crate) fn profile(&mut self) -> Option<Profile> {
        let name = self.keep("name", self.name.parse::<ProfileName>());
        let boot = self.boot();
        let rest = documents::rest(&self.more.text);
        if let Err(fault) = &rest {
            self.blame_more(fault);
        }
        let (Some(name), Some(boot), Ok(rest)) = (name, boot, rest) else {
            return None;
        };
        let profile = Profile {
            name,
            title: self.title.clone(),
            description: self.description.clone(),
            labels: labels_of(&self.labels),
            enabled: self.enabled,
            in_menu: self.in_menu,
            platforms: self.platforms.clone(),
            loader: LoaderKind::from_slug(&self.loader),
            efi_style: match self.efi_style.as_str() {
                "direct" => EfiStyle::Direct,
                _ => EfiStyle::Binl,
            },
            boot,
            extras: self.extras.clone(),
            answers: rest.answers,
            variables: rest.variables,
            install: rest.install,
        };
        if let Err(error) = profile.validate() {
            self.blame(&error);
        }
        self.errors.is_empty().then_some(profile)
    }

    /// Puts an error beside the field it is about.
    pub(crate) fn blame(&mut self, error: &ProfileError) {
        let (field, text) = match error {
            ProfileError::Name(_) => ("name", error.to_string()),
            ProfileError::File(_) => ("kernel", error.to_string()),
            ProfileError::Control { field } => (
                *field,
                "line breaks and other control characters are not allowed".to_owned(),
            ),
            ProfileError::Command { field, .. } => (*field, error.to_string()),
            ProfileError::TooLong {
                field: "answers", ..
            } => {
                let fault = documents::refused(&self.more.text, error);
                return self.blame_more(&fault);
            }
            ProfileError::TooLong {
                field,
                length,
                limit,
            } => (*field, format!("{length} bytes; at most {limit} fit")),
            ProfileError::Empty { field } => (*field, "this is needed".to_owned()),
            ProfileError::Unfit { field, rule } if *field != "install" => (*field, rule.clone()),
            ProfileError::Answer { .. }
            | ProfileError::TwoAnswers { .. }
            | ProfileError::Unfit { .. } => {
                let fault = documents::refused(&self.more.text, error);
                return self.blame_more(&fault);
            }
        };
        self.errors.insert(field.to_owned(), sentence(&text));
    }

    fn blame_more(&mut self, fault: &documents::Fault) {
        self.more.blame(fault);
        let problem = self.more.problem.clone();
        self.errors.insert("more".to_owned(), problem);
    }

    fn boot(&mut self) -> Option<BootMethod> {
        match self.kind.as_str() {
            "local-disk" => Some(BootMethod::LocalDisk {}),
            "chain" => {
                let url = self.file_ref("url", &self.url.clone())?;
                if let FileRef::Image(_) = url {
                    let text = "An http:// or https:// address is needed.";
                    self.errors.insert("url".to_owned(), text.to_owned());
                    return None;
                }
                Some(BootMethod::Chain { url })
            }
            "program" => {
                let mut files = BTreeMap::new();
                for (platform, text) in self.files.clone() {
                    let field = format!("file_{}", platform.slug());
                    files.insert(platform, self.file_ref(&field, &text)?);
                }
                Some(BootMethod::Program { files })
            }
            "linux" | "diskless" => {
                let kernel = self.file_ref("kernel", &self.kernel.clone());
                let typed = self.initrds.clone();
                let initrds: Option<Vec<_>> = typed
                    .lines()
                    .map(|line| self.file_ref("initrds", line))
                    .collect();
                let console = match self.console.as_str() {
                    "other" => self.console_other.clone(),
                    console => console.to_owned(),
                };
                if self.kind == "diskless" && self.access != "nfs" {
                    self.file_ref("root", &self.root.clone())?;
                }
                let (kernel, initrds, args) = (kernel?, initrds?, self.args.clone());
                let console = (!console.is_empty()).then_some(console);
                if self.kind == "linux" {
                    return Some(BootMethod::Linux {
                        kernel,
                        initrds,
                        args,
                        console,
                    });
                }
                Some(BootMethod::Diskless(Diskless {
                    kernel,
                    initrds,
                    root: self.root.clone(),
                    access: chosen(&self.access),
                    start: chosen(&self.start),
                    overlay: chosen(&self.overlay),
                    overlay_gib: self.overlay_gib.parse().unwrap_or(0),
                    args,
                    console,
                }))
            }
            _ => {
                let text = "Choose what is booted.";
                self.errors.insert("kind".to_owned(), text.to_owned());
                None
            }
        }
    }

    fn file_ref(&mut self, field: &str, text: &str) -> Option<FileRef> {
        if text.is_empty() {
            self.errors
                .insert(field.to_owned(), "This is needed.".to_owned());
            return None;
        }
        self.keep(field, text.parse())
    }

    fn keep<T>(&mut self, field: &str, parsed: Result<T, ProfileError>) -> Option<T> {
        parsed
            .map_err(|e| {
                self.errors
                    .insert(field.to_owned(), sentence(&e.to_string()))
            })
            .ok()
    }
}

/// Lines as typed, indented as they were, with the line ends of a loader and without those behind
/// the last one.
fn typed_lines(fields: &Fields, name: &str) -> String {
    fields.raw(name).replace("\r\n", "\n").trim_end().to_owned()
}

/// The word of a choice in YAML and forms.
fn slug(choice: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(choice).ok();
    let word = value.as_ref().and_then(|v| v.as_str());
    word.unwrap_or_default().to_owned()
}

/// The choice of a word; the usual one for words that nobody offers.
fn chosen<T: serde::de::DeserializeOwned + Default>(word: &str) -> T {
    serde_json::from_value(word.into()).unwrap_or_default()
}

/// Serial consoles offered in the drop-down besides none and other.
pub(crate) const CONSOLES: [&str; 3] = ["ttyS0,115200", "ttyS1,115200", "ttyAMA0,115200"];

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(boot: serde_json::Value) -> Profile {
        serde_json::from_value(serde_json::json!({
            "name": "x", "title": "X", "platforms": ["bios"], "loader": "grub",
            "efi_style": "direct", "in_menu": true, "boot": boot,
            "extras": {"ipxe": "set a b", "grub": "if true; then\n  insmod tpm\nfi"},
            "answers": [{"name": "preseed.cfg", "kind": "preseed", "text": "a {{ b }}\n\n"}],
            "variables": {"b": "1", "keys": ["x", "#y: z"]}, "install": {"tries": 2, "minutes": 90},
        }))
        .expect("well-formed")
    }

    #[test]
    fn every_kind_of_profile_survives_its_form() {
        for boot in [
            serde_json::json!({"kind": "linux", "kernel": "d/linux", "initrds": ["d/a", "d/b"], "args": "quiet", "console": "ttyS0,115200"}),
            serde_json::json!({"kind": "linux", "kernel": "d/linux", "console": "ttyUSB0,9600"}),
            serde_json::json!({"kind": "diskless", "kernel": "l/linux", "initrds": ["l/initrd"], "root": "l/root.squashfs",
                "access": "nbd", "overlay": "per-machine", "overlay_gib": 20, "args": "quiet", "console": "ttyS0,115200"}),
            serde_json::json!({"kind": "diskless", "kernel": "l/linux", "root": "l/root.squashfs", "start": "live-boot"}),
            serde_json::json!({"kind": "local-disk"}),
            serde_json::json!({"kind": "program", "files": {"bios": "m/memtest.bin"}}),
            serde_json::json!({"kind": "chain", "url": "http://10.0.0.9/boot.ipxe"}),
        ] {
            let before = profile(boot);
            let mut form = ProfileForm::of(&before);
            let after = form.profile();
            assert_eq!(after.as_ref(), Some(&before), "{:?}", form.errors);
        }
    }

    #[test]
    fn errors_stand_beside_their_fields() {
        let cases: [(&[(&str, &str)], &str); 11] = [
            (&[("kind", "diskless"), ("root", "../x")], "root"),
            (
                &[("kind", "diskless"), ("root", "a"), ("overlay_gib", "many")],
                "overlay_gib",
            ),
            (&[("name", "Not A Slug")], "name"),
            (&[("title", "")], "title"),
            (&[("kernel", "../../etc/passwd")], "kernel"),
            (&[("initrds", "a\nhttp://x y")], "initrds"),
            (&[("kind", "chain"), ("url", "just/a/path")], "url"),
            (&[("kind", "program"), ("file_bios", "../x")], "file_bios"),
            (&[("extras.pxelinux", "LABEL x")], "extras.pxelinux"),
            (&[("more", "answers: 7")], "more"),
            (&[("more", "install: {tries: 0, minutes: 60}")], "more"),
        ];
        for (changes, field) in cases {
            let mut typed = vec![
                ("name", "x"),
                ("title", "X"),
                ("kind", "linux"),
                ("kernel", "d/linux"),
            ];
            for (name, value) in changes {
                typed.retain(|(n, _)| n != name);
                typed.push((name, value));
            }
            let fields: Fields = typed.into_iter().collect();
            let mut form = ProfileForm::typed(&fields);
            assert_eq!(form.profile(), None, "{field}");
            assert_ne!(form.error(field), "", "{field}: {:?}", form.errors);
        }
    }
}
