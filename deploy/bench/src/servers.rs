//! The servers that are measured: each in its own namespace and control group, quiet, on the
//! same files.

use crate::floor::Floor;
use crate::group::Group;
use crate::net::Station;
use anyhow::{Context, Result, bail};
use lab::process::{Process, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// This project.
    Farrier,
    /// The same, told to do without segmentation offload.
    FarrierNoGso,
    /// dnsmasq: TFTP, or proxyDHCP.
    Dnsmasq,
    /// atftpd.
    Atftpd,
    /// in.tftpd of tftpd-hpa.
    TftpdHpa,
    /// `tftpd` of crates.io.
    RsTftpd,
    /// A small main around `async-tftp` of crates.io.
    AsyncTftp,
    /// nginx with sendfile.
    Nginx,
    /// A small main around axum and tower-http's `ServeDir`.
    ServeDir,
    /// Raw datagrams, one send each.
    FloorPlain,
    /// Raw datagrams, segmented.
    FloorGso,
    /// A canned OFFER.
    FloorOffer,
    /// HTTP bodies from hot memory.
    FloorWrite,
    /// HTTP bodies by `sendfile`, from the file.
    FloorSendfile,
}

/// What a server is to be ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Files over TFTP.
    Tftp,
    /// proxyDHCP, with so many hosts known by their MAC, and files over TFTP.
    Dhcp {
        /// How many machines it knows.
        known: usize,
    },
    /// Files over HTTP.
    Http,
}

/// Where programs and files are.
pub(crate) struct Places {
    /// The farrier program (a release build, or its figures mean nothing).
    pub farrier: PathBuf,
    /// Where `deploy/setup.sh bench` put the peers.
    pub peers: PathBuf,
    /// The served files, on a tmpfs.
    pub root: PathBuf,
    /// This run's own files.
    pub run: PathBuf,
    /// This run's name.
    pub name: String,
}

/// A running server; ended when dropped.
pub(crate) struct Server {
    /// Who it is.
    pub kind: Kind,
    /// Its accounting.
    pub group: Group,
    // Ended before the group is removed.
    process: Option<Process>,
}

impl Kind {
    /// The word in tables and in the machine-readable file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Farrier => "farrier",
            Self::FarrierNoGso => "farrier-no-gso",
            Self::Dnsmasq => "dnsmasq",
            Self::Atftpd => "atftpd",
            Self::TftpdHpa => "tftpd-hpa",
            Self::RsTftpd => "rs-tftpd",
            Self::AsyncTftp => "async-tftp",
            Self::Nginx => "nginx",
            Self::ServeDir => "servedir",
            Self::FloorPlain => "floor-plain",
            Self::FloorGso => "floor-gso",
            Self::FloorOffer => "floor-offer",
            Self::FloorWrite => "floor-write",
            Self::FloorSendfile => "floor-sendfile",
        }
    }

    /// True for what is not a server but the limit of the machine.
    pub(crate) fn is_floor(self) -> bool {
        self.floor().is_some()
    }

    fn floor(self) -> Option<Floor> {
        Some(match self {
            Self::FloorPlain => Floor::Plain,
            Self::FloorGso => Floor::Gso,
            Self::FloorOffer => Floor::Offer,
            Self::FloorWrite => Floor::Write,
            Self::FloorSendfile => Floor::Sendfile,
            _ => return None,
        })
    }

    /// True for somebody else's server.
    pub(crate) fn is_peer(self) -> bool {
        !self.is_floor() && !matches!(self, Self::Farrier | Self::FarrierNoGso)
    }

    /// Its program.
    fn program(self, places: &Places) -> Result<PathBuf> {
        let below = |path: &str| places.peers.join(path);
        let path = match self {
            Self::Farrier | Self::FarrierNoGso => places.farrier.clone(),
            Self::Dnsmasq => PathBuf::from("/usr/sbin/dnsmasq"),
            Self::Atftpd => below("atftpd/usr/sbin/atftpd"),
            Self::TftpdHpa => below("tftpd-hpa/usr/sbin/in.tftpd"),
            Self::RsTftpd => below("cargo/bin/tftpd"),
            Self::AsyncTftp => below("cargo/bin/async-tftp-peer"),
            Self::Nginx => below("nginx/usr/sbin/nginx"),
            Self::ServeDir => below("cargo/bin/servedir-peer"),
            Self::FloorPlain
            | Self::FloorGso
            | Self::FloorOffer
            | Self::FloorWrite
            | Self::FloorSendfile => std::env::current_exe().context("where is this program?")?,
        };
        if !path.exists() {
            bail!("{} is not there: run deploy/setup.sh bench", path.display());
        }
        Ok(path)
    }

    /// What is not there cannot be measured, and is said to be absent.
    pub(crate) fn is_installed(self, places: &Places) -> bool {
        self.program(places).is_ok()
    }
}

impl Server {
    /// Starts `kind` at `station` with its files in a directory of its own.
    ///
    /// # Errors
    /// When it cannot be started. It may not answer yet.
    pub(crate) fn start(
        kind: Kind,
        role: Role,
        station: &Station,
        places: &Places,
    ) -> Result<Self> {
        let group = Group::add(&places.name, kind.name(), &station.namespace_file())?;
        let dir = places.run.join(kind.name());
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;

        // The shell enters the group, so that nothing of the server runs outside of it;
        // `ip netns exec` comes later, because it hides the control groups.
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"echo 0 >"$0" && exec "$@""#])
            .arg(group.entry())
            .args(station.prefix());
        let program = kind.program(places)?;
        command.arg(&program);
        let libraries = places.peers.join("libwrap0/usr/lib/x86_64-linux-gnu");
        if kind.is_peer() {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        arguments(kind, role, places, &dir, &mut command)?;
        let process = Process::spawn(kind.name(), command, &dir.join("server.log"))?;
        let mut server = Self {
            kind,
            group,
            process: Some(process),
        };
        if matches!(kind, Kind::Farrier | Kind::FarrierNoGso) {
            server.settle_farrier(&program, role, &dir)?;
        }
        Ok(server)
    }

    /// Checks that it still runs.
    ///
    /// # Errors
    /// When it has ended, with its last words.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::check)
    }

    /// Waits for its control socket, and has it answer machines that nobody assigned.
    fn settle_farrier(&mut self, program: &Path, role: Role, dir: &Path) -> Result<()> {
        let socket = dir.join("data/run/control.sock");
        let cli = |words: &[&str]| {
            run(Command::new(program)
                .arg("--socket")
                .arg(&socket)
                .args(words))
        };
        let deadline = Instant::now() + READY;
        loop {
            self.check()?;
            match cli(&["status"]) {
                Ok(_) => break,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        if let Role::Dhcp { known } = role {
            let file = dir.join("site.yaml");
            fs::write(&file, site(known)).with_context(|| format!("write {}", file.display()))?;
            cli(&["apply", "-f", &file.display().to_string()])?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.group.rest(false);
        // First its whole group: what forked does not hear of its parent's end.
        if let Some(process) = self.process.take() {
            self.group.kill();
            drop(process);
        }
    }
}

/// The command line of each, and the files it names.
fn arguments(kind: Kind, role: Role, places: &Places, dir: &Path, to: &mut Command) -> Result<()> {
    let root = places.root.display().to_string();
    match kind {
        Kind::Farrier | Kind::FarrierNoGso => {
            let config = farrier_files(places, dir)?;
            to.arg("--config").arg(config).arg("serve");
            if kind == Kind::FarrierNoGso {
                to.env("FARRIER_TFTP_NO_GSO", "1");
            }
        }
        Kind::Dnsmasq => {
            to.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0"])
                .args(["--user=root", "--log-facility=/dev/null", "--pid-file="])
                // Its own limit is 50 transfers at once.
                .args(["--enable-tftp", "--tftp-max=4000", "--quiet-tftp"])
                .arg(format!("--tftp-root={root}"));
            if let Role::Dhcp { known } = role {
                let hosts = dir.join("hosts.conf");
                fs::write(&hosts, dnsmasq_hosts(known))
                    .with_context(|| format!("write {}", hosts.display()))?;
                to.args(["--quiet-dhcp", "--interface=eth0", "--leasefile-ro"])
                    // Its own net, and the one its machines have their leases from.
                    .arg("--dhcp-range=10.88.0.0,proxy,255.254.0.0")
                    .arg("--pxe-service=X86-64_EFI,bench,snponly.efi")
                    .arg(format!("--dhcp-hostsfile={}", hosts.display()));
            }
        }
        Kind::Atftpd => {
            to.args(["--daemon", "--no-fork", "--user", "root.root"])
                .args(["--logfile", "/dev/null", "--verbose=0"])
                // Its own limit is 100 threads.
                .args(["--maxthread", "4000"])
                .arg(&root);
        }
        Kind::TftpdHpa => {
            to.args([
                "-L",
                "--user",
                "root",
                "--address",
                "0.0.0.0:69",
                "--secure",
            ])
            .arg(&root);
        }
        Kind::RsTftpd => {
            to.args(["-i", "0.0.0.0", "-p", "69", "-r", "-q", "-d"])
                .arg(&root);
        }
        Kind::AsyncTftp | Kind::ServeDir => {
            to.arg(&root);
        }
        Kind::Nginx => {
            let config = dir.join("nginx.conf");
            fs::write(&config, nginx_config(&root, dir))
                .with_context(|| format!("write {}", config.display()))?;
            to.arg("-c").arg(config).arg("-p").arg(dir);
        }
        Kind::FloorPlain
        | Kind::FloorGso
        | Kind::FloorOffer
        | Kind::FloorWrite
        | Kind::FloorSendfile => {
            if let Some(floor) = kind.floor() {
                to.arg("floor").arg(format!("{floor:?}").to_lowercase());
                to.arg(&root);
            }
            to.env_remove(lab::sandbox::WORKER_ENV);
        }
    }
    Ok(())
}

/// Farrier's own data directory, with the same files, and its configuration.
fn farrier_files(places: &Places, dir: &Path) -> Result<PathBuf> {
    let data = dir.join("data");
    link_tree(&places.root.join("images"), &data.join("images"))?;
    // It offers no loader that is not there. What is in it does not matter here.
    let loaders = data.join("loaders/packaged");
    fs::create_dir_all(&loaders).with_context(|| format!("create {}", loaders.display()))?;
    let loader = loaders.join("snponly.efi");
    fs::hard_link(places.root.join("snponly.efi"), &loader)
        .with_context(|| format!("link {}", loader.display()))?;
    let config = dir.join("farrier.yaml");
    let text = format!(
        "data_dir: {}\n\
         interfaces: [eth0, eth1]\n\
         tftp: {{max_window: 64}}\n\
         ui: {{listen: \"127.0.0.1:8080\"}}\n\
         log: {{level: error}}\n",
        data.display()
    );
    fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
    Ok(config)
}

fn link_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        fs::hard_link(entry.path(), &target)
            .with_context(|| format!("link {}", target.display()))?;
    }
    Ok(())
}

/// What Farrier is told: machines nobody assigned wait, and so many are known.
fn site(known: usize) -> String {
    let mut text = String::from("kind: site\nunassigned: wait\n");
    for n in 0..known {
        let [a, b, c] = known_mac(n);
        text += &format!(
            "---\nkind: machine\nname: host{n}\nmacs: [\"52:54:00:{a:02x}:{b:02x}:{c:02x}\"]\n"
        );
    }
    text
}

/// The same machines, for dnsmasq.
fn dnsmasq_hosts(known: usize) -> String {
    let line = |n| {
        let [a, b, c] = known_mac(n);
        format!("52:54:00:{a:02x}:{b:02x}:{c:02x},host{n}\n")
    };
    (0..known).map(line).collect()
}

/// The last octets of the n-th known machine's MAC; the first are 52:54:00.
pub(crate) fn known_mac(n: usize) -> [u8; 3] {
    let [.., a, b, c] = (n as u32).to_be_bytes();
    [a | 0x80, b, c]
}

/// As Debian ships it, without logs.
fn nginx_config(root: &str, dir: &Path) -> String {
    format!(
        "daemon off; user root; worker_processes auto; pid {dir}/nginx.pid; error_log {dir}/error.log crit;\n\
         events {{ worker_connections 768; }}\n\
         http {{\n\
           sendfile on; tcp_nopush on; access_log off; types_hash_max_size 2048;\n\
           keepalive_requests 1000000000;\n\
           client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;\n\
           uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
           server {{ listen 80 backlog=1024; root {root}; }}\n\
         }}\n",
        dir = dir.display()
    )
}

/// How long a server may take to answer; generous for loaded machines.
const READY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_told_of_the_same_machines() {
        let (ours, theirs) = (site(2000), dnsmasq_hosts(2000));
        assert_eq!(ours.matches("kind: machine").count(), 2000);
        assert_eq!(theirs.lines().count(), 2000);
        for line in theirs.lines() {
            let (mac, _) = line.split_once(',').expect("a name");
            assert!(ours.contains(mac), "{mac}");
        }
    }
}
