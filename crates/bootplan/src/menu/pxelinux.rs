//! PXELINUX configurations in its plain language: `ldlinux.c32` alone understands them, no menu
//! module with companions of the very same version has to be found.
//!
//! A boot that fails reads its configuration anew (ONERROR), so that a new assignment counts.
//! What PXELINUX cannot be made to survive is Farrier being away at that moment: without a
//! configuration it waits at its prompt for ever.

use super::text::plain;
use super::{Boot, Entry, Language, Page, RETRY_S, Sheet};
use crate::{BootPlan, FileRef, LocalBoot, Site};

pub(super) fn config(sheet: &Sheet<'_>) -> String {
    // SERIAL must come first; without a serial port it changes nothing.
    let mut page = Config {
        text: "SERIAL 0 115200\n# Farrier: the configuration of one machine\n".to_owned(),
    };
    match &sheet.page {
        Page::LocalDisk => {
            page.say(&format!("{} boots its local disk", sheet.who));
            page.say(&format!("because {}", sheet.because));
            page.line("DEFAULT local");
            page.line("PROMPT 0");
            page.timeout(RETRY_S, "local");
        }
        Page::Wait { plan } => wait(&mut page, sheet, plan),
        Page::Menu {
            plan,
            default,
            entries,
        } => menu(&mut page, sheet, plan, *default, entries),
    }
    page.line("");
    page.line("LABEL local");
    // 0 returns to the PXE ROM, and the BIOS goes on to its next device, the most widely working
    // way; -1 (INT 18h) is ignored by some BIOSes. PXELINUX cannot start a disk by itself.
    page.line(match sheet.local {
        LocalBoot::Exit => "  LOCALBOOT -1",
        LocalBoot::Auto | LocalBoot::NextEntry | LocalBoot::FirstDisk | LocalBoot::LocalGrub => {
            "  LOCALBOOT 0"
        }
    });
    page.text
}

fn wait(page: &mut Config, sheet: &Sheet<'_>, plan: &BootPlan) {
    let (pause, waited) = pace(&plan.site, sheet.round);
    if sheet.round == 0 {
        for line in sheet.waiting(plan) {
            page.say(&line);
        }
        page.say(&format!(
            "asking every {pause} s for {} s (type local: local disk)",
            plan.site.wait_limit_s
        ));
    } else {
        page.say(&sheet.still_waiting(plan, waited));
    }
    page.line("DEFAULT again");
    page.line("PROMPT 1");
    page.timeout(pause, "again");
    page.again(sheet);
}

fn menu(
    page: &mut Config,
    sheet: &Sheet<'_>,
    plan: &BootPlan,
    default: Option<usize>,
    entries: &[Entry<'_>],
) {
    for line in sheet.heading(default.map(|n| &entries[n])) {
        page.say(&line);
    }
    for (text, aloud) in sheet.not_offered() {
        if aloud {
            page.say(&text);
        } else {
            page.line(&format!("# {}", plain(&text, 200)));
        }
    }
    for (n, entry) in entries.iter().enumerate().filter(|(_, e)| e.boot.is_ok()) {
        let how = match default == Some(n) {
            true => "press Enter".to_owned(),
            false => format!("type {}", n + 1),
        };
        page.say(&format!("{how} for {}", entry.profile.title));
    }
    page.say("type local for the local disk");
    page.line(&format!("DEFAULT {DEFAULT_LABEL}"));
    match (sheet.round, u32::from(plan.site.menu_timeout_s)) {
        // At once. TIMEOUT 0 would wait for ever if PXELINUX ever came to its prompt.
        (0, 0) => {
            page.line("PROMPT 0");
            page.timeout(RETRY_S, DEFAULT_LABEL);
        }
        (0, seconds) => {
            page.line("PROMPT 1");
            page.timeout(seconds, DEFAULT_LABEL);
        }
        // After a boot that failed: not faster than the pause between two attempts.
        (_, seconds) => {
            page.line("PROMPT 1");
            page.timeout(seconds.max(RETRY_S), DEFAULT_LABEL);
        }
    }
    let retry = sheet.round < ROUND_LIMIT;
    page.line(if retry {
        "ONERROR again"
    } else {
        "ONERROR local"
    });
    if default.is_none() {
        page.line("");
        page.line(&format!("LABEL {DEFAULT_LABEL}"));
        page.line("  LOCALBOOT 0");
    }
    for (n, entry) in entries.iter().enumerate() {
        let Ok(boot) = &entry.boot else { continue };
        page.line("");
        if default == Some(n) {
            page.line(&format!("LABEL {DEFAULT_LABEL}"));
        } else {
            page.line(&format!("LABEL {}", n + 1));
        }
        load(page, boot);
        for line in entry.profile.extras.lines(Language::Pxelinux) {
            page.line(&format!("  {}", line.trim_start()));
        }
    }
    if retry {
        page.again(sheet);
    }
}

/// The pause before the next question of a waiting machine, and how long it has waited, in
/// seconds. [`ROUND_LIMIT`] questions have to last for the whole limit: where the site's pace is
/// too quick for that, the second half of them is spread over the time that is left.
fn pace(site: &Site, round: u32) -> (u32, u32) {
    let poll = u32::from(site.wait_poll_s);
    let quick = ROUND_LIMIT / 2;
    if site.wait_rounds() <= ROUND_LIMIT || round < quick {
        return (poll, round.saturating_mul(poll));
    }
    let slow = site
        .wait_limit_s
        .saturating_sub(quick * poll)
        .div_ceil(ROUND_LIMIT - quick)
        .max(poll);
    let waited = (round - quick)
        .saturating_mul(slow)
        .saturating_add(quick * poll);
    (slow, waited)
}

fn load(page: &mut Config, boot: &Boot<'_>) {
    match boot {
        Boot::Linux {
            kernel,
            initrds,
            args,
        } => {
            page.line(&format!("  LINUX {}", name(kernel)));
            if !initrds.is_empty() {
                let names: Vec<String> = initrds.iter().map(name).collect();
                page.line(&format!("  INITRD {}", names.join(",")));
            }
            if !args.is_empty() {
                page.line(&format!("  APPEND {}", plain(args, usize::MAX)));
            }
        }
        Boot::Program(file) => {
            let name = name(file);
            let kind = match name.rsplit('.').next() {
                Some("0" | "pxe" | "kpxe" | "kkpxe") => "PXE",
                Some("c32") => "COM32",
                // Programs like memtest86+ carry a Linux header; the bare KERNEL keyword would
                // take `.bin` for a boot sector.
                _ => "LINUX",
            };
            page.line(&format!("  {kind} {name}"));
        }
        // Never offered here: see `LoaderKind::can_boot`.
        Boot::Chain(_) => page.line("  LOCALBOOT 0"),
    }
}

/// A file's TFTP name. `::` is the server's root, whatever directory PXELINUX came from.
fn name(file: &FileRef) -> String {
    match file {
        FileRef::Image(path) => format!("::images/{}", plain(path.as_str(), usize::MAX)),
        FileRef::Url(url) => url.clone(),
    }
}

struct Config {
    text: String,
}

impl Config {
    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    fn say(&mut self, text: &str) {
        self.line(&format!("SAY {}", plain(&format!("Farrier: {text}"), 79)));
    }

    /// What happens when nobody types. IMPLICIT 0: a mistyped word is no file name to try.
    fn timeout(&mut self, seconds: u32, label: &str) {
        self.line(&format!("TIMEOUT {}", (seconds * 10).min(TIMEOUT_LIMIT)));
        self.line(&format!("ONTIMEOUT {label}"));
        self.line("IMPLICIT 0");
    }

    /// The label that reads this configuration anew, one round later.
    fn again(&mut self, sheet: &Sheet<'_>) {
        self.line("");
        self.line("LABEL again");
        self.line(&format!(
            "  CONFIG ::farrier/wait/{}/pxelinux.cfg/01-{}",
            sheet.round.saturating_add(1),
            sheet.client.mac.dashed()
        ));
    }
}

/// How often PXELINUX is sent to a new configuration in all, waiting and retrying taken together.
/// 6.04 leaks a little with each one, finds no file any more after 124 (measured, whatever the
/// memory), and would stop at its prompt.
pub(super) const ROUND_LIMIT: u32 = 100;
/// The default entry's label. ONERROR appends the name of the default to the CONFIG line, where
/// PXELINUX takes it for the directory to change to: `::`, the server's root, is the only name
/// that does no harm there (with another it no longer finds ldlinux.c32; measured with 6.04).
const DEFAULT_LABEL: &str = "::";
/// The largest time-out PXELINUX takes, in tenths of a second.
const TIMEOUT_LIMIT: u32 = 35_996;
