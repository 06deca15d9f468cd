//! One transfer: its own socket, its own task, driven by the state machine of the `tftp` room.

use super::source::Content;
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Instant;
use tftp::{Outcome, Sender};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// How a transfer ended.
pub(super) enum Ended {
    /// By the protocol.
    As(Outcome),
    /// The client's system says that nobody has its port any more.
    PortClosed {
        /// Blocks it had acknowledged.
        blocks: u64,
    },
}

/// Opens the socket of one transfer: an ephemeral port (the transfer's TID) on the address the
/// request was sent to, connected, so that the kernel refuses strangers.
///
/// # Errors
/// When the system is out of ports or descriptors, or the address has just gone.
pub(super) async fn open_socket(local: Ipv4Addr, peer: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((local, 0)).await?;
    // No "don't fragment": a path with a smaller MTU would be a black hole (protocol.md D.9).
    set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DONT)?;
    socket.connect(peer).await?;
    Ok(socket)
}

/// Runs one transfer to its end. `again` says that the client repeated its request on port 69;
/// `on_proof` is called once when the client has answered from its address, `on_outcome` once
/// when the outcome is there (the port may linger after it to swallow late ACKs).
pub(super) async fn run(
    socket: &UdpSocket,
    peer: SocketAddrV4,
    mut sender: Sender<Content>,
    mut again: mpsc::Receiver<()>,
    on_proof: impl FnOnce(),
    on_outcome: impl FnOnce(Ended),
) {
    let mut datagram = Vec::with_capacity(2048);
    let mut received = [0u8; 2048];
    let mut on_proof = Some(on_proof);
    let mut on_outcome = Some(on_outcome);
    loop {
        let mut gone = false;
        while sender.poll_transmit(Instant::now(), &mut datagram) {
            match socket.send(&datagram).await {
                Ok(_) => {}
                // The client's port is closed: it is gone, or has moved on to another request.
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => gone = true,
                // A full queue, a route that is just changing: the timer sends it again.
                Err(error) => tracing::debug!(%peer, %error, "block not sent"),
            }
        }
        if sender.is_proved()
            && let Some(on_proof) = on_proof.take()
        {
            on_proof();
        }
        let outcome = sender.outcome();
        if (outcome.is_some() || gone)
            && let Some(on_outcome) = on_outcome.take()
        {
            on_outcome(outcome.map_or(closed(&sender), Ended::As));
        }
        if gone || sender.is_closed() {
            return;
        }
        let deadline = sender.poll_timeout().map(tokio::time::Instant::from_std);
        tokio::select! {
            result = socket.recv_from(&mut received) => match result {
                // Between bind and connect a stranger's datagram may have been queued.
                Ok((len, from)) if from == peer.into() => {
                    sender.handle_datagram(Instant::now(), &received[..len]);
                }
                Ok(_) => {}
                Err(error) => {
                    if error.kind() != io::ErrorKind::ConnectionRefused {
                        tracing::debug!(%peer, %error, "transfer socket failed");
                    }
                    if let Some(on_outcome) = on_outcome.take() {
                        on_outcome(sender.outcome().map_or(closed(&sender), Ended::As));
                    }
                    return;
                }
            },
            Some(()) = again.recv() => sender.repeat_first(),
            () = sleep_until(deadline) => sender.handle_timeout(Instant::now()),
        }
    }
}

fn closed(sender: &Sender<Content>) -> Ended {
    Ended::PortClosed {
        blocks: sender.acknowledged(),
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
