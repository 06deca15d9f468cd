//! Who holds a UDP port: the second question of everybody who reads "address already in use".

use std::fmt;
use std::fs;
use std::path::Path;

/// A process that holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its name, as the kernel knows it (`comm`).
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// The process with a UDP socket bound to `port`, if `/proc` lets us see it.
pub(crate) fn of_udp_port(port: u16) -> Option<Owner> {
    of_port_in(Path::new("/proc"), "net/udp", port)
}

/// The process that listens on TCP `port`, if `/proc` lets us see it.
pub(crate) fn of_tcp_port(port: u16) -> Option<Owner> {
    ["net/tcp", "net/tcp6"]
        .iter()
        .find_map(|table| of_port_in(Path::new("/proc"), table, port))
}

fn of_port_in(proc: &Path, table: &str, port: u16) -> Option<Owner> {
    let table = fs::read_to_string(proc.join(table)).ok()?;
    let inodes: Vec<String> = table
        .lines()
        .skip(1)
        .filter_map(|l| inode_on_port(l, port))
        .collect();
    let processes = fs::read_dir(proc).ok()?;
    processes.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(entry.path().join("fd"))
            .ok()?
            .flatten()
            .any(|fd| {
                let target = fs::read_link(fd.path()).unwrap_or_default();
                inodes
                    .iter()
                    .any(|inode| target.as_os_str() == format!("socket:[{inode}]").as_str())
            });
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        holds.then(|| Owner {
            name: name.trim().to_owned(),
            pid,
        })
    })
}

/// A row of `/proc/net/udp`: `sl local_address rem_address st … inode`, the port in hexadecimal.
/// Only unconnected (listening) sockets count.
fn inode_on_port(row: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = row.split_whitespace().collect();
    let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
    let (_, remote_port) = fields.get(2)?.rsplit_once(':')?;
    let ours = u16::from_str_radix(local_port, 16).ok()? == port && remote_port == "0000";
    ours.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_ourselves_on_a_port_we_hold() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let port = socket.local_addr().expect("bound").port();
        let owner = of_udp_port(port).expect("we hold it");
        assert_eq!(owner.pid, std::process::id());
        assert_eq!(of_udp_port(port).map(|o| o.name.is_empty()), Some(false));
        drop(socket);
        assert_eq!(of_udp_port(port), None);
    }

    #[test]
    fn rows_that_make_no_sense_are_skipped() {
        for row in ["", "a b c", "1: zz:00 0:0 07 a b c d e 77"] {
            assert_eq!(inode_on_port(row, 67), None, "{row}");
        }
    }
}
