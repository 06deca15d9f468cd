//! The demo: two machines with nothing on their disk boot what was chosen for them, told to
//! somebody who sees this for the first time.

use crate::events::tell;
use crate::forward;
use crate::lan::{FARRIER, SITE};
use crate::machine::{Firmware, Machine, Spec};
use crate::sandbox::{pause, stopping};
use crate::scenarios::boots::{FIRST_SCREEN, INSTALLER, Stand, assigned};
use crate::scenarios::{Options, Run};
use crate::site::SiteDhcp;
use anyhow::{Result, bail};
use bootplan::{MacAddr, Timestamp};
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Runs it; with `keep` the LAN stays up until Ctrl-C.
///
/// # Errors
/// When something is missing, or a machine does not boot in time.
pub(crate) fn run(options: &Options, dir: &Path, port: u16, keep: bool) -> Result<ExitCode> {
    println!(
        "\nFarrier demo\n\n\
         A private LAN on this host, cut off from every real network:\n\n\
         \x20   site      {SITE}   an ordinary DHCP server (dnsmasq); it knows nothing of booting\n\
         \x20   farrier   {FARRIER}   Farrier: adds boot information beside it, serves loader, menu and OS\n\
         \x20   rack1-u1                a machine with a PC BIOS and no disk\n\
         \x20   rack1-u2                a machine with UEFI and no disk\n"
    );
    let run = Run::new(options, "demo", dir)?;
    let mut stand = Stand::build(&run, SiteDhcp::Dnsmasq)?;
    let inside = SocketAddrV4::new(FARRIER, 8080);
    let port = match forward::open(port, &stand.farrier, inside) {
        Ok(port) => port,
        // Something else of this host's has the port.
        Err(_) => forward::open(0, &stand.farrier, inside)?,
    };
    run.tell(
        "farrier",
        "is up beside the site's DHCP server and knows the sample profiles",
    );
    let specs = [
        Spec::new("rack1-u1", Firmware::Bios, 1),
        Spec::new("rack1-u2", Firmware::UefiX64, 2),
    ];
    for spec in &specs {
        stand
            .server
            .apply(&assigned(&spec.name, spec, INSTALLER, None))?;
        let text = format!(
            "is assigned the Debian 12 installer (it is known by its MAC, {})",
            spec.mac
        );
        run.tell(&spec.name, text);
    }
    let setup = stand.server.setup_path()?;
    println!(
        "\n  See it in a browser on this host while it runs:  http://127.0.0.1:{port}{setup}\n"
    );

    let mut machines = Vec::new();
    for spec in specs {
        run.tell(&spec.name, "is switched on");
        machines.push(Machine::power_on(&stand.lan, &run.dir, spec)?);
    }
    let booted = watch(&run, &mut stand, &mut machines)?;

    println!("\nSummary");
    for (machine, time) in machines.iter().zip(&booted) {
        println!(
            "  {}  {}  {}: from nothing to the installer's first question in {:.0} s",
            machine.name(),
            machine.mac(),
            machine.firmware_name(),
            time.as_secs_f32()
        );
    }
    println!(
        "\nBoth machines had empty disks and no settings of their own. The site's DHCP server gave\n\
         each an address; Farrier told each what to load, gave it a loader, a menu made for it\n\
         alone, and the OS that was assigned to it. To do it on a real LAN: make run\n"
    );
    if keep {
        println!(
            "KEEP=1: everything stays up. Pages: http://127.0.0.1:{port}{setup}\n\
             Consoles: {}/rack1-u*/serial.log\nCtrl-C ends it all.",
            run.dir.display()
        );
        while !stopping() && pause(Duration::from_millis(200)).is_ok() {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what happens until every machine is at its first question.
fn watch(run: &Run<'_>, stand: &mut Stand, machines: &mut [Machine]) -> Result<Vec<Duration>> {
    let deadline = Instant::now() + LIMIT;
    let mut told = 0;
    let mut first: Option<Timestamp> = None;
    let mut marks: Vec<Vec<&str>> = machines.iter().map(|_| Vec::new()).collect();
    let mut booted: Vec<Option<Duration>> = vec![None; machines.len()];
    loop {
        for happening in stand.server.happenings()?.into_iter().skip(told) {
            told += 1;
            first.get_or_insert(happening.event.at);
            if let Some(text) = tell(&happening.event.kind) {
                run.tell(&who(machines, happening.event.origin.mac), text);
            }
        }
        for (machine, (marks, booted)) in machines.iter_mut().zip(marks.iter_mut().zip(&mut booted))
        {
            machine.check()?;
            for (marker, text) in CONSOLE {
                if !marks.contains(marker) && machine.has_printed(marker) {
                    marks.push(marker);
                    run.tell(machine.name(), format!("prints on its console: {text}"));
                    if *marker == FIRST_SCREEN {
                        *booted = Some(machine.uptime());
                    }
                }
            }
        }
        if let Some(all) = booted.iter().copied().collect::<Option<Vec<_>>>() {
            return Ok(all);
        }
        if Instant::now() > deadline {
            bail!(
                "not every machine booted within {} s; see .lab/logs",
                LIMIT.as_secs()
            );
        }
        pause(Duration::from_millis(500))?;
    }
}

fn who(machines: &[Machine], mac: Option<MacAddr>) -> String {
    match machines.iter().find(|m| Some(m.mac()) == mac) {
        Some(machine) => machine.name().to_owned(),
        None => mac.map_or_else(|| "farrier".to_owned(), |m| m.to_string()),
    }
}

/// What is worth telling of a console.
const CONSOLE: &[(&str, &str)] = &[
    ("Linux version", "the Linux kernel starts"),
    (
        FIRST_SCREEN,
        "\"Select a language\", the Debian installer's first question",
    ),
];
/// Five times what a busy machine was seen to take.
const LIMIT: Duration = Duration::from_secs(600);
