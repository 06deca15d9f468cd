//! The snippets that speak to the server, run by the programs that installers have.

#[path = "common/samples.rs"]
#[allow(dead_code)]
mod samples;

use answers::Document;
use samples::{honest, samples};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// The path and the body of what the snippet posts, run by a shell.
fn posted(snippet: &str) -> (String, String) {
    let samples = samples();
    let case = honest(&samples);
    let text = format!("{{% include '{snippet}' %}}");
    let document = Document {
        name: "test",
        text: &text,
        sealed: true,
    };
    let made = case.render(&samples.profiles[0], &document);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let script = made.expect("rendered").text;
    let script = script.replace("10.0.0.1:8080", &format!("127.0.0.1:{port}"));
    let heard = thread::spawn(move || one_request(&listener));
    // Installers have busybox's.
    let script = format!("wget() {{ busybox wget \"$@\"; }}\n{script}");
    let ran = Command::new("sh")
        .args(["-euc", &script])
        .env("no_proxy", "127.0.0.1")
        .output()
        .expect("a shell");
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{script}\n{stderr}");
    heard.join().expect("heard")
}

/// The path and the body of one POST, which is answered well.
fn one_request(listener: &TcpListener) -> (String, String) {
    listener.set_nonblocking(true).expect("not blocking");
    let mut knocks = (0..6000).map(|_| {
        thread::sleep(Duration::from_millis(5));
        listener.accept()
    });
    let (mut stream, _) = knocks.find_map(Result::ok).expect("somebody came");
    stream.set_nonblocking(false).expect("blocking");
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).expect("a time limit");
    let mut octets = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).expect("read");
        octets.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&octets).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(count > 0, "cut off: {text}");
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let said = name.eq_ignore_ascii_case("content-length");
            said.then(|| value.trim().parse::<usize>().ok())?
        });
        if body.len() >= length.expect("a length") {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer).expect("answered");
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            return (path, body.to_owned());
        }
        assert!(count > 0, "cut off: {text}");
    }
}

#[test]
fn reports_arrive_by_each_program() {
    for snippet in ["report-wget", "report-curl"] {
        let (path, body) = posted(snippet);
        assert_eq!(
            (path.as_str(), body.as_str()),
            ("/a/LINK-R/report", "state=done"),
            "{snippet}"
        );
    }
    let (_, body) = posted("report-curl-phase");
    assert_eq!(body, "state=phase&next=disk&text=first-stage-done");
    let (_, body) = posted("report-curl-stage");
    assert_eq!(body, "state=phase&text=installing");
    let (_, body) = posted("report-curl-failed");
    assert_eq!(body, "state=failed&text=installer-error");
}

#[test]
fn the_inventory_is_json_of_this_very_machine() {
    let (path, body) = posted("inventory-curl");
    assert_eq!(path, "/a/LINK-R/inventory");
    let told: serde_json::Value =
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    assert!(
        told["memory_mib"].as_u64().is_some_and(|mib| mib > 100),
        "{body}"
    );
    assert!(
        told["cpu"].is_string() && told["cards"].is_array(),
        "{body}"
    );
    let disks = told["disks"].as_array().expect("a list");
    assert!(disks.iter().all(|disk| disk.is_string()), "{body}");
}
