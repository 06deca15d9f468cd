//! Boot menus, rendered from one [`Decision`] into the three languages loaders speak.
//!
//! What is said is worked out once, here, as a `Sheet`; `ipxe`, `pxelinux` and `grub` only say
//! it. All three keep the same promises:
//!
//! * A machine never stops at a shell or a prompt at two in the morning. A boot that fails is
//!   tried again with a pause; without Farrier the machine ends on its local disk, as it would
//!   have if Farrier had never answered.
//! * A text from a person or a packet never becomes a command: it reaches the page only through
//!   the emitters of `text`. Kernel arguments are literal, nothing in them expands.
//! * The first line a machine prints begins `Farrier:` and names the machine and the profile,
//!   so that a serial console shows whose boot it is.

mod grub;
mod ipxe;
mod place;
mod pxelinux;
mod text;

pub(crate) use ipxe::encoded;
pub use place::files_named;

use crate::{
    BootClient, BootMethod, BootPlan, Decision, Diskless, Endpoint, FileRef, Intent, LoaderKind,
    LocalBoot, Outcome, Platform, Profile,
};

/// Which text is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// An iPXE script for one machine.
    Ipxe,
    /// A PXELINUX configuration for one machine.
    Pxelinux,
    /// A GRUB configuration for one machine.
    Grub,
}

/// Renders what this client is served. Deterministic; LF line endings; ASCII only.
///
/// `round` counts the questions of a waiting machine, from 0. A machine that has asked for longer
/// than the site lets it wait is sent to its local disk. GRUB counts by itself.
pub fn render(
    language: Language,
    client: &BootClient,
    decision: &Decision,
    server: &Endpoint,
    round: u32,
) -> String {
    let sheet = Sheet::new(language, client, decision, server, round);
    match language {
        Language::Ipxe => ipxe::script(&sheet),
        Language::Pxelinux => pxelinux::config(&sheet),
        Language::Grub => grub::config(&sheet),
    }
}

/// The script that every iPXE is sent first: it finds out its own MAC, UUID and hardware and
/// chains to the script of that machine by absolute URL.
///
/// Good both as `boot.ipxe` named by DHCP and as `autoexec.ipxe`, which EFI builds since 2023
/// fetch before they have asked DHCP for anything.
pub fn ipxe_bootstrap(server: &Endpoint) -> String {
    ipxe::bootstrap(server)
}

/// The configuration that every GRUB is sent first: it sources the one of its own MAC.
pub fn grub_bootstrap(server: &Endpoint) -> String {
    grub::bootstrap(server)
}

/// The boot-plane names (`images/debian-12/linux`) that the default entry makes the loader fetch
/// from us, in order; empty when the default is the local disk or lives on another server.
/// For [`EventKind::MenuServed`](crate::EventKind::MenuServed).
pub fn default_files(decision: &Decision) -> Vec<String> {
    let Outcome::Boot(plan) = &decision.outcome else {
        return Vec::new();
    };
    let Some(profile) = plan
        .entries
        .first()
        .filter(|_| plan.intent == Intent::Assigned)
    else {
        return Vec::new();
    };
    boot_files(profile, plan.platform)
}

/// The boot-plane names that this profile makes a loader fetch from us, in order.
pub fn boot_files(profile: &Profile, platform: Option<Platform>) -> Vec<String> {
    let files: Vec<&FileRef> = match &profile.boot {
        BootMethod::Linux {
            kernel, initrds, ..
        }
        | BootMethod::Diskless(Diskless {
            kernel, initrds, ..
        }) => std::iter::once(kernel).chain(initrds).collect(),
        BootMethod::Program { files } => platform.and_then(|p| files.get(&p)).into_iter().collect(),
        BootMethod::Chain { url } => vec![url],
        BootMethod::LocalDisk {} => Vec::new(),
    };
    files.into_iter().filter_map(image_name).collect()
}

fn image_name(file: &FileRef) -> Option<String> {
    match file {
        FileRef::Image(path) => Some(format!("images/{path}")),
        FileRef::Url(_) => None,
    }
}

/// What is to be said, before any language.
struct Sheet<'a> {
    client: &'a BootClient,
    server: &'a Endpoint,
    /// The machine's name, else its MAC.
    who: String,
    /// Because of what, for people.
    because: String,
    round: u32,
    /// How the local disk is started.
    local: LocalBoot,
    page: Page<'a>,
}

enum Page<'a> {
    /// Straight to the local disk.
    LocalDisk,
    /// Nobody has assigned it, or others come first; ask again.
    Wait { plan: &'a BootPlan },
    /// A menu; the default is the first entry that is `default`, else the local disk.
    Menu {
        plan: &'a BootPlan,
        default: Option<usize>,
        entries: Vec<Entry<'a>>,
    },
}

struct Entry<'a> {
    profile: &'a Profile,
    /// How, or why it cannot be offered by this loader.
    boot: Result<Boot<'a>, String>,
}

enum Boot<'a> {
    Linux {
        kernel: &'a FileRef,
        initrds: &'a [FileRef],
        args: String,
    },
    Program(&'a FileRef),
    Chain(&'a FileRef),
}

impl<'a> Sheet<'a> {
    /// What stands above every menu, in every language: what is booted, and because of what.
    fn heading(&self, default: Option<&Entry<'_>>) -> [String; 2] {
        let what = match default {
            Some(entry) => format!("{} boots {}", self.who, entry.profile.title),
            None => format!("{} may choose what it boots", self.who),
        };
        [what, format!("because {}", self.because)]
    }

    fn new(
        language: Language,
        client: &'a BootClient,
        decision: &'a Decision,
        server: &'a Endpoint,
        round: u32,
    ) -> Self {
        let mut because = decision.because.to_string();
        let mut name = None;
        let page = match &decision.outcome {
            Outcome::LocalDisk | Outcome::Silent => Page::LocalDisk,
            Outcome::Boot(plan) => {
                name = plan.machine_name.clone();
                if !matches!(plan.intent, Intent::Wait | Intent::Queue) {
                    menu(language, plan, client, server)
                } else if round < wait_rounds(language, plan) {
                    Page::Wait { plan }
                } else {
                    because = waited_for_nothing(plan);
                    Page::LocalDisk
                }
            }
        };
        Sheet {
            client,
            server,
            who: name.unwrap_or_else(|| client.mac.to_string()),
            because,
            round,
            local: decision.local_boot,
            page,
        }
    }

    /// What a waiting machine waits for, and what is to be done about it.
    fn waiting(&self, plan: &BootPlan) -> [String; 2] {
        match plan.intent {
            Intent::Queue => [
                format!("{} waits for its turn to be installed", self.who),
                self.because.clone(),
            ],
            _ => [
                format!("{} waits for an assignment", self.client.mac),
                format!("assign it at {}", self.assign_url()),
            ],
        }
    }

    /// What is said each time it has asked again and still waits.
    fn still_waiting(&self, plan: &BootPlan, waited_s: u32) -> String {
        match plan.intent {
            Intent::Queue => format!("{} still waits: {}", self.who, self.because),
            _ => format!(
                "{} still waits ({waited_s} of {} s)",
                self.client.mac, plan.site.wait_limit_s
            ),
        }
    }

    /// The entries this loader cannot boot, and why; `true` for those that somebody looks for:
    /// the assigned one, and all of a menu made for choosing.
    fn not_offered(&self) -> Vec<(String, bool)> {
        let Page::Menu { plan, entries, .. } = &self.page else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        for (n, entry) in entries.iter().enumerate() {
            if let Err(reason) = &entry.boot {
                let aloud = n == 0 || plan.intent == Intent::Menu;
                lines.push((format!("'{}' is not offered:", entry.profile.name), aloud));
                lines.push((reason.clone(), aloud));
            }
        }
        lines
    }

    /// Where people assign this machine: a short link that a person can type from a screen.
    fn assign_url(&self) -> String {
        format!("{}/m/{}", self.server.ui_base(), self.client.mac.dashed())
    }
}

/// Why a machine that has waited for its limit goes to its local disk.
fn waited_for_nothing(plan: &BootPlan) -> String {
    let limit = plan.site.wait_limit_s;
    match plan.intent {
        Intent::Queue => format!("no slot became free within {limit} s"),
        _ => format!("nobody assigned it within {limit} s"),
    }
}

/// After how many questions a waiting machine goes to its local disk.
fn wait_rounds(language: Language, plan: &BootPlan) -> u32 {
    let rounds = plan.site.wait_rounds();
    match language {
        Language::Ipxe => rounds,
        Language::Pxelinux => rounds.min(pxelinux::ROUND_LIMIT),
        Language::Grub => u32::MAX,
    }
}

fn menu<'a>(
    language: Language,
    plan: &'a BootPlan,
    client: &BootClient,
    server: &Endpoint,
) -> Page<'a> {
    let entries: Vec<Entry<'a>> = plan
        .entries
        .iter()
        .map(|profile| Entry {
            profile,
            boot: boot(language, profile, plan, client, server),
        })
        .collect();
    let assigned =
        plan.intent == Intent::Assigned && entries.first().is_some_and(|e| e.boot.is_ok());
    Page::Menu {
        plan,
        default: assigned.then_some(0),
        entries,
    }
}

fn boot<'a>(
    language: Language,
    profile: &'a Profile,
    plan: &BootPlan,
    client: &BootClient,
    server: &Endpoint,
) -> Result<Boot<'a>, String> {
    let loader = match language {
        Language::Ipxe => LoaderKind::Ipxe,
        Language::Pxelinux => LoaderKind::Pxelinux,
        Language::Grub => LoaderKind::Grub,
    };
    if !loader.can_boot(&profile.boot) {
        return Err(format!(
            "{loader} cannot fetch from other servers; let this machine use iPXE"
        ));
    }
    match &profile.boot {
        BootMethod::Linux {
            kernel,
            initrds,
            args,
            console,
        } => {
            let console = console.iter().map(|c| format!("console={c}"));
            let args = place::with_urls(args, server);
            let args: Vec<String> = std::iter::once(args).chain(console).collect();
            Ok(Boot::Linux {
                kernel,
                initrds,
                args: args.join(" ").trim().to_owned(),
            })
        }
        BootMethod::Diskless(diskless) => Ok(Boot::Linux {
            kernel: &diskless.kernel,
            initrds: &diskless.initrds,
            args: diskless.arguments(
                server,
                client.mac,
                plan.machine_name.as_deref(),
                &plan.overlay,
            )?,
        }),
        BootMethod::Program { files } => match plan.platform {
            Some(platform) => match files.get(&platform) {
                Some(file) => Ok(Boot::Program(file)),
                None => Err(format!("it has no program for {platform}")),
            },
            None => Err("it is not known what programs this machine can run".to_owned()),
        },
        BootMethod::Chain { url } => Ok(Boot::Chain(url)),
        BootMethod::LocalDisk {} => Err("it is the local disk, which stands last".to_owned()),
    }
}

/// Seconds between two attempts of a boot that fails.
const RETRY_S: u32 = 10;
/// How often a machine tries to reach a Farrier that does not answer, before it goes to its
/// local disk: five minutes, enough for a server's restart or a switch's spanning tree.
const RETRIES: u32 = 30;
/// The loaders that installed systems leave below `EFI` on their disk, in the order they are tried:
/// signed ones first, the removable-media name last, as an installer's USB stick has only that.
const INSTALLED: [&str; 12] = [
    "debian/shimARCH",
    "ubuntu/shimARCH",
    "fedora/shimARCH",
    "redhat/shimARCH",
    "centos/shimARCH",
    "rocky/shimARCH",
    "almalinux/shimARCH",
    "opensuse/shim",
    "sles/shim",
    "debian/grubARCH",
    "Microsoft/Boot/bootmgfw",
    "BOOT/BOOTARCH",
];
/// Stands for `x64`, `aa64` or `ia32` in them.
const ARCH: &str = "ARCH";

#[cfg(test)]
mod tests;
