//! Secrets that are used everywhere, and then looked for everywhere.

use crate::common::wire::http_get;
use crate::common::{Farrier, Lan, SERVER, eventually};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// Three words that stand nowhere by chance: of an answer, a power switch and a hook.
struct Words(BTreeMap<&'static str, String>);

impl Words {
    fn new() -> Words {
        let names = ["answer", "power.bmc", "hook.chat"];
        let word = || format!("canary{:032x}", rand::random::<u128>());
        Words(names.into_iter().map(|name| (name, word())).collect())
    }

    /// The name of each whose word stands in there, as it is or in base64 behind a user's name.
    fn in_bytes(&self, bytes: &[u8]) -> Vec<&'static str> {
        let holds = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
        let stands = |word: &str| {
            let login = data_encoding::BASE64.encode(format!("admin:{word}").as_bytes());
            holds(word) || holds(&login)
        };
        let found = self.0.iter().filter(|(_, word)| stands(word));
        found.map(|(name, _)| *name).collect()
    }

    fn absent(&self, place: &str, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        assert!(!bytes.is_empty(), "{place}: nothing to look through");
        let found = self.in_bytes(bytes);
        assert_eq!(
            found,
            [""; 0],
            "{place}: {}",
            String::from_utf8_lossy(bytes)
        );
    }
}

#[test]
fn a_secret_is_where_it_is_used_and_nowhere_else() {
    let words = Words::new();
    let lan = Lan::new();
    let mut farrier = Farrier::prepared(&lan.server);
    let tool = ipmitool(farrier.home());
    farrier.configure(&format!(
        "log: {{level: trace}}\noutgoing: {{allow: [10.77.0.0/24]}}\npower: {{ipmitool: {}}}\n",
        tool.display()
    ));
    farrier.start();
    let controller = listener(&lan, 8443);
    let receiver = listener(&lan, 8000);
    let mac = lan.client.mac("eth0");
    let secret = |(name, word): (&&str, &String)| {
        format!("---\nkind: secret\nname: {name}\nvalue: {word}\n")
    };
    let secrets: String = words.0.iter().map(secret).collect();
    farrier.apply(&secrets);
    farrier.apply(&SITE.replace("MAC", &mac));

    // Used: in an answer that the machine fetches by its link, ...
    let kernel = "/images/test/linux";
    let link = ordered(&lan, &farrier, &mac);
    let answer = lan
        .client
        .run(|| http_get(SERVER, &format!("{link}preseed.cfg")));
    assert_eq!(words.in_bytes(&answer), ["answer"], "the test can find it");
    lan.client.run(|| http_get(SERVER, kernel));
    // ... before a controller that speaks Redfish (whose answers are no use), ...
    farrier.cli(&["machine", "power", "status", "web3"]);
    let asked = controller.try_iter().collect::<Vec<_>>().concat();
    assert_eq!(words.in_bytes(asked.as_bytes()), ["power.bmc"], "{asked}");
    // ... by `ipmitool`, which waits so that it can be looked at, ...
    let looked = std::thread::scope(|scope| {
        let asks = scope.spawn(|| farrier.cli(&["machine", "power", "status", "db-1"]));
        let waits = farrier.home().join("ipmitool.pid");
        let pid = eventually(Duration::from_secs(10), "ipmitool runs", || {
            fs::read_to_string(&waits)
                .ok()
                .filter(|pid| pid.ends_with('\n'))
        });
        let looked = [farrier.pid().to_string(), pid.trim().to_owned()]
            .map(|pid| ["cmdline", "environ"].map(|of| (of, seen(&pid, of))));
        fs::write(farrier.home().join("go"), "").expect("written");
        asks.join().expect("asked");
        looked
    });
    for (of, bytes) in looked.into_iter().flatten() {
        words.absent(of, bytes);
    }
    let given = fs::read(farrier.home().join("password")).expect("given to ipmitool");
    assert_eq!(words.in_bytes(&given), ["power.bmc"]);
    // ... and to sign what a hook is told.
    let told = receiver
        .recv_timeout(Duration::from_secs(20))
        .expect("told");
    assert!(
        told.to_lowercase().contains("farrier-signature: sha256="),
        "{told}"
    );
    words.absent("what a hook is told", &told);

    // Shown: on every page and by every command that has to do with it.
    for path in PAGES {
        words.absent(path, farrier.page(path));
    }
    for args in COMMANDS {
        let ran = farrier.cli(args);
        words.absent(&args.join(" "), ran.stdout + &ran.stderr);
    }
    let with = farrier.ok(&["export", "--with-secrets"]);
    assert_eq!(
        words.in_bytes(with.as_bytes()).len(),
        3,
        "who asks for them"
    );
    // Kept: in the database, beside it and in what is logged at its most talkative.
    let log = farrier.log();
    assert!(log.contains("TRACE"), "{log}");
    words.absent("the log", &log);
    assert!(
        !log.contains(&link),
        "a link is as good as a secret while it lasts"
    );
    words.absent("a running server's files", everything(&farrier.data()));
    farrier.kill();
    let files = everything(&farrier.data());
    assert!(
        files.windows(6).any(|w| w == b"SQLite"),
        "its database is there"
    );
    words.absent("a killed server's files", files);
}

/// The link of the answers in the menu of a machine that was told to install.
fn ordered(lan: &Lan, farrier: &Farrier<'_>, mac: &str) -> String {
    farrier.ok(&["machine", "install", "web3", "--profile", "test"]);
    let menu = format!("/{}/boot.ipxe", mac.replace(':', "-"));
    eventually(Duration::from_secs(5), "a menu with a link", || {
        let menu = lan.client.run(|| http_get(SERVER, &menu));
        let menu = String::from_utf8(menu).expect("text");
        let link = menu.split("url=http://10.77.0.2").nth(1)?;
        Some(link.split("preseed.cfg").next()?.to_owned())
    })
}

/// Hears requests, answers each with an error, and tells what it heard.
fn listener(lan: &Lan, port: u16) -> Receiver<String> {
    let socket = lan
        .client
        .run(|| TcpListener::bind(("0.0.0.0", port)).expect("a port"));
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n")
                && reader.read_line(&mut request).is_ok_and(|read| read > 0)
            {}
            let lower = request.to_lowercase();
            let length = lower.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            if reader.read_exact(&mut body).is_ok() {
                request += &String::from_utf8_lossy(&body);
                let _ = (&stream).write_all(
                    b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
                );
            }
            if tell.send(request).is_err() {
                return;
            }
        }
    });
    told
}

/// An `ipmitool` that says which process it is, keeps what it reads, and waits until it may go on.
fn ipmitool(home: &Path) -> std::path::PathBuf {
    let tool = home.join("ipmitool");
    let text = format!(
        "#!/bin/sh\ncat >{0}/password\necho $$ >{0}/ipmitool.pid\n\
         for i in $(seq 200); do [ -e {0}/go ] && break; sleep 0.1; done\n\
         echo 'Chassis Power is off'\n",
        home.display()
    );
    fs::write(&tool, text).expect("written");
    fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).expect("executable");
    tool
}

fn seen(pid: &str, what: &str) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/{what}")).expect("it runs")
}

/// The content of every file below a directory.
fn everything(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).expect("readable") {
        let (entry, kind) = entry
            .and_then(|e| Ok((e.path(), e.file_type()?)))
            .expect("listed");
        if kind.is_dir() {
            all.extend(everything(&entry));
        } else if kind.is_file() {
            all.extend(fs::read(&entry).expect("readable"));
        }
    }
    all
}

const SITE: &str = "\
kind: template
name: preseed
text: |
  d-i passwd/root-password password {{ secret('answer') }}
---
kind: profile
name: test
title: Test system
boot: {kind: linux, kernel: test/linux, initrds: [test/initrd.gz], args: \"url={{ answer('preseed.cfg') }}\"}
answers: [{name: preseed.cfg, kind: preseed, template: preseed, sealed: true}]
install: {tries: 3, minutes: 60}
---
kind: hook
name: chat
url: http://10.77.0.50:8000/
secret: hook.chat
---
kind: machine
name: web3
macs: ['MAC']
power: {redfish: {url: 'http://10.77.0.50:8443', user: admin, password_secret: power.bmc}}
---
kind: machine
name: db-1
macs: ['02:00:00:00:00:01']
power: {ipmi: {host: 10.77.0.50, user: admin, password_secret: power.bmc}}
";

const PAGES: [&str; 25] = [
    "/machines",
    "/machines/1",
    "/machines/1/review?profile=test",
    "/machines/2",
    "/boots",
    "/status",
    "/profiles/test",
    "/templates/template/preseed",
    "/settings",
    "/settings/files",
    "/settings/hooks",
    "/settings/secrets",
    "/api/v1/machines",
    "/api/v1/machines/1",
    "/api/v1/machines/1/power",
    "/api/v1/machines/export",
    "/api/v1/machines/1/boots",
    "/api/v1/machines/1/review?profile=test",
    "/api/v1/runs",
    "/api/v1/export",
    "/api/v1/objects",
    "/api/v1/events?limit=1000",
    "/api/v1/hooks",
    "/api/v1/secrets",
    "/api/v1/status",
];

const COMMANDS: [&[&str]; 8] = [
    &["export"],
    &["secret", "list"],
    &["boots"],
    &["status", "--json"],
    &["machine", "show", "web3"],
    &["machine", "export"],
    &["explain", "web3"],
    &["machine", "review", "web3", "--profile", "test"],
];
