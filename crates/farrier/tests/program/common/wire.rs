//! Clients over real sockets. To be called inside a client's network ([`super::Netns::run`]).

use super::eventually;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use tftp::{Ask, Limits, Outcome, Receiver};

/// Opens a port that was closed a moment ago: a process that another test is just starting holds
/// copies of all our sockets until it becomes a program of its own.
pub(crate) fn reopened<T>(mut open: impl FnMut() -> io::Result<T>) -> T {
    eventually(Duration::from_secs(3), "the port is free", || {
        match open() {
            Err(e) if e.kind() == ErrorKind::AddrInUse => None,
            opened => Some(opened.expect("opened")),
        }
    })
}

/// A UDP socket on this port of every address; 0 is any free one.
pub(crate) fn udp(port: u16) -> UdpSocket {
    let socket = reopened(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)));
    socket.set_broadcast(true).expect("allowed");
    socket
}

/// The next datagram within `limit`.
pub(crate) fn receive(socket: &UdpSocket, limit: Duration) -> Option<(Vec<u8>, SocketAddrV4)> {
    let mut buffer = vec![0; 65_535];
    socket
        .set_read_timeout(Some(limit.max(Duration::from_millis(1))))
        .expect("not zero");
    let (length, from) = match socket.recv_from(&mut buffer) {
        Ok(received) => received,
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
        // The other side's port is closed: there is nothing to receive.
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => return None,
        Err(error) => panic!("receive: {error}"),
    };
    buffer.truncate(length);
    let SocketAddr::V4(from) = from else {
        panic!("an IPv4 socket heard {from}");
    };
    Some((buffer, from))
}

/// Everything that comes within `limit`.
pub(crate) fn receive_all(socket: &UdpSocket, limit: Duration) -> Vec<(Vec<u8>, SocketAddrV4)> {
    let end = Instant::now() + limit;
    let mut all = Vec::new();
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        all.extend(receive(socket, left));
    }
    all
}

/// The block of this number. On a busy machine the server's timer may be faster than we are: what came already comes
/// again, and is passed over.
pub(crate) fn receive_block(socket: &UdpSocket, number: u16) -> (Vec<u8>, SocketAddrV4) {
    let [high, low] = number.to_be_bytes();
    for _ in 0..200 {
        let next = receive(socket, Duration::from_secs(3)).expect("the next block");
        if next.0.starts_with(&[0, 3, high, low]) {
            return next;
        }
        assert_eq!(next.0[..2], [0, 3], "{}", next.0.escape_ascii());
    }
    panic!("block {number} does not come");
}

/// A read request as octets.
pub(crate) fn rrq(name: &[u8], options: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = [&[0, 1], name, b"\0octet\0"].concat();
    for (name, value) in options {
        bytes.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    bytes
}

/// Fetches a file by TFTP, with `between` before each datagram is sent.
pub(crate) fn tftp_get(
    server: Ipv4Addr,
    get: Ask,
    mut between: impl FnMut(),
) -> (Vec<u8>, Outcome) {
    let socket = udp(0);
    let mut receiver = Receiver::start(get, &Limits::default(), Instant::now());
    let mut peer = SocketAddrV4::new(server, 69);
    let (mut datagram, mut file) = (Vec::new(), Vec::new());
    loop {
        while receiver.poll_transmit(&mut datagram) {
            between();
            socket.send_to(&datagram, peer).expect("sent");
        }
        if let Some(outcome) = receiver.outcome() {
            return (file, outcome);
        }
        let now = Instant::now();
        let until = receiver.poll_timeout().unwrap_or(now);
        match receive(&socket, until.saturating_duration_since(now)) {
            Some((bytes, from)) => {
                // ROMs drop what comes from any other address than the one they asked.
                assert_eq!(*from.ip(), server, "answered from another address");
                peer = from;
                receiver.handle_datagram(Instant::now(), &bytes, &mut file);
            }
            None => receiver.handle_timeout(Instant::now()),
        }
    }
}

/// Fetches a file by TFTP that must come.
pub(crate) fn tftp_file(server: Ipv4Addr, name: &str) -> Vec<u8> {
    let get = Ask {
        blksize: Some(1468),
        ..Ask::plain(name)
    };
    let (bytes, outcome) = tftp_get(server, get, || {});
    assert_eq!(outcome.kind, tftp::OutcomeKind::Completed, "{name}");
    bytes
}

/// An answer over HTTP.
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Asks over HTTP; the connection is ready to be read.
pub(crate) fn http_ask(server: Ipv4Addr, target: &str) -> TcpStream {
    let address = SocketAddr::from((server, 80));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(3)).expect("open");
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("not zero");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    stream
}

/// Reads an answer to its end.
pub(crate) fn http_read(mut stream: TcpStream) -> HttpAnswer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("read");
    http_parse(&bytes)
}

/// Takes a whole answer apart and holds it against its `Content-Length`.
pub(crate) fn http_parse(bytes: &[u8]) -> HttpAnswer {
    let end = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a header");
    let header = std::str::from_utf8(&bytes[..end]).expect("text");
    let status = header.split(' ').nth(1).expect("a status line");
    let length = header
        .lines()
        .find_map(|l| l.strip_prefix("Content-Length: "));
    let body = bytes[end + 4..].to_vec();
    assert_eq!(length, Some(&*body.len().to_string()), "{header}");
    HttpAnswer {
        status: status.parse().expect("a number"),
        body,
    }
}

/// Gets a path that must be there.
pub(crate) fn http_get(server: Ipv4Addr, target: &str) -> Vec<u8> {
    let answer = http_read(http_ask(server, target));
    assert_eq!(answer.status, 200, "{target}");
    answer.body
}
