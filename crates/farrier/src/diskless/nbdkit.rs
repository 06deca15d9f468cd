//! nbdkit as our child: started while somebody needs it, started again when it ends, and never
//! ended while machines are connected: it is their disk.

use super::{LOOK_EVERY, Ports, open};
use crate::status::port;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// One nbdkit: a directory on a port.
pub(super) struct Nbdkit {
    /// The program's name or path.
    pub(super) program: String,
    /// Its TCP port.
    pub(super) port: u16,
    /// What it serves: the plain files of this directory, by name. Nobody gets a list.
    pub(super) dir: PathBuf,
    /// Whether clients may write.
    pub(super) writable: bool,
    /// Where the status page reads how it is.
    pub(super) ports: Ports,
    /// Its process, while there is one; else 0.
    pub(super) process: Arc<AtomicU32>,
}

impl Nbdkit {
    /// Runs it whenever `needed` of the channel's value holds, and on while machines are
    /// connected; ends with the channel.
    pub(super) async fn keep<T>(self, mut needs: watch::Receiver<T>, needed: fn(&T) -> bool) {
        while needs.wait_for(needed).await.is_ok() {
            match listen(self.port) {
                Ok(listener) => self.serve(&listener, &mut needs, needed).await,
                Err(error) => {
                    self.told("failed", &format!("the port cannot be opened: {error}"));
                    tokio::time::sleep(PAUSES.end).await;
                }
            }
        }
    }

    /// Serves until nobody needs it and nobody is connected.
    pub(super) async fn serve<T>(
        &self,
        listener: &TcpListener,
        needs: &mut watch::Receiver<T>,
        needed: fn(&T) -> bool,
    ) {
        let mut pause = PAUSES.start;
        loop {
            let started = tokio::time::Instant::now();
            let ended = match self.spawn(listener) {
                Ok(mut child) => {
                    let process = child.id().unwrap_or(0);
                    self.process.store(process, Relaxed);
                    self.told("open", SERVING);
                    let ended = tokio::select! {
                        ended = child.wait() => Some(ended),
                        () = self.unused(process, needs, needed) => None,
                    };
                    self.process.store(0, Relaxed);
                    match ended {
                        Some(ended) => ended,
                        None => {
                            let _ = child.kill().await;
                            break;
                        }
                    }
                }
                Err(error) => Err(error),
            };
            let detail = match ended {
                Ok(status) if status.code() == Some(NO_SUCH_PROGRAM) => {
                    format!("cannot start {} (package nbdkit)", self.program)
                }
                Ok(status) => format!("nbdkit ended ({status}): the log has its words"),
                Err(error) => format!("nbdkit is lost: {error}"),
            };
            self.told("failed", &detail);
            if started.elapsed() > PAUSES.end {
                pause = PAUSES.start;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.end);
            if !needed(&needs.borrow()) {
                break;
            }
        }
        let mut ports = self.ports.lock().expect("no panic while held");
        ports.remove(&self.port);
    }

    /// Returns when nobody needs this process and nobody is connected to it.
    async fn unused<T>(
        &self,
        process: u32,
        needs: &mut watch::Receiver<T>,
        needed: fn(&T) -> bool,
    ) {
        // Its sender is dropped only when the whole keeper is.
        while needs.wait_for(|now| !needed(now)).await.is_ok() {
            // Who cannot be asked is busy: a disk is not taken away on a guess.
            let connections = open::of_process(process);
            if connections.is_ok_and(|files| files.is_empty()) {
                return;
            }
            self.row(
                "open",
                "nbdkit; nobody needs it, but machines are connected",
            );
            tokio::time::sleep(LOOK_EVERY).await;
            self.row("open", SERVING);
        }
    }

    /// The listening socket is ours and is handed over as systemd would, so that dead machines
    /// are found out by `listen`'s rules. A shell does it: only the child knows its own number.
    fn spawn(&self, listener: &TcpListener) -> io::Result<Child> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", ACTIVATE, "nbdkit", &self.program])
            // It ends with us, also when we are killed.
            .args(["--foreground", "--exit-with-parent"])
            // The usual 16 for each connection would be 640 for a classroom.
            .args(["--threads", "4"]);
        if !self.writable {
            command.arg("--readonly");
        }
        command
            .args(["--filter=exportname", "file"])
            .arg(format!("dir={}", self.dir.display()))
            .arg("exportname-list=empty")
            .stdin(Stdio::from(OwnedFd::from(listener.try_clone()?)))
            .stdout(Stdio::null())
            // Its complaints go where ours go.
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        command.spawn()
    }

    fn plane(&self) -> &'static str {
        match self.writable {
            true => "NBD overlays",
            false => "NBD images",
        }
    }

    fn told(&self, state: &str, detail: &str) {
        if state == "failed" {
            tracing::warn!(port = self.port, "{detail}");
        } else {
            tracing::info!(port = self.port, "{} are served by nbdkit", self.plane());
        }
        self.row(state, detail);
    }

    fn row(&self, state: &str, detail: &str) {
        let address = format!("0.0.0.0:{}", self.port);
        let row = port(self.plane(), &address, state, detail);
        let mut ports = self.ports.lock().expect("no panic while held");
        ports.insert(self.port, row);
    }
}

/// Opens a port whose connections notice in ten minutes that the machine lost its power: longer
/// than a switch takes to start again, for the machine goes on when the network is back.
fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    let minute = Duration::from_secs(60);
    let keepalive = TcpKeepalive::new().with_time(5 * minute);
    let keepalive = keepalive.with_interval(minute).with_retries(5);
    SockRef::from(&listener).set_tcp_keepalive(&keepalive)?;
    Ok(listener)
}

/// The socket, which is the standard input, becomes the descriptor that nbdkit looks for.
const ACTIVATE: &str = r#"exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@""#;
const SERVING: &str = "nbdkit, for machines without a disk";
/// What a shell says of a program that is not there.
const NO_SUCH_PROGRAM: i32 = 127;
/// Between two starts of a program that ends at once.
const PAUSES: std::ops::Range<Duration> = Duration::from_secs(1)..Duration::from_secs(30);

#[cfg(test)]
#[path = "nbdkit/tests.rs"]
mod tests;
