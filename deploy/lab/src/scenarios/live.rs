//! A whole Debian without a disk, made by `farrier image build-live` and started by Debian's own
//! live-boot: the system fetched by HTTP, what is written kept on the server. The same by NFS.

use super::Run;
use super::boots::{PATIENCE, SETTLE, Stand, assigned, handed_over};
use crate::events::{Step, in_order};
use crate::machine::{Firmware, Machine, Spec};
use crate::process::{Process, run as finish};
use crate::site::SiteDhcp;
use anyhow::{Context, Result, ensure};
use bootplan::{Stage, Transport};
use std::net::Ipv4Addr;
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
        let after = machine.expect(&prompt(run), LONG)?;
        run.say(format!(
            "what is written is {boot}: a login prompt after {:.0} s",
            after.as_secs_f32()
        ));
        log_in(run, &mut machine)?;
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
    by_nfs(run, &stand, &spec, &images)?;
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
    let kept = stand.server.cli(&[
        "--data-dir",
        &stand.server.data_dir(),
        "--json",
        "diskless",
        "list",
    ])?;
    ensure!(kept.contains("\"used\""), "nothing is kept: {kept}");
    Ok(())
}

/// The same system as a tree, from Debian's nfs-ganesha with the exports that Farrier prints for it.
fn by_nfs(run: &Run<'_>, stand: &Stand, spec: &Spec, images: &str) -> Result<()> {
    let unpacked = run.options.assets.with_file_name("nfs");
    finish(Command::new(NFS_SERVER).arg("fetch").arg(&unpacked))?;
    finish(Command::new("unsquashfs").args([
        "-quiet",
        "-no-progress",
        "-dest",
        &format!("{images}/tree"),
        &format!("{images}/filesystem.squashfs"),
    ]))?;
    let told = stand.server.cli(&[
        "--data-dir",
        &stand.server.data_dir(),
        "diskless",
        "nfs",
        "10.77.0.0/24",
    ])?;
    let begin = told.find("EXPORT {").context("no EXPORT")?;
    let end = told[begin..].find("\n}\n").context("EXPORT does not end")?;
    let exports = run.dir.join("exports.conf");
    std::fs::write(&exports, &told[begin..begin + end + 3]).context("write the exports")?;

    let host = stand.lan.host("nfs", Some(NFS))?;
    let mut command = host.command("unshare");
    command.args(["--mount", "bash", NFS_SERVER, "serve"]);
    command.arg(&unpacked).arg(&exports);
    let _server = Process::spawn("the NFS server", command, &run.dir.join("nfs.log"))?;

    let profile = format!(
        "kind: profile\nname: {NAME}\ntitle: Debian without a disk\nboot:\n  kind: diskless\n  \
         kernel: {NAME}/linux\n  initrds: [{NAME}/initrd.img]\n  access: nfs\n  \
         root: \"{NFS}:{images}/tree\"\n  console: \"ttyS0,115200\"\n"
    );
    stand.server.apply(&profile)?;
    let mut machine = Machine::power_on(&stand.lan, &run.dir, spec.clone())?;
    let after = machine.expect(&prompt(run), LONG)?;
    log_in(run, &mut machine)?;
    run.say(format!(
        "by NFS: a login prompt after {:.0} s",
        after.as_secs_f32()
    ));
    Ok(())
}

/// One image, and each machine called by its own name.
fn prompt(run: &Run<'_>) -> String {
    format!("{} login:", run.name)
}

/// With the password that the image was made with.
fn log_in(run: &Run<'_>, machine: &mut Machine) -> Result<()> {
    machine.type_keys("root\n")?;
    machine.expect("Password:", PATIENCE)?;
    machine.type_keys(&format!("{PASSWORD}\n"))?;
    // What is typed before the shell listens is lost.
    machine.expect(&format!("root@{}:~#", run.name), PATIENCE)?;
    Ok(())
}

fn profile(overlay: &str) -> String {
    format!(
        "kind: profile\nname: {NAME}\ntitle: Debian without a disk\nboot:\n  kind: diskless\n  \
         start: live-boot\n  kernel: {NAME}/linux\n  initrds: [{NAME}/initrd.img]\n  \
         root: {NAME}/filesystem.squashfs\n  overlay: {overlay}\n  console: \"ttyS0,115200\"\n"
    )
}

const NFS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 4);
const NFS_SERVER: &str = "deploy/lab/nfs-server.sh";
const NAME: &str = "live";
const PASSWORD: &str = "classroom";
/// systemd under emulation, on a busy machine.
const LONG: Duration = Duration::from_secs(30 * 60);
