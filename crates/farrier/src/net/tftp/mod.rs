//! TFTP: a request in, the same look-up as HTTP, a transfer on a port of its own.
//!
//! ```text
//! port 69 ── Desk ── admission ── find ──► Transfer (socket + tftp::Sender + Content), driven by a Worker
//!                                  └ may wait for the disk: on a blocking thread
//! ```

mod answer;
mod content;
mod desk;
mod engine;
mod inbox;
mod slots;
mod socket;
mod spares;
mod timers;
mod transfer;
mod upload;
mod upload_places;

use super::dhcp::Responder;
use super::udp::{BindError, PktInfo};
use crate::config;
use bootfiles::BootFiles;
use bootfiles::dropbox::DropBoxes;
use desk::{Desk, Shared};
use engine::Worker;
use inbox::Inbox;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tftp::Limits;
use tokio::sync::mpsc;
use web::transfers::Transfers;

/// The TFTP server: port 69 and its workers, opened and not yet running.
pub(crate) struct TftpServer {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
}

impl TftpServer {
    /// Opens port 69 and makes the workers.
    ///
    /// # Errors
    /// Names the holder and the way out.
    pub(crate) fn bind(
        config: &config::Tftp,
        responder: &Responder,
        files: Arc<BootFiles>,
        drop_boxes: DropBoxes,
        transfers: Transfers,
    ) -> Result<Self, BindError> {
        let advice =
            "stop that TFTP server, or set 'tftp: {enabled: false}' here if it serves our loaders";
        let desk = Desk::new(PktInfo::bind(69, advice)?);
        let limits = Limits {
            blksize_cap: config.max_block_size,
            windowsize_cap: config.max_window,
            patience: PAUSE_OF_LOADERS,
            ..Limits::default()
        };
        let open = || -> io::Result<TftpServer> {
            let inboxes = (0..worker_count()).map(|_| Inbox::new().map(Arc::new));
            let inboxes = inboxes.collect::<io::Result<Vec<_>>>()?;
            let count = inboxes.len();
            let shared = Shared::new(
                responder.clone(),
                files,
                drop_boxes,
                limits,
                transfers,
                inboxes,
            );
            let shared = Arc::new(shared);
            let mut desk = Some(desk);
            let workers = (0..count)
                .map(|number| Worker::new(number, Arc::clone(&shared), desk.take()))
                .collect::<io::Result<Vec<_>>>()?;
            Ok(TftpServer { shared, workers })
        };
        open().map_err(|cause| BindError::Other { port: 69, cause })
    }

    /// Serves until `shutdown` resolves; transfers under way then get [`GRACE`].
    pub(crate) async fn serve(self, shutdown: impl Future<Output = ()>) {
        let (ends, mut ended) = mpsc::channel(self.workers.len());
        for (number, worker) in self.workers.into_iter().enumerate() {
            let working = Working(ends.clone());
            let name = format!("tftp-{number}");
            let spawned = thread::Builder::new().name(name).spawn(move || {
                let _working = working;
                worker.run();
            });
            if let Err(error) = spawned {
                tracing::error!(%error, "no thread for TFTP");
                break;
            }
        }
        drop(ends);
        tokio::select! {
            () = shutdown => {}
            // One that ends by itself cannot work: the server is better restarted.
            _ = ended.recv() => {}
        }
        self.shared.stop(Instant::now() + GRACE);
        let uploads = &self.shared.uploads;
        if tokio::time::timeout(GRACE, uploads.wait()).await.is_err() {
            self.shared.grace_over.cancel();
            // One that waits for its disk is left behind: its file has no name yet.
            let _ = tokio::time::timeout(LAST_WORDS, uploads.wait()).await;
        }
        while ended.recv().await.is_some() {}
    }
}

/// Says when a worker's thread ends, be it by a panic.
struct Working(mpsc::Sender<()>);

impl Drop for Working {
    fn drop(&mut self) {
        let _ = self.0.try_send(()); // there is room for every worker
    }
}

/// Threads that move transfers: half the processors, for the kernel delivers to the cards on the others, and DHCP,
/// HTTP and the pages want their turn. More than four have nothing to do on a network that exists.
fn worker_count() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, 4)
}

/// How long transfers under way may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How long uploads that were cut off then may take to tell their clients and people.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Silence that a client is granted in the middle of a file. GRUB 2.12 opens the initial RAM disk, then has shim verify
/// the kernel, starts it, and reads on only when the kernel asks for it: 33 s on a slow machine, and GRUB never asks
/// for the file again.
const PAUSE_OF_LOADERS: Duration = Duration::from_secs(60);
