//! `farrier tftp get`: what does that server really answer, and with which options?
//!
//! `put` is beside it, in `tftp_put.rs`.

use super::progress::Progress;
use super::tftp_put::PutArgs;
use super::{output, tftp_put};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tftp::{Ask, Limits, Mode, Outcome, OutcomeKind, Receiver};
use tokio::net::UdpSocket;

/// `farrier tftp …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fetch a file and say what was agreed on
    Get(GetArgs),
    /// Store a file and say what was agreed on
    Put(PutArgs),
}

/// `farrier tftp get`
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The server: address or name, with or without :PORT
    host: String,
    /// The file's name on the server
    name: String,
    /// Where to put it; '-' for standard output [default: the name's last part]
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// Keep nothing: only measure
    #[arg(long, conflicts_with = "output")]
    null: bool,
    /// Block size to ask for, in bytes
    #[arg(long, default_value_t = 1468, value_parser = clap::value_parser!(u16).range(8..=65464))]
    blksize: u16,
    /// Window to ask for, in blocks
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    windowsize: u16,
    /// Seconds before the server is to repeat something, to ask for
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    timeout: Option<u8>,
    /// Ask without any option, as the oldest clients do
    #[arg(long, conflicts_with_all = ["blksize", "windowsize", "timeout"])]
    plain: bool,
    /// Convert line ends (netascii)
    #[arg(long)]
    netascii: bool,
}

pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Get(args) => get(args).await,
        Command::Put(args) => tftp_put::run(args).await,
    }
}

async fn get(args: GetArgs) -> anyhow::Result<()> {
    let server = resolve(&args.host).await?;
    let mut get = Ask::plain(args.name.as_bytes());
    get.mode = if args.netascii {
        Mode::Netascii
    } else {
        Mode::Octet
    };
    if !args.plain {
        get.blksize = Some(args.blksize);
        get.windowsize = (args.windowsize > 1).then_some(args.windowsize);
        get.tsize = !args.netascii;
        get.timeout = args.timeout;
    }
    let mut sink = Sink::open(&args)?;
    let started = Instant::now();
    let outcome = fetch(server, get, &mut sink).await;
    let elapsed = started.elapsed();
    let outcome = outcome.with_context(|| format!("tftp://{server}/{}", args.name))?;
    if outcome.kind != OutcomeKind::Completed {
        bail!("tftp://{server}/{}: {}", args.name, explain(&outcome));
    }
    sink.finish()?;
    eprintln!("{}", agreed_line(&outcome, elapsed));
    Ok(())
}

/// How fast it was, and with which options.
pub(super) fn agreed_line(outcome: &Outcome, elapsed: Duration) -> String {
    let (stats, agreed) = (&outcome.stats, &outcome.agreed);
    let seconds = elapsed.as_secs_f64();
    let mut line = format!(
        "{} bytes in {seconds:.2} s ({:.1} MB/s), block size {}, window {}, {} repeated",
        stats.bytes,
        stats.bytes as f64 / 1e6 / seconds.max(1e-6),
        agreed.blksize,
        agreed.windowsize,
        stats.retransmits,
    );
    if let Some(interval) = agreed.interval {
        line += &format!(", timeout {} s", interval.as_secs_f64());
    }
    if let Some(round_trip) = stats.round_trip {
        line += &format!(", round trip {:.2} ms", round_trip.as_secs_f64() * 1e3);
    }
    line
}

pub(super) async fn resolve(host: &str) -> anyhow::Result<SocketAddr> {
    let target = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:69")
    };
    let mut found = tokio::net::lookup_host(&target)
        .await
        .with_context(|| format!("cannot resolve '{host}'"))?;
    found
        .find(SocketAddr::is_ipv4)
        .with_context(|| format!("'{host}' has no IPv4 address"))
}

pub(super) async fn socket_towards(server: SocketAddr) -> anyhow::Result<UdpSocket> {
    let local: IpAddr = if server.ip().is_loopback() {
        [127, 0, 0, 1].into()
    } else {
        [0, 0, 0, 0].into()
    };
    Ok(UdpSocket::bind((local, 0)).await?)
}

/// Drives the receiver: the first answer's port is the transfer's, everything else is a stranger.
/// The shortest time between an acknowledgement and the block after it is told as the round trip:
/// what is longer was a busy server or a disk.
async fn fetch(server: SocketAddr, get: Ask, sink: &mut Sink) -> anyhow::Result<Outcome> {
    let socket = socket_towards(server).await?;
    let mut receiver = Receiver::start(get, &Limits::default(), Instant::now());
    let mut peer = server;
    let (mut datagram, mut received) = (Vec::new(), Vec::new());
    let mut buffer = vec![0u8; 65_535];
    let mut progress = Progress::start();
    let (mut asked, mut round_trip, mut written) = (None, None, 0);
    loop {
        while receiver.poll_transmit(&mut datagram) {
            socket.send_to(&datagram, peer).await?;
            // The first answer waits for the server's disk.
            asked = (peer != server).then(Instant::now);
        }
        if let Some(mut outcome) = receiver.outcome() {
            outcome.stats.round_trip = round_trip;
            return Ok(outcome);
        }
        let deadline = receiver.poll_timeout().unwrap_or_else(Instant::now);
        tokio::select! {
            result = socket.recv_from(&mut buffer) => {
                let (len, from) = result?;
                let answers_request = peer == server && from.ip() == server.ip();
                if from == peer || answers_request {
                    peer = from;
                    receiver.handle_datagram(Instant::now(), &buffer[..len], &mut received);
                    // A block out of order was on its way before the acknowledgement was.
                    if !received.is_empty() {
                        let took = asked.take().map(|asked: Instant| asked.elapsed());
                        round_trip = [round_trip, took].into_iter().flatten().min();
                    }
                    sink.write(&received)?;
                    written += received.len() as u64;
                    progress.show(written, receiver.agreed().tsize);
                    received.clear();
                }
            }
            () = tokio::time::sleep_until(deadline.into()) => receiver.handle_timeout(Instant::now()),
        }
    }
}

pub(super) fn explain(outcome: &Outcome) -> String {
    match &outcome.kind {
        OutcomeKind::ClientAborted { code, text } => format!("the server refused: {text} ({code:?})"),
        OutcomeKind::TimedOut if outcome.stats.blocks == 0 => {
            "no answer; is a TFTP server there, and do firewalls let UDP 69 and its answers from other ports through?".to_owned()
        }
        OutcomeKind::TimedOut => format!("the server fell silent after {} bytes", outcome.stats.bytes),
        OutcomeKind::WrongLength { announced } => {
            format!("{} bytes came, {announced} were announced", outcome.stats.bytes)
        }
        other => format!("{} after {} bytes", other.slug(), outcome.stats.bytes),
    }
}

/// Where the bytes go: a temporary file beside the target, so that a broken transfer leaves no
/// half file under the right name.
enum Sink {
    Null,
    Stdout,
    File {
        target: PathBuf,
        partial: PathBuf,
        file: std::fs::File,
    },
}

impl Sink {
    fn open(args: &GetArgs) -> anyhow::Result<Sink> {
        if args.null {
            return Ok(Sink::Null);
        }
        let target = match &args.output {
            Some(path) if path == Path::new("-") => return Ok(Sink::Stdout),
            Some(path) => path.clone(),
            None => {
                let last = args
                    .name
                    .rsplit(['/', '\\'])
                    .next()
                    .filter(|n| !n.is_empty() && !n.starts_with('.'));
                PathBuf::from(last.context("give --output: the name has no last part to use")?)
            }
        };
        let mut partial = target.clone().into_os_string();
        partial.push(".part");
        let partial = PathBuf::from(partial);
        let file = std::fs::File::create(&partial)
            .with_context(|| format!("cannot write {}", partial.display()))?;
        Ok(Sink::File {
            target,
            partial,
            file,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Sink::Null => {}
            Sink::Stdout => output::bytes(bytes),
            Sink::File { partial, file, .. } => {
                file.write_all(bytes)
                    .with_context(|| format!("cannot write {}", partial.display()))?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        match self {
            Sink::Null => {}
            Sink::Stdout => std::io::stdout().flush()?,
            Sink::File {
                target, partial, ..
            } => std::fs::rename(&*partial, &*target).with_context(|| {
                format!(
                    "cannot rename {} to {}",
                    partial.display(),
                    target.display()
                )
            })?,
        }
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Sink::File { partial, .. } = self {
            // Gone already when the transfer was completed.
            let _ = std::fs::remove_file(partial);
        }
    }
}
