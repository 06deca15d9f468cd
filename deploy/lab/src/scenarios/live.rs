//! A whole Debian without a disk, made by `farrier image build-live` and started by Debian's own
//! live-boot: the system fetched by HTTP, what is written kept on the server.

use super::Run;
use super::boots::{PATIENCE, SETTLE, Stand, assigned, handed_over};
use crate::events::{Step, in_order};
use crate::machine::{Firmware, Machine, Spec};
use crate::process::run as finish;
use crate::site::SiteDhcp;
use anyhow::{Context, Result, ensure};
use bootplan::{Stage, Transport};
use std::process::Command;
use std::time::Duration;

/// Boots to a login prompt with what is written in memory, then twice with it kept, with a power cut
/// between: the second time finds what the first wrote.
pub(crate) fn boots(run: &Run<'_>) -> Result<()> {
    let mut stand = Stand::build(run, SiteDhcp::Dnsmasq)?;
    let images = format!("{}/images/{NAME}", stand.server.data_dir());
    let hash = finish(Command::new("openssl").args(["passwd", "-6", PASSWORD]))?;
    // On the lab's own host: the LAN has no way to the packages.
    finish(
        Command::new(&run.options.farrier)
            .args(["image", "build-live", "--live-boot", "bookworm", &images])
            .env("PASSWORD_HASH", hash.trim()),
    )?;
    let size = std::fs::metadata(format!("{images}/filesystem.squashfs"))
        .context("no squashfs was made")?
        .len();
    run.say(format!("the script made a system of {} MiB", size >> 20));

    let mut spec = Spec::new(run.name, Firmware::Bios, 1);
    spec.memory = 1536;
    let mac = spec.mac;
    for (boot, overlay) in [
        ("in memory", "ram"),
        ("kept", "per-machine"),
        ("kept, again", "per-machine"),
    ] {
        stand.server.apply(&profile(overlay))?;
        stand.server.apply(&assigned(run.name, &spec, NAME, None))?;
        let mut machine = Machine::power_on(&stand.lan, &run.dir, spec.clone())?;
        let after = machine.expect("workstation login:", LONG)?;
        run.say(format!(
            "what is written is {boot}: a login prompt after {:.0} s",
            after.as_secs_f32()
        ));
        machine.type_keys("root\n")?;
        machine.expect("Password:", PATIENCE)?;
        machine.type_keys(&format!("{PASSWORD}\n"))?;
        machine.expect("individual files in /usr/share/doc", PATIENCE)?;
        // The shell puts the number together: what is typed must not look like the answer.
        machine.type_keys("echo boot >>/root/book; sync; echo BOOK=$(wc -l </root/book).\n")?;
        let expected = if boot.ends_with("again") {
            "BOOK=2."
        } else {
            "BOOK=1."
        };
        machine.expect(expected, PATIENCE)?;
        // Dropped without a word, like a plug pulled.
    }
    let steps = [
        Step::Menu(Stage::Ipxe, Transport::Http, NAME),
        Step::File(Transport::Http, "live/linux"),
        Step::File(Transport::Http, "live/initrd.img"),
        Step::File(Transport::Http, "live/filesystem.squashfs"),
    ];
    stand
        .server
        .wait_for_events(mac, SETTLE, |events| in_order(events, &steps))?;
    handed_over(&stand.server, mac)?;
    let kept = stand.server.cli(&["--json", "diskless", "list"])?;
    ensure!(kept.contains("\"used\""), "nothing is kept: {kept}");
    Ok(())
}

fn profile(overlay: &str) -> String {
    format!(
        "kind: profile\nname: {NAME}\ntitle: Debian without a disk\nboot:\n  kind: diskless\n  \
         start: live-boot\n  kernel: {NAME}/linux\n  initrds: [{NAME}/initrd.img]\n  \
         root: {NAME}/filesystem.squashfs\n  overlay: {overlay}\n  console: \"ttyS0,115200\"\n"
    )
}

const NAME: &str = "live";
const PASSWORD: &str = "classroom";
/// systemd under emulation, on a busy machine.
const LONG: Duration = Duration::from_secs(30 * 60);
