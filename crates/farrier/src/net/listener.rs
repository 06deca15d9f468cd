//! A thread that waits for datagrams of one port.
//!
//! Not a task of the asynchronous runtime: a blocking receive is one system call where a task
//! takes three (wait, receive, "nothing more"), and its wake-up goes straight to the thread that
//! answers. For a machine that asks, that is most of what an answer costs beside the kernel's work.

use super::udp::{Arrival, PktInfo};
use nix::sys::socket::{Shutdown, shutdown};
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tokio::sync::oneshot;

/// A port's datagrams, one after the other.
pub(crate) struct Listener {
    /// For answers.
    pub(crate) socket: PktInfo,
    stopping: Arc<AtomicBool>,
}

impl Listener {
    /// Waits for the next datagram; `None` when the thread is to end.
    ///
    /// # Errors
    /// When the socket itself is unusable.
    pub(crate) fn next(&mut self, buffer: &mut [u8]) -> io::Result<Option<Arrival>> {
        while !self.stopping.load(Ordering::Acquire) {
            if let Some(arrival) = self.socket.wait(buffer)? {
                return Ok(Some(arrival));
            }
        }
        Ok(None)
    }
}

/// Runs `work` on a thread of its own until it ends. When the future is dropped, the thread
/// answers what it has in hand and ends.
///
/// # Errors
/// What `work` ended with, or why there is no thread.
pub(crate) async fn run(
    name: &str,
    socket: PktInfo,
    work: impl FnOnce(Listener) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    socket.set_blocking()?;
    let stopping = Arc::new(AtomicBool::new(false));
    let _stop = Stop {
        socket: socket.again()?,
        stopping: Arc::clone(&stopping),
    };
    let (ends, ended) = oneshot::channel();
    let listener = Listener { socket, stopping };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Nobody asks any more when the server is stopping.
            let _ = ends.send(work(listener));
        })?;
    let panicked = |_| Err(io::Error::other("its thread panicked"));
    ended.await.unwrap_or_else(panicked)
}

struct Stop {
    socket: UdpSocket,
    stopping: Arc<AtomicBool>,
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // A socket that is not connected cannot be shut, says Linux, and wakes its readers all
        // the same: its `inet_shutdown` does so on purpose.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn datagrams_come_in_until_nobody_wants_them() {
        let socket = PktInfo::bind(0, "").expect("a free port");
        let port = socket.port();
        let (tell, mut told) = mpsc::unbounded_channel();
        let running = tokio::spawn(run("test", socket, move |mut listener| {
            let mut buffer = [0; 16];
            while let Some(arrival) = listener.next(&mut buffer)? {
                let _ = tell.send(buffer[..arrival.len].to_vec());
            }
            Ok(())
        }));
        let client = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        for text in ["a", "", "b"] {
            client
                .send_to(text.as_bytes(), (Ipv4Addr::LOCALHOST, port))
                .expect("sent");
            let heard = told.recv().await;
            assert_eq!(heard.as_deref(), Some(text.as_bytes()));
        }
        running.abort();
        // The thread drops its end when it ends.
        assert_eq!(told.recv().await, None);
        PktInfo::bind(port, "").expect("the port is free again");
    }

    #[tokio::test]
    async fn a_panic_is_an_end() {
        let socket = PktInfo::bind(0, "").expect("a free port");
        let ended = run("test", socket, |_| panic!("on purpose")).await;
        assert!(ended.is_err());
    }
}
