//! Network namespaces, made by a test and gone with it.

use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// One host's network.
pub(crate) struct Netns {
    name: String,
    handle: File,
}

/// A server and a client on one wire: `eth0` of both.
pub(crate) struct Lan {
    pub(crate) server: Netns,
    pub(crate) client: Netns,
}

impl Netns {
    /// A host with nothing but loopback.
    ///
    /// # Panics
    /// Without root: these tests must not look passed where they cannot run.
    pub(crate) fn new() -> Netns {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes network namespaces: run it as root"
        );
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("far-{}-{number}", std::process::id());
        let made = Command::new("ip")
            .args(["netns", "add", &name])
            .status()
            .expect("'ip' of the package iproute2 is installed");
        assert!(made.success(), "ip netns add {name}: {made}");
        let handle = File::open(format!("/run/netns/{name}")).expect("made a moment ago");
        let netns = Netns { name, handle };
        netns.ip("link set lo up");
        netns
    }

    /// Runs `ip` commands here, one a line.
    pub(crate) fn ip(&self, lines: &str) {
        let mut ip = Command::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("'ip' starts");
        let mut stdin = ip.stdin.take().expect("piped");
        stdin.write_all(lines.as_bytes()).expect("'ip' reads");
        drop(stdin);
        let status = ip.wait().expect("'ip' ends");
        assert!(status.success(), "in {}: ip {lines}", self.name);
    }

    /// The hardware address of a card here.
    pub(crate) fn mac(&self, device: &str) -> String {
        let mut ip = Command::new("ip");
        ip.args(["-n", &self.name, "-o", "link", "show", device]);
        let text = String::from_utf8(ip.output().expect("'ip' starts").stdout).expect("text");
        let mac = text.split("link/ether ").nth(1).expect("a card");
        mac.split(' ').next().expect("an address").to_owned()
    }

    /// Plugs a wire between `device` here and `peer_device` of `peer`; both ends are up.
    pub(crate) fn wire(&self, device: &str, peer: &Netns, peer_device: &str) {
        self.ip(&format!(
            "link add {device} type veth peer name {peer_device} netns {}\nlink set {device} up",
            peer.name
        ));
        peer.ip(&format!("link set {peer_device} up"));
    }

    /// Does something with this host's sockets. What is opened or started there stays there.
    pub(crate) fn run<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            setns(&self.handle, CloneFlags::CLONE_NEWNET).expect("root may enter");
            what()
        };
        // A thread's network is its own, so the rest of the test stays where it is.
        let done = std::thread::scope(|scope| scope.spawn(inside).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}

impl Lan {
    /// The server has 10.77.0.2/24, the client 10.77.0.50/24.
    pub(crate) fn new() -> Lan {
        let (server, client) = (Netns::new(), Netns::new());
        server.wire("eth0", &client, "eth0");
        server.ip("addr add 10.77.0.2/24 brd + dev eth0");
        client.ip("addr add 10.77.0.50/24 brd + dev eth0");
        Lan { server, client }
    }
}

static NEXT: AtomicU32 = AtomicU32::new(0);
