//! Orders to install, with the lab's installer on real firmware: what ends them, and that nothing
//! installs twice.

use super::Run;
use super::boots::{PATIENCE, Stand};
use super::payload::empty_disk;
use super::silence::{DISK_SAYS, disk_that_speaks};
use crate::machine::{Firmware, Machine, Spec};
use crate::sandbox::pause;
use crate::site::SiteDhcp;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// An installer that dies half-way and never reports: so many tries as the site allows, then the
/// local disk, and people are told why.
pub(crate) fn loop_guard(run: &Run<'_>) -> Result<()> {
    let stand = Stand::build(run, SiteDhcp::Dnsmasq)?;
    let spec = spec(run, disk_that_speaks(&run.dir)?);
    stand
        .server
        .apply("kind: site\ninstall_limit: {tries: 2, minutes: 60}\n")?;
    stand.server.apply(&profile("farrier.payload=loops"))?;
    ordered(run, &stand, &spec)?;
    for n in 1..=2 {
        let mut machine = Machine::power_on(&stand.lan, &run.dir, spec.clone())?;
        machine.expect("PAYLOAD: fails without a word", PATIENCE)?;
        machine.goes_off(PATIENCE)?;
        run.say(format!("try {n} of 2 ended without a report"));
    }
    let mac = spec.mac.to_string();
    let mut machine = Machine::power_on(&stand.lan, &run.dir, spec)?;
    machine.expect(DISK_SAYS, PATIENCE)?;
    ensure!(
        !machine.has_printed("Linux version"),
        "a third try was started"
    );
    let told = lifecycle(&stand, run.name)?;
    ensure!(told["lifecycle"] == "held", "not held: {told}");
    let why = stand.server.cli(&["explain", "--mac", &mac])?;
    ensure!(why.contains("2 tries"), "explain does not say why: {why}");
    run.say("then it is at its disk, held, and people are told why");
    Ok(())
}

/// Farrier is down: a machine with an order reaches its disk as if nobody had ordered anything.
pub(crate) fn server_down(run: &Run<'_>) -> Result<()> {
    let stand = Stand::build(run, SiteDhcp::Dnsmasq)?;
    let spec = spec(run, disk_that_speaks(&run.dir)?);
    stand.server.apply(&profile(""))?;
    ordered(run, &stand, &spec)?;
    let stand = stand.without_server();
    let mut machine = Machine::power_on(&stand.lan, &run.dir, spec)?;
    let after = machine.expect(DISK_SAYS, PATIENCE)?;
    run.say(format!(
        "at its disk {:.1} s after power-on",
        after.as_secs_f32()
    ));
    Ok(())
}

/// The whole way: ordered, installed with its own answers, reported; then its own disk for ever.
pub(crate) fn install_unattended(run: &Run<'_>) -> Result<()> {
    let stand = Stand::build(run, SiteDhcp::Dnsmasq)?;
    let spec = spec(run, empty_disk(&run.dir)?);
    stand.server.apply(&profile(LINKS))?;
    ordered(run, &stand, &spec)?;
    ensure!(
        lifecycle(&stand, run.name)?["lifecycle"] == "armed",
        "not armed"
    );

    let mut machine = Machine::power_on(&stand.lan, &run.dir, spec.clone())?;
    machine.expect("PAYLOAD: has its answers", PATIENCE)?;
    machine.expect("PAYLOAD: reported state=done", PATIENCE)?;
    machine.goes_off(PATIENCE)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let told = lifecycle(&stand, run.name)?;
        if told["lifecycle"] == "installed" {
            break;
        }
        ensure!(Instant::now() < deadline, "not installed: {told}");
        pause(Duration::from_millis(200))?;
    }
    run.say("it installed by its own answers and reported; the order is over");
    for time in ["once", "again"] {
        let mut machine = Machine::power_on(&stand.lan, &run.dir, spec.clone())?;
        machine.expect(&format!("INSTALLED AS {}", run.name), PATIENCE)?;
        ensure!(!machine.has_printed("Linux version"), "it installs again");
        run.say(format!("switched on {time}: it boots what it installed"));
    }
    Ok(())
}

fn spec(run: &Run<'_>, disk: PathBuf) -> Spec {
    let mut spec = Spec::new(run.name, Firmware::Bios, 1).with_disk(disk);
    spec.memory = 256;
    spec
}

/// Registers the machine and orders its installation.
fn ordered(run: &Run<'_>, stand: &Stand, spec: &Spec) -> Result<()> {
    let machine = format!(
        "kind: machine\nname: {}\nmacs: [\"{}\"]\n",
        run.name, spec.mac
    );
    stand.server.apply(&machine)?;
    stand
        .server
        .cli(&["machine", "install", run.name, "--profile", PROFILE])?;
    Ok(())
}

/// What the server says of the machine.
pub(super) fn lifecycle(stand: &Stand, name: &str) -> Result<Value> {
    let list = stand.server.cli(&["--json", "machine", "list"])?;
    let list: Value = serde_json::from_str(&list).with_context(|| format!("no JSON: {list}"))?;
    let machines = list.as_array().or_else(|| list["machines"].as_array());
    let mine = machines.and_then(|all| all.iter().find(|m| m["name"] == name));
    mine.cloned()
        .with_context(|| format!("no machine {name}: {list}"))
}

fn profile(args: &str) -> String {
    let answers = match args.contains("answer(") {
        true => {
            "answers: [{name: disk, kind: generic, text: \"disk-says: INSTALLED AS {{ machine.name }}\"}]\n"
        }
        false => "",
    };
    format!(
        "kind: profile\nname: {PROFILE}\ntitle: The lab's installer\nboot:\n  kind: linux\n  \
         kernel: payload/linux\n  initrds: [payload/initrd]\n  args: \"quiet {args}\"\n  \
         console: \"ttyS0,115200\"\n{answers}"
    )
}

const PROFILE: &str = "payload";
const LINKS: &str = "farrier.answer={{ answer('disk') }} farrier.report={{ report }}";
