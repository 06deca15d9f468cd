use super::*;
use serde_json::{Value, json};

fn server() -> Endpoint {
    Endpoint {
        ip: std::net::Ipv4Addr::new(10, 0, 0, 2),
        http_port: 80,
        ui_port: 8080,
    }
}

fn diskless(more: Value) -> Diskless {
    let mut spec = json!({"kernel": "live/vmlinuz", "root": "live/room 1+2.squashfs"});
    spec["root"] = json!("live/room+2.squashfs");
    for (key, value) in more.as_object().expect("fields") {
        spec[key] = value.clone();
    }
    serde_json::from_value(spec).expect("well-formed")
}

fn words(diskless: &Diskless) -> String {
    let mac = MacAddr([0x52, 0x54, 0, 0xAB, 0x34, 0x56]);
    let export: Result<Arc<str>, String> = Ok("m7-secret.img".into());
    assert_eq!(diskless.validate(), Ok(()), "{diskless:?}");
    let line = diskless.arguments(&server(), mac, Some("ws1.room.example"), &export);
    line.expect("bootable").replace(' ', "\n")
}

#[test]
fn every_way_of_starting_is_told_in_its_own_words() {
    let nfs = "10.0.0.9:/srv/live";
    let cases = [
        json!({}),
        json!({"access": "nbd", "overlay": "per-machine"}),
        json!({"access": "nfs", "root": nfs, "overlay": "per-machine"}),
        json!({"start": "live-boot", "args": "components quiet", "console": "ttyS0,115200"}),
        json!({"start": "live-boot", "overlay": "per-machine"}),
        json!({"start": "live-boot", "access": "nfs", "root": nfs}),
        json!({"start": "dracut", "root": "https://mirror.example/live.squashfs"}),
        json!({"args": "quiet farrier.hostname=desk-{{ labels.desk }}"}),
    ];
    let mut told = String::new();
    for case in cases {
        told += &format!("{case}\n{}\n\n", words(&diskless(case.clone())));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn what_a_start_cannot_do_is_refused_by_name() {
    let cases = [
        (json!({"start": "live-boot", "access": "nbd"}), "live-boot"),
        (json!({"start": "dracut", "access": "nbd"}), "dracut"),
        (json!({"start": "dracut", "overlay": "per-machine"}), "ram"),
        (json!({"access": "nbd", "root": "http://h/x"}), "images"),
        (
            json!({"access": "nfs", "root": "/srv/live"}),
            "SERVER:/PATH",
        ),
        (json!({"access": "nfs", "root": "h:/a b"}), "SERVER:/PATH"),
        (json!({"root": "../secret"}), "neither"),
        (json!({"overlay_gib": 0}), "1024"),
        (json!({"args": "a\nb"}), "control"),
        (json!({"console": "ttyS0 init=/bin/sh"}), "init"),
        (json!({"args": "a && b"}), "&&"),
    ];
    for (case, word) in cases {
        let error = diskless(case.clone()).validate().expect_err(word);
        assert!(error.to_string().contains(word), "{case}: {error}");
    }
}

#[test]
fn a_machine_never_starts_without_the_overlay_it_was_promised() {
    let keeps = diskless(json!({"overlay": "per-machine"}));
    let mut overlays = Overlays::new([(MachineId(7), "m7-x.img".into())]);
    let line = |overlays: &Overlays, id| {
        keeps.arguments(
            &server(),
            MacAddr([2; 6]),
            None,
            &overlays.of(Some(MachineId(id))),
        )
    };
    assert!(line(&overlays, 7).is_ok_and(|l| l.contains(":10810/m7-x.img")));
    let told = line(&overlays, 8).expect_err("not made");
    assert_eq!(told, "its overlay is not made yet");
    overlays.fault = Some("the quota of 64 GiB is used up".into());
    let told = line(&overlays, 8).expect_err("cannot be made");
    assert!(told.ends_with("quota of 64 GiB is used up"), "{told}");
    assert!(
        overlays.of(None).is_err(),
        "a machine nobody knows has none"
    );
}

#[test]
fn export_names_have_no_slash_and_no_two_images_share_one() {
    let name = |path: &str| export_name(&path.parse().expect("a path"));
    assert_eq!(name("live/a.squashfs"), "live%2Fa.squashfs");
    assert_ne!(name("a/b"), name("a%2Fb"));
}

#[test]
fn a_machine_is_called_by_its_name_as_far_as_hosts_can_be() {
    for (name, host) in [
        ("ws1", Some("ws1")),
        ("WS 1, window", Some("ws-1--window")),
        ("web3.example.org", Some("web3")),
        ("52-54-00-77-00-01", Some("52-54-00-77-00-01")),
        ("-a-", Some("a")),
        ("b\u{fc}ro", Some("b-ro")),
        ("...", None),
        ("", None),
    ] {
        assert_eq!(host_name(name).as_deref(), host, "{name}");
    }
    assert_eq!(host_name(&"x".repeat(99)).expect("a name").len(), 63);
}
