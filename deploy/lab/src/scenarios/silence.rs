//! What Farrier must leave alone: machines nobody assigned, and computers that only want an
//! address.

use super::Run;
use super::boots::{PATIENCE, SETTLE, Stand};
use crate::events::{Step, in_order};
use crate::lan::{FARRIER, Lan, SITE};
use crate::machine::{Firmware, Machine, Spec};
use crate::process::{Process, run as finish};
use crate::site::SiteDhcp;
use anyhow::{Context, Result, bail, ensure};
use bootplan::{EventKind, Stage};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An unassigned machine at a site of `silence` reaches its disk as fast as with no Farrier on
/// the LAN.
pub(crate) fn falls_through(run: &Run<'_>) -> Result<()> {
    let without = {
        let (lan, _capture) = run.lan()?;
        let site = lan.host("site", Some(SITE))?;
        let _dhcp = SiteDhcp::Dnsmasq.start(&site, &run.dir)?;
        to_its_disk(run, &lan, "without-farrier")?
    };
    run.say(format!(
        "without Farrier the machine is at its disk after {:.1} s",
        without.as_secs_f32()
    ));

    let mut stand = Stand::build(run, SiteDhcp::Dnsmasq)?;
    let with = to_its_disk(run, &stand.lan, "unassigned")?;
    run.say(format!(
        "beside Farrier, unassigned, after {:.1} s",
        with.as_secs_f32()
    ));
    ensure!(
        with < without.mul_f32(1.5) + Duration::from_secs(5),
        "the machine waited on us: {with:?} to its disk, {without:?} without Farrier"
    );

    let steps = [Step::Discovered, Step::NotOffered(Stage::Ipxe)];
    let mac = Spec::new("", Firmware::Bios, 1).mac;
    let events = stand
        .server
        .wait_for_events(mac, SETTLE, |events| in_order(events, &steps))?;
    for event in &events {
        let answered = matches!(
            event.kind,
            EventKind::Offered { .. } | EventKind::FileServed { .. } | EventKind::MenuServed { .. }
        );
        ensure!(
            !answered,
            "Farrier answered a machine it should be silent to: {event:?}"
        );
    }
    run.say("it is recorded as discovered, and that it was left alone");
    Ok(())
}

/// A computer that boots from its own disk and asks for an address gets it from the site, and
/// not one packet from Farrier.
pub(crate) fn plain_client(run: &Run<'_>) -> Result<()> {
    let stand = Stand::build(run, SiteDhcp::Dnsmasq)?;
    stand.server.apply("kind: site\nunassigned: menu\n")?;
    let plain = stand.lan.host("plain", None)?;
    let mut command = plain.command("tcpdump");
    command.args(["-i", "eth0", "-nn", "-l", "--immediate-mode", "udp or tcp"]);
    let mut sniffer = Process::spawn("tcpdump", command, &run.dir.join("plain.log"))?;
    wait_for_output(&mut sniffer, "listening on")?;

    let lease = finish(plain.command("busybox").args([
        "udhcpc",
        "-i",
        "eth0",
        "-n",
        "-q",
        "-f",
        "-s",
        "/bin/true",
    ]));
    // busybox reports on standard error, which `finish` shows only for failures.
    lease.context("the plain client got no lease")?;
    wait_for_output(&mut sniffer, &format!("{SITE}.67"))?;
    // An answer of ours would come at once; give it a second more.
    crate::sandbox::pause(Duration::from_secs(1))?;
    let seen = sniffer.output();
    let ours: Vec<&str> = seen
        .lines()
        .filter(|l| l.contains(&format!("IP {FARRIER}.")))
        .collect();
    ensure!(
        ours.is_empty(),
        "Farrier spoke to a client that does not boot:\n{}",
        ours.join("\n")
    );
    run.say("a plain DHCP client has its lease from the site and saw no packet of Farrier's");

    let status = stand.server.cli(&["--json", "status"])?;
    let status: serde_json::Value = serde_json::from_str(&status).context("status is no JSON")?;
    let ignored = status["ignored"]
        .as_object()
        .context("status counts what it ignored")?;
    let counted: u64 = ignored.values().filter_map(serde_json::Value::as_u64).sum();
    ensure!(
        counted > 0,
        "Farrier counted no ignored request, so it may not have heard any: {status}"
    );
    run.say(format!(
        "Farrier heard it and counted it as not for us: {ignored:?}"
    ));
    Ok(())
}

/// Boots a machine whose second boot device is a disk that says so, and returns how long that took.
fn to_its_disk(run: &Run<'_>, lan: &Lan, name: &str) -> Result<Duration> {
    let disk = disk_that_speaks(&run.dir)?;
    let spec = Spec::new(name, Firmware::Bios, 1).with_disk(disk);
    let mut machine = Machine::power_on(lan, &run.dir, spec)?;
    let time = machine.expect(DISK_SAYS, PATIENCE)?;
    if machine.has_printed("Linux version") {
        bail!("{name} booted from the network");
    }
    Ok(time)
}

/// A disk image whose boot sector prints [`DISK_SAYS`] by the BIOS and stops.
pub(super) fn disk_that_speaks(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("disk.img");
    std::fs::write(&path, boot_sector()).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

fn boot_sector() -> Vec<u8> {
    let mut sector = vec![
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0xbe, 0x18, 0x7c, // mov si, 0x7c18: the text behind the code
        0xac, // next: lodsb
        0x84, 0xc0, // test al, al
        0x74, 0x09, // jz stop
        0xb4, 0x0e, // mov ah, 0x0e: print as on a teletype
        0xbb, 0x07, 0x00, // mov bx, 7
        0xcd, 0x10, // int 0x10
        0xeb, 0xf2, // jmp next
        0xf4, // stop: hlt
        0xeb, 0xfd, // jmp stop
    ];
    sector.extend(DISK_SAYS.bytes());
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    // BIOSes do not boot from disks smaller than a track.
    sector.resize(1 << 20, 0);
    sector
}

fn wait_for_output(process: &mut Process, text: &str) -> Result<()> {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !process.output().contains(text) {
        process.check()?;
        ensure!(
            std::time::Instant::now() < deadline,
            "no {text:?} in:\n{}",
            process.tail(20)
        );
        crate::sandbox::pause(Duration::from_millis(100))?;
    }
    Ok(())
}

/// What the disk's boot sector prints.
pub(super) const DISK_SAYS: &str = "BOOTED FROM ITS OWN DISK";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_sector_points_at_its_text_and_is_signed() {
        let sector = boot_sector();
        let text = usize::from(u16::from_le_bytes([sector[5], sector[6]])) - 0x7c00;
        assert_eq!(&sector[text..text + DISK_SAYS.len()], DISK_SAYS.as_bytes());
        assert_eq!(sector[text + DISK_SAYS.len()], 0);
        assert_eq!(&sector[510..512], [0x55, 0xaa]);
    }
}
