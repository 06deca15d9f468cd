//! A machine without a disk: its root comes over the network, what it writes stays its own.

use super::Run;
use super::boots::{PATIENCE, SETTLE, Stand, assigned, handed_over};
use crate::events::{Step, in_order};
use crate::machine::{Firmware, Machine, Spec};
use crate::site::SiteDhcp;
use anyhow::{Context, Result, ensure};
use bootplan::{Stage, Transport};
use serde_json::Value;

/// Boots twice to a login prompt, with a power cut between: first with the root fetched by HTTP,
/// then with the root read by NBD. The second boot finds the file that the first one wrote.
pub(crate) fn keeps_its_files(run: &Run<'_>) -> Result<()> {
    let mut stand = Stand::build(run, SiteDhcp::Dnsmasq)?;
    let mut spec = Spec::new(run.name, Firmware::Bios, 1);
    spec.memory = 512;
    let mac = spec.mac;
    for (boot, access) in [(1, "http"), (2, "nbd")] {
        stand.server.apply(&profile(access))?;
        stand.server.apply(&assigned(run.name, &spec, NAME, None))?;
        let mut machine = Machine::power_on(&stand.lan, &run.dir, spec.clone())?;
        machine.expect(&format!("ROOM: boot {boot}"), PATIENCE)?;
        // Its own name, not the one in the image.
        let after = machine.expect(&format!("{} login:", run.name), PATIENCE)?;
        run.say(format!(
            "boot {boot}, root by {access}: a login prompt {:.1} s after power-on",
            after.as_secs_f32()
        ));
        // Dropped without a word, like a plug pulled.
    }
    let steps = [
        Step::Menu(Stage::Ipxe, Transport::Http, NAME),
        Step::File(Transport::Http, "payload/room.squashfs"),
        Step::Menu(Stage::Ipxe, Transport::Http, NAME),
        Step::File(Transport::Http, "payload/initrd"),
    ];
    stand
        .server
        .wait_for_events(mac, SETTLE, |events| in_order(events, &steps))?;
    handed_over(&stand.server, mac)?;

    let kept = stand.server.cli(&[
        "--data-dir",
        &stand.server.data_dir(),
        "--json",
        "diskless",
        "list",
    ])?;
    let kept: Value = serde_json::from_str(&kept).with_context(|| format!("no JSON: {kept}"))?;
    let used = kept[0]["used"].as_u64().unwrap_or(0);
    ensure!(
        used > 0 && kept[1].is_null(),
        "one machine keeps something: {kept}"
    );
    run.say(format!("it keeps {} MiB", used >> 20));
    Ok(())
}

fn profile(access: &str) -> String {
    format!(
        "kind: profile\nname: {NAME}\ntitle: A room without disks\nboot:\n  kind: diskless\n  \
         kernel: payload/linux\n  initrds: [payload/initrd]\n  root: payload/room.squashfs\n  \
         access: {access}\n  overlay: per-machine\n  overlay_gib: 1\n  args: quiet\n  \
         console: \"ttyS0,115200\"\n"
    )
}

const NAME: &str = "room";
