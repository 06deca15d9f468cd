//! A server on loopback that answers as a test says, octet by octet.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses its own part"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub head: String,
    pub body: String,
}

impl Asked {
    /// The path of the first line.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(": "));
        pairs
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// A server that lives until the test ends.
pub struct Server {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers each request by `answer`, then closes the connection.
    pub fn start(answer: impl Fn(&Asked, &mut dyn Write) + Send + Sync + 'static) -> Server {
        Server::wrapped(answer, |stream, serve| serve(&mut { stream }))
    }

    /// As `start`, with something between the socket and HTTP.
    pub fn wrapped(
        answer: impl Fn(&Asked, &mut dyn Write) + Send + Sync + 'static,
        wrap: impl Fn(TcpStream, &mut dyn FnMut(&mut dyn Stream)) + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&asked);
        let both = Arc::new((answer, wrap));
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (both, list) = (Arc::clone(&both), Arc::clone(&list));
                std::thread::spawn(move || {
                    both.1(stream, &mut |stream| {
                        let Some(asked) = read(stream) else { return };
                        list.lock().expect("lock").push(asked.clone());
                        both.0(&asked, stream);
                    });
                });
            }
        });
        Server { port, asked }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("lock").clone()
    }
}

pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn read(stream: &mut dyn Stream) -> Option<Asked> {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut octet) {
            Ok(1) => head.push(octet[0]),
            _ => return None,
        }
    }
    let mut asked = Asked {
        head: String::from_utf8_lossy(&head).into_owned(),
        body: String::new(),
    };
    let len = asked
        .header("content-length")
        .and_then(|l| l.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; len];
    stream.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8_lossy(&body).into_owned();
    Some(asked)
}

/// Writes; a client that has gone is no fault of the test.
pub fn say(out: &mut dyn Write, text: &str) {
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// A whole answer.
pub fn answer(out: &mut dyn Write, status: &str, headers: &str, body: &str) {
    say(
        out,
        &format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ),
    );
}
