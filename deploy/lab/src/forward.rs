//! A port of the host's loopback that leads to a port inside a host of the LAN.

use crate::lan::Host;
use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Opens `127.0.0.1:port` (0: any free one) and leads every connection to `to` as seen by
/// `host`. Returns the port; it stays open until the program ends.
///
/// # Errors
/// When the port is taken, or the host's namespace cannot be entered.
pub(crate) fn open(port: u16, host: &Host, to: SocketAddrV4) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("listen on 127.0.0.1:{port} (is it taken? choose another)"))?;
    let port = listener.local_addr().context("listening address")?.port();
    let connector = Connector::start(host, to)?;
    std::thread::spawn(move || {
        for inside in listener.incoming().flatten() {
            let Ok(outside) = connector.connect() else {
                continue;
            };
            join(inside, outside);
        }
    });
    Ok(port)
}

/// A thread that lives in the host's namespace: a socket belongs to the namespace of the thread
/// that made it, whoever uses it afterwards.
struct Connector {
    ask: SyncSender<()>,
    answer: Receiver<io::Result<TcpStream>>,
}

impl Connector {
    fn start(host: &Host, to: SocketAddrV4) -> Result<Self> {
        let file = host.namespace_file();
        let namespace = File::open(&file).with_context(|| format!("open {file}"))?;
        let (ask, asked) = sync_channel::<()>(0);
        let (say, answer) = sync_channel(0);
        let (entered, result) = sync_channel(0);
        std::thread::spawn(move || {
            let outcome = setns(namespace, CloneFlags::CLONE_NEWNET);
            let inside = outcome.is_ok();
            let _ = entered.send(outcome);
            while inside && asked.recv().is_ok() {
                if say
                    .send(TcpStream::connect_timeout(&to.into(), PATIENCE))
                    .is_err()
                {
                    break;
                }
            }
        });
        result
            .recv()
            .context("the connecting thread is gone")?
            .context("enter the host's network namespace")?;
        Ok(Self { ask, answer })
    }

    fn connect(&self) -> Result<TcpStream> {
        self.ask.send(()).context("the connecting thread is gone")?;
        let stream = self
            .answer
            .recv()
            .context("the connecting thread is gone")?;
        stream.context("connect inside the LAN")
    }
}

/// Copies both ways until both ends are done.
fn join(a: TcpStream, b: TcpStream) {
    for (from, to) in [(a.try_clone(), b.try_clone()), (Ok(b), Ok(a))] {
        let (Ok(mut from), Ok(mut to)) = (from, to) else {
            return;
        };
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

/// For a connection on a virtual LAN.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn both_directions_are_copied_and_the_end_is_passed_on() {
        let server = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let front = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let mut client = TcpStream::connect(front.local_addr().expect("bound")).expect("connect");
        let back = TcpStream::connect(server.local_addr().expect("bound")).expect("connect");
        let (mut far, _) = server.accept().expect("accept");
        join(front.accept().expect("accept").0, back);

        client.write_all(b"ping").expect("write");
        client.shutdown(Shutdown::Write).expect("shutdown");
        let mut got = String::new();
        far.read_to_string(&mut got).expect("read to the end");
        assert_eq!(got, "ping");
        far.write_all(b"pong").expect("write");
        drop(far);
        let mut got = String::new();
        client.read_to_string(&mut got).expect("read to the end");
        assert_eq!(got, "pong");
    }
}
