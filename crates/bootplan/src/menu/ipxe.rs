//! iPXE scripts, for builds from 2019 to today.

use super::text::{ipxe_args, ipxe_text};
use super::{ARCH, Boot, Entry, INSTALLED, Language, Page, RETRIES, RETRY_S, Sheet};
use crate::{BootPlan, Endpoint, FileRef, LocalBoot};

/// For firmware without a way on, an error.
const FIRST_DISK: &str = "sanboot --no-describe --drive 0x80 || exit 1";
/// What iPXE knows about the machine, expanded by the client. Free texts go as `uristring`:
/// serial numbers contain spaces and slashes.
const QUERY: &str = "uuid=${uuid}&serial=${serial:uristring}&platform=${platform}\
                     &buildarch=${buildarch}&manufacturer=${manufacturer:uristring}\
                     &product=${product:uristring}&asset=${asset:uristring}\
                     &memsize=${memsize}&cpumodel=${cpumodel:uristring}";

pub(super) fn script(sheet: &Sheet<'_>) -> String {
    let mut page = Script::new("the script of one machine");
    page.line("set lost:int32 0");
    match &sheet.page {
        Page::LocalDisk => {
            page.say(&format!("{} boots its local disk", sheet.who));
            page.say(&format!("because {}", sheet.because));
            page.line("sleep 3 ||");
            page.line("goto local");
        }
        Page::Wait { plan } => wait(&mut page, sheet, plan),
        Page::Menu {
            plan,
            default,
            entries,
        } => menu(&mut page, sheet, plan, *default, entries),
    }
    page.local_disk(sheet.local);
    page.text
}

pub(super) fn bootstrap(server: &Endpoint) -> String {
    let mut page = Script::new("finds out which machine this is and fetches its script");
    let path = format!("${{netX/mac:hexhyp}}/boot.ipxe?{QUERY}");
    page.line("set tries:int32 0");
    page.line(":start");
    // autoexec.ipxe runs before DHCP; a script that DHCP named finds the address there.
    page.line("isset ${netX/ip} || dhcp || goto failed");
    page.say_raw("${netX/mac} asks for its script");
    page.line(&format!(
        "chain --replace --autofree {}/{path} ||",
        server.http_base()
    ));
    // Builds without HTTP; the machine's own script is then named without a query.
    page.line(&format!(
        "chain --replace --autofree tftp://{}/${{netX/mac:hexhyp}}/boot.ipxe ||",
        server.ip
    ));
    page.line(":failed");
    page.line("inc tries");
    page.say(&format!(
        "cannot get an address or reach {}",
        server.http_base()
    ));
    page.line(&format!("iseq ${{tries}} {RETRIES} && goto local ||"));
    page.say(&format!("trying again in {RETRY_S} s (Ctrl-C: local disk)"));
    page.line(&format!("sleep {RETRY_S} || goto local"));
    page.line("goto start");
    page.local_disk(LocalBoot::Auto);
    page.text
}

fn wait(page: &mut Script, sheet: &Sheet<'_>, plan: &BootPlan) {
    let poll = u32::from(plan.site.wait_poll_s);
    if sheet.round == 0 {
        for line in sheet.waiting(plan) {
            page.say(&line);
        }
        page.say(&format!(
            "asking every {poll} s for {} s (Ctrl-C: local disk)",
            plan.site.wait_limit_s
        ));
    } else {
        page.say(&sheet.still_waiting(plan, sheet.round.saturating_mul(poll)));
    }
    page.line(&format!("sleep {poll} || goto local"));
    page.line(":again");
    page.ask_again(sheet, sheet.round + 1);
}

fn menu(
    page: &mut Script,
    sheet: &Sheet<'_>,
    plan: &BootPlan,
    default: Option<usize>,
    entries: &[Entry<'_>],
) {
    let default_label = match default {
        Some(n) => format!("e{n}"),
        None => "local".to_owned(),
    };
    for line in sheet.heading(default.map(|n| &entries[n])) {
        page.say(&line);
    }
    for (text, aloud) in sheet.not_offered() {
        if aloud {
            page.say(&text);
        } else {
            page.line(&format!("# {}", ipxe_text(&text, 200)));
        }
    }
    if plan.site.menu_timeout_s == 0 {
        page.line(&format!("goto {default_label}"));
    } else {
        // A build without the menu command boots the default; Esc is for somebody who wants to
        // stop this boot, and the local disk is what changes nothing.
        page.line(&format!(
            "menu {} || goto {default_label}",
            ipxe_text(
                &format!("Farrier: {} ({})", sheet.who, sheet.client.mac),
                70
            )
        ));
        for (n, entry) in offered(entries) {
            page.line(&format!(
                "item e{n} {}",
                ipxe_text(&entry.profile.title, 70)
            ));
        }
        page.line("item local Boot from the local disk");
        page.line(&format!(
            "choose --timeout {} --default {default_label} pick || goto local",
            u32::from(plan.site.menu_timeout_s) * 1000
        ));
        page.line("goto ${pick}");
    }
    for (n, entry) in offered(entries) {
        page.line("");
        page.line(&format!(":e{n}"));
        page.say(&format!("loading {}", entry.profile.title));
        // What an earlier attempt left behind would be handed to the kernel as well.
        page.line("imgfree ||");
        for line in entry.profile.extras.lines(Language::Ipxe) {
            page.extra(line);
        }
        if let Ok(boot) = &entry.boot {
            load(page, sheet, boot);
        }
    }
    page.line("");
    page.line(":failed");
    page.say(&format!(
        "that did not work; asking again in {RETRY_S} s (Ctrl-C: local disk)"
    ));
    page.line(&format!("sleep {RETRY_S} || goto local"));
    page.line(":again");
    page.ask_again(sheet, 0);
}

fn offered<'a, 'b>(entries: &'a [Entry<'b>]) -> impl Iterator<Item = (usize, &'a Entry<'b>)> {
    entries.iter().enumerate().filter(|(_, e)| e.boot.is_ok())
}

fn load(page: &mut Script, sheet: &Sheet<'_>, boot: &Boot<'_>) {
    let url = |file: &FileRef| url(sheet, file);
    match boot {
        Boot::Linux {
            kernel,
            initrds,
            args,
        } => {
            // EFI kernels find their initial RAM disks only by `initrd=`; BIOS does not mind.
            let mut line = format!("kernel --name linux {}", url(kernel));
            let by_name = kernel.is_wimboot();
            for n in (0..initrds.len()).filter(|_| !by_name) {
                line += &format!(" initrd=initrd{n}");
            }
            let args = ipxe_args(args);
            if !args.is_empty() {
                line += &format!(" {args}");
            }
            page.line(&format!("{line} || goto failed"));
            for (n, initrd) in initrds.iter().enumerate() {
                let name = match by_name {
                    true => initrd.file_name().to_owned(),
                    false => format!("initrd{n}"),
                };
                page.line(&format!(
                    "initrd --name {name} {} || goto failed",
                    url(initrd)
                ));
            }
            page.line("boot || goto failed");
            page.line("goto failed");
        }
        Boot::Program(file) => {
            page.line(&format!(
                "kernel --name program {} || goto failed",
                url(file)
            ));
            page.line("boot || goto failed");
            page.line("goto failed");
        }
        Boot::Chain(target) => {
            page.line(&format!("chain --autofree {} || goto failed", url(target)));
            // A script that ends well has said that there is nothing more to boot.
            page.line("goto local");
        }
    }
}

/// Where iPXE fetches a file: by HTTP, unless it said that it cannot.
fn url(sheet: &Sheet<'_>, file: &FileRef) -> String {
    match file {
        FileRef::Image(path) => format!("{}/images/{}", base(sheet), encoded(path.as_str())),
        FileRef::Url(url) => url.clone(),
    }
}

fn base(sheet: &Sheet<'_>) -> String {
    match sheet.client.ipxe {
        Some(features) if !features.http => format!("tftp://{}", sheet.server.ip),
        _ => sheet.server.http_base(),
    }
}

/// Percent-encodes everything that is not plainly part of a path.
pub(crate) fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for b in path.bytes() {
        if b.is_ascii_alphanumeric() || b"/-._~+@=,".contains(&b) {
            out.push(char::from(b));
        } else {
            out += &format!("%{b:02X}");
        }
    }
    out
}

/// A script under construction, one command per line.
struct Script {
    text: String,
}

impl Script {
    fn new(purpose: &str) -> Self {
        Script {
            text: format!("#!ipxe\n# Farrier: {purpose}\n"),
        }
    }

    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    /// A command of an operator. A script ends at a command that fails: this one goes on where the
    /// line says so itself (`||`) or was only a question (`&&`), and asks again otherwise.
    fn extra(&mut self, line: &str) {
        if line.contains("||") || line.trim_start().starts_with('#') {
            self.line(line);
        } else if line.contains("&&") {
            self.line(&format!("{line} ||"));
        } else {
            self.line(&format!("{line} || goto failed"));
        }
    }

    /// A line for people, of anybody's words.
    fn say(&mut self, text: &str) {
        let line = ipxe_text(&format!("Farrier: {text}"), 79);
        self.line(&format!("echo {line}"));
    }

    /// A line for people, of our own words, with settings to be expanded.
    fn say_raw(&mut self, text: &str) {
        self.line(&format!("echo Farrier: {text}"));
    }

    /// Asks for this machine's script anew and goes on with that. `--replace` ends this script
    /// first, so that hundreds of rounds need no more memory than one; `--autofree` drops it.
    /// Falls through to the local disk when Farrier has not answered for a while.
    fn ask_again(&mut self, sheet: &Sheet<'_>, round: u32) {
        let url = format!("{}/{}/boot.ipxe", base(sheet), sheet.client.mac.dashed());
        let round = match round {
            0 => String::new(),
            n => format!("&round={n}"),
        };
        self.line(&format!(
            "chain --replace --autofree {url}?{QUERY}{round} ||"
        ));
        self.line("inc lost");
        self.say(&format!("cannot reach {}", base(sheet)));
        self.line(&format!("iseq ${{lost}} {RETRIES} && goto local ||"));
        self.line(&format!("sleep {RETRY_S} || goto local"));
        self.line("goto again");
    }

    /// The end of every script. BIOS: start the first disk, which some BIOSes do not do after a
    /// network boot that gave up. UEFI: leave with an error, on which the firmware goes on to
    /// its next boot entry; after a success it would stop at its own menu.
    fn local_disk(&mut self, how: LocalBoot) {
        self.line("");
        self.line(":local");
        self.line("echo Farrier: starting the local disk");
        match how {
            LocalBoot::Auto => {
                self.line("iseq ${platform} efi && exit 1 ||");
                self.line(FIRST_DISK);
            }
            LocalBoot::Exit => self.line("exit 0"),
            LocalBoot::NextEntry => self.line("exit 1"),
            LocalBoot::FirstDisk => self.line(FIRST_DISK),
            LocalBoot::LocalGrub => {
                self.line("iseq ${platform} efi || goto disk");
                for (build, arch) in [("x86_64", "x64"), ("arm64", "aa64"), ("i386", "ia32")] {
                    self.line(&format!("iseq ${{buildarch}} {build} && set efi {arch} ||"));
                }
                for name in INSTALLED {
                    let name = name.replace('/', "\\").replace(ARCH, "${efi}");
                    self.line(&format!(
                        "sanboot --no-describe --drive 0x80 --filename \\EFI\\{name}.efi ||"
                    ));
                }
                self.line(":disk");
                self.line(FIRST_DISK);
            }
        }
    }
}
