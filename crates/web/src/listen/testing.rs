//! Raw HTTP over loopback, octet for octet, for the tests of every router of this room.

use super::{Budget, Handler, Socket, serve};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A plane being served on a port of its own; stops when dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start(handler: impl Handler, budget: Budget) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(Socket::from(listener), handler, budget, async {
            let _ = stopped.await;
        }));
        Served {
            address,
            stop: Some(stop),
            task,
        }
    }

    pub(crate) async fn connect(&self) -> Raw {
        let stream = TcpStream::connect(self.address).await.expect("loopback");
        Raw {
            stream,
            buffer: Vec::new(),
        }
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Reply {
        let mut raw = self.connect().await;
        raw.send(request).await;
        raw.reply(request.starts_with("HEAD")).await
    }

    /// Asks the server to stop and waits until it has.
    pub(crate) async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let task = &mut self.task;
        task.await.expect("serve does not panic");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client that says exactly what it is told to.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response as it came over the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Status line and headers, each line ended by CR LF.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().expect("a status code")
    }

    /// The value of a header, whose name must be spelled exactly so.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text")
    }
}

impl Raw {
    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("open");
    }

    /// Reads one response by its `Content-Length`.
    pub(crate) async fn reply(&mut self, head_only: bool) -> Reply {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more().await > 0, "closed before the header ended");
        };
        let rest = self.buffer.split_off(end);
        let head = String::from_utf8(std::mem::replace(&mut self.buffer, rest)).expect("ASCII");
        let mut reply = Reply {
            head,
            body: Vec::new(),
        };
        let length: usize = match reply.header("Content-Length") {
            Some(text) if !head_only => text.parse().expect("a number"),
            _ => 0,
        };
        while self.buffer.len() < length {
            assert!(self.more().await > 0, "closed inside the body");
        }
        let rest = self.buffer.split_off(length);
        reply.body = std::mem::replace(&mut self.buffer, rest);
        reply
    }

    async fn more(&mut self) -> usize {
        let read = self.stream.read_buf(&mut self.buffer);
        let read = tokio::time::timeout(PATIENCE, read).await;
        read.expect("an answer in time").expect("open")
    }

    /// Waits until the server ends the connection; `Err` when it did so by RST.
    pub(crate) async fn closed(&mut self) -> std::io::Result<()> {
        let mut rest = Vec::new();
        let read = self.stream.read_to_end(&mut rest);
        let read = tokio::time::timeout(PATIENCE, read).await;
        read.expect("closed in time").map(|_| ())
    }
}

/// Far above anything these tests wait for on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
