//! A Debian archive on a host of the LAN, which has no way out: what was asked for before comes from a
//! directory, the rest is fetched by this host's apt, from the archive that it uses, and kept.
//!
//! Nothing is rewritten: who fetches here checks Debian's own signatures.

use crate::lan::Host;
use crate::process::run;
use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A mirror; it serves until the program ends.
pub(crate) struct Mirror(Arc<Shelf>);

/// What it has given away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// Files.
    pub(crate) files: u64,
    /// Octets.
    pub(crate) octets: u64,
    /// Files that were fetched from outside for it.
    pub(crate) fetched: u64,
}

struct Shelf {
    dir: PathBuf,
    /// First part of a path (`debian`, `debian-security`) to where that is outside.
    archives: BTreeMap<String, String>,
    /// One fetch at a time: two must not write one file.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    given: Given,
    /// Indexes that are as new as this run.
    fresh: HashSet<String>,
}

impl Mirror {
    /// Serves `dir` on port 80 of `host`, with this host's archives behind it.
    ///
    /// # Errors
    /// When apt knows no archive of Debian, or the host's namespace cannot be entered.
    pub(crate) fn start(host: &Host, dir: &Path) -> Result<Self> {
        let archives = archives()?;
        let listener = listen(host)?;
        let shelf = Arc::new(Shelf {
            dir: dir.to_owned(),
            archives,
            state: Mutex::default(),
        });
        let mine = Arc::clone(&shelf);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shelf = Arc::clone(&mine);
                // A client that goes away in the middle is its own business.
                std::thread::spawn(move || shelf.talk(&stream).ok());
            }
        });
        Ok(Self(shelf))
    }

    /// What it has given away so far.
    pub(crate) fn given(&self) -> Given {
        let state = self.0.state.lock();
        state.unwrap_or_else(PoisonError::into_inner).given
    }
}

/// Where Debian's packages and its security updates come from, as this host's apt knows it.
fn archives() -> Result<BTreeMap<String, String>> {
    let known = run(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(LABEL) $(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    let mut archives = BTreeMap::new();
    for line in known.lines() {
        let name = match line.split_once(' ') {
            Some(("Debian", _)) => "debian",
            Some(("Debian-Security", _)) => "debian-security",
            _ => continue,
        };
        let address = line.rsplit(' ').next().unwrap_or_default();
        archives.insert(name.to_owned(), address.trim_end_matches('/').to_owned());
    }
    if !archives.contains_key("debian") {
        bail!("apt of this host knows no archive of Debian");
    }
    Ok(archives)
}

/// A socket belongs to the namespace of the thread that made it, whoever uses it afterwards.
fn listen(host: &Host) -> Result<TcpListener> {
    let file = host.namespace_file();
    let namespace = File::open(&file).with_context(|| format!("open {file}"))?;
    let made = std::thread::spawn(move || -> Result<TcpListener> {
        setns(namespace, CloneFlags::CLONE_NEWNET).context("enter the mirror's namespace")?;
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)).context("listen on port 80")
    });
    made.join()
        .unwrap_or_else(|_| bail!("the listening thread is gone"))
}

impl Shelf {
    /// One connection, with as many questions as the client likes.
    fn talk(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(IDLE))?;
        let mut lines = BufReader::new(stream);
        while let Some(question) = Question::read(&mut lines)? {
            let found = match tidy(&question.path) {
                Some(path) => self.find(&path),
                None => Err("400 Bad Request"),
            };
            self.answer(stream, &question, found)?;
            if question.last {
                break;
            }
        }
        Ok(())
    }

    fn answer(
        &self,
        mut stream: &TcpStream,
        question: &Question,
        found: Result<File, &str>,
    ) -> io::Result<()> {
        let (status, length) = match &found {
            Ok(file) => ("200 OK", file.metadata()?.len()),
            Err(status) => (*status, 0),
        };
        let word = if question.last { "close" } else { "keep-alive" };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: {word}\r\n\r\n"
        )?;
        if let (Ok(mut file), false) = (found, question.head) {
            let octets = io::copy(&mut file, &mut stream)?;
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.given.files += 1;
            state.given.octets += octets;
        }
        Ok(())
    }

    /// The file at `path`, fetched if need be; or what to say instead.
    fn find(&self, path: &str) -> Result<File, &'static str> {
        let at = self.dir.join(path);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Packages never change; indexes do, and are asked for again once in each run.
        let settled = ["/pool/", "/by-hash/", "/dists/lab/"]
            .iter()
            .any(|p| path.contains(p));
        if at.is_file() && (settled || state.fresh.contains(path)) {
            return File::open(&at).map_err(|_| "500 Internal Server Error");
        }
        let (archive, rest) = path.split_once('/').ok_or(NOT_HERE)?;
        let outside = self.archives.get(archive).ok_or(NOT_HERE)?;
        match fetch(&format!("{outside}/{rest}"), &at) {
            Ok(()) => {
                state.given.fetched += 1;
                state.fresh.insert(path.to_owned());
            }
            // Outside may be out of reach: what was kept is better than nothing.
            Err(_) if at.is_file() => {}
            Err(_) => return Err(NOT_HERE),
        }
        File::open(&at).map_err(|_| NOT_HERE)
    }
}

/// Fetches a file as apt does, with its proxies and its certificates; it is there whole or not at all.
fn fetch(address: &str, to: &Path) -> Result<()> {
    let dir = to.parent().context("a path has a directory")?;
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let part = dir.join(".part");
    let _ = std::fs::remove_file(&part);
    run(Command::new("/usr/lib/apt/apt-helper")
        .args(["-o", "APT::Sandbox::User=root", "download-file", address])
        .arg(&part))?;
    std::fs::rename(&part, to).with_context(|| format!("rename to {}", to.display()))
}

struct Question {
    path: String,
    head: bool,
    /// The client wants nothing more.
    last: bool,
}

impl Question {
    /// The next one, unless the client is done.
    fn read(lines: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let method = words.next().unwrap_or_default().to_owned();
        let path = words.next().unwrap_or_default().to_owned();
        let mut last = words.next() != Some("HTTP/1.1") || !matches!(&*method, "GET" | "HEAD");
        for _ in 0..MOST_FIELDS {
            line.clear();
            if lines.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            last |= line.trim().eq_ignore_ascii_case("connection: close");
        }
        Ok(Some(Self {
            path,
            head: method == "HEAD",
            last,
        }))
    }
}

/// The path as a relative one, when it is one that archives have. apt writes some letters as `%7e`.
fn tidy(path: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(path.len());
    let mut rest = path.strip_prefix('/')?.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let hex = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    let path = String::from_utf8(octets).ok()?;
    let good = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._+~:-=".contains(&b))
    };
    // Two slashes are what becomes of a directory that ends in one.
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    (parts.len() > 1 && parts.iter().all(|part| good(part))).then(|| parts.join("/"))
}

const NOT_HERE: &str = "404 Not Found";
/// For a client that keeps its connection.
const IDLE: Duration = Duration::from_secs(300);
const MOST_FIELDS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_archives_are_taken_and_no_others() {
        let cases = [
            (
                "/debian/dists/bookworm/Release",
                Some("debian/dists/bookworm/Release"),
            ),
            (
                "/debian//pool/main/g/g%2b%2b_1%7e1.deb",
                Some("debian/pool/main/g/g++_1~1.deb"),
            ),
            ("/debian/../secret", None),
            ("/debian/%2e%2e/secret", None),
            ("/debian/%2", None),
            ("/debian/a b", None),
            ("debian/a", None),
            ("/debian", None),
            ("http://elsewhere/debian/a", None),
        ];
        for (path, expected) in cases {
            assert_eq!(tidy(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn what_is_kept_is_served_twice_on_one_connection_and_strangers_are_not_fetched() {
        let dir = std::env::temp_dir().join(format!("lab-mirror-{}", std::process::id()));
        let pool = dir.join("debian/pool");
        std::fs::create_dir_all(&pool).expect("a directory");
        std::fs::write(pool.join("a.deb"), "packed").expect("a file");
        let shelf = Shelf {
            dir: dir.clone(),
            archives: BTreeMap::new(),
            state: Mutex::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("bound")).expect("connect");
        client
            .write_all(
                b"GET /debian/pool/a.deb HTTP/1.1\r\n\r\nHEAD /debian/pool/a.deb HTTP/1.1\r\n\r\n\
                  GET /debian/pool/b.deb HTTP/1.1\r\nConnection: close\r\n\r\n",
            )
            .expect("ask");
        let (stream, _) = listener.accept().expect("accept");
        shelf.talk(&stream).expect("talk");
        drop(stream);
        let said = io::read_to_string(client).expect("read to the end");
        let _ = std::fs::remove_dir_all(&dir);
        assert_eq!(
            said,
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: keep-alive\r\n\r\npacked\
             HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: keep-alive\r\n\r\n\
             HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let given = shelf.state.lock().expect("no panic while held").given;
        let once = Given {
            files: 1,
            octets: 6,
            fetched: 0,
        };
        assert_eq!(given, once);
    }
}
