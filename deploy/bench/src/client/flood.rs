//! A flood of requests from forged addresses, and a real client among them that wants its file.

use super::{Load, Outcome};
use crate::net::forged;
use anyhow::{Context, Result};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct FloodOutcome {
    /// Of each of the real client's fetches.
    pub times: Vec<Duration>,
    /// Those that failed.
    pub failed: usize,
    /// Forged requests that were sent.
    pub sent: usize,
}

/// Sends `requests` forged requests, `rate` a second, while the client of `real` fetches again
/// and again; to be called in the load's network.
///
/// # Errors
/// When a socket cannot be had.
pub(crate) fn run(real: &Load<'_>, requests: usize, rate: u32) -> Result<FloodOutcome> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let name = real.files[0].ask.name;
            let sent = send(real.server, name, requests, rate);
            over.store(true, Ordering::Relaxed);
            sent
        });
        let mut outcome = FloodOutcome::default();
        while !over.load(Ordering::Relaxed) {
            let Outcome { times, failed, .. } = super::run(real)?;
            outcome.times.extend(times);
            outcome.failed += failed;
            std::thread::sleep(BETWEEN);
        }
        outcome.sent = match flood.join() {
            Ok(sent) => sent?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        Ok(outcome)
    })
}

/// From one socket with one source address after the other. It stays open and silent: were it
/// closed, ICMP would tell the server that nobody is there.
fn send(server: Ipv4Addr, name: &str, requests: usize, rate: u32) -> Result<usize> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("bind")?;
    let to = SockaddrIn::from(SocketAddrV4::new(server, 69));
    let request = [b"\0\x01", name.as_bytes(), b"\0octet\0blksize\x001428\0"].concat();
    let began = Instant::now();
    let mut sent = 0;
    for n in 0..requests {
        let due = Duration::from_secs_f64(n as f64 / f64::from(rate));
        // In small bursts, so that the clock is not asked for each.
        if n % 16 == 0 {
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
        let from = from(forged(n as u32));
        let ok = sendmsg(
            socket.as_raw_fd(),
            &[IoSlice::new(&request)],
            &[ControlMessage::Ipv4PacketInfo(&from)],
            MsgFlags::empty(),
            Some(&to),
        );
        sent += usize::from(ok.is_ok());
    }
    Ok(sent)
}

fn from(address: Ipv4Addr) -> nix::libc::in_pktinfo {
    nix::libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: nix::libc::in_addr {
            s_addr: u32::from_ne_bytes(address.octets()),
        },
        ipi_addr: nix::libc::in_addr { s_addr: 0 },
    }
}

/// Between two fetches of the real client.
const BETWEEN: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_requests_come_from_addresses_of_their_own() -> Result<()> {
        // 127/8 is this host's on every Linux: what is forged here is forged there.
        let listener = UdpSocket::bind("127.0.0.1:0")?;
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        let mut buffer = [0u8; 16];
        for last in [7, 8] {
            let std::net::SocketAddr::V4(to) = listener.local_addr()? else {
                unreachable!("it is bound to an IPv4 address")
            };
            let address = Ipv4Addr::new(127, 0, 0, last);
            sendmsg(
                socket.as_raw_fd(),
                &[IoSlice::new(b"x")],
                &[ControlMessage::Ipv4PacketInfo(&from(address))],
                MsgFlags::empty(),
                Some(&SockaddrIn::from(to)),
            )?;
            let (_, came) = listener.recv_from(&mut buffer)?;
            assert_eq!(came.ip(), address);
        }
        Ok(())
    }
}
