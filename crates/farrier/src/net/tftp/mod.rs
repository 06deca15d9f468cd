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
mod timers;
mod transfer;

use super::dhcp::Responder;
use super::udp::{BindError, PktInfo};
use crate::config;
use bootfiles::BootFiles;
use desk::{Desk, Shared};
use engine::Worker;
use inbox::Inbox;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tftp::Limits;
use tokio::task::JoinSet;
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
        transfers: Transfers,
    ) -> Result<Self, BindError> {
        let advice =
            "stop that TFTP server, or set 'tftp: {enabled: false}' here if it serves our loaders";
        let desk = Desk::new(PktInfo::bind(69, advice)?);
        let limits = Limits {
            blksize_cap: config.max_block_size,
            windowsize_cap: config.max_window,
            ..Limits::default()
        };
        let open = || -> io::Result<TftpServer> {
            let inboxes = (0..worker_count()).map(|_| Inbox::new().map(Arc::new));
            let inboxes = inboxes.collect::<io::Result<Vec<_>>>()?;
            let count = inboxes.len();
            let shared = Shared::new(responder.clone(), files, limits, transfers, inboxes);
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
        let mut running = JoinSet::new();
        for worker in self.workers {
            // Of the runtime's blocking threads one that never comes back: no packet waits for its scheduler.
            running.spawn_blocking(move || worker.run());
        }
        tokio::pin!(shutdown);
        tokio::select! {
            () = &mut shutdown => {}
            // A worker ends by itself only when it cannot work: the server is better restarted.
            _ = running.join_next() => {}
        }
        self.shared.stop(Instant::now() + GRACE);
        while running.join_next().await.is_some() {}
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
