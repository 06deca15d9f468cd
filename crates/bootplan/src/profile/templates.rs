//! Where a way to boot may be a template, and where it must not.

use super::{BootMethod, FileRef, ProfileError};
use crate::Diskless;
use crate::extras::is_template;

impl BootMethod {
    /// The kernel arguments, which may be a template; `None` where no kernel of ours is booted.
    pub fn args(&self) -> Option<&str> {
        match self {
            BootMethod::Linux { args, .. } => Some(args),
            BootMethod::Diskless(diskless) => Some(&diskless.args),
            _ => None,
        }
    }

    /// Refuses a template where nothing fills it in: a loader would be told its braces.
    pub(super) fn nothing_to_fill(&self) -> Result<(), ProfileError> {
        let file = |file: &FileRef| is_template(&file.to_string());
        let text = |text: &Option<String>| text.as_deref().is_some_and(is_template);
        let found = match self {
            BootMethod::Linux {
                kernel,
                initrds,
                console,
                ..
            }
            | BootMethod::Diskless(Diskless {
                kernel,
                initrds,
                console,
                ..
            }) => vec![
                ("kernel", file(kernel)),
                ("initrds", initrds.iter().any(file)),
                ("console", text(console)),
                ("root", self.root().is_some_and(is_template)),
            ],
            BootMethod::Program { files } => vec![("files", files.values().any(file))],
            BootMethod::Chain { url } => vec![("url", file(url))],
            BootMethod::LocalDisk {} => Vec::new(),
        };
        match found.into_iter().find(|(_, template)| *template) {
            Some((field, _)) => Err(ProfileError::Unfit {
                field,
                rule: "'{{' and '{%' are filled in in args, extras and answers only".to_owned(),
            }),
            None => Ok(()),
        }
    }

    fn root(&self) -> Option<&str> {
        match self {
            BootMethod::Diskless(diskless) => Some(&diskless.root),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Profile;
    use serde_json::{Value, json};

    #[test]
    fn a_template_is_refused_where_nothing_fills_it() {
        let linux = json!({"kind": "linux", "kernel": "d/linux"});
        let diskless = json!({"kind": "diskless", "kernel": "l/linux", "root": "l/root"});
        let chain = json!({"kind": "chain", "url": "d/x.ipxe"});
        let program = json!({"kind": "program", "files": {"efi-x64": "d/x.efi"}});
        let told = |boot: &Value, field: &str, value: Value| {
            let mut boot = boot.clone();
            boot[field] = value;
            let profile = json!({"name": "x", "title": "X", "boot": boot});
            let profile: Profile = serde_json::from_value(profile).expect("well-formed");
            profile.validate().map_err(|error| error.to_string())
        };
        for (boot, field, value) in [
            (&linux, "kernel", json!("d/{{release}}/linux")),
            (&linux, "initrds", json!(["d/a", "d/{{release}}"])),
            (&linux, "console", json!("{{console}}")),
            (&diskless, "root", json!("l/{{labels.room}}")),
            (&diskless, "console", json!("{%if%}")),
            (&chain, "url", json!("d/{{machine.name}}.ipxe")),
            (&program, "files", json!({"efi-x64": "d/{{a}}.efi"})),
        ] {
            let error = told(boot, field, value).expect_err(field);
            assert!(error.starts_with(&format!("{field}: ")), "{error}");
            assert!(
                error.contains("in args, extras and answers only"),
                "{error}"
            );
        }
        for boot in [&linux, &diskless] {
            assert_eq!(told(boot, "args", json!("a={{ machine.name }}")), Ok(()));
        }
    }
}
