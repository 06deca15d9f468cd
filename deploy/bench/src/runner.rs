//! Runs cases: all servers of a case are started and warmed, then measured in turn, round after
//! round, the others at rest.

use crate::cases::{Case, Dhcp, File, Http, Tftp, Work};
use crate::client::dhcp::{self, DhcpLoad, DhcpOutcome};
use crate::client::http::{self, Check, HttpLoad, HttpOutcome};
use crate::client::session::Ask;
use crate::client::{self, Load, Outcome, Want};
use crate::client::{boot, flood};
use crate::figures;
use crate::files::{Content, Files, IMAGE, IMAGE_TIMES};
use crate::floor::http::HOT;
use crate::goals;
use crate::group::{Usage, machine_busy};
use crate::net::{Path, Site, Station};
use crate::results::{CaseResult, Figures, Round, Row};
use crate::schedule::{Schedule, Worth};
use crate::servers::{Kind, Places, Role, Server};
use anyhow::{Context, Result, bail};
use lab::sandbox::stopping;
use nix::sys::resource::{UsageWho, getrusage};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Everything that cases need.
pub(crate) struct Runner<'a> {
    site: Site,
    places: &'a Places,
    files: &'a Files,
    stations: BTreeMap<Kind, Station>,
    /// What `--rounds` says.
    rounds: usize,
    only: Vec<Kind>,
    /// Who counts the processor time, once there is a server.
    pub counted_by: &'static str,
}

impl<'a> Runner<'a> {
    /// Makes the network.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn new(
        places: &'a Places,
        files: &'a Files,
        rounds: usize,
        only: Vec<Kind>,
    ) -> Result<Self> {
        Ok(Self {
            site: Site::build().context("make the load's network")?,
            places,
            files,
            stations: BTreeMap::new(),
            rounds,
            only,
            counted_by: "",
        })
    }

    /// Measures one case. A server that cannot be started or warmed gets a row that says why.
    ///
    /// # Errors
    /// When nothing can be measured at all, or the user wants an end.
    pub(crate) fn case(&mut self, case: &Case) -> Result<CaseResult> {
        let began = Instant::now();
        let mut rows = Vec::new();
        let mut servers = Vec::new();
        for &kind in &case.servers {
            if !self.takes_part(kind) {
                continue;
            }
            let mut row = Row {
                kind,
                rounds: Vec::new(),
                note: None,
            };
            if !kind.is_installed(self.places) {
                row.note = Some("absent".into());
            } else {
                match self.ready(kind, case) {
                    Ok(server) => servers.push((rows.len(), server)),
                    Err(error) => row.note = Some(format!("{error:#}")),
                }
            }
            rows.push(row);
        }
        let worth = match goals::decided_by(case.name) {
            true => Worth::Goal,
            false => Worth::Table,
        };
        let schedule = Schedule::new(worth, self.rounds, servers.len());
        let (started, mut number) = (Instant::now(), 0);
        while schedule.goes_on(number, started.elapsed()) {
            // Nobody is always the first.
            let first = usize::from(number > 0).min(servers.len());
            servers.rotate_left(first);
            let patient = |row: &Row| row.kind == Kind::Farrier || schedule.takes_part(row.spent());
            // Alone there is nothing to compare.
            let many = servers
                .iter()
                .filter(|(row, _)| patient(&rows[*row]))
                .count();
            if many <= 1 && number > 0 {
                break;
            }
            for (row, server) in &mut servers {
                if stopping() {
                    bail!("interrupted");
                }
                if !patient(&rows[*row]) {
                    continue;
                }
                match self.round(case, server, number) {
                    Ok(round) => {
                        progress(case, number, server.kind, &round);
                        rows[*row].rounds.push(round);
                    }
                    Err(error) => rows[*row].note = Some(format!("{error:#}")),
                }
            }
            number += 1;
        }
        let seconds = began.elapsed().as_secs_f64();
        eprintln!("  {} took {seconds:.0} s", case.name);
        Ok(CaseResult {
            name: case.name.into(),
            what: case.what.clone(),
            columns: case.columns,
            rows,
            seconds,
        })
    }

    fn takes_part(&self, kind: Kind) -> bool {
        self.only.is_empty() || self.only.contains(&kind)
    }

    /// Starts a server, waits until it answers, has it serve once what will be asked for, and
    /// lets it rest.
    fn ready(&mut self, kind: Kind, case: &Case) -> Result<Server> {
        if !self.stations.contains_key(&kind) {
            let station = self.site.station()?;
            self.stations.insert(kind, station);
        }
        let station = &self.stations[&kind];
        let mut server = Server::start(kind, case.role(), station, self.places)?;
        match case.role() {
            Role::Tftp => self.until_tftp_answers(&mut server)?,
            Role::Dhcp { .. } => self.until_offered(&mut server)?,
            Role::Http => self.until_http_answers(&mut server)?,
        }
        match &case.work {
            Work::Dhcp(dhcp) => {
                // Every machine once: from then on the server has seen them all.
                let warm = Dhcp {
                    pace: dhcp::Pace::AtOnce(4),
                    ..*dhcp
                };
                self.dhcp(kind, &warm)?;
                std::thread::sleep(SETTLE_JOURNAL);
            }
            Work::Flood(..) | Work::Boot(_) => {}
            Work::Http(http) => {
                let warm = Http {
                    connections: 1,
                    requests: 1,
                    ..*http
                };
                let outcome = self.http(kind, &warm, Check::All)?;
                if let Some(failure) = outcome.first_failure {
                    bail!("does not serve the file: {failure}");
                }
            }
            Work::Tftp(tftp) => {
                // In large windows where they can be had: it is about the content.
                let warm = Tftp {
                    clients: 1,
                    fetches: 1,
                    window: 64,
                    impairments: Default::default(),
                    ..tftp.clone()
                };
                let outcome = self.tftp(kind, &warm)?;
                if let Some(failure) = outcome.first_failure {
                    bail!("does not serve the file: {failure}");
                }
            }
        }
        self.counted_by = server.group.counted_by();
        server.group.rest(true);
        Ok(server)
    }

    fn until_tftp_answers(&self, server: &mut Server) -> Result<()> {
        let deadline = Instant::now() + READY;
        let mut knock = Tftp::knock();
        loop {
            server.check()?;
            knock.limit = Duration::from_millis(300);
            let outcome = self.tftp(server.kind, &knock)?;
            match outcome.first_failure {
                None => return Ok(()),
                Some(failure) if Instant::now() > deadline => bail!("does not answer: {failure}"),
                Some(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn until_offered(&self, server: &mut Server) -> Result<()> {
        let deadline = Instant::now() + READY;
        let knock = Dhcp {
            asks: 1,
            pace: dhcp::Pace::AtOnce(1),
            known: 0,
        };
        loop {
            server.check()?;
            if self.dhcp(server.kind, &knock)?.lost == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("makes no OFFER");
            }
        }
    }

    fn until_http_answers(&self, server: &mut Server) -> Result<()> {
        let deadline = Instant::now() + READY;
        let knock = Http {
            connections: 1,
            requests: 1,
            file: File::Small,
        };
        loop {
            server.check()?;
            let failure = match self.http(server.kind, &knock, Check::All) {
                Ok(outcome) => outcome.first_failure,
                Err(error) => Some(format!("{error:#}")),
            };
            match failure {
                None => return Ok(()),
                Some(failure) if Instant::now() > deadline => bail!("does not answer: {failure}"),
                Some(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// One measured round; again when other work disturbed it.
    fn round(&self, case: &Case, server: &mut Server, number: usize) -> Result<Round> {
        server.group.rest(false);
        let mut result = self.round_once(case, server, number);
        for _ in 0..REPEATS {
            match &result {
                Ok(round) if round.foreign > TOO_MUCH && round.wall < LONG => {
                    eprintln!(
                        "  {}: other work took {:.1} cores, once more",
                        server.kind.name(),
                        round.foreign
                    );
                    result = self.round_once(case, server, number);
                }
                _ => break,
            }
        }
        server.group.rest(true);
        let checked = server.check();
        result.and_then(|round| checked.map(|()| round))
    }

    fn round_once(&self, case: &Case, server: &Server, number: usize) -> Result<Round> {
        let began = Instant::now();
        let (busy, own, cpu) = (machine_busy()?, own_cpu()?, server.group.cpu()?);
        let mut figures = self.work(&case.work, server, number, cpu)?;
        let cpu = server.group.cpu()? - cpu;
        let others = (machine_busy()? - busy).saturating_sub(own_cpu()? - own + cpu);
        let wall = began.elapsed();
        figures.insert("cpu_s", cpu.as_secs_f64());
        // A run without a byte has no rate.
        figures.retain(|_, value| value.is_finite());
        // The kernel counts the machine's time in ticks of 10 ms: no word on very short runs.
        let foreign = match wall < Duration::from_millis(400) {
            true => 0.0,
            false => others.as_secs_f64() / wall.as_secs_f64(),
        };
        Ok(Round {
            number,
            figures,
            foreign,
            wall,
        })
    }

    /// Does it once, in round `number`; `before` is what the server had cost until then.
    fn work(
        &self,
        work: &Work,
        server: &Server,
        number: usize,
        before: Duration,
    ) -> Result<Figures> {
        let base = server.group.usage();
        let kind = server.kind;
        let cost = |settle| -> Result<Duration> {
            // What the server still has to do because of it, it has done then.
            std::thread::sleep(settle);
            Ok(server.group.cpu()? - before)
        };
        Ok(match work {
            Work::Tftp(tftp) => {
                let (outcome, peak) = match tftp.memory {
                    true => self.watched(server, || self.tftp(kind, tftp))?,
                    false => (self.tftp(kind, tftp)?, base),
                };
                figures::tftp(tftp, &outcome, cost(SETTLE)?, base, peak)
            }
            Work::Dhcp(dhcp) => figures::dhcp(&self.dhcp(kind, dhcp)?, cost(SETTLE_JOURNAL)?),
            Work::Http(http) => {
                let sample = Check::Sample(number as u64);
                figures::http(&self.http(kind, http, sample)?, cost(SETTLE)?)
            }
            Work::Flood(requests, rate) => {
                let real = Load {
                    limit: Duration::from_secs(10),
                    ..self.load(
                        kind,
                        &Tftp {
                            file: File::Quarter,
                            timer: Duration::from_secs(1),
                            ..Tftp::knock()
                        },
                    )
                };
                let flood = || self.site.run(|| flood::run(&real, *requests, *rate));
                let (outcome, peak) = self.watched(server, flood)?;
                if outcome.sent < *requests {
                    eprintln!("  only {} forged requests were sent", outcome.sent);
                }
                figures::flood(&outcome, base, peak)
            }
            Work::Boot(machines) => {
                let station = &self.stations[&kind];
                let (interface, server) = (station.interface(), station.address(Path::Veth));
                let loader = self.files.loader.name;
                let asked = self
                    .site
                    .run(|| boot::run(&interface, *machines, server, loader))?;
                if let Some(failure) = &asked.first_failure {
                    eprintln!("  {}: a machine was not told: {failure}", kind.name());
                }
                let load = self.boot_files(kind, asked.told);
                let fetched = self.site.run(|| client::run(&load))?;
                let cpu = cost(SETTLE_JOURNAL)? / u32::try_from(*machines)?;
                let failed = machines - fetched.ends.len();
                figures::boot(&asked, &fetched, failed, cpu)
            }
        })
    }

    fn tftp(&self, kind: Kind, tftp: &Tftp) -> Result<Outcome> {
        let load = self.load(kind, tftp);
        self.site.run(|| client::run(&load))
    }

    /// What a machine fetches once it was told what to boot: the loader as UEFI firmware does,
    /// kernel and initial RAM disk as iPXE does.
    fn boot_files(&self, kind: Kind, machines: usize) -> Load<'_> {
        let want = |file, blksize, window| Want {
            ask: Ask {
                name: self.content(file).name,
                blksize,
                window,
                timer: Duration::from_secs(1),
                ack_every_gap: window > 1,
            },
            content: &self.content(file).bytes,
        };
        let files = vec![
            want(File::Loader, 1468, 4),
            want(File::Kernel, 1432, 1),
            want(File::Ramdisk, 1432, 1),
        ];
        Load {
            clients: machines,
            fetches: files.len(),
            files,
            limit: Duration::from_secs(120),
            ..self.load(kind, &Tftp::knock())
        }
    }

    fn load(&self, kind: Kind, tftp: &Tftp) -> Load<'_> {
        let windowless = tftp.window > 1 && matches!(kind, Kind::Dnsmasq | Kind::TftpdHpa);
        let content = self.content(match windowless {
            true => tftp.file_windowless,
            false => tftp.file,
        });
        let fetches = match windowless && content.bytes.len() > 1 << 20 {
            true => 1,
            false => tftp.fetches,
        };
        Load {
            server: self.stations[&kind].address(tftp.path),
            path: tftp.path,
            clients: tftp.clients,
            fetches,
            files: vec![Want {
                ask: Ask {
                    name: content.name,
                    blksize: tftp.blksize,
                    window: tftp.window,
                    timer: tftp.timer,
                    ack_every_gap: tftp.ack_every_gap,
                },
                content: &content.bytes,
            }],
            gro: tftp.gro,
            impairments: tftp.impairments,
            limit: tftp.limit,
            raw: kind.is_floor(),
        }
    }

    fn dhcp(&self, kind: Kind, dhcp: &Dhcp) -> Result<DhcpOutcome> {
        let load = DhcpLoad {
            interface: self.stations[&kind].interface(),
            asks: dhcp.asks,
            pace: dhcp.pace,
        };
        self.site.run(|| dhcp::run(&load))
    }

    fn http(&self, kind: Kind, http: &Http, check: Check) -> Result<HttpOutcome> {
        let (content, times) = match http.file {
            File::Image => (&self.files.initrd, IMAGE_TIMES),
            file => (self.content(file), 1),
        };
        let length = content.bytes.len();
        // That floor repeats the beginning.
        let unit = match kind {
            Kind::FloorWrite => length.min(HOT),
            _ => length,
        };
        let load = HttpLoad {
            server: self.stations[&kind].address(Path::Veth),
            connections: http.connections,
            requests: http.requests,
            name: match http.file {
                File::Image => IMAGE,
                _ => content.name,
            },
            content: &content.bytes[..unit],
            times: times * (length / unit),
            check,
            limit: Duration::from_secs(120),
        };
        self.site.run(|| http::run(&load))
    }

    /// Runs `work` while the server's memory is looked at.
    fn watched<T: Send>(
        &self,
        server: &Server,
        work: impl FnOnce() -> Result<T> + Send,
    ) -> Result<(T, Usage)> {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut peak = Usage::default();
                while !over.load(Ordering::Relaxed) {
                    peak = peak.max(server.group.usage());
                    std::thread::sleep(Duration::from_millis(10));
                }
                peak
            });
            let result = work();
            over.store(true, Ordering::Relaxed);
            let peak = watch.join().unwrap_or_default();
            Ok((result?, peak))
        })
    }

    fn content(&self, file: File) -> &Content {
        match file {
            File::Loader => &self.files.loader,
            File::Small => &self.files.small,
            File::Quarter => &self.files.quarter,
            File::Mib => &self.files.mib,
            File::Kernel => &self.files.kernel,
            File::Ramdisk => &self.files.ramdisk,
            File::Initrd | File::Image => &self.files.initrd,
        }
    }
}

impl Tftp {
    /// The smallest question.
    fn knock() -> Self {
        Self {
            clients: 1,
            fetches: 1,
            file: File::Small,
            file_windowless: File::Small,
            blksize: 1428,
            window: 1,
            gro: false,
            ack_every_gap: false,
            timer: Duration::from_millis(100),
            impairments: Default::default(),
            path: Path::Veth,
            limit: Duration::from_secs(1),
            memory: false,
        }
    }
}

/// Processor time of this process.
fn own_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).context("getrusage")?;
    let micros = |time: nix::sys::time::TimeVal| {
        Duration::new(
            u64::try_from(time.tv_sec()).unwrap_or(0),
            u32::try_from(time.tv_usec()).unwrap_or(0) * 1000,
        )
    };
    Ok(micros(usage.user_time()) + micros(usage.system_time()))
}

fn progress(case: &Case, number: usize, kind: Kind, round: &Round) {
    let figures: Vec<String> = case
        .columns
        .iter()
        .filter_map(|c| {
            Some(format!(
                "{} {}",
                lab::table::number(*round.figures.get(c.key)?),
                c.title
            ))
        })
        .collect();
    eprintln!(
        "  {} {} {:<14} {}",
        case.name,
        number + 1,
        kind.name(),
        figures.join(", ")
    );
}

/// How long a server may take to answer; generous for loaded machines.
const READY: Duration = Duration::from_secs(30);
/// Between the last byte and the reading of what it cost.
const SETTLE: Duration = Duration::from_millis(30);
/// The same for servers that write down who asked.
const SETTLE_JOURNAL: Duration = Duration::from_millis(500);
/// A round in which other work had more processors than this is done again ...
const TOO_MUCH: f64 = 1.7;
/// ... so many times ...
const REPEATS: usize = 2;
/// ... but not one of this length: it waited for timers most of the time.
const LONG: Duration = Duration::from_secs(4);
