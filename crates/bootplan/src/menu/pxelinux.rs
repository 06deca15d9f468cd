//! PXELINUX configurations in its plain language: `ldlinux.c32` alone understands them, no menu
//! module with companions of the very same version has to be found.

use super::text::pxelinux_text;
use super::{Boot, Entry, Page, RETRY_S, Sheet};
use crate::{BootPlan, FileRef};

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
    // way; -1 (INT 18h) is ignored by some BIOSes.
    page.line("  LOCALBOOT 0");
    page.text
}

fn wait(page: &mut Config, sheet: &Sheet<'_>, plan: &BootPlan) {
    let poll = u32::from(plan.site.wait_poll_s);
    if sheet.round == 0 {
        page.say(&format!("{} waits for an assignment", sheet.client.mac));
        page.say(&format!("assign it at {}", sheet.assign_url()));
        page.say(&format!(
            "asking every {poll} s for {} s (type local: local disk)",
            plan.site.wait_limit_s
        ));
    } else {
        page.say(&format!(
            "{} still waits ({} of {} s)",
            sheet.client.mac,
            sheet.round.saturating_mul(poll),
            plan.site.wait_limit_s
        ));
    }
    page.line("DEFAULT again");
    page.line("PROMPT 1");
    page.timeout(poll, "again");
    page.line("");
    page.line("LABEL again");
    page.line(&format!(
        "  CONFIG ::farrier/wait/{}/pxelinux.cfg/01-{}",
        sheet.round + 1,
        sheet.client.mac.dashed()
    ));
}

fn menu(
    page: &mut Config,
    sheet: &Sheet<'_>,
    plan: &BootPlan,
    default: Option<usize>,
    entries: &[Entry<'_>],
) {
    match default {
        Some(n) => page.say(&format!("{} boots {}", sheet.who, entries[n].profile.title)),
        None => page.say(&format!("{} may choose what it boots", sheet.who)),
    }
    page.say(&format!("because {}", sheet.because));
    for (n, entry) in entries.iter().enumerate() {
        match &entry.boot {
            Ok(_) => page.say(&format!("  type {} for {}", n + 1, entry.profile.title)),
            Err(reason) => {
                page.say(&format!("  {} is not offered:", entry.profile.name));
                page.say(&format!("    {reason}"));
            }
        }
    }
    page.say("  type local for the local disk");
    let default_label = default.map_or_else(|| "local".to_owned(), |n| (n + 1).to_string());
    page.line(&format!("DEFAULT {default_label}"));
    match u32::from(plan.site.menu_timeout_s) {
        // At once. The time-out then only counts after a boot that failed, as TIMEOUT 0 would
        // wait at the prompt for ever.
        0 => {
            page.line("PROMPT 0");
            page.timeout(RETRY_S, &default_label);
        }
        seconds => {
            page.line("PROMPT 1");
            page.timeout(seconds, &default_label);
        }
    }
    for (n, entry) in entries.iter().enumerate() {
        let Ok(boot) = &entry.boot else { continue };
        page.line("");
        page.line(&format!("LABEL {}", n + 1));
        load(page, boot);
    }
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
                page.line(&format!("  APPEND {}", pxelinux_text(args, usize::MAX)));
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
        FileRef::Image(path) => format!("::images/{}", pxelinux_text(path.as_str(), usize::MAX)),
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
        self.line(&format!(
            "SAY {}",
            pxelinux_text(&format!("Farrier: {text}"), 79)
        ));
    }

    /// What happens when nobody types. IMPLICIT 0: a mistyped word is no file name to try.
    fn timeout(&mut self, seconds: u32, label: &str) {
        self.line(&format!("TIMEOUT {}", seconds * 10));
        self.line(&format!("ONTIMEOUT {label}"));
        self.line("IMPLICIT 0");
    }
}
