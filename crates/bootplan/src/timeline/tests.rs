use super::*;
use serde_json::{Value, json};

/// An event `at` seconds, in short: `offer firmware`, `silence ipxe`, `get <path>`,
/// `menu <files,...>`, `wait`, `probe`, `assign`, `discovered`.
fn event(at: f64, what: &str) -> Event {
    let because = json!({"reason": "assignment", "machine": "node-7", "profile": "debian-12"});
    let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
    let mut value: Value = match verb {
        "offer" => json!({"event": "offered", "stage": rest, "platform": "efi-x64",
            "class": "pxe", "file": "snponly.efi", "because": because}),
        "silence" => json!({"event": "not-offered", "stage": rest, "platform": "efi-x64",
            "arch": 7, "because": {"reason": "site-default", "policy": "silence"}}),
        "ack" => json!({"event": "boot-server-ack", "stage": "firmware", "file": "snponly.efi"}),
        "get" => json!({"event": "file-served", "transport": "tftp", "path": rest,
            "bytes": 1000, "millis": 10}),
        "probe" => json!({"event": "file-failed", "transport": "tftp", "path": "snponly.efi",
            "reason": "User aborted the transfer", "normal": true}),
        "menu" => json!({"event": "menu-served", "stage": "ipxe", "transport": "http",
            "path": "52-54-00-12-34-56/boot.ipxe", "intent": "assigned", "profile": "debian-12",
            "files": rest.split(',').filter(|f| !f.is_empty()).collect::<Vec<_>>(),
            "because": because}),
        "wait" => json!({"event": "menu-served", "stage": "ipxe", "transport": "http",
            "path": "52-54-00-12-34-56/boot.ipxe", "intent": "wait", "profile": null,
            "because": {"reason": "site-default", "policy": "wait"}}),
        "local" => json!({"event": "menu-served", "stage": "ipxe", "transport": "http",
            "path": "52-54-00-12-34-56/boot.ipxe", "intent": null, "profile": null,
            "because": {"reason": "profile-missing", "profile": "gone"}}),
        "assign" => json!({"event": "assigned", "profile": "debian-12", "by": "cli"}),
        "discovered" => json!({"event": "discovered", "platform": "efi-x64"}),
        other => panic!("{other}"),
    };
    value["at"] = json!((at * 1000.0) as i64);
    value["origin"] = json!({});
    serde_json::from_value(value).expect("an event")
}

fn fold(events: &[(f64, &str)]) -> Vec<BootAttempt> {
    attempts(events.iter().map(|(at, what)| event(*at, what)))
}

fn milestones(events: &[(f64, &str)]) -> Vec<Milestone> {
    fold(events).iter().map(|a| a.milestone).collect()
}

const FILES: &str = "menu images/d/linux,images/d/initrd.gz";

#[test]
fn a_uefi_machine_boots_through_every_milestone() {
    use Milestone::{Asked, HandedOver, Kernel, Loader, Menu};
    let steps: &[(f64, &str, Milestone)] = &[
        (0.0, "discovered", Asked),
        (0.1, "offer firmware", Asked),
        (4.0, "ack", Asked),
        (4.1, "probe", Asked),
        (5.0, "get snponly.efi", Loader),
        (6.0, "get autoexec.ipxe", Loader),
        (8.0, "offer ipxe", Loader),
        (12.0, FILES, Menu),
        (18.0, "get /images/d/linux", Kernel),
        (18.5, "get images/d/linux", Kernel),
        (30.0, "get images/d/initrd.gz", HandedOver),
        (90.0, "get images/d/rootfs.squashfs", HandedOver),
    ];
    for count in 1..=steps.len() {
        let so_far: Vec<(f64, &str)> = steps[..count].iter().map(|(t, w, _)| (*t, *w)).collect();
        let expected = steps[count - 1].2;
        if count > 1 {
            assert_eq!(milestones(&so_far), [expected], "{so_far:?}");
        }
    }
    let all: Vec<(f64, &str)> = steps.iter().map(|(t, w, _)| (*t, *w)).collect();
    let attempt = fold(&all).remove(0);
    assert_eq!(attempt.events.len(), steps.len());
    assert_eq!(
        (attempt.started, attempt.last),
        (Timestamp(0), Timestamp(90_000))
    );
}

#[test]
fn where_one_boot_ends_and_the_next_begins() {
    type Case<'a> = (&'a str, &'a [(f64, &'a str)], usize);
    let cases: &[Case<'_>] = &[
        (
            "EDK2 repeats its question",
            &[
                (0.0, "offer firmware"),
                (4.0, "offer firmware"),
                (12.0, "offer firmware"),
                (28.0, "offer firmware"),
            ],
            1,
        ),
        (
            "PXE and then HTTP Boot, both left alone",
            &[(0.0, "silence firmware"), (50.0, "silence firmware")],
            1,
        ),
        (
            "the machine restarts soon after its loader",
            &[
                (0.0, "offer firmware"),
                (1.0, "get snponly.efi"),
                (20.0, "offer firmware"),
            ],
            2,
        ),
        (
            "an hour later",
            &[(0.0, "silence firmware"), (3600.0, "silence firmware")],
            2,
        ),
        (
            "the iPXE that the firmware loaded",
            &[
                (0.0, "offer firmware"),
                (1.0, "get snponly.efi"),
                (4.0, "offer ipxe"),
                (5.0, "offer ipxe"),
            ],
            1,
        ),
        (
            "a ROM that is an iPXE asks twice, boots, and is restarted",
            &[
                (0.0, "offer ipxe"),
                (1.0, "offer ipxe"),
                (3.0, FILES),
                (4.0, "get images/d/linux"),
                (40.0, "offer ipxe"),
                (43.0, FILES),
            ],
            2,
        ),
        (
            "a cut-down iPXE ROM is given a full one",
            &[
                (0.0, "offer ipxe"),
                (2.0, "get ipxe.pxe"),
                (20.0, "offer ipxe"),
                (23.0, FILES),
            ],
            1,
        ),
        (
            "waiting is one boot, however long",
            &[
                (0.0, "offer ipxe"),
                (3.0, "wait"),
                (500.0, "wait"),
                (501.0, "assign"),
                (505.0, FILES),
            ],
            1,
        ),
        (
            "no firmware was heard: another server named our loader",
            &[(0.0, "get snponly.efi"), (5.0, FILES)],
            1,
        ),
        (
            "nothing but people",
            &[(0.0, "discovered"), (1.0, "assign")],
            0,
        ),
    ];
    for (name, events, expected) in cases {
        assert_eq!(fold(events).len(), *expected, "{name}");
    }
}

#[test]
fn an_assignment_joins_only_a_boot_that_goes_on() {
    let waiting = fold(&[(0.0, "offer ipxe"), (3.0, "wait"), (6.0, "assign")]);
    assert_eq!(waiting[0].events.len(), 3);
    let slept = fold(&[(0.0, "offer ipxe"), (3.0, "wait"), (6000.0, "assign")]);
    assert_eq!((slept[0].events.len(), slept[0].last), (2, Timestamp(3000)));
}

#[test]
fn an_entry_chosen_at_the_console_is_followed_too() {
    let mut events = vec![(0.0, "offer ipxe"), (3.0, FILES)];
    events.push((5.0, "get images/other/linux"));
    assert_eq!(milestones(&events), [Milestone::Kernel]);
    events.push((6.0, "get images/other/initrd"));
    assert_eq!(milestones(&events), [Milestone::HandedOver]);
    // A single program of the default entry hands over with its only file.
    let program = [
        (0.0, "offer ipxe"),
        (3.0, "menu images/memtest.bin"),
        (4.0, "get images/memtest.bin"),
    ];
    assert_eq!(milestones(&program), [Milestone::HandedOver]);
}

#[test]
fn summaries() {
    let asked = (0.0, "offer firmware");
    let lines: Vec<String> = [
        &[(0.0, "silence firmware")][..],
        &[asked],
        &[asked, (4.0, "ack")],
        &[asked, (5.0, "get snponly.efi")],
        &[asked, (5.0, "wait"), (65.0, "wait")],
        &[asked, (5.0, "local")],
        &[asked, (5.0, FILES)],
        &[asked, (5.0, FILES), (6.0, "get images/d/linux")],
        &[
            asked,
            (5.0, FILES),
            (6.0, "get images/d/linux"),
            (7.0, "get images/d/initrd.gz"),
        ],
        &[asked, (6.0, "get images/d/linux")],
    ]
    .iter()
    .map(|events| fold(events)[0].summary())
    .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    left alone: no assignment; the site default for such machines is 'silence'
    offered snponly.efi, not fetched yet
    sent to snponly.efi, not fetched yet
    loader fetched, no menu asked for yet
    waits for an assignment (1 min 5 s)
    sent to its local disk
    menu fetched, about to boot debian-12
    loading debian-12
    started debian-12
    loading images/d/linux
    ");
}

#[test]
fn sizes_and_durations_for_people() {
    let durations = [-5, 0, 412, 9_999, 42_000, 125_000, 11_400_000].map(human_duration);
    insta::assert_snapshot!(
        durations.join(", "),
        @"0.0 s, 0.0 s, 0.4 s, 9.9 s, 42 s, 2 min 5 s, 3 h 10 min"
    );
    let sizes = [0, 1023, 268_800, 40_123_456, 1_500_000_000, u64::MAX].map(human_size);
    insta::assert_snapshot!(
        sizes.join(", "),
        @"0 B, 1023 B, 262 KiB, 38.2 MiB, 1.3 GiB, 17179869183.9 GiB"
    );
}

proptest::proptest! {
    /// Any order of events is folded: nothing lost that a machine did, nothing out of order.
    #[test]
    fn every_event_of_a_machine_is_in_exactly_one_boot(
        steps in proptest::collection::vec((0u32..400, 0usize..8), 0..40)
    ) {
        const VERBS: [&str; 8] = [
            "offer firmware", "silence firmware", "offer ipxe", "ack", "get snponly.efi",
            "wait", FILES, "get images/d/linux",
        ];
        let mut at = 0.0;
        let events: Vec<Event> = steps
            .iter()
            .map(|(pause, verb)| {
                at += f64::from(*pause);
                event(at, VERBS[*verb])
            })
            .collect();
        let boots = attempts(events.clone());
        let again: Vec<Event> = boots.iter().flat_map(|b| b.events.clone()).collect();
        proptest::prop_assert_eq!(again, events);
        for boot in boots {
            proptest::prop_assert!(boot.started <= boot.last);
            proptest::prop_assert!(!boot.summary().is_empty());
        }
    }
}
