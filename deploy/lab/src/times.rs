//! `lab time`: from power-on to the payload's first line, with Farrier and with dnsmasq, in turn.
//!
//! Both serve the same loaders, kernel and initial RAM disk by TFTP to the same firmware, so the
//! difference is the servers'. Each boot begins with a new LAN and a new server that has seen
//! nothing yet, as after a power cut.

use crate::machine::{Firmware, Machine, Spec};
use crate::scenarios::boots::{INSTALLER, PATIENCE, Stand, assigned};
use crate::scenarios::reference::Reference;
use crate::scenarios::{Options, Run};
use crate::site::SiteDhcp;
use anyhow::{Context, Result};
use lab::sandbox::stopping;
use lab::stats::{median, ratio};
use lab::table::{Table, number, replaced};
use std::path::Path;
use std::process::ExitCode;

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Farrier,
    Dnsmasq,
}

/// One kind of machine, and what it loads.
struct Chain {
    firmware: Firmware,
    /// The loader that the machine is assigned.
    loader: &'static str,
    what: &'static str,
}

/// What was measured of one kind of machine: for each server the round and its seconds.
struct Times {
    what: &'static str,
    farrier: Vec<(usize, f64)>,
    dnsmasq: Vec<(usize, f64)>,
}

/// Measures `rounds` rounds, prints the table, and writes it into `markdown`.
///
/// # Errors
/// When it is interrupted, or the file cannot be written. A boot that fails is told and left out.
pub(crate) fn run(
    options: &Options,
    dir: &Path,
    rounds: usize,
    markdown: Option<&Path>,
) -> Result<ExitCode> {
    let mut all = Vec::new();
    for chain in CHAINS {
        let mut times = Times {
            what: chain.what,
            farrier: Vec::new(),
            dnsmasq: Vec::new(),
        };
        for round in 0..rounds {
            for who in order(round) {
                let dir = dir.join(format!("round-{round}"));
                let seconds = match boot(options, &dir, chain, who) {
                    Ok(seconds) => seconds,
                    Err(error) if stopping() => return Err(error),
                    // It is missing in the table, for everybody to see.
                    Err(error) => {
                        println!("{} did not boot: {error:#}", chain.name(who));
                        continue;
                    }
                };
                match who {
                    Who::Farrier => times.farrier.push((round, seconds)),
                    Who::Dnsmasq => times.dnsmasq.push((round, seconds)),
                }
            }
        }
        all.push(times);
    }
    let table = table(&all);
    println!(
        "\nSeconds from power-on to {FIRST_LINE:?}:\n{}",
        table.text()
    );
    if let Some(path) = markdown {
        let old = std::fs::read_to_string(path).unwrap_or_default();
        let fresh = format!(
            "Seconds from power-on to the kernel's first line, {rounds} rounds in turn:\n\n{}",
            table.markdown()
        );
        std::fs::write(path, replaced(&old, "lab time", &fresh))
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Nobody is always the first.
fn order(round: usize) -> [Who; 2] {
    match round % 2 {
        0 => [Who::Farrier, Who::Dnsmasq],
        _ => [Who::Dnsmasq, Who::Farrier],
    }
}

/// Boots one machine and says after how many seconds the kernel spoke.
fn boot(options: &Options, dir: &Path, chain: &Chain, who: Who) -> Result<f64> {
    let run = Run::new(options, chain.name(who), dir)?;
    let spec = Spec::new("machine", chain.firmware, 1);
    let after = match who {
        Who::Farrier => {
            let stand = Stand::build(&run, SiteDhcp::Dnsmasq)?;
            // dnsmasq's machines are shown no menu either.
            stand.server.apply("kind: site\nmenu_timeout_s: 0\n")?;
            stand
                .server
                .apply(&assigned("machine", &spec, INSTALLER, Some(chain.loader)))?;
            Machine::power_on(&stand.lan, &run.dir, spec)?.expect(FIRST_LINE, PATIENCE)?
        }
        Who::Dnsmasq => {
            let reference = Reference::build(&run, &spec)?;
            Machine::power_on(&reference.lan, &run.dir, spec)?.expect(FIRST_LINE, PATIENCE)?
        }
    };
    run.say(format!(
        "printed {FIRST_LINE:?} {:.2} s after power-on",
        after.as_secs_f64()
    ));
    Ok(after.as_secs_f64())
}

impl Chain {
    fn name(&self, who: Who) -> &'static str {
        match (self.firmware, who) {
            (Firmware::Bios, Who::Farrier) => "time-bios-farrier",
            (Firmware::Bios, Who::Dnsmasq) => "time-bios-dnsmasq",
            (Firmware::UefiX64, Who::Farrier) => "time-uefi-farrier",
            (Firmware::UefiX64, Who::Dnsmasq) => "time-uefi-dnsmasq",
        }
    }
}

fn table(all: &[Times]) -> Table {
    let heading = [
        "machine",
        "Farrier",
        "dnsmasq",
        "x",
        "Farrier's rounds",
        "dnsmasq's rounds",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for times in all {
        let middle = |of: &[(usize, f64)]| {
            let seconds: Vec<f64> = of.iter().map(|(_, s)| *s).collect();
            median(&seconds).map_or("-".to_owned(), |s| format!("{s:.1}"))
        };
        let each = |of: &[(usize, f64)]| {
            let seconds: Vec<String> = of.iter().map(|(_, s)| format!("{s:.1}")).collect();
            seconds.join(" ")
        };
        rows.push(vec![
            times.what.to_owned(),
            middle(&times.farrier),
            middle(&times.dnsmasq),
            ratio(&times.farrier, &times.dnsmasq).map_or("-".to_owned(), number),
            each(&times.farrier),
            each(&times.dnsmasq),
        ]);
    }
    Table(rows)
}

const CHAINS: &[Chain] = &[
    Chain {
        firmware: Firmware::Bios,
        loader: "pxelinux",
        what: "BIOS: pxelinux.0, Debian's installer",
    },
    Chain {
        firmware: Firmware::UefiX64,
        loader: "grub",
        what: "UEFI x64: shim, GRUB, Debian's installer",
    },
];

/// The payload's: Debian's kernel begins with it.
const FIRST_LINE: &str = "Linux version";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_both_medians_and_the_middle_of_the_rounds_ratios() {
        let times = Times {
            what: "BIOS",
            farrier: vec![(0, 10.0), (1, 12.0), (2, 30.0)],
            dnsmasq: vec![(0, 20.0), (1, 20.0), (2, 33.0)],
        };
        let Table(rows) = table(&[times]);
        assert_eq!(
            rows[1],
            [
                "BIOS",
                "12.0",
                "20.0",
                "0.600",
                "10.0 12.0 30.0",
                "20.0 20.0 33.0"
            ]
        );
    }

    #[test]
    fn nobody_is_always_the_first() {
        let first: Vec<Who> = (0..4).map(|round| order(round)[0]).collect();
        let [one, other] = [Who::Farrier, Who::Dnsmasq];
        assert_eq!(first, [one, other, one, other]);
    }
}
