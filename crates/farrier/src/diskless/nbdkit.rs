//! nbdkit as our child: started while somebody needs it, started again when it ends.

use super::Ports;
use crate::status::port;
use std::path::PathBuf;
use std::process::Stdio;
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
}

impl Nbdkit {
    /// Runs it whenever `needed` of the channel's value holds; ends with the channel.
    pub(super) async fn keep<T>(self, mut needs: watch::Receiver<T>, needed: fn(&T) -> bool) {
        let mut pause = PAUSES.start;
        while needs.wait_for(needed).await.is_ok() {
            let mut child = match self.spawn() {
                Ok(child) => child,
                Err(error) => {
                    let program = &self.program;
                    let detail = format!("cannot start {program} (package nbdkit): {error}");
                    self.told("failed", &detail);
                    tokio::time::sleep(PAUSES.end).await;
                    continue;
                }
            };
            self.told("open", "nbdkit, for machines without a disk");
            let started = tokio::time::Instant::now();
            let gone = tokio::select! {
                ended = child.wait() => Some(ended),
                // Its sender is dropped only when the whole keeper is.
                _ = needs.wait_for(|now| !needed(now)) => None,
            };
            let Some(ended) = gone else {
                let _ = child.kill().await;
                self.ports
                    .lock()
                    .expect("no panic while held")
                    .remove(&self.port);
                continue;
            };
            let detail = match ended {
                Ok(status) => format!("nbdkit ended ({status}): the log has its words"),
                Err(error) => format!("nbdkit is lost: {error}"),
            };
            self.told("failed", &detail);
            if started.elapsed() > PAUSES.end {
                pause = PAUSES.start;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.end);
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            // It ends with us, also when we are killed.
            .args(["--foreground", "--exit-with-parent", "--ipv4-only"])
            // The usual 16 for each connection would be 640 for a classroom.
            .args(["--threads", "4", "--port", &self.port.to_string()]);
        if !self.writable {
            command.arg("--readonly");
        }
        command
            .args(["--filter=exportname", "file"])
            .arg(format!("dir={}", self.dir.display()))
            .arg("exportname-list=empty")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Its complaints go where ours go.
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        command.spawn()
    }

    fn told(&self, state: &str, detail: &str) {
        let plane = match self.writable {
            true => "NBD overlays",
            false => "NBD images",
        };
        if state == "failed" {
            tracing::warn!(port = self.port, "{detail}");
        } else {
            tracing::info!(port = self.port, "{plane} are served by nbdkit");
        }
        let row = port(plane, &format!("0.0.0.0:{}", self.port), state, detail);
        let mut ports = self.ports.lock().expect("no panic while held");
        ports.insert(self.port, row);
    }
}

/// Between two starts of a program that ends at once.
const PAUSES: std::ops::Range<Duration> = Duration::from_secs(1)..Duration::from_secs(30);
