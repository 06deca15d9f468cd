//! `farrier tftp put`: does that server take a file, and how fast?

use super::progress::Progress;
use super::tftp::{agreed_line, explain, resolve, socket_towards};
use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};
use tftp::{Ask, Limits, Mode, Outcome, OutcomeKind, Put, Source};

/// `farrier tftp put`
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// The server: address or name, with or without :PORT
    host: String,
    /// The file to store there; '-' for standard input
    file: PathBuf,
    /// The name to store it under [default: the file's last part]
    name: Option<String>,
    /// Block size to ask for, in bytes
    #[arg(long, default_value_t = 1468, value_parser = clap::value_parser!(u16).range(8..=65464))]
    blksize: u16,
    /// Window to ask for, in blocks
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    windowsize: u16,
    /// Ask without any option, as the oldest clients do
    #[arg(long)]
    plain: bool,
    /// Convert line ends (netascii)
    #[arg(long)]
    netascii: bool,
}

pub(super) async fn run(args: PutArgs) -> anyhow::Result<()> {
    let server = resolve(&args.host).await?;
    let name = args.remote_name()?;
    let content = Content::open(&args.file)?;
    let started = Instant::now();
    let total = (!args.netascii).then(|| content.len());
    let put = Put::start(args.ask(&name), content, &Limits::default(), Instant::now());
    let outcome = send(server, put, total).await;
    let elapsed = started.elapsed();
    let outcome = outcome.with_context(|| format!("tftp://{server}/{name}"))?;
    if outcome.kind != OutcomeKind::Completed {
        bail!("tftp://{server}/{name}: {}", explain(&outcome));
    }
    eprintln!("{}", agreed_line(&outcome, elapsed));
    Ok(())
}

impl PutArgs {
    fn remote_name(&self) -> anyhow::Result<String> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let last = self
            .file
            .file_name()
            .filter(|_| self.file != Path::new("-"));
        let last = last.context("give NAME: standard input has none")?;
        Ok(last.to_string_lossy().into_owned())
    }

    fn ask(&self, name: &str) -> Ask {
        let options = !self.plain;
        Ask {
            mode: match self.netascii {
                true => Mode::Netascii,
                false => Mode::Octet,
            },
            blksize: options.then_some(self.blksize),
            windowsize: (options && self.windowsize > 1).then_some(self.windowsize),
            tsize: options && !self.netascii,
            ..Ask::plain(name)
        }
    }
}

/// Drives the sender: the first answer's port is the transfer's, everything else is a stranger. `total` is the
/// number of bytes that will go over the wire, where that is known before.
async fn send(
    server: SocketAddr,
    mut put: Put<Content>,
    total: Option<u64>,
) -> anyhow::Result<Outcome> {
    let socket = socket_towards(server).await?;
    let mut progress = Progress::start();
    let mut peer = server;
    let mut datagram = Vec::new();
    let mut buffer = vec![0u8; 65_535];
    loop {
        while put.poll_transmit(Instant::now(), &mut datagram) {
            socket.send_to(&datagram, peer).await?;
        }
        if let Some(outcome) = put.outcome() {
            return Ok(outcome);
        }
        let deadline = put.poll_timeout().unwrap_or_else(Instant::now);
        tokio::select! {
            result = socket.recv_from(&mut buffer) => {
                let (len, from) = result?;
                let answers_request = peer == server && from.ip() == server.ip();
                if from == peer || answers_request {
                    peer = from;
                    put.handle_datagram(Instant::now(), &buffer[..len]);
                    progress.show(put.stats().bytes, total);
                }
            }
            () = tokio::time::sleep_until(deadline.into()) => put.handle_timeout(Instant::now()),
        }
    }
}

/// What is sent: standard input from memory, a file piece by piece.
enum Content {
    Memory(Bytes),
    File {
        file: File,
        len: u64,
        /// When it was changed last.
        modified: SystemTime,
        /// The piece read last, and where it begins.
        piece: RefCell<(u64, Bytes)>,
    },
}

impl Content {
    fn open(path: &Path) -> anyhow::Result<Content> {
        if path == Path::new("-") {
            let mut all = Vec::new();
            io::stdin()
                .read_to_end(&mut all)
                .context("cannot read standard input")?;
            return Ok(Content::Memory(all.into()));
        }
        let cannot = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(cannot)?;
        let stat = file.metadata().with_context(cannot)?;
        if !stat.is_file() {
            bail!("{} is no regular file", path.display());
        }
        Ok(Content::File {
            file,
            len: stat.len(),
            modified: stat.modified().with_context(cannot)?,
            piece: RefCell::default(),
        })
    }
}

impl Source for Content {
    fn len(&self) -> u64 {
        match self {
            Content::Memory(all) => all.len() as u64,
            Content::File { len, .. } => *len,
        }
    }

    fn bytes_at(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        let (file, piece, version) = match self {
            Content::Memory(all) => return all.bytes_at(offset, max),
            Content::File {
                file,
                len,
                modified,
                piece,
            } => (file, piece, (*len, *modified)),
        };
        let mut piece = piece.borrow_mut();
        let within = offset.checked_sub(piece.0);
        if within.is_none_or(|within| within >= piece.1.len() as u64) {
            let mut octets = vec![0; PIECE];
            let read = file.read_at(&mut octets, offset)?;
            octets.truncate(read);
            let stat = file.metadata()?;
            if (stat.len(), stat.modified()?) != version {
                return Err(io::Error::other("the file was changed meanwhile"));
            }
            *piece = (offset, octets.into());
        }
        piece.1.bytes_at(offset - piece.0, max)
    }
}

/// Bytes read from the file at once.
const PIECE: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_changed_while_it_is_sent_is_no_mixture() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("firmware");
        std::fs::write(&path, vec![1; PIECE * 2]).expect("written");
        let content = Content::open(&path).expect("opens");
        assert!(content.bytes_at(0, 100).is_ok());
        let open = File::options().write(true).open(&path).expect("opens");
        open.write_all_at(&[2; 10], PIECE as u64).expect("written");
        let later = SystemTime::now() + std::time::Duration::from_secs(5); // however coarse the clock of files
        open.set_modified(later).expect("set");
        assert!(content.bytes_at(PIECE as u64, 100).is_err());
    }
}
