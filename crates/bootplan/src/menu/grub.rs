//! GRUB configurations, for signed UEFI images, which cannot load modules: only what Debian's
//! `grubnetx64` 2.12 has built in is used (normal's script language, `echo`, `test`, `sleep`,
//! `source`, `linux`, `initrd`, `chain`, `boot`, `exit`).
//!
//! Console: GRUB speaks through the firmware's, which redirects itself to the serial port where
//! there is one. A `serial` terminal of GRUB's own would print everything twice.

use super::text::{grub_args, grub_text, grub_word, plain};
use super::{
    ARCH, Boot, Entry, INSTALLED, Language, Page, RETRIES, RETRY_S, Sheet, waited_for_nothing,
};
use crate::{BootPlan, Endpoint, FileRef, Intent, LocalBoot, Profile};

pub(super) fn config(sheet: &Sheet<'_>) -> String {
    let mut page = Config::new("the configuration of one machine", sheet.local);
    match &sheet.page {
        Page::LocalDisk => {
            page.say(&format!("{} boots its local disk", sheet.who));
            page.say(&format!("because {}", sheet.because));
            page.line("sleep 3");
            page.line(LOCAL_DISK);
        }
        Page::Wait { plan } => wait(&mut page, sheet, plan),
        Page::Menu {
            plan,
            default,
            entries,
        } => menu(&mut page, sheet, plan, *default, entries),
    }
    page.text
}

pub(super) fn bootstrap(server: &Endpoint) -> String {
    let purpose = "finds out which machine this is and sources its configuration";
    let mut page = Config::new(purpose, LocalBoot::Auto);
    page.line("if [ -n \"$net_default_mac\" ]; then");
    page.line("  set farrier_config=\"/grub/grub.cfg-01-$net_default_mac\"");
    page.line("else");
    page.line("  set farrier_config=\"/grub/grub.cfg-$net_default_ip\"");
    page.line("fi");
    page.line(&format!("for try in {}; do", numbers(RETRIES)));
    page.line("  source \"$farrier_config\"");
    // Every configuration either sets this or leaves GRUB.
    page.line("  if [ \"$farrier_ready\" = 1 ]; then");
    page.line("    break");
    page.line("  fi");
    page.line("  echo \"Farrier: could not get $farrier_config\"");
    page.line(&format!(
        "  echo {}",
        grub_text(
            &format!(
                "Farrier: from {}; trying again in {RETRY_S} s (Esc: local disk)",
                server.ip
            ),
            79
        )
    ));
    page.line(&format!(
        "  if sleep --interruptible {RETRY_S}; then true; else break; fi"
    ));
    page.line("done");
    page.line("if [ \"$farrier_ready\" != 1 ]; then");
    page.line(&format!("  {LOCAL_DISK}"));
    page.line("fi");
    page.text
}

/// A waiting GRUB sources its own configuration again and again. The inner copies find
/// `farrier_waiting` set and do nothing while nobody has assigned the machine, so nothing nests;
/// one that brings a menu sets `farrier_ready`, and the loop ends.
fn wait(page: &mut Config, sheet: &Sheet<'_>, plan: &BootPlan) {
    let poll = u32::from(plan.site.wait_poll_s);
    let rounds = plan.site.wait_rounds();
    let outer = rounds.div_ceil(LOOP_LIMIT);
    let inner = rounds.div_ceil(outer);
    let own = format!("/grub/grub.cfg-01-{}", sheet.client.mac.dashed());
    page.line("if [ \"$farrier_waiting\" != 1 ]; then");
    page.line("  set farrier_waiting=1");
    page.line("  set farrier_ready=0");
    let [what, how] = sheet.waiting(plan);
    for text in [
        what,
        how,
        format!(
            "asking every {poll} s for {} s (Esc: local disk)",
            plan.site.wait_limit_s
        ),
    ] {
        page.line(&format!(
            "  echo {}",
            grub_text(&format!("Farrier: {text}"), 79)
        ));
    }
    page.line(&format!("  for lap in {}; do", numbers(outer)));
    page.line(&format!("    for n in {}; do", numbers(inner)));
    page.line(&format!(
        "      if sleep --interruptible {poll}; then true; else {LOCAL_DISK}; fi"
    ));
    page.line(&format!("      source {own}"));
    page.line("      if [ \"$farrier_ready\" = 1 ]; then break; fi");
    page.line("    done");
    page.line("    if [ \"$farrier_ready\" = 1 ]; then break; fi");
    page.line("    echo 'Farrier: still waiting'");
    page.line("  done");
    page.line("  if [ \"$farrier_ready\" != 1 ]; then");
    page.line(&format!(
        "    echo {}",
        grub_text(&format!("Farrier: {}", waited_for_nothing(plan)), 79)
    ));
    page.line(&format!("    {LOCAL_DISK}"));
    page.line("  fi");
    if plan.intent == Intent::Queue {
        // An inner copy has nothing to do but to tell how far the queue is.
        page.line("else");
        let text = format!("Farrier: {}", sheet.still_waiting(plan, 0));
        page.line(&format!("  echo {}", grub_text(&text, 79)));
    }
    page.line("fi");
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
    page.line("set farrier_ready=1");
    let default_id = default.map_or_else(|| "local".to_owned(), |n| format!("e{n}"));
    page.line(&format!("set default={default_id}"));
    page.line("set timeout_style=menu");
    page.line(&format!("set timeout={}", plan.site.menu_timeout_s));
    for (n, entry) in entries.iter().enumerate() {
        let Ok(boot) = &entry.boot else { continue };
        page.line("");
        page.line(&format!(
            "menuentry {} --id e{n} {{",
            grub_text(&entry.profile.title, 70)
        ));
        load(page, entry.profile, boot);
        page.line("}");
    }
    page.line("");
    page.line("menuentry 'Boot from the local disk' --id local {");
    page.line(&format!("  {LOCAL_DISK}"));
    page.line("}");
}

/// Loads and starts; what fails is tried again, and after five minutes the machine restarts:
/// it then asks afresh what it is to boot, or, with Farrier gone, goes to its local disk.
fn load(page: &mut Config, profile: &Profile, boot: &Boot<'_>) {
    page.line(&format!(
        "  echo {}",
        grub_text(&format!("Farrier: loading {}", profile.title), 79)
    ));
    for line in profile.extras.lines(Language::Grub) {
        page.line(&format!("  {line}"));
    }
    page.line(&format!("  for try in {}; do", numbers(RETRIES)));
    match boot {
        Boot::Linux {
            kernel,
            initrds,
            args,
        } => {
            let args = grub_args(args);
            page.line(&format!("    if linux {} {args}; then", name(kernel)));
            if initrds.is_empty() {
                page.line("      boot");
            } else {
                let names: Vec<String> = initrds.iter().map(name).collect();
                page.line(&format!("      if initrd {}; then", names.join(" ")));
                page.line("        boot");
                page.line("      fi");
            }
        }
        // Chain is never offered here: see `LoaderKind::can_boot`.
        Boot::Program(file) | Boot::Chain(file) => {
            page.line(&format!("    if chainloader {}; then", name(file)));
            page.line("      boot");
        }
    }
    page.line("    fi");
    page.line(&format!(
        "    echo 'Farrier: that did not work; trying again in {RETRY_S} s'"
    ));
    page.line(&format!("    sleep {RETRY_S}"));
    page.line("  done");
    page.line("  reboot");
}

/// A file's name from the root of the server that GRUB came from.
fn name(file: &FileRef) -> String {
    match file {
        FileRef::Image(path) => grub_word(&format!("/images/{path}")),
        FileRef::Url(url) => grub_word(url),
    }
}

fn numbers(up_to: u32) -> String {
    let numbers: Vec<String> = (1..=up_to).map(|n| n.to_string()).collect();
    numbers.join(" ")
}

struct Config {
    text: String,
}

impl Config {
    fn new(purpose: &str, local: LocalBoot) -> Self {
        let function = match local {
            LocalBoot::Auto
            | LocalBoot::NextEntry
            | LocalBoot::FirstDisk
            | LocalBoot::LocalGrub => local_function(),
            LocalBoot::Exit => EXIT_FUNCTION.to_owned(),
        };
        Config {
            text: format!("# Farrier: {purpose}\n{function}"),
        }
    }

    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    fn say(&mut self, text: &str) {
        let word = grub_text(&format!("Farrier: {text}"), 79);
        self.line(&format!("echo {word}"));
    }
}

/// Starts the local disk; ends every way that does not boot a profile.
const LOCAL_DISK: &str = "farrier_local";
/// GRUB 2.12 leaves with "success" whatever it is told, and EDK2 then stops at its own menu
/// instead of going on to its next boot entry (seen on OVMF). So GRUB looks for an installed
/// system's loader itself. Leaving is for machines without one, where the firmware has nothing to
/// boot either.
fn local_function() -> String {
    let loaders = INSTALLED.map(|name| name.replace(ARCH, "$arch")).join(" ");
    format!(
        "\
function farrier_local {{
  echo 'Farrier: starting the local disk'
  if [ \"$grub_platform\" = efi ]; then
    if [ \"$grub_cpu\" = arm64 ]; then set arch=aa64
    elif [ \"$grub_cpu\" = i386 ]; then set arch=ia32
    else set arch=x64; fi
    for loader in {loaders}; do
      for disk in (hd*); do
        if [ -f \"$disk/EFI/$loader.efi\" ]; then
          if chainloader \"$disk/EFI/$loader.efi\"; then boot; fi
        fi
      done
    done
  elif chainloader (hd0)+1; then
    boot
  fi
  exit 1
}}
"
    )
}
/// For firmware that goes on by itself.
const EXIT_FUNCTION: &str = "\
function farrier_local {
  echo 'Farrier: leaving for the firmware'
  exit 1
}
";
/// Longest list of one `for`; longer waits are two loops.
const LOOP_LIMIT: u32 = 100;
