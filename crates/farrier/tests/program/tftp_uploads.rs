//! Uploads into drop boxes of the real program, from clients that people have and from ours.

use crate::common::{Farrier, Lan, SERVER, eventually};
use crate::tftp_clients::text;
use nix::sys::signal::Signal;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// Around block sizes, and more than one batch of the disk.
const SIZES: [usize; 7] = [0, 1, 511, 512, 1468 * 16, 300_001, 2_000_000];

const BOXES: &str = "
tftp:
  drop_boxes:
    - {prefix: configs, networks: [0.0.0.0/0], readable: true, quota: 16 MiB, max_file: 4 MiB}
    - {prefix: once, networks: [0.0.0.0/0], overwrite: never}
    - {prefix: small, networks: [0.0.0.0/0], quota: 100000, overwrite: replace}
    - {prefix: theirs, networks: [203.0.113.0/24], readable: true}
";

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8 ^ (n >> 9) as u8).collect()
}

struct Site<'a> {
    lan: &'a Lan,
    farrier: Farrier<'a>,
    here: tempfile::TempDir,
}

impl<'a> Site<'a> {
    fn on(lan: &'a Lan, config: &str) -> Site<'a> {
        let mut farrier = Farrier::prepared(&lan.server);
        farrier.configure(config);
        farrier.start();
        Site {
            lan,
            farrier,
            here: tempfile::tempdir().expect("a directory"),
        }
    }

    fn local(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.here.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    }

    fn kept(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.farrier.data().join("uploads").join(name)).ok()
    }

    /// Runs a client in a directory of its host; SERVER in its arguments is our address.
    fn client(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        let server = SERVER.to_string();
        let args = args.iter().map(|arg| arg.replace("SERVER", &server));
        command.args(args).current_dir(self.here.path());
        self.lan
            .client
            .run(|| command.output())
            .unwrap_or_else(|error| panic!("{program} (deploy/setup.sh test installs it): {error}"))
    }

    fn put(&self, args: &[&str]) -> Output {
        let ours = env!("CARGO_BIN_EXE_farrier");
        self.client(ours, &[&["tftp", "put", "SERVER"], args].concat())
    }

    /// Stores every size with `args`, in which FILE and NAME stand for the local and the remote name.
    fn stores_all(&self, program: &str, args: &[&str]) {
        // curl 7.88 sends nothing at all for an empty file.
        let skipped = usize::from(program == "curl");
        for size in &SIZES[skipped..] {
            let content = pattern(*size);
            self.local("FILE", &content);
            let args: Vec<String> = args
                .iter()
                .map(|arg| arg.replace("NAME", &format!("configs/f{size}")))
                .collect();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let output = self.client(program, &args);
            let kept = self.kept(&format!("configs/f{size}"));
            assert!(
                output.status.success() && kept.as_deref() == Some(&content),
                "{program} {args:?}: {} of {size} bytes, {output:?}",
                kept.map_or(0, |kept| kept.len())
            );
            std::fs::remove_file(
                self.farrier
                    .data()
                    .join("uploads/configs")
                    .join(format!("f{size}")),
            )
            .expect("it is there");
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Every file below a directory but records of uploads, without what is hidden.
fn visible(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .expect("it is there")
        .map(|entry| entry.expect("readable").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

#[test]
fn clients_of_debian_store_what_they_have() {
    let lan = Lan::new();
    let boxes = BOXES.replace("16 MiB", "64 MiB");
    let site = Site::on(&lan, &boxes);
    site.stores_all(
        "tftp",
        &["-m", "octet", "SERVER", "-c", "put", "FILE", "NAME"],
    );
    site.stores_all("atftp", &["-p", "-l", "FILE", "-r", "NAME", "SERVER"]);
    site.stores_all(
        "atftp",
        &[
            "--option",
            "blksize 1468",
            "--option",
            "windowsize 8",
            "--option",
            "tsize",
            "-p",
            "-l",
            "FILE",
            "-r",
            "NAME",
            "SERVER",
        ],
    );
    site.stores_all(
        "busybox",
        &["tftp", "-p", "-l", "FILE", "-r", "NAME", "SERVER"],
    );
    site.stores_all(
        "busybox",
        &[
            "tftp", "-b", "1468", "-p", "-l", "FILE", "-r", "NAME", "SERVER",
        ],
    );
    site.stores_all("curl", &["-sS", "-T", "FILE", "tftp://SERVER/NAME"]);
    // A switch sends text as netascii.
    let text = text();
    site.local("FILE", &text);
    let output = site.client(
        "tftp",
        &[
            "-m",
            "netascii",
            "SERVER",
            "-c",
            "put",
            "FILE",
            "configs/sw1",
        ],
    );
    assert_eq!(
        site.kept("configs/sw1").as_deref(),
        Some(&text[..]),
        "{output:?}"
    );
}

#[test]
fn our_own_client_stores_and_reads_back() {
    let lan = Lan::new();
    let site = Site::on(&lan, BOXES);
    let ours = env!("CARGO_BIN_EXE_farrier");
    for (round, args) in [
        &["--plain"][..],
        &["--windowsize", "16"],
        &["--blksize", "512"],
        &["--netascii"],
    ]
    .into_iter()
    .enumerate()
    {
        for size in SIZES {
            let content = pattern(size + round);
            let file = site.local("sw1.cfg", &content);
            let file = file.to_string_lossy();
            let output = site.put(&[&[&*file, "configs/sw1.cfg"][..], args].concat());
            assert!(output.status.success(), "{args:?} {size}: {output:?}");
            let get = ["tftp", "get", "SERVER", "configs/sw1.cfg", "--output", "-"];
            let got = site.client(ours, &[&get, args].concat());
            assert!(got.stdout == content, "{args:?} {size}: read back");
        }
    }
    let last = site.put(&["sw1.cfg", "configs/x", "--windowsize", "16"]);
    assert!(
        said(&last).contains("block size 1468, window 16, "),
        "{last:?}"
    );
    let http = site.client("curl", &["-sS", "http://SERVER/configs/x"]);
    assert!(http.stdout == pattern(SIZES[6] + 3), "by HTTP, too");
    let socket = site.farrier.control_socket().display().to_string();
    let list = "http://localhost/api/v1/uploads?limit=1";
    let listed = site.client("curl", &["-sS", "--unix-socket", &socket, list]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let newest = &listed["uploads"][0];
    assert_eq!(newest["name"], "configs/x", "{listed}");
    assert_eq!(newest["bytes"], SIZES[6] + 3);
    assert_eq!(newest["change"]["kind"], "first");
}

/// Read back: only where that was asked for, only by whom it is for, and never by the names that we keep versions under.
#[test]
fn what_was_stored_is_for_those_who_may_read_it() {
    let lan = Lan::new();
    let site = Site::on(&lan, BOXES);
    site.local("f", b"first");
    for name in ["configs/f", "once/f", "small/f"] {
        assert!(site.put(&["f", name]).status.success(), "{name}");
    }
    site.local("f", b"second");
    assert!(site.put(&["f", "configs/f"]).status.success());
    // Somebody of its network stored it.
    site.farrier.put("uploads/theirs/f", b"theirs");
    let versions = site
        .farrier
        .data()
        .join("uploads/configs/.farrier/uploads/f");
    let version = visible(&versions)
        .into_iter()
        .find(|name| name.ends_with('Z'))
        .expect("a version");
    let ours = env!("CARGO_BIN_EXE_farrier");
    for (name, content) in [
        ("configs/f", Some(&b"second"[..])),
        ("CONFIGS/F", None),
        ("once/f", None),
        ("small/f", None),
        ("theirs/f", None),
        ("uploads/once/f", None),
        (&format!("configs/.farrier/uploads/f/{version}"), None),
    ] {
        let got = site.client(ours, &["tftp", "get", "SERVER", name, "--output", "-"]);
        let url = format!("http://SERVER/{name}");
        let http = site.client("curl", &["-sS", "--fail", &url]);
        match content {
            Some(content) => assert!(got.stdout == content && http.stdout == content, "{name}"),
            None => {
                assert!(
                    !got.status.success() && got.stdout.is_empty(),
                    "{name}: {got:?}"
                );
                assert!(
                    !http.status.success() && http.stdout.is_empty(),
                    "{name}: {http:?}"
                );
            }
        }
    }
}

/// On a terminal both ways show how far they are.
#[test]
fn a_terminal_shows_progress() {
    let lan = Lan::new();
    let site = Site::on(&lan, BOXES);
    site.local("big", &pattern(2_000_000));
    let ours = env!("CARGO_BIN_EXE_farrier");
    for way in [
        "put SERVER big configs/big",
        "get SERVER configs/big --null",
    ] {
        // Small blocks one by one: long enough for somebody to look.
        let line = format!("{ours} tftp {way} --blksize 512 --windowsize 1");
        let line = line.replace("SERVER", &SERVER.to_string());
        let output = site.client("script", &["-qec", &line, "/dev/null"]);
        let shown = said(&output);
        assert!(output.status.success(), "{shown}");
        let bars = shown
            .split("\r\x1b[K")
            .filter(|line| line.contains(" of 2.0 MB "));
        assert!(bars.clone().count() >= 1, "{}", shown.escape_debug());
        assert!(
            bars.clone()
                .all(|line| line.contains(" % ") && line.contains(" MB/s")),
            "{shown}"
        );
        let last = shown.rsplit("\r\x1b[K").next().expect("some");
        assert!(
            last.starts_with("2000000 bytes in "),
            "{}",
            shown.escape_debug()
        );
        assert!(last.contains("block size 512, window 1, "), "{last}");
    }
}

#[test]
fn what_cannot_be_kept_is_said_and_leaves_nothing() {
    let lan = Lan::new();
    let site = Site::on(&lan, BOXES);
    site.local("f", &pattern(90_000));
    site.local("large", &pattern(5 << 20));
    assert!(site.put(&["f", "once/f"]).status.success());
    for (args, words) in [
        (&["f", "once/f"][..], "file exists already (FileExists)"),
        (
            &["f", "theirs/f"],
            "writing is not allowed (AccessViolation)",
        ),
        (
            &["f", "elsewhere"],
            "writing is not allowed (AccessViolation)",
        ),
        (
            &["f", "configs/../../etc/passwd"],
            "writing is not allowed (AccessViolation)",
        ),
        (
            &["large", "configs/large"],
            "larger than the 4194304 bytes that one file may have (DiskFull)",
        ),
        // Without an announcement it is told when it is too much.
        (
            &["large", "configs/large", "--plain"],
            "larger than the 4194304 bytes that are allowed (DiskFull)",
        ),
        (
            &["large", "small/large"],
            "larger than the 100000 bytes that one file may have (DiskFull)",
        ),
    ] {
        let output = site.put(args);
        assert!(
            !output.status.success() && said(&output).contains(words),
            "{args:?}: {output:?}"
        );
    }
    // The old content and the new one together are more than the quota.
    assert!(site.put(&["f", "small/f"]).status.success());
    let output = site.put(&["f", "small/g"]);
    assert!(
        said(&output).contains("the drop box's quota of 100000 bytes is used up (DiskFull)"),
        "{output:?}"
    );

    let uploads = site.farrier.data().join("uploads");
    assert_eq!(visible(&uploads.join("configs")), [] as [&str; 0]);
    assert_eq!(visible(&uploads.join("small")), ["f"]);
    for drop_box in ["configs", "small", "once"] {
        let incoming = uploads.join(drop_box).join(".farrier/incoming");
        assert_eq!(
            std::fs::read_dir(incoming).expect("it is there").count(),
            0,
            "{drop_box}"
        );
    }
}

#[test]
fn writing_is_off_unless_it_was_asked_for() {
    let lan = Lan::new();
    let site = Site::on(&lan, "");
    site.local("f", b"x");
    let output = site.put(&["f"]);
    assert!(
        said(&output).contains("writing is not allowed"),
        "{output:?}"
    );
}

fn is_empty(dir: &Path) -> Option<()> {
    let mut entries = std::fs::read_dir(dir).expect("it is there");
    entries.next().is_none().then_some(())
}

/// The first block of `configs/half`, acknowledged.
fn begin() -> UdpSocket {
    let (socket, answer) = first_block();
    assert_eq!(answer[..4], [0, 4, 0, 1]);
    socket
}

/// The first block of `configs/half`, and what the server says to it.
fn first_block() -> (UdpSocket, [u8; 100]) {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
    let patience = Some(Duration::from_secs(5));
    socket.set_read_timeout(patience).expect("set");
    let mut answer = [0; 100];
    socket
        .send_to(b"\0\x02configs/half\0octet\0", (SERVER, 69))
        .expect("sent");
    let (_, peer) = socket.recv_from(&mut answer).expect("ACK 0");
    let block = [&[0, 3, 0, 1][..], &[7; 512]].concat();
    socket.send_to(&block, peer).expect("sent");
    socket.recv_from(&mut answer).expect("an answer");
    (socket, answer)
}

#[test]
fn one_address_has_so_many_uploads_at_a_time() {
    let lan = Lan::new();
    let site = Site::on(&lan, BOXES);
    let sockets: Vec<UdpSocket> = (0..16).map(|_| site.lan.client.run(begin)).collect();
    let (_, answer) = site.lan.client.run(first_block);
    let told = b"\0\x05\0\x0016 uploads of this address are under way, try again later\0";
    assert_eq!(answer[..told.len()], told[..]);
    drop(sockets); // their ports are closed: the next ACK finds nobody
    let begins = || {
        let (_, answer) = site.lan.client.run(first_block);
        (answer[1] == 4).then_some(())
    };
    eventually(Duration::from_secs(10), "there is room again", begins);
}

#[test]
fn a_client_that_dies_in_the_middle_leaves_nothing_but_its_story() {
    let lan = Lan::new();
    let site = Site::on(&lan, BOXES);
    let incoming = site
        .farrier
        .data()
        .join("uploads/configs/.farrier/incoming");
    let socket = site.lan.client.run(begin);
    eventually(Duration::from_secs(5), "it is begun", || {
        is_empty(&incoming).is_none().then_some(())
    });
    assert_eq!(site.kept("configs/half"), None);
    drop(socket); // its port is closed: the next ACK finds nobody
    eventually(Duration::from_secs(10), "nothing is left", || {
        is_empty(&incoming)
    });
    let line = site
        .farrier
        .log_line("upload configs/half: the client vanished");
    assert!(line.contains("10."), "{line}");
}

#[test]
fn a_device_that_stores_something_else_from_the_same_port_gave_the_first_up() {
    let lan = Lan::new();
    let site = Site::on(&lan, BOXES);
    let socket = site.lan.client.run(begin);
    let mut answer = [0; 100];
    let request = b"\0\x02configs/other\0octet\0";
    socket.send_to(request, (SERVER, 69)).expect("sent");
    let mut peer = socket.recv_from(&mut answer).expect("an answer").1;
    // The old transfer may have repeated its ACK 1 before it ended.
    while answer[..4] != [0, 4, 0, 0] {
        peer = socket.recv_from(&mut answer).expect("ACK 0").1;
    }
    let told = site
        .farrier
        .log_line("the client began anew after 512 bytes");
    assert!(told.contains("upload configs/half"), "{told}");
    socket.send_to(b"\0\x03\0\x01end", peer).expect("sent");
    while answer[..4] != [0, 4, 0, 1] {
        socket.recv_from(&mut answer).expect("ACK 1");
    }
    assert_eq!(site.kept("configs/other").as_deref(), Some(&b"end"[..]));
    assert_eq!(site.kept("configs/half"), None);
}

#[test]
fn an_upload_that_outlives_the_server_is_told_to_both_sides() {
    let lan = Lan::new();
    let mut site = Site::on(&lan, BOXES);
    let socket = site.lan.client.run(begin);
    site.farrier.signal(Signal::SIGTERM);
    let status = site.farrier.wait_exit(Duration::from_secs(8));
    assert!(status.success(), "{status}");
    let told = "upload configs/half: the server was stopped before all of it had come";
    assert!(site.farrier.log().contains(told), "{}", site.farrier.log());
    let mut answer = [0; 100];
    let last = (0..20).find_map(|_| {
        let len = socket
            .recv(&mut answer)
            .expect("repeated ACKs, then the end");
        (answer[1] == 5).then(|| String::from_utf8_lossy(&answer[4..len - 1]).into_owned())
    });
    assert_eq!(last.as_deref(), Some("the server is being stopped"));
    let uploads = site.farrier.data().join("uploads/configs");
    is_empty(&uploads.join(".farrier/incoming")).expect("nothing is left");
    assert_eq!(visible(&uploads), [] as [&str; 0]);
}

#[test]
fn a_killed_server_shows_nothing_half_and_tidies_up() {
    let lan = Lan::new();
    let mut site = Site::on(&lan, BOXES);
    site.local("f", &pattern(1_000));
    assert!(site.put(&["f", "configs/f"]).status.success());
    site.farrier.kill();
    let incoming = site
        .farrier
        .data()
        .join("uploads/configs/.farrier/incoming");
    std::fs::write(incoming.join("1-0"), "half").expect("written");
    site.farrier.start();
    is_empty(&incoming).expect("tidied up");
    assert_eq!(site.kept("configs/f"), Some(pattern(1_000)));
}

/// A file system of 2 MiB.
#[test]
fn a_full_disk_is_said_and_no_space_is_lost() {
    let lan = Lan::new();
    let disk = SmallDisk::new();
    let config = format!(
        "tftp:\n  drop_boxes:\n    - {{prefix: d, networks: [0.0.0.0/0], directory: {}}}\n",
        disk.0.path().display()
    );
    let site = Site::on(&lan, &config);
    site.local("large", &pattern(3 << 20));
    site.local("fits", &pattern(1 << 20));
    for args in [&["large", "d/large"][..], &["large", "d/large", "--plain"]] {
        for _ in 0..3 {
            let output = site.put(args);
            assert!(
                said(&output).contains("the disk is full (DiskFull)"),
                "{output:?}"
            );
        }
    }
    assert_eq!(visible(disk.0.path()), [] as [&str; 0]);
    let output = site.put(&["fits", "d/fits"]);
    assert!(output.status.success(), "there is room again: {output:?}");
    assert_eq!(std::fs::read(disk.0.path().join("d")).ok(), None);
    assert_eq!(visible(disk.0.path()), ["fits"]);
}

struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> SmallDisk {
        let dir = tempfile::tempdir().expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(dir.path())
            .status();
        assert!(
            mounted.expect("mount runs").success(),
            "these tests run as root"
        );
        SmallDisk(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
