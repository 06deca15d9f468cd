//! The boot plane as firmware sees it: raw octets over loopback (protocol.md H46-H50, G.2;
//! reliability.md R18, R21).

use super::{BootPlane, BootState};
use crate::listen::Budget;
use crate::listen::testing::{Reply, Served};
use crate::transfers::{Direction, Ending, Transfers};
use bootfiles::{BootFiles, DEFAULT_BUDGET, FileCache, PIECE};
use bootplan::{
    BootMethod, Catalog, EventKind, LoaderInventory, MacAddr, Machine, MachineId, Profile, Site,
    Transport,
};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::journal::{EventSink, Report, Reports};
use tempfile::TempDir;
use tokio::sync::watch;

mod answers;
mod endings;
mod image;
mod names;
mod transfers;

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

struct Plane {
    served: Served,
    reports: Reports,
    transfers: Transfers,
    cache: FileCache,
    _catalog: watch::Sender<Arc<Catalog>>,
    dir: TempDir,
}

impl Plane {
    async fn start() -> Plane {
        Plane::with_memory(DEFAULT_BUDGET).await
    }

    async fn with_memory(memory: u64) -> Plane {
        Plane::with(memory, Budget::boot_plane()).await
    }

    async fn with(memory: u64, budget: Budget) -> Plane {
        let dir = tempfile::tempdir().expect("a directory");
        let (loaders, images) = (dir.path().join("loaders"), dir.path().join("images"));
        fs::create_dir_all(&loaders).expect("made");
        fs::create_dir_all(images.join("debian-12")).expect("made");
        fs::write(loaders.join("f1500"), pattern(1500)).expect("written");
        fs::write(loaders.join("grubx64.efi"), pattern(3000)).expect("written");
        fs::write(loaders.join("f0"), b"").expect("written");
        fs::write(images.join("debian-12/linux"), pattern(300_000)).expect("written");
        fs::write(dir.path().join("s"), b"a secret").expect("written");
        let cache = FileCache::new(memory);
        let files = BootFiles::open(&[loaders], &images).expect("opened");
        let files = files.with_cache(cache.clone());
        let transfers = Transfers::default();
        let (sender, catalog) = watch::channel(Arc::new(catalog()));
        let (events, reports) = EventSink::pair(256);
        let url = format!("sqlite:{}", dir.path().join("farrier.db").display());
        let store = store::Store::open(&url).await.expect("a database");
        let state = BootState {
            files: Arc::new(files),
            catalog,
            events,
            machines: store.clone().into(),
            transfers: transfers.clone(),
            http_port: 80,
            ui_port: 8080,
        };
        Plane {
            served: Served::start(BootPlane::from(state), budget).await,
            reports,
            transfers,
            cache,
            _catalog: sender,
            dir,
        }
    }

    fn loaders(&self) -> std::path::PathBuf {
        self.dir.path().join("loaders")
    }

    async fn get(&self, path: &str) -> Reply {
        self.served
            .ask(&format!(
                "GET {path} HTTP/1.1\r\nHost: 192.168.77.2\r\n\r\n"
            ))
            .await
    }

    async fn get_with(&self, path: &str, header: &str) -> Reply {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n");
        self.served.ask(&request).await
    }

    /// Transfers that ended so.
    fn ended(&self, ending: Ending) -> u64 {
        let key = (Transport::Http, Direction::Read, ending);
        let ended = self.transfers.totals().ended;
        ended.get(&key).copied().unwrap_or(0)
    }

    /// Octets the sockets have taken.
    fn taken(&self) -> u64 {
        let flows = self.transfers.totals().flows;
        let read = flows.get(&(Transport::Http, Direction::Read));
        read.map_or(0, |flow| flow.bytes)
    }

    async fn next_event(&mut self) -> (Option<MacAddr>, EventKind) {
        next_event(&mut self.reports).await
    }
}

async fn next_event(reports: &mut Reports) -> (Option<MacAddr>, EventKind) {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(10), reports.next());
        match next.await.expect("an event in time").expect("open") {
            Report::Event(origin, kind) => return (origin.mac, kind),
            Report::Facts(_) => {}
        }
    }
}

fn catalog() -> Catalog {
    let machine = Machine {
        macs: vec![MAC],
        profile: Some("debian-12".parse().expect("a name")),
        ..Machine::named(MachineId(1), "node-1")
    };
    let profile = Profile {
        name: "debian-12".parse().expect("a name"),
        title: "Debian 12".to_owned(),
        description: String::new(),
        enabled: true,
        in_menu: false,
        platforms: Vec::new(),
        loader: None,
        efi_style: Default::default(),
        labels: Default::default(),
        boot: BootMethod::Linux {
            kernel: "debian-12/linux".parse().expect("a path"),
            initrds: Vec::new(),
            args: String::new(),
            console: None,
        },
        extras: Default::default(),
        answers: Vec::new(),
        variables: Default::default(),
        install: None,
    };
    Catalog::new(
        1,
        Site::default(),
        LoaderInventory::default(),
        [machine],
        [profile],
    )
}

/// Octets that tell where in a file they stand.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

fn without_date(head: &str) -> String {
    head.lines()
        .filter(|l| !l.starts_with("Date: "))
        .map(|l| format!("{l}\n"))
        .collect()
}

#[tokio::test]
async fn h46_head_and_get_on_one_connection() {
    let plane = Plane::start().await;
    let mut raw = plane.served.connect().await;
    let headers = "Host: 192.168.77.2\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nUser-Agent: UefiHttpBoot/1.0\r\n\r\n";
    raw.send(&format!("HEAD /f1500 HTTP/1.1\r\n{headers}"))
        .await;
    let head = raw.reply(true).await;
    raw.send(&format!("GET /f1500 HTTP/1.1\r\n{headers}")).await;
    let get = raw.reply(false).await;
    assert_eq!(without_date(&head.head), without_date(&get.head));
    assert!(get.head.starts_with("HTTP/1.1 200 "), "{}", get.head);
    assert!(
        get.head.contains("\r\nContent-Length: 1500\r\n"),
        "{}",
        get.head
    );
    assert_eq!(get.header("Accept-Ranges"), Some("bytes"));
    assert_eq!(get.header("Content-Type"), Some("application/octet-stream"));
    assert!(
        get.header("Etag").is_some_and(|tag| tag.starts_with('"')),
        "{}",
        get.head
    );
    assert!(
        get.header("Last-Modified")
            .is_some_and(|date| date.ends_with(" GMT"))
    );
    for absent in ["Transfer-Encoding", "Content-Encoding", "Connection"] {
        assert_eq!(get.header(absent), None, "{}", get.head);
    }
    assert_eq!(get.body, pattern(1500));
}

#[tokio::test]
async fn h47_doubled_slashes_are_no_redirect() {
    let plane = Plane::start().await;
    let reply = plane.get("/boot//grubx64.efi").await;
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.body, pattern(3000));
    assert_eq!(reply.header("Content-Type"), Some("application/efi"));
}

#[tokio::test]
async fn h48_a_refusal_has_a_body_and_keeps_the_connection() {
    let plane = Plane::start().await;
    let mut raw = plane.served.connect().await;
    for _ in 0..2 {
        raw.send("GET /boot/revocations_sku.efi HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        let reply = raw.reply(false).await;
        assert_eq!(reply.status(), 404);
        assert_eq!(reply.text(), "not found\n");
        assert_eq!(reply.header("Content-Length"), Some("10"));
    }
    raw.send("HEAD /boot/revocations_sku.efi HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    assert_eq!(raw.reply(true).await.header("Content-Length"), Some("10"));
    raw.send("GET /f1500 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(raw.reply(false).await.body, pattern(1500));
}

#[tokio::test]
async fn h49_single_ranges() {
    let plane = Plane::start().await;
    for (range, shown, slice) in [
        ("bytes=512-1023", "bytes 512-1023/1500", 512..1024),
        ("bytes=1400-", "bytes 1400-1499/1500", 1400..1500),
        ("bytes=-10", "bytes 1490-1499/1500", 1490..1500),
    ] {
        let reply = plane.get_with("/f1500", &format!("Range: {range}")).await;
        assert_eq!(reply.status(), 206, "{range}");
        assert_eq!(reply.header("Content-Range"), Some(shown));
        assert_eq!(
            reply.header("Content-Length"),
            Some(slice.len().to_string().as_str())
        );
        assert_eq!(reply.body, pattern(1500)[slice], "{range}");
    }
    let reply = plane.get_with("/f1500", "Range: bytes=1500-").await;
    assert_eq!(
        (reply.status(), reply.header("Content-Range")),
        (416, Some("bytes */1500"))
    );
    assert!(!reply.body.is_empty());
    let many = format!("Range: bytes={}0-0", "0-,".repeat(1000));
    let reply = plane.get_with("/f1500", &many).await;
    assert_eq!((reply.status(), reply.body.len()), (200, 1500));
}

#[tokio::test]
async fn a_broken_transfer_is_resumed_only_from_the_same_file() {
    let plane = Plane::start().await;
    let first = plane.get("/f1500").await;
    let etag = first.header("Etag").expect("sent").to_owned();
    let date = first.header("Last-Modified").expect("sent").to_owned();
    let resume = format!("Range: bytes=700-\r\nIf-Match: {etag}");
    assert_eq!(
        plane.get_with("/f1500", &resume).await.body,
        pattern(1500)[700..]
    );
    let by_date = format!("Range: bytes=700-\r\nIf-Unmodified-Since: {date}");
    assert_eq!(plane.get_with("/f1500", &by_date).await.status(), 206);
    fs::write(plane.loaders().join("f1500"), pattern(1501)).expect("written");
    let reply = plane.get_with("/f1500", &resume).await;
    assert_eq!(reply.status(), 412);
    assert!(!reply.body.is_empty());
    let stale = format!("Range: bytes=700-\r\nIf-Range: {etag}");
    assert_eq!(plane.get_with("/f1500", &stale).await.status(), 200);
}

#[tokio::test]
async fn only_get_and_head() {
    let plane = Plane::start().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
        let request = format!("{method} /f1500 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        let reply = plane.served.ask(&request).await;
        assert_eq!(reply.status(), 405, "{method}");
        assert_eq!(reply.header("Allow"), Some("GET, HEAD"));
        assert!(!reply.body.is_empty());
    }
}

#[tokio::test]
async fn an_empty_file_is_an_empty_file() {
    let plane = Plane::start().await;
    let reply = plane.get("/f0").await;
    assert_eq!(
        (reply.status(), reply.header("Content-Length")),
        (200, Some("0"))
    );
}

#[tokio::test]
async fn a_script_is_rendered_for_the_machine_and_its_address() {
    let mut plane = Plane::start().await;
    let path = format!(
        "/{}/boot.ipxe?platform=efi&buildarch=x86_64&serial=A%20B&product=PC",
        MAC.dashed()
    );
    let reply = plane.get(&path).await;
    assert_eq!(reply.status(), 200);
    assert_eq!(
        reply.header("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(reply.header("Cache-Control"), Some("no-store"));
    assert_eq!(
        reply.header("Content-Length"),
        Some(reply.body.len().to_string().as_str())
    );
    assert!(reply.text().starts_with("#!ipxe\n"), "{}", reply.text());
    assert!(
        reply
            .text()
            .contains("http://127.0.0.1/images/debian-12/linux"),
        "{}",
        reply.text()
    );
    match plane.reports.next().await {
        Some(Report::Facts(facts)) => {
            assert_eq!(facts.mac, MAC);
            assert_eq!(facts.serial.as_deref(), Some("A B"));
            assert_eq!(facts.platform, Some(bootplan::Platform::EfiX64));
        }
        other => panic!("{other:?}"),
    }
    let (mac, event) = plane.next_event().await;
    assert_eq!(mac, Some(MAC));
    assert!(
        matches!(
            &event,
            EventKind::MenuServed {
                transport: Transport::Http,
                profile: Some(_),
                ..
            }
        ),
        "{event:?}"
    );
    // HEAD says the same and reports nothing.
    let head = plane
        .served
        .ask(&format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    assert_eq!(
        head.header("Content-Length"),
        reply.header("Content-Length")
    );
    assert!(plane.reports.try_next().is_none());
}

#[tokio::test]
async fn a_query_cannot_spoil_a_request() {
    let plane = Plane::start().await;
    for query in [
        "?",
        "?uuid=nonsense&round=-1&platform=%ff",
        "?a=%zz",
        "?=&&=",
    ] {
        let path = format!("/{}/boot.ipxe{query}", MAC.dashed());
        assert_eq!(plane.get(&path).await.status(), 200, "{query}");
    }
    let long = format!("/{}/boot.ipxe?serial={}", MAC.dashed(), "x".repeat(4000));
    assert_eq!(plane.get(&long).await.status(), 200);
}

/// One gibibyte that takes no room on disk, with marks to find one's place by.
fn sparse(path: &Path, len: u64) {
    let mut file = File::create(path).expect("created");
    file.set_len(len).expect("made");
    for at in [0, len / 2, len - 8] {
        file.seek(SeekFrom::Start(at)).expect("inside");
        file.write_all(&at.to_be_bytes()).expect("written");
    }
}
