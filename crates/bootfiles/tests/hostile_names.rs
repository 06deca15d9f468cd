//! Names as hostile clients send them, all the way to the file system (protocol.md G.2, R18).

use bootfiles::{Asker, BootFiles, Found};
use bootplan::{BootPath, Catalog, Endpoint};
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::Path;

const SECRET: &str = "not for clients";

struct Server {
    files: BootFiles,
    _temp: tempfile::TempDir,
}

fn server() -> Server {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let dir = |name: &str| temp.path().join(name);
    let files = BootFiles::open(&[dir("srv/loaders")], &dir("srv/images")).expect("made");
    for secret in ["s", "srv/s", "srv/loaders/.s", "srv/loaders/installed.yaml"] {
        std::fs::write(dir(secret), SECRET).expect("write");
    }
    let link = |target: &str, name: &str| symlink(target, dir(name)).expect("symlink");
    link("../s", "srv/loaders/link");
    link("../../s", "srv/images/link");
    link("/", "srv/images/root");
    std::fs::write(dir("srv/loaders/f.efi"), "fine").expect("write");
    std::fs::create_dir(dir("srv/images/d")).expect("mkdir");
    std::fs::write(dir("srv/images/d/f"), "fine").expect("write");
    files.rescan();
    Server { files, _temp: temp }
}

impl Server {
    /// What a client gets for these octets: the content of a file, or nothing.
    fn get(&self, name: &[u8]) -> Option<String> {
        let path = BootPath::parse(name).ok()?;
        let server = Endpoint {
            ip: Ipv4Addr::new(192, 168, 77, 2),
            http_port: 80,
            ui_port: 8080,
        };
        let asker = Asker::at(Ipv4Addr::new(192, 168, 77, 50));
        match self
            .files
            .lookup(&path, &asker, &Catalog::default(), &server)
        {
            Found::File(file) => {
                let text = file.load(0).expect("readable");
                assert_eq!(text.len() as u64, file.len());
                Some(String::from_utf8(text.into()).expect("UTF-8"))
            }
            Found::Text(_) | Found::Absent => None,
        }
    }
}

#[test]
fn no_octet_of_a_file_outside_is_served() {
    let server = server();
    let long = "x".repeat(5000);
    let deep = format!("{}s", "../".repeat(60));
    for place in ["", "/", "images/", "/images/", "boot/", "images/d/", "//"] {
        for name in [
            "../s",
            "../../s",
            "./../s",
            "a/../../s",
            "..//s",
            "....//s",
            "..\\s",
            "..%2fs",
            "%2e%2e/s",
            "%252e%252e/s",
            "..;/s",
            "../srv/s",
            "/etc/passwd",
            "//etc/passwd",
            "\\etc\\passwd",
            "C:\\s",
            "C:s",
            "c:/s",
            "\\\\host\\share\\s",
            "file:///etc/passwd",
            "///",
            ".",
            "..",
            "",
            "link",
            "link/",
            "root/etc/passwd",
            ".s",
            "installed.yaml",
            "INSTALLED.YAML",
            "images",
            "images/",
            "d",
            "d/",
            "\u{2025}/s",
            "f%00.efi",
            "%s%n",
            &long,
            &deep,
        ] {
            let full = format!("{place}{name}");
            assert_eq!(server.get(full.as_bytes()), None, "{full:?}");
        }
    }
    for raw in [
        &b"..\xc0\xaf..\xc0\xafs"[..],
        b"\xc0\xae\xc0\xae/s",
        b"images/\xff\xfe",
        b"f\n.efi",
        b"\x1b[2Jf.efi",
        b"",
        b"\0",
        b"\0/etc/passwd",
        b"images/../\0s",
    ] {
        assert_eq!(server.get(raw), None, "{raw:?}");
    }
}

#[test]
fn honest_spellings_of_the_same_names_are_served() {
    let server = server();
    for name in [
        "f.efi",
        "/f.efi",
        "//f.efi",
        "boot/f.efi",
        "/boot//f.efi",
        "F.EFI",
        "images/d/f",
        "/images//d/f",
        "images\\d\\f",
    ] {
        assert_eq!(
            server.get(name.as_bytes()).as_deref(),
            Some("fine"),
            "{name}"
        );
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let file = temp.path().join("file");
    std::fs::write(&file, "").expect("write");
    let error = BootFiles::open(&[file.join("loaders")], Path::new("images"));
    let text = error.expect_err("not a directory").to_string();
    assert!(text.contains("file/loaders"), "{text}");
}
