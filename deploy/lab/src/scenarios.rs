//! The boots that are tested, and the runner.

pub(crate) mod boots;
mod browser;
mod debian;
mod diskless;
mod guides;
mod iso;
mod live;
mod memtest;
mod orders;
mod payload;
pub(crate) mod reference;
mod silence;

use crate::lan::Lan;
use crate::process::Process;
use anyhow::{Context, Result, bail};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

/// What all scenarios share.
pub(crate) struct Options {
    /// The program under test.
    pub(crate) farrier: PathBuf,
    /// The loaders it serves.
    pub(crate) assets: PathBuf,
    /// Whether to record the bridge.
    pub(crate) capture: bool,
}

/// One run of one scenario: where it may put things and how it talks.
pub(crate) struct Run<'a> {
    /// What all share.
    pub(crate) options: &'a Options,
    /// The scenario's name.
    pub(crate) name: &'static str,
    /// A directory of its own.
    pub(crate) dir: PathBuf,
    started: Instant,
}

/// A scenario.
struct Scenario {
    name: &'static str,
    what: &'static str,
    /// Runs when no name is given.
    standard: bool,
    run: fn(&Run<'_>) -> Result<()>,
}

/// In the order they start; the slowest first, so that the last ones fill the gaps.
const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "browser",
        what: "set up in a browser; a waiting machine is assigned there and boots without a restart",
        standard: true,
        run: browser::first_boot,
    },
    Scenario {
        name: "diskless",
        what: "a machine without a disk, to a login prompt; after a power cut its files are there",
        standard: true,
        run: diskless::keeps_its_files,
    },
    Scenario {
        name: "loop-guard",
        what: "an installer that never reports: two tries, then held and on its own disk",
        standard: true,
        run: orders::loop_guard,
    },
    Scenario {
        name: "install-unattended",
        what: "ordered once: installs by its answers, reports, boots its disk ever after",
        standard: true,
        run: orders::install_unattended,
    },
    Scenario {
        name: "server-down",
        what: "Farrier is down: a machine with an order reaches its disk",
        standard: true,
        run: orders::server_down,
    },
    Scenario {
        name: "guide-switches",
        what: "docs/guides/switches.md, as it is written",
        standard: true,
        run: guides::switches,
    },
    Scenario {
        name: "guide-classroom",
        what: "docs/guides/diskless-classroom.md, as it is written (builds a Debian: 5 minutes or more)",
        standard: false,
        run: guides::classroom,
    },
    Scenario {
        name: "guide-forty",
        what: "docs/guides/debian-forty.md, as it is written",
        standard: true,
        run: guides::forty,
    },
    Scenario {
        name: "payload",
        what: "BIOS -> the lab's installer -> it writes a boot sector -> its own disk speaks",
        standard: true,
        run: payload::installs,
    },
    Scenario {
        name: "iso-boot",
        what: "BIOS -> a kernel and initial RAM disk from inside an ISO that was brought in and offered",
        standard: true,
        run: iso::boots,
    },
    Scenario {
        name: "bios-pxelinux",
        what: "BIOS -> pxelinux.0 -> menu for its MAC by TFTP -> Debian installer",
        standard: true,
        run: boots::bios_pxelinux,
    },
    Scenario {
        name: "bios-ipxe",
        what: "BIOS whose ROM is an iPXE -> script by HTTP -> Debian installer",
        standard: true,
        run: boots::bios_ipxe,
    },
    Scenario {
        name: "uefi-ipxe",
        what: "UEFI x64 -> snponly.efi -> script by HTTP -> Debian installer; the site sets siaddr",
        standard: true,
        run: boots::uefi_ipxe,
    },
    Scenario {
        name: "uefi-ipxe-siaddr0",
        what: "the same where the site's DHCP server leaves siaddr zero",
        standard: true,
        run: boots::uefi_ipxe_siaddr0,
    },
    Scenario {
        name: "uefi-grub",
        what: "UEFI x64 -> shim -> GRUB -> menu for its MAC -> Debian installer; the site sets siaddr",
        standard: true,
        run: boots::uefi_grub,
    },
    Scenario {
        name: "uefi-grub-siaddr0",
        what: "the same where the site's DHCP server leaves siaddr zero",
        standard: true,
        run: boots::uefi_grub_siaddr0,
    },
    Scenario {
        name: "memtest-bios",
        what: "BIOS -> iPXE -> memtest86+, which tests memory",
        standard: true,
        run: memtest::by_bios,
    },
    Scenario {
        name: "memtest-uefi",
        what: "UEFI x64 -> snponly.efi -> memtest86+, which tests memory",
        standard: true,
        run: memtest::by_uefi,
    },
    Scenario {
        name: "silence",
        what: "an unassigned machine reaches its own disk as fast as without Farrier",
        standard: true,
        run: silence::falls_through,
    },
    Scenario {
        name: "plain-client",
        what: "a DHCP client that does not boot sees nothing of Farrier",
        standard: true,
        run: silence::plain_client,
    },
    Scenario {
        name: "debian-install",
        what: "Debian's own installer by the sample answers, to the login prompt of its disk (an hour)",
        standard: false,
        run: debian::installs,
    },
    Scenario {
        name: "debian-install-uefi",
        what: "the same by UEFI",
        standard: false,
        run: debian::installs_by_uefi,
    },
    Scenario {
        name: "diskless-live-boot",
        what: "a Debian of `farrier image build-live`, by live-boot, twice with what it wrote (builds one: 5 minutes)",
        standard: false,
        run: live::boots,
    },
    Scenario {
        name: "reference-bios",
        what: "the lab itself, without Farrier: BIOS, dnsmasq as proxyDHCP and TFTP server, pxelinux",
        standard: false,
        run: reference::bios,
    },
    Scenario {
        name: "reference-uefi",
        what: "the lab itself, without Farrier: UEFI, dnsmasq as proxyDHCP and TFTP server, shim, GRUB",
        standard: false,
        run: reference::uefi,
    },
];

impl<'a> Run<'a> {
    /// A run with a directory of its own below `dir`.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(crate) fn new(options: &'a Options, name: &'static str, dir: &Path) -> Result<Self> {
        let dir = dir.join(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        Ok(Self {
            options,
            name,
            dir,
            started: Instant::now(),
        })
    }

    /// One line on standard output, with the time since the scenario began.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        let seconds = self.started.elapsed().as_secs_f32();
        println!("{seconds:7.1}s  {:<18} {}", self.name, text.as_ref());
    }

    /// The same for somebody who does not know scenarios.
    pub(crate) fn tell(&self, who: &str, text: impl AsRef<str>) {
        let seconds = self.started.elapsed().as_secs_f32();
        println!("{seconds:7.1} s  {who:<8}  {}", text.as_ref());
    }

    /// Makes the LAN of this run, recorded if the user wants it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn lan(&self) -> Result<(Lan, Option<Process>)> {
        let lan = Lan::build(self.name)?;
        let capture = if self.options.capture {
            let mut command = lan.command("tcpdump");
            command
                .args(["-i", "br0", "--immediate-mode", "-U", "-w"])
                .arg(self.dir.join("lan.pcap"));
            Some(Process::spawn(
                "tcpdump",
                command,
                &self.dir.join("tcpdump.log"),
            )?)
        } else {
            None
        };
        Ok((lan, capture))
    }
}

/// Prints the scenarios.
pub(crate) fn list() {
    for scenario in SCENARIOS {
        let mark = if scenario.standard { ' ' } else { '*' };
        println!("{mark} {:<18} {}", scenario.name, scenario.what);
    }
    println!("(* only when named)");
}

/// Runs `names`, or all standard scenarios, `jobs` at a time.
///
/// # Errors
/// When a name is unknown or the run directory cannot be written.
pub(crate) fn test(
    options: &Options,
    dir: &Path,
    names: &[String],
    jobs: usize,
) -> Result<ExitCode> {
    let chosen = choose(names)?;
    let queue = Mutex::new(chosen.iter().copied().collect::<VecDeque<_>>());
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no panic while held").pop_front();
                    let Some(scenario) = next else { break };
                    let started = Instant::now();
                    let result = one(options, dir, scenario);
                    if let Err(error) = &result {
                        println!("FAILED {}: {error:#}", scenario.name);
                    }
                    let entry = (scenario.name, started.elapsed(), result.is_ok());
                    results.lock().expect("no panic while held").push(entry);
                }
            });
        }
    });
    let results = results.into_inner().expect("all threads are done");
    println!();
    for (name, time, passed) in &results {
        let word = if *passed { "ok    " } else { "FAILED" };
        println!("{word} {name:<20} {:6.1} s", time.as_secs_f32());
    }
    let failed = results.iter().filter(|r| !r.2).count();
    println!(
        "lab: {} booted as they should, {failed} did not",
        results.len() - failed
    );
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn choose(names: &[String]) -> Result<Vec<&'static Scenario>> {
    if names.is_empty() {
        return Ok(SCENARIOS.iter().filter(|s| s.standard).collect());
    }
    names
        .iter()
        .map(|name| match SCENARIOS.iter().find(|s| s.name == name) {
            Some(scenario) => Ok(scenario),
            None => bail!("no scenario is called '{name}': see `lab list`"),
        })
        .collect()
}

fn one(options: &Options, dir: &Path, scenario: &'static Scenario) -> Result<()> {
    let run = Run::new(options, scenario.name, dir)?;
    run.say(scenario.what);
    (scenario.run)(&run)
}
