//! Machines without a disk: what their root file system is, where what they write goes, and the
//! kernel arguments that say so. The one place that knows the words of each way to start.

use crate::profile::{literal, serial_line};
use crate::{Endpoint, FileRef, MacAddr, MachineId, ProfileError, RelPath};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// How a machine without a disk boots, as an operator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diskless {
    /// The kernel image.
    pub kernel: FileRef,
    /// Initial RAM disks, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub initrds: Vec<FileRef>,
    /// The root file system: a squashfs below the images directory or on the web; with
    /// [`Access::Nfs`] `SERVER:/PATH`.
    pub root: String,
    /// How the root file system is reached.
    #[serde(default, skip_serializing_if = "is_default")]
    pub access: Access,
    /// What the initial RAM disk is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub start: Start,
    /// Where what the machine writes goes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub overlay: Overlay,
    /// Most that one machine may keep, GiB; for [`Overlay::PerMachine`].
    #[serde(default = "gib", skip_serializing_if = "is_usual_gib")]
    pub overlay_gib: u16,
    /// More kernel arguments; may be a template, as those of [`crate::BootMethod::Linux`] may.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub args: String,
    /// Serial console, e.g. `ttyS0,115200`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
}

/// How the root file system is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Fetched whole into memory: afterwards the machine needs the server no more.
    #[default]
    Http,
    /// Read block by block when needed: little memory, but the server must stay.
    Nbd,
    /// A tree on an NFS server, which is not ours.
    Nfs,
}

/// What the initial RAM disk is, and so which words it understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// initramfs-tools with our boot script (`boot-assets/diskless`, `farrier image build-live`).
    #[default]
    Farrier,
    /// Debian live-boot.
    LiveBoot,
    /// dracut with its `livenet` module.
    Dracut,
}

/// Where what a machine writes goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlay {
    /// Into memory; gone at power-off.
    #[default]
    Ram,
    /// Into a file of its own on the server.
    PerMachine,
}

/// The overlays there are: which machine's can be used under which export name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlays {
    ready: HashMap<MachineId, Arc<str>>,
    /// Why more cannot be made, for people.
    pub fault: Option<Arc<str>>,
}

impl Overlays {
    /// Overlays by machine.
    pub fn new(ready: impl IntoIterator<Item = (MachineId, Arc<str>)>) -> Self {
        let ready = ready.into_iter().collect();
        Overlays { ready, fault: None }
    }

    /// Whether nobody has one.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// The export name of this machine's, or why there is none.
    ///
    /// # Errors
    /// A sentence for the machine's screen.
    pub fn of(&self, machine: Option<MachineId>) -> Result<Arc<str>, String> {
        match machine.and_then(|id| self.ready.get(&id)) {
            Some(export) => Ok(Arc::clone(export)),
            None => Err(match &self.fault {
                Some(fault) => format!("its overlay cannot be made: {fault}"),
                None => "its overlay is not made yet".to_owned(),
            }),
        }
    }
}

impl Diskless {
    /// Checks what the types cannot: the texts, and that this way of starting can reach such a
    /// root and such an overlay.
    ///
    /// # Errors
    /// The first field that would be dangerous or useless.
    pub fn validate(&self) -> Result<(), ProfileError> {
        literal("args", &self.args, ARGS_LIMIT)?;
        serial_line(self.console.as_deref().unwrap_or(""))?;
        if !(1..=1024).contains(&self.overlay_gib) {
            return Err(unfit("overlay_gib", "between 1 and 1024"));
        }
        match self.access {
            Access::Http => drop(self.root.parse::<FileRef>()?),
            Access::Nbd => drop(self.exported()?),
            Access::Nfs => {
                let plain = |c: u8| c.is_ascii_graphic() && !b"\"'\\`<>{}|^$;,#".contains(&c);
                let split = self.root.split_once(":/");
                if split.is_none_or(|(s, _)| s.is_empty()) || !self.root.bytes().all(plain) {
                    return Err(unfit("root", "SERVER:/PATH for access: nfs"));
                }
            }
        }
        let (start, rule) = match (self.start, self.access, self.overlay) {
            (Start::LiveBoot, Access::Nbd, _) => ("live-boot", "access: http or nfs"),
            (Start::Dracut, Access::Nbd | Access::Nfs, _) => ("dracut", "access: http"),
            (Start::Dracut, _, Overlay::PerMachine) => ("dracut", "overlay: ram"),
            _ => return Ok(()),
        };
        Err(ProfileError::Unfit {
            field: "start",
            rule: format!("start: {start} goes with {rule} only; start: farrier with all"),
        })
    }

    /// The image below our images directory that holds the root file system, if one does.
    pub fn root_image(&self) -> Option<RelPath> {
        match (self.access, self.root.parse()) {
            (Access::Http | Access::Nbd, Ok(FileRef::Image(path))) => Some(path),
            _ => None,
        }
    }

    /// The image that is exported by NBD, if one is.
    pub fn exported_image(&self) -> Option<RelPath> {
        (self.access == Access::Nbd).then(|| self.exported().ok())?
    }

    fn exported(&self) -> Result<RelPath, ProfileError> {
        match self.root.parse()? {
            FileRef::Image(path) => Ok(path),
            FileRef::Url(_) => Err(unfit(
                "root",
                "a path below the images directory for access: nbd",
            )),
        }
    }

    /// The whole kernel command line for one machine, which is called `name` unless the arguments
    /// say otherwise.
    ///
    /// # Errors
    /// `overlay`'s, when this profile needs one; nothing for a profile that
    /// [`validate`](Self::validate)s otherwise.
    pub fn arguments(
        &self,
        server: &Endpoint,
        mac: MacAddr,
        name: Option<&str>,
        overlay: &Result<Arc<str>, String>,
    ) -> Result<String, String> {
        let mut words = match self.start {
            Start::Farrier => vec![
                "boot=farrier".to_owned(),
                "ip=dhcp".to_owned(),
                format!("farrier.root={}", self.root_address(server)?),
            ],
            Start::LiveBoot if self.access == Access::Nfs => vec![
                "boot=live".to_owned(),
                "netboot=nfs".to_owned(),
                format!("nfsroot={}", self.root),
            ],
            Start::LiveBoot => vec![
                "boot=live".to_owned(),
                format!("fetch={}", self.root_address(server)?),
            ],
            Start::Dracut => vec![
                format!("root=live:{}", self.root_address(server)?),
                "rd.neednet=1".to_owned(),
                "ip=dhcp".to_owned(),
                "rd.live.overlay.overlayfs=1".to_owned(),
            ],
        };
        // Or the card is guessed where there are several.
        words.push(format!("BOOTIF=01-{}", mac.dashed()));
        if !self.args.contains("hostname=") {
            let host = name.and_then(host_name);
            let word = match self.start {
                Start::Farrier => "farrier.hostname",
                Start::LiveBoot | Start::Dracut => "systemd.hostname",
            };
            words.extend(host.map(|host| format!("{word}={host}")));
        }
        let keeps = self.overlay == Overlay::PerMachine;
        if keeps && self.start == Start::LiveBoot {
            words.push("persistence".to_owned());
        }
        if keeps {
            let export = overlay.as_ref().map_err(Clone::clone)?;
            let address = format!("nbd://{}:{OVERLAYS_PORT}/{export}", server.ip);
            words.push(format!("farrier.overlay={address}"));
        } else if self.start == Start::Farrier {
            words.push("farrier.overlay=ram".to_owned());
        }
        words.extend((!self.args.is_empty()).then(|| self.args.clone()));
        words.extend(self.console.iter().map(|c| format!("console={c}")));
        Ok(words.join(" "))
    }

    fn root_address(&self, server: &Endpoint) -> Result<String, String> {
        let told = |error: ProfileError| error.to_string();
        Ok(match self.access {
            Access::Http => match self.root.parse().map_err(told)? {
                FileRef::Url(url) => url,
                FileRef::Image(path) => {
                    let path = crate::menu::encoded(path.as_str());
                    format!("{}/images/{path}", server.http_base())
                }
            },
            Access::Nbd => {
                let export = export_name(&self.exported().map_err(told)?);
                format!("nbd://{}:{IMAGES_PORT}/{export}", server.ip)
            }
            Access::Nfs => format!("nfs://{}", self.root.replacen(":/", "/", 1)),
        })
    }
}

/// A machine's name as a host's: its first label, with dashes for what hosts cannot be called.
fn host_name(name: &str) -> Option<String> {
    let plain = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_ascii_lowercase(),
        false => '-',
    };
    let label = name.split('.').next()?.chars().take(63);
    let label: String = label.map(plain).collect();
    let label = label.trim_matches('-');
    (!label.is_empty()).then(|| label.to_owned())
}

/// What an image is called as an NBD export, where names have no slash.
pub fn export_name(image: &RelPath) -> String {
    image.as_str().replace('%', "%25").replace('/', "%2F")
}

/// Read-only exports of images: NBD's own port.
pub const IMAGES_PORT: u16 = 10809;
/// Writable exports, one for each machine.
pub const OVERLAYS_PORT: u16 = 10810;
/// As for other profiles, less what is put before them.
const ARGS_LIMIT: usize = 1200;

fn unfit(field: &'static str, rule: &str) -> ProfileError {
    let rule = format!("must be {rule}");
    ProfileError::Unfit { field, rule }
}

fn gib() -> u16 {
    8
}
fn is_usual_gib(v: &u16) -> bool {
    *v == gib()
}
fn is_default<T: Default + PartialEq>(v: &T) -> bool {
    *v == T::default()
}

#[cfg(test)]
mod tests;
