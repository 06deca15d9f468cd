use super::*;
use proptest::prelude::*;

fn mac() -> MacAddr {
    MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56])
}

fn pxelinux(key: ClientKey, round: u32) -> BootPath {
    BootPath::Pxelinux { key, round }
}

fn loader(name: &str) -> BootPath {
    BootPath::Loader(RelPath(name.to_owned()))
}

fn image(name: &str) -> BootPath {
    BootPath::Image(RelPath(name.to_owned()))
}

#[test]
fn what_loaders_ask_for() {
    let by_mac = ClientKey::Mac(mac());
    let address = ClientKey::Address(Ipv4Addr::new(192, 168, 77, 50));
    let uuid = |text: &str| ClientKey::Uuid(text.parse().expect("a UUID"));
    let wire = uuid("78563412-bc9a-f0de-1122-334455667788");
    let cases: &[(&str, BootPath)] = &[
        // PXELINUX, in its order (protocol.md C.1)
        ("ldlinux.c32", loader("ldlinux.c32")),
        ("boot/isolinux/ldlinux.c32", loader("isolinux/ldlinux.c32")),
        (
            "pxelinux.cfg/78563412-bc9a-f0de-1122-334455667788",
            pxelinux(wire, 0),
        ),
        ("pxelinux.cfg/01-52-54-00-12-34-56", pxelinux(by_mac, 0)),
        ("pxelinux.cfg/C0A84D32", pxelinux(address, 0)),
        ("pxelinux.cfg/c0a84d32", pxelinux(address, 0)),
        ("pxelinux.cfg/default", pxelinux(ClientKey::Default, 0)),
        (
            "boot/pxelinux.cfg/01-52-54-00-12-34-56",
            pxelinux(by_mac, 0),
        ),
        (
            "/a/b/pxelinux.cfg/06-52-54-00-12-34-56",
            pxelinux(by_mac, 0),
        ),
        ("PXELINUX.CFG/20-52-54-00-12-34-56", pxelinux(by_mac, 0)),
        ("pxelinux.cfg/01-52-54-00-12-34-5A", {
            let other = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x5a]);
            pxelinux(ClientKey::Mac(other), 0)
        }),
        ("pxelinux.cfg/01:52:54:00:12:34:56", pxelinux(by_mac, 0)),
        ("pxelinux.cfg/01525400123456", pxelinux(by_mac, 0)),
        ("pxelinux.cfg/525400123456", pxelinux(by_mac, 0)),
        (
            "farrier/wait/7/pxelinux.cfg/01-52-54-00-12-34-56",
            pxelinux(by_mac, 7),
        ),
        (
            "::farrier/wait/12/pxelinux.cfg/01-52-54-00-12-34-56",
            pxelinux(by_mac, 12),
        ),
        // GRUB (C.2)
        ("/grub/grub.cfg", BootPath::GrubBootstrap),
        ("/boot/grub/grub.cfg", BootPath::GrubBootstrap),
        ("grub.cfg", BootPath::GrubBootstrap),
        ("/EFI/redhat/grub.cfg", BootPath::GrubBootstrap),
        (
            "/grub/x86_64-efi/grub.cfg",
            loader("grub/x86_64-efi/grub.cfg"),
        ),
        (
            "/grub/x86_64-efi/command.lst",
            loader("grub/x86_64-efi/command.lst"),
        ),
        (
            "/grub/grub.cfg-01-52:54:00:12:34:56",
            BootPath::Grub { key: by_mac },
        ),
        (
            "/boot/grub/grub.cfg-01-52-54-00-12-34-56",
            BootPath::Grub { key: by_mac },
        ),
        (
            "/grub/grub.cfg-78563412-BC9A-F0DE-1122-334455667788",
            BootPath::Grub { key: wire },
        ),
        ("/grub/grub.cfg-C0A84D32", BootPath::Grub { key: address }),
        (
            "/grub/grub.cfg-192.168.77.50",
            BootPath::Grub { key: address },
        ),
        // iPXE (C.4)
        ("boot.ipxe", BootPath::IpxeBootstrap),
        ("autoexec.ipxe", BootPath::IpxeBootstrap),
        ("/boot/autoexec.ipxe", BootPath::IpxeBootstrap),
        ("AUTOEXEC.IPXE", BootPath::IpxeBootstrap),
        ("52-54-00-12-34-56/boot.ipxe", BootPath::Ipxe { mac: mac() }),
        (
            "/52:54:00:12:34:56/boot.ipxe",
            BootPath::Ipxe { mac: mac() },
        ),
        // files
        ("snponly.efi", loader("snponly.efi")),
        ("/boot//grubx64.efi", loader("grubx64.efi")),
        ("\\snponly.efi", loader("snponly.efi")),
        ("./snponly.efi", loader("snponly.efi")),
        ("shim_certificate_0.efi", loader("shim_certificate_0.efi")),
        ("Boot\\BCD", loader("Boot/BCD")),
        ("images/debian-12/linux", image("debian-12/linux")),
        ("::images/debian-12/linux", image("debian-12/linux")),
        ("//images///debian-12//linux", image("debian-12/linux")),
        (
            "images/x/pxelinux.cfg/default",
            image("x/pxelinux.cfg/default"),
        ),
        ("images/x/grub/grub.cfg", image("x/grub/grub.cfg")),
        // not ours, so merely absent
        ("pxelinux.cfg/default-arm-bcm2835", {
            loader("pxelinux.cfg/default-arm-bcm2835")
        }),
        ("farrier/wait/x/pxelinux.cfg/default", {
            loader("farrier/wait/x/pxelinux.cfg/default")
        }),
        ("etc/passwd", loader("etc/passwd")),
        ("images", loader("images")),
    ];
    for (name, expected) in cases {
        assert_eq!(
            BootPath::parse(name.as_bytes()).as_ref(),
            Ok(expected),
            "{name}"
        );
    }
}

/// protocol.md G.2 and reliability.md R18: what comes back is never more than a name that stays
/// below its root.
#[test]
fn what_attackers_ask_for() {
    use PathRefusal::{Control, Empty, NotText, TooLong, Traversal};
    let long = "x".repeat(500);
    let refused: &[(&[u8], PathRefusal)] = &[
        (b"../x", Traversal),
        (b"..\\x", Traversal),
        (b"./../s", Traversal),
        (b"a/../../x", Traversal),
        (b"/../x", Traversal),
        (b"..//s", Traversal),
        (b"....//x", Traversal),
        (b"..%2fx", Traversal),
        (b"..%c0%afs", Traversal),
        (b"..;/x", Traversal),
        (b"images/../../x", Traversal),
        (b"images/..", Traversal),
        (b"pxelinux.cfg/../x", Traversal),
        (b"..\0/x", Traversal),
        (b"C:\\x", Traversal),
        (b"C:x", Traversal),
        (b"file:///etc/passwd", Traversal),
        (b".", Traversal),
        (b"..", Traversal),
        (b".git/config", Traversal),
        (b"a/.hidden", Traversal),
        (b"a/./b", Traversal),
        (b"", Empty),
        (b"/", Empty),
        (b"///", Empty),
        (b"./", Empty),
        (b"::", Empty),
        (b"f/", Empty),
        (b"images/", Empty),
        (b"\0x", Empty),
        (b"x\ny", Control),
        (b"x\x1b[2J", Control),
        (b"x\x7f", Control),
        ("x\u{85}y".as_bytes(), Control),
        (b"\xc0\xae\xc0\xae\x2fx", NotText),
        (b"lpxelinux.0\xff\xff", NotText),
        (long.as_bytes(), TooLong),
        (b"pxelinux.cfg/C0A84D3", PathRefusal::Nobody),
        (b"pxelinux.cfg/C", PathRefusal::Nobody),
        (b"/grub/grub.cfg-C0A8", PathRefusal::Nobody),
    ];
    for (name, reason) in refused {
        let shown = name.escape_ascii();
        assert_eq!(BootPath::parse(name), Err(*reason), "{shown}");
    }
    // Harmless: plain names below a root, which are not there.
    let plain: &[(&[u8], &str)] = &[
        (b"/etc/passwd", "etc/passwd"),
        (b"//etc/passwd", "etc/passwd"),
        (b"\\etc\\passwd", "etc/passwd"),
        (b"\\\\host\\share\\x", "host/share/x"),
        (b"%2e%2e/x", "%2e%2e/x"),
        (b"%252e%252e/x", "%252e%252e/x"),
        (b"x\0.efi", "x"),
        (b"x%00", "x%00"),
        (b"%s%n", "%s%n"),
        ("\u{2025}/s".as_bytes(), "\u{2025}/s"),
        (b"CON", "CON"),
        (b"proc/self/environ", "proc/self/environ"),
    ];
    for (name, expected) in plain {
        let shown = name.escape_ascii();
        assert_eq!(BootPath::parse(name), Ok(loader(expected)), "{shown}");
    }
}

fn stays_below_its_root(path: &RelPath) -> bool {
    let text = path.as_str();
    !text.is_empty()
        && text.len() <= NAME_LIMIT
        && !text.contains(['\\', ':', '\0'])
        && !text.chars().any(char::is_control)
        && text
            .split('/')
            .all(|c| !c.is_empty() && !c.starts_with('.'))
}

fn check(raw: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(BootPath::Loader(path) | BootPath::Image(path)) = BootPath::parse(raw) {
        prop_assert!(stays_below_its_root(&path), "{path}");
        // What was parsed once means the same file when it is said again.
        prop_assert_eq!(path.as_str().parse(), Ok(path.clone()));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_octets_are_handled(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&raw)?;
    }

    #[test]
    fn anything_like_a_path_is_handled(
        raw in "([./\\\\:]|images|boot|grub|pxelinux\\.cfg|[a-z0-9.\\-\u{0}%]{1,6}){0,12}"
    ) {
        check(raw.as_bytes())?;
    }

    #[test]
    fn every_machine_is_found_by_its_names(octets: [u8; 6], round in 0u32..100_000) {
        let mac = MacAddr(octets);
        let key = ClientKey::Mac(mac);
        for (name, path) in [
            (format!("{}/boot.ipxe", mac.dashed()), BootPath::Ipxe { mac }),
            (format!("/grub/grub.cfg-01-{mac}"), BootPath::Grub { key }),
            (
                format!("farrier/wait/{round}/pxelinux.cfg/01-{}", mac.dashed()),
                BootPath::Pxelinux { key, round },
            ),
        ] {
            prop_assert_eq!(BootPath::parse(name.as_bytes()), Ok(path));
        }
    }
}
