//! A web server that has ranges and versions, and every bad habit that a test asks for.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// What a path has.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Its content.
    pub body: Vec<u8>,
    /// `ETag`, with its quotes.
    pub etag: Option<String>,
    /// Ranges are not known: every answer is whole.
    pub whole: bool,
    /// No length is said; the end of the content is the end of the connection.
    pub endless: bool,
    /// The next answers end after so many octets of body, one each.
    pub cuts: Vec<usize>,
    /// Answers stop after so many octets of body until [`Web::let_go`].
    pub gate: Option<usize>,
    /// Another status than 200 or 206; 3xx sends to `location`.
    pub status: Option<u16>,
    /// Where a redirect leads.
    pub location: String,
}

/// One request, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// With what stands behind `?`.
    pub path: String,
    /// The octet asked from, if any.
    pub from: Option<usize>,
    /// The status answered.
    pub status: u16,
}

/// The server; it lives until the test ends.
#[derive(Clone)]
pub struct Web {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    pages: BTreeMap<String, Page>,
    asked: Vec<Asked>,
    open: bool,
}

impl Web {
    /// On a port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is none.
    pub fn start() -> Web {
        Web::on(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    /// On this socket, wherever it is.
    ///
    /// # Panics
    /// When it is not bound.
    pub fn on(listener: TcpListener) -> Web {
        let web = Web {
            address: listener.local_addr().expect("bound"),
            state: Arc::default(),
        };
        let server = web.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let server = server.clone();
                // A client that went away is no fault of the test.
                std::thread::spawn(move || drop(server.answer(stream)));
            }
        });
        web
    }

    /// The URL of a path (`/x`).
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Puts a page; an older one of this path goes.
    pub fn put(&self, path: &str, page: Page) {
        self.state().pages.insert(path.to_owned(), page);
    }

    /// Puts content that has ranges and a version.
    pub fn file(&self, path: &str, body: &[u8], version: &str) {
        let page = Page {
            body: body.to_vec(),
            etag: Some(format!("\"{version}\"")),
            ..Page::default()
        };
        self.put(path, page);
    }

    /// Changes a page that is there.
    ///
    /// # Panics
    /// When it is not.
    pub fn change(&self, path: &str, change: impl FnOnce(&mut Page)) {
        change(self.state().pages.get_mut(path).expect("it was put"));
    }

    /// Lets answers go on that stopped at their gate, and all later ones.
    pub fn let_go(&self) {
        self.state().open = true;
        self.state.1.notify_all();
    }

    /// Every request so far, in the order of their answers.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        let mut reader = BufReader::new(stream.try_clone()?);
        // Bounded by the client, which is the program under test.
        while reader.read_until(b'\n', &mut head)? > 2 {}
        let head = String::from_utf8_lossy(&head);
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned())
        };
        let from = header("range").and_then(|range| {
            let first = range.strip_prefix("bytes=")?.strip_suffix('-')?.parse();
            first.ok()
        });
        let (page, cut) = {
            let mut state = self.state();
            let file = path.split('?').next().unwrap_or_default();
            let page = state.pages.get_mut(file);
            let cut = page.and_then(|page| (!page.cuts.is_empty()).then(|| page.cuts.remove(0)));
            (state.pages.get(file).cloned(), cut)
        };
        let page = page.unwrap_or(Page {
            body: b"no such file".to_vec(),
            status: Some(404),
            ..Page::default()
        });
        let same = header("if-range").is_none_or(|told| Some(told) == page.etag);
        let begins = from.filter(|_| same && !page.whole && page.status.is_none());
        let len = page.body.len();
        let status = match (page.status, begins) {
            (Some(status), _) => status,
            (None, Some(begins)) if begins >= len => 416,
            (None, Some(_)) => 206,
            (None, None) => 200,
        };
        self.state().asked.push(Asked { path, from, status });
        let body = match status {
            416 => &[],
            _ => &page.body[begins.unwrap_or(0)..],
        };
        let mut answer = format!("HTTP/1.1 {status} x\r\nConnection: close\r\n");
        if !page.endless {
            answer += &format!("Content-Length: {}\r\n", body.len());
        }
        if let Some(begins) = begins {
            answer += &format!("Content-Range: bytes {begins}-{}/{len}\r\n", len.max(1) - 1);
        }
        if let Some(etag) = &page.etag {
            answer += &format!("ETag: {etag}\r\n");
        }
        if !page.location.is_empty() {
            answer += &format!("Location: {}\r\n", page.location);
        }
        stream.write_all(format!("{answer}\r\n").as_bytes())?;
        let end = cut.unwrap_or(body.len()).min(body.len());
        let gate = page.gate.unwrap_or(end).min(end);
        stream.write_all(&body[..gate])?;
        stream.flush()?;
        if gate < end {
            let state = self.state();
            let waited = self.state.1.wait_while(state, |state| !state.open);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
        stream.write_all(&body[gate..end])
    }
}
