//! memtest86+, the sample that boots no operating system, until it tests memory.

use super::Run;
use super::boots::{PATIENCE, SETTLE, Stand, assigned, handed_over};
use crate::events::{Step, in_order};
use crate::machine::{Firmware, Machine, Spec};
use crate::site::SiteDhcp;
use anyhow::Result;
use bootplan::{Stage, Transport};

/// The sample profile's program for BIOS.
pub(crate) fn by_bios(run: &Run<'_>) -> Result<()> {
    runs(run, Firmware::Bios, "memtest86+x64.bin")
}

/// The one for UEFI.
pub(crate) fn by_uefi(run: &Run<'_>) -> Result<()> {
    runs(run, Firmware::UefiX64, "memtest86+x64.efi")
}

/// The same file as the sample's, as a kernel: what it prints to a serial console needs an argument,
/// and a program has none.
fn runs(run: &Run<'_>, firmware: Firmware, file: &'static str) -> Result<()> {
    let mut stand = Stand::build(run, SiteDhcp::Dnsmasq)?;
    stand.server.apply(&format!(
        "kind: profile\nname: serial\ntitle: memtest86+ on a serial console\n\
         boot: {{kind: linux, kernel: memtest86+/{file}, console: \"ttyS0,115200\"}}\n"
    ))?;
    let mut spec = Spec::new(run.name, firmware, 1);
    // The less there is, the sooner its first test ends.
    spec.memory = 128;
    let mac = spec.mac;
    stand
        .server
        .apply(&assigned(run.name, &spec, "serial", Some("ipxe")))?;
    let mut machine = Machine::power_on(&stand.lan, &run.dir, spec)?;
    for marker in ["Memtest86+ v", "Testing:"] {
        let after = machine.expect(marker, PATIENCE)?;
        let seconds = after.as_secs_f32();
        run.say(format!("printed {marker:?} {seconds:.1} s after power-on"));
    }
    let steps = [
        Step::Menu(Stage::Ipxe, Transport::Http, "serial"),
        Step::File(Transport::Http, file),
    ];
    stand
        .server
        .wait_for_events(mac, SETTLE, |events| in_order(events, &steps))?;
    handed_over(&stand.server, mac)
}
