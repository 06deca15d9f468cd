//! Templates that want the whole server: each costs its author an error, and nobody else anything (vector R43).

use crate::common::wire::{http_ask, http_get, http_read};
use crate::common::{Farrier, Lan, SERVER};
use std::fs;

/// What is wrong with a template, and words of the error.
const HOSTILE: [(&str, &str); 7] = [
    ("endless", "{% for i in range(999999999) %}x{% endfor %}"),
    (
        "nested",
        "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}",
    ),
    (
        "recursion",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    ),
    ("file", "{% include '/etc/passwd' %}"),
    ("attributes", "{{ machine.__class__.__mro__ }}"),
    ("doubled", "{% set a = 'xxxxxxxxxxxxxxxx' %}DOUBLED{{ a }}"),
    ("undefined", "{{ nobody_said_so }}"),
];

#[test]
fn templates_that_want_everything_get_an_error_and_little_memory() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    let mac = lan.client.mac("eth0");
    farrier.assign(&[&mac]);
    let menu = format!("/{}/boot.ipxe", mac.replace(':', "-"));
    let boot = || lan.client.run(|| http_get(SERVER, &menu));
    let healthy = boot();
    farrier.apply("kind: machine\nname: victim\nmacs: ['02:00:00:00:00:01']\n");
    for (name, template) in HOSTILE {
        // Thirty times twice as much: 16 GiB.
        let doubled = "{% set a = a ~ a %}".repeat(30);
        let text = template.replace("DOUBLED", &doubled);
        farrier.apply(&format!(
            "kind: template\nname: {name}\ntext: |\n  # the first line\n  {text}\n---\n\
             kind: profile\nname: {name}\ntitle: x\n\
             boot: {{kind: linux, kernel: test/linux, initrds: [test/initrd.gz], args: \"url={{{{ answer('x') }}}}\"}}\n\
             answers: [{{name: x, kind: script, template: {name}, sealed: true}}]\n\
             install: {{tries: 3, minutes: 60}}\n"
        ));
    }
    let before = memory(&farrier, "VmRSS:");
    for (name, _) in HOSTILE {
        // From here on the most that it ever had counts.
        fs::write(format!("/proc/{}/clear_refs", farrier.pid()), "5").expect("root may");
        let ran = farrier.cli(&["machine", "review", "victim", "--profile", name]);
        let most = memory(&farrier, "VmHWM:");
        let said = ran.stdout + &ran.stderr;
        assert_ne!(ran.code, Some(0), "{name}: {said}");
        assert!(said.contains(&format!("{name}:2:")), "{name}: {said}");
        assert!(!said.contains("root:"), "{name}: {said}");
        let grown = most.saturating_sub(before);
        eprintln!("{name}: {grown} KiB more than the {before} KiB before");
        assert!(grown <= 32 * 1024, "{name}: {grown} KiB");
        assert_eq!(boot(), healthy, "{name}: another machine's boot");
        let asked = || http_read(http_ask(SERVER, &format!("/{name}"))).status;
        assert_eq!(lan.client.run(asked), 404, "{name}");
    }
}

/// A line of `/proc/PID/status`, in KiB.
fn memory(farrier: &Farrier<'_>, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", farrier.pid())).expect("it runs");
    let found = status.lines().find_map(|l| l.strip_prefix(line));
    let number = found.expect("the kernel says").split_whitespace().next();
    number.and_then(|n| n.parse().ok()).expect("a number")
}
