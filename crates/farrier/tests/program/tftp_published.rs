//! Directories published below a prefix by the real program, for the networks that may have them.

use crate::common::wire::{http_ask, http_get, http_read, tftp_get};
use crate::common::{Farrier, Lan, SERVER};
use tftp::{Ask, ErrorCode, OutcomeKind};

/// What became of a TFTP read from the client's address that is asked from.
fn fetched(name: &str) -> Result<Vec<u8>, ErrorCode> {
    let (bytes, outcome) = tftp_get(SERVER, Ask::plain(name), || {});
    match outcome.kind {
        OutcomeKind::Completed => Ok(bytes),
        OutcomeKind::ClientAborted { code, .. } => Err(code),
        other => panic!("{name}: {other:?}"),
    }
}

/// The client has one address in the network that may have `firmware`, and then another one, that may not.
#[test]
fn firmware_is_for_its_network_in_any_case_and_nothing_else_is_below_the_prefix() {
    let lan = Lan::new();
    let mut farrier = Farrier::prepared(&lan.server);
    let firmware = farrier.home().join("firmware");
    let image: Vec<u8> = (0..100_000_u32).map(|n| (n % 253) as u8).collect();
    std::fs::create_dir_all(firmware.join("C9300")).expect("made");
    std::fs::write(firmware.join("C9300/Cat9k_IOSXE.bin"), &image).expect("written");
    std::fs::write(firmware.join("twin"), b"lower").expect("written");
    std::fs::write(firmware.join("TWIN"), b"upper").expect("written");
    std::fs::write(farrier.home().join("secret"), b"secret").expect("written");
    std::os::unix::fs::symlink("../secret", firmware.join("out")).expect("linked");
    let directory = firmware.display();
    farrier.configure(&format!(
        "tftp:\n  publish:\n    - {{prefix: firmware, directory: {directory}, networks: [10.77.0.0/24], ignore_case: true}}\n    \
         - {{prefix: exact, directory: {directory}, networks: [0.0.0.0/0]}}\n    \
         - {{prefix: theirs, directory: {directory}, networks: [203.0.113.0/24]}}\n"
    ));
    // Below a prefix the served tree has nothing any more.
    farrier.put("loaders/local/firmware/mine", b"mine");
    farrier.start();
    lan.client.run(|| {
        for name in [
            "firmware/C9300/Cat9k_IOSXE.bin",
            "/firmware/c9300/cat9k_iosxe.BIN",
            r"firmware\C9300\CAT9K_IOSXE.BIN",
            "exact/C9300/Cat9k_IOSXE.bin",
        ] {
            assert!(fetched(name) == Ok(image.clone()), "{name}");
        }
        assert!(http_get(SERVER, "/firmware/c9300/cat9k_iosxe.bin") == image);
        assert_eq!(fetched("firmware/TWIN"), Ok(b"upper".to_vec()));
        assert_eq!(fetched("firmware/twin"), Ok(b"lower".to_vec()));
        for name in [
            "exact/c9300/cat9k_iosxe.bin",
            "firmware/mine",
            "firmware/out",
            "firmware/../secret",
            "theirs/twin",
            "firmware/Twin2",
        ] {
            let code = fetched(name).expect_err(name);
            assert!(
                matches!(code, ErrorCode::FileNotFound | ErrorCode::AccessViolation),
                "{name}: {code:?}"
            );
        }
        assert_eq!(http_read(http_ask(SERVER, "/theirs/twin")).status, 404);
    });

    // The same client from elsewhere: for it there is nothing.
    lan.client.ip("addr add 198.51.100.7/24 dev eth0\naddr del 10.77.0.50/24 dev eth0\nroute add 10.77.0.0/24 dev eth0 src 198.51.100.7");
    lan.server.ip("route add 198.51.100.0/24 dev eth0");
    lan.client.run(|| {
        let code = fetched("firmware/C9300/Cat9k_IOSXE.bin").expect_err("not for this network");
        assert_eq!(
            code,
            ErrorCode::FileNotFound,
            "and no word that it is there"
        );
        assert_eq!(http_read(http_ask(SERVER, "/firmware/twin")).status, 404);
        assert_eq!(fetched("exact/twin"), Ok(b"lower".to_vec()));
    });
}
