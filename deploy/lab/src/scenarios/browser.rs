//! First boot by hand: somebody sets Farrier up in a browser and gives a waiting machine its OS.

use super::Run;
use super::boots::{FIRST_SCREEN, INSTALLER, PATIENCE, SETTLE, Stand, handed_over};
use crate::events::{Step, in_order};
use crate::forward;
use crate::lan::FARRIER;
use crate::machine::{Firmware, Machine, Spec};
use crate::process::Process;
use crate::site::SiteDhcp;
use anyhow::{Context, Result, ensure};
use bootplan::{Stage, Transport};
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The browser test of `web/tests`, and the machine it assigns.
pub(crate) fn first_boot(run: &Run<'_>) -> Result<()> {
    let script = std::path::absolute(SCRIPT).context("where are we?")?;
    ensure!(
        script.exists(),
        "{SCRIPT} is not here: run the lab from the top of the repository"
    );
    let mut stand = Stand::build(run, SiteDhcp::Dnsmasq)?;
    let port = forward::open(0, &stand.farrier, SocketAddrV4::new(FARRIER, 8080))?;
    let spec = Spec::new("bios", Firmware::Bios, 1);
    let mac = spec.mac;

    let waits = run.dir.join("machine-waits");
    let mut command = Command::new("node");
    command
        .arg(&script)
        .env("FARRIER_URL", format!("http://127.0.0.1:{port}"))
        .env("FARRIER_SETUP", stand.server.setup_path()?)
        .env("MACHINE_MAC", mac.to_string())
        .env("MACHINE_PROFILE", INSTALLER)
        .env("MACHINE_WAITS", &waits)
        .env("BROWSER_STATE", run.dir.join("browser"));
    let mut browser = Process::spawn("the browser test", command, &run.dir.join("browser.log"))?;

    told(
        run,
        &mut browser,
        "site default is wait",
        Duration::from_secs(180),
    )?;
    let mut machine = Machine::power_on(&stand.lan, &run.dir, spec)?;
    run.say("switched the machine on; nobody has assigned anything to it");
    told(
        run,
        &mut browser,
        "machine appeared without reload",
        Duration::from_secs(180),
    )?;
    let after = machine.expect(&format!("{mac} waits for an assignment"), PATIENCE)?;
    run.say(format!(
        "its screen says that it waits, {:.1} s after power-on",
        after.as_secs_f32()
    ));
    std::fs::write(&waits, "").with_context(|| format!("write {}", waits.display()))?;
    told(
        run,
        &mut browser,
        "assigned in the browser",
        Duration::from_secs(120),
    )?;
    stand.server.apply(&neighbours())?;
    let after = machine.expect(FIRST_SCREEN, PATIENCE)?;
    run.say(format!(
        "printed {FIRST_SCREEN:?} {:.1} s after the same power-on",
        after.as_secs_f32()
    ));

    let steps = [
        Step::Discovered,
        Step::Offered(Stage::Ipxe, "boot.ipxe"),
        Step::Waiting(Transport::Http),
        Step::Assigned(INSTALLER),
        Step::Menu(Stage::Ipxe, Transport::Http, INSTALLER),
        Step::File(Transport::Http, "linux"),
        Step::File(Transport::Http, "initrd.gz"),
    ];
    stand
        .server
        .wait_for_events(mac, SETTLE, |events| in_order(events, &steps))?;
    run.say(format!(
        "the timeline has its {} steps in order",
        steps.len()
    ));
    handed_over(&stand.server, mac)?;
    let status = browser.wait(Duration::from_secs(180))?;
    ensure!(
        status.success(),
        "the browser test failed:\n{}",
        browser.tail(40)
    );
    run.say("the browser test passed");
    keep_screenshots(&script)
}

/// Other machines of the site, so that the pages have something to filter and to change at once.
fn neighbours() -> String {
    let machine = |number: u8| {
        let (rack, unit) = (number / 4 + 11, number % 4 + 1);
        format!(
            "kind: machine\nname: rack{rack}-u{unit}\nmacs: [\"52:54:00:77:01:{number:02x}\"]\n\
             labels: {{rack: \"{rack}\", role: {}}}\n",
            if unit == 1 { "storage" } else { "compute" }
        )
    };
    (0..8).map(machine).collect::<Vec<_>>().join("---\n")
}

/// Waits until the browser test says `line`.
fn told(run: &Run<'_>, browser: &mut Process, line: &str, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !browser.output().contains(line) {
        browser.check()?;
        ensure!(
            Instant::now() < deadline,
            "the browser test has not said {line:?}:\n{}",
            browser.tail(40)
        );
        crate::sandbox::pause(Duration::from_millis(200))?;
    }
    run.say(format!("browser: {line}"));
    Ok(())
}

/// The test writes them itself; an empty folder would mean that it did not.
fn keep_screenshots(script: &Path) -> Result<()> {
    let folder = script.with_file_name("artifacts");
    let count = std::fs::read_dir(&folder).map_or(0, Iterator::count);
    ensure!(count > 0, "no screenshot in {}", folder.display());
    Ok(())
}

const SCRIPT: &str = "web/tests/first-boot.mjs";
