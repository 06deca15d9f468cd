//! What the server asks of others: power switches, and receivers of web hooks.

use crate::common::{Farrier, Lan, Netns, eventually};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// Sends JSON to the API as the server's own admin.
fn send(farrier: &Farrier<'_>, method: &str, path: &str, body: &Value) -> Value {
    let ran = Command::new("curl")
        .args(["-sS", "--unix-socket"])
        .arg(farrier.control_socket())
        .args([
            "-X",
            method,
            "-H",
            "Content-Type: application/json",
            "-d",
            &body.to_string(),
        ])
        .arg(format!("http://localhost/api/v1{path}"))
        .output()
        .expect("curl starts");
    serde_json::from_slice(&ran.stdout).unwrap_or(Value::Null)
}

const MACHINE: &str = "kind: machine\nname: node-1\nmacs: ['52:54:00:12:34:56']\n";

#[test]
fn a_machine_is_woken_where_it_is() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    farrier.apply(MACHINE);
    let ear = lan
        .client
        .run(|| UdpSocket::bind("0.0.0.0:9").expect("a port"));
    ear.set_read_timeout(Some(Duration::from_secs(5)))
        .expect("set");
    let said = farrier.ok(&["machine", "power", "wake", "node-1"]);
    assert_eq!(said, "node-1: wake asked by wake-on-lan\n");
    let mut packet = [0; 200];
    let (len, from) = ear.recv_from(&mut packet).expect("heard on the wire");
    assert_eq!((len, from.ip().to_string()), (102, "10.77.0.2".to_owned()));
    assert_eq!(packet[..6], [0xff; 6]);
    assert_eq!(packet[6..12], [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
    let events = farrier.page("/api/v1/events?limit=1");
    assert!(
        events.contains(r#""event":"powered","action":"wake","way":"wake-on-lan""#),
        "{events}"
    );
}

#[test]
fn a_controller_is_asked_and_what_it_says_is_told() {
    let lan = Lan::new();
    let mut farrier = Farrier::prepared(&lan.server);
    let tool = farrier.home().join("ipmitool");
    let text = "#!/bin/sh\ncase \"$*\" in\n*status) echo 'Chassis Power is off' ;;\n*bootdev*) echo 'Error: busy' >&2; exit 1 ;;\n*) echo ok ;;\nesac\n";
    std::fs::write(&tool, text).expect("written");
    std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).expect("executable");
    farrier.configure(&format!("power:\n  ipmitool: {}\n", tool.display()));
    farrier.start();
    farrier.apply(MACHINE);
    farrier.apply("kind: machine\nname: node-2\nmacs: ['52:54:00:12:34:57']\n");
    let id = farrier.json(&["machine", "show", "node-1"])["id"].clone();
    let bad = send(
        &farrier,
        "PUT",
        &format!("/machines/{id}/power"),
        &json!({"ipmi": {"host": "-x"}}),
    );
    assert_eq!(bad["status"], 422, "{bad}");
    let switch = json!({"ipmi": {"host": "10.77.0.9", "user": "ADMIN"}});
    send(&farrier, "PUT", &format!("/machines/{id}/power"), &switch);
    assert_eq!(
        farrier.page(&format!("/api/v1/machines/{id}/power")),
        switch.to_string()
    );
    assert_eq!(
        farrier.ok(&["machine", "power", "status", "node-1"]),
        "node-1: off\n"
    );
    // What one cannot do does not keep the other from it.
    let ran = farrier.cli(&["machine", "power", "on", "node-2", "node-1"]);
    assert_eq!(
        ran.stdout,
        "node-2: failed: switch on: no way to do this is known; enter its controller under 'power' (redfish or ipmi)\nnode-1: on asked by ipmi\n"
    );
    assert!(
        ran.code != Some(0) && ran.stderr.contains("1 of 2 did not do it"),
        "{}",
        ran.stderr
    );
    let refused = send(
        &farrier,
        "POST",
        &format!("/machines/{id}/power"),
        &json!({"action": "next-boot-pxe"}),
    );
    assert_eq!(
        (&refused["status"], &refused["detail"]),
        (&json!(502), &json!("ipmitool for 10.77.0.9: Error: busy"))
    );
    // This host is not asked, whoever enters it as a controller.
    send(
        &farrier,
        "PUT",
        &format!("/machines/{id}/power"),
        &json!({"redfish": {"url": "http://127.0.0.1:8080"}}),
    );
    let refused = send(
        &farrier,
        "POST",
        &format!("/machines/{id}/power"),
        &json!({"action": "status"}),
    );
    assert!(
        refused["detail"]
            .as_str()
            .is_some_and(|d| d.contains("an address of this server itself")),
        "{refused}"
    );
    let page = farrier.page(&format!("/machines/{id}"));
    assert!(
        page.contains("power status by Redfish failed, asked by cli"),
        "the panel tells what came of it last"
    );
    assert!(
        page.contains("Redfish at http://127.0.0.1:8080"),
        "the panel says how"
    );
}

/// What a receiver was told.
struct Told {
    head: String,
    body: Value,
    /// The body as it came, which is what is signed.
    raw: Vec<u8>,
}

impl Told {
    fn header(&self, name: &str) -> &str {
        let line = self
            .head
            .lines()
            .find(|line| line.to_lowercase().starts_with(name));
        line.and_then(|line| line.split_once(": "))
            .map_or("", |(_, value)| value)
    }
}

/// A receiver on the client's host that answers the first so many with an error.
fn receiver(host: &Netns, port: u16, mut failures: u32) -> Receiver<(bool, Told)> {
    let listener = host.run(|| TcpListener::bind(("0.0.0.0", port)).expect("a port"));
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let mut reader = BufReader::new(&stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|n| n > 0) {}
            let len = head.lines().find_map(|l| {
                l.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            let mut body = vec![0; len.unwrap_or(0)];
            if reader.read_exact(&mut body).is_err() {
                continue;
            }
            let good = failures == 0;
            failures = failures.saturating_sub(1);
            let status = if good {
                "204 No Content"
            } else {
                "503 Service Unavailable"
            };
            let _ = write!(
                &stream,
                "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let told = Told {
                head,
                body: serde_json::from_slice(&body).expect("JSON"),
                raw: body,
            };
            // The test that does not listen any more has seen enough: the receiver dies.
            if tell.send((good, told)).is_err() {
                return;
            }
        }
    });
    told
}

fn hook_status(farrier: &Farrier<'_>) -> Value {
    let list: Value = serde_json::from_str(&farrier.page("/api/v1/hooks")).expect("JSON");
    list["hooks"][0].clone()
}

#[test]
fn a_hook_is_told_once_although_its_receiver_fails_and_we_are_killed() {
    let lan = Lan::new();
    let mut farrier = Farrier::prepared(&lan.server);
    farrier.configure("outgoing:\n  allow: [10.77.0.0/24]\n");
    farrier.start();
    let told = receiver(&lan.client, 8000, 3);
    let hook = json!({"url": "http://10.77.0.50:8000/services/HIDDEN", "events": ["changed"]});
    let faulty = send(
        &farrier,
        "PUT",
        "/hooks/chat",
        &json!({"url": "x", "events": []}),
    );
    assert_eq!(faulty["status"], 422, "{faulty}");
    send(&farrier, "PUT", "/hooks/chat", &hook);
    let next = |good: bool| {
        let (was, told) = told.recv_timeout(Duration::from_secs(20)).expect("told");
        assert_eq!(was, good, "{}", told.body);
        told
    };
    let first = next(false);
    assert_eq!(first.body["headline"], "hook 'chat' created by cli");
    let problem = eventually(Duration::from_secs(5), "the problem is shown", || {
        hook_status(&farrier)["problem"].as_str().map(str::to_owned)
    });
    assert_eq!(problem, "http://10.77.0.50:8000: the server answered 503");
    // Killed while it waits to try again: the outbox is on the disk.
    farrier.kill();
    farrier.start();
    farrier.apply(MACHINE);
    for _ in 0..2 {
        assert_eq!(
            next(false).header("farrier-delivery"),
            first.header("farrier-delivery")
        );
    }
    let taken = next(true);
    assert_eq!(taken.body, first.body, "the same at each attempt");
    let second = next(true);
    assert_eq!(second.body["headline"], "machine 'node-1' created by cli");
    assert_eq!(second.body["machine_name"], "node-1");
    assert_ne!(
        second.header("farrier-delivery"),
        first.header("farrier-delivery")
    );
    eventually(Duration::from_secs(5), "all is told", || {
        (hook_status(&farrier)["waiting"] == 0).then_some(())
    });

    // The receiver is away; when it is back it is told what happened meanwhile, once.
    drop(told);
    for name in ["node-2", "node-3"] {
        farrier.apply(&format!(
            "kind: machine\nname: {name}\nmacs: ['52:54:00:00:00:0{}']\n",
            &name[5..]
        ));
    }
    eventually(Duration::from_secs(10), "it is away", || {
        hook_status(&farrier)["problem"].as_str().map(|_| ())
    });
    let back = receiver(&lan.client, 8001, 0);
    let hook = json!({"url": "http://10.77.0.50:8001/", "events": ["changed"]});
    send(&farrier, "PUT", "/hooks/chat", &hook);
    let mut headlines = Vec::new();
    while !headlines
        .iter()
        .any(|line| line == "hook 'chat' changed by cli")
    {
        let (_, told) = back.recv_timeout(Duration::from_secs(20)).expect("told");
        headlines.push(told.body["headline"].as_str().expect("text").to_owned());
    }
    // The receiver that died had read one of them without being heard.
    let end = [
        "machine 'node-3' created by cli",
        "hook 'chat' changed by cli",
    ];
    assert_eq!(headlines[headlines.len() - 2..], end);
    let mut once = headlines.clone();
    once.dedup();
    assert_eq!(once, headlines);
    assert!(
        !farrier.log().contains("HIDDEN"),
        "the path of a chat's hook is a secret"
    );
    assert!(
        farrier
            .page("/settings/hooks")
            .contains("http://10.77.0.50:8001")
    );
}

#[test]
fn a_hook_does_not_reach_into_the_network() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    let told = receiver(&lan.client, 8000, 0);
    send(
        &farrier,
        "PUT",
        "/hooks/chat",
        &json!({"url": "http://10.77.0.50:8000/"}),
    );
    let problem = eventually(Duration::from_secs(5), "the problem is shown", || {
        hook_status(&farrier)["problem"].as_str().map(str::to_owned)
    });
    assert!(
        problem.contains("an address of a private network") && problem.contains("outgoing.allow"),
        "{problem}"
    );
    assert!(told.try_recv().is_err());
}

#[test]
fn a_hook_is_signed_with_its_secret() {
    let lan = Lan::new();
    let mut farrier = Farrier::prepared(&lan.server);
    farrier.configure("outgoing:\n  allow: [10.77.0.0/24]\n");
    farrier.start();
    let told = receiver(&lan.client, 8000, 0);
    let hook = json!({"url": "http://10.77.0.50:8000/", "secret": "hook.chat"});
    send(&farrier, "PUT", "/hooks/chat", &hook);
    let problem = eventually(Duration::from_secs(5), "the problem is shown", || {
        hook_status(&farrier)["problem"].as_str().map(str::to_owned)
    });
    assert!(
        problem.contains("farrier secret set hook.chat"),
        "{problem}"
    );
    assert!(told.try_recv().is_err(), "nothing goes out unsigned");

    let set = send(
        &farrier,
        "PUT",
        "/secrets/hook.chat",
        &json!({"value": "correct horse"}),
    );
    assert_eq!(set["status"], Value::Null, "{set}");
    let (_, told) = told.recv_timeout(Duration::from_secs(20)).expect("told");
    let signed = farrier.home().join("signed");
    let time = told.header("farrier-timestamp").to_owned();
    let text = [time.as_bytes(), b".", &told.raw].concat();
    std::fs::write(&signed, text).expect("written");
    let openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", "correct horse", "-r"])
        .arg(&signed)
        .output()
        .expect("openssl starts");
    let expected = String::from_utf8_lossy(&openssl.stdout);
    let expected = expected.split_whitespace().next().expect("a digest");
    assert_eq!(
        told.header("farrier-signature"),
        format!("sha256={expected}")
    );
    assert!(!farrier.log().contains("correct horse"));
}

#[test]
fn hooks_are_kept_and_tried_on_the_command_line() {
    let lan = Lan::new();
    let mut farrier = Farrier::prepared(&lan.server);
    farrier.configure("outgoing:\n  allow: [10.77.0.0/24]\n");
    farrier.start();
    let told = receiver(&lan.client, 8000, 1);
    let url = "http://10.77.0.50:8000/services/HIDDEN";
    let add = ["hook", "add", "chat", url, "--event", "run-changed"];
    let said = farrier.ok(&add);
    assert_eq!(said, "chat: saved; try it with: farrier hook test chat\n");
    let wrong = farrier.cli(&["hook", "add", "chat", url, "--event", "runchanged"]);
    assert!(
        wrong.stderr.contains("'runchanged' is no kind of event"),
        "{}",
        wrong.stderr
    );

    let refused = farrier.cli(&["hook", "test", "chat"]);
    assert_eq!(
        refused.stderr.trim_end(),
        "farrier: the receiver of 'chat' did not take the test: http://10.77.0.50:8000: the server \
         answered 503"
    );
    let (_, first) = told.recv_timeout(Duration::from_secs(20)).expect("told");
    assert_eq!(first.body["headline"], "a test of hook 'chat', by cli");
    assert_eq!(first.header("farrier-delivery"), "0");
    assert_eq!(
        farrier.ok(&["hook", "test", "chat"]),
        "chat: its receiver took the test\n"
    );

    let list = farrier.ok(&["hook", "list"]);
    assert!(
        list.contains("chat") && list.contains("http://10.77.0.50:8000"),
        "{list}"
    );
    let shown = farrier.ok(&["hook", "show", "chat"]);
    assert!(
        shown.contains("run-changed") && shown.contains("waiting"),
        "{shown}"
    );
    let json = farrier.json(&["hook", "list"]).to_string();
    for text in [&list, &shown, &json, &farrier.log()] {
        assert!(!text.contains("HIDDEN"), "{text}");
    }
    farrier.ok(&["hook", "remove", "chat"]);
    let gone = farrier.cli(&["hook", "test", "chat"]);
    assert!(
        gone.stderr.contains("hook 'chat' does not exist"),
        "{}",
        gone.stderr
    );
    assert!(farrier.ok(&["hook", "list"]).starts_with("no web hooks"));
}
