use super::*;
use crate::tree::Entry;
use std::io;
use std::sync::Arc;

/// A tree of a few files; directories are there when a file is below them.
struct Files {
    label: &'static str,
    files: Vec<(&'static str, &'static str)>,
}

impl Files {
    fn entry(&self, path: &str, kind: Kind, len: usize) -> Entry {
        Entry {
            path: path.to_owned(),
            kind,
            len: len as u64,
            extents: Arc::default(),
            modified: 0,
            number: 0,
        }
    }
}

impl Tree for Files {
    fn label(&self) -> &str {
        self.label
    }

    fn find(&self, path: &str) -> Option<Entry> {
        let file = self
            .files
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(path));
        if let Some((name, text)) = file {
            return Some(self.entry(name, Kind::File, text.len()));
        }
        let inside = format!("{path}/");
        let is_directory = self.files.iter().any(|(name, _)| name.starts_with(&inside));
        is_directory.then(|| self.entry(path, Kind::Directory, 0))
    }

    fn list(&self, directory: &str) -> Vec<Entry> {
        let inside = match directory {
            "" => String::new(),
            directory => format!("{directory}/"),
        };
        let files = self.files.iter().filter(|(name, _)| {
            let below = name.strip_prefix(inside.as_str());
            below.is_some_and(|below| !below.contains('/'))
        });
        let mut entries: Vec<Entry> = files
            .map(|(name, text)| self.entry(name, Kind::File, text.len()))
            .collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries
    }

    fn read(&self, entry: &Entry, most: usize) -> io::Result<Vec<u8>> {
        let file = self.files.iter().find(|(name, _)| *name == entry.path);
        let (_, text) = file.ok_or(io::ErrorKind::NotFound)?;
        Ok(text.bytes().take(most).collect())
    }
}

fn known(label: &'static str, files: &[(&'static str, &'static str)]) -> Vec<Recognised> {
    let tree = Files {
        label,
        files: files.to_vec(),
    };
    let image = "image-1".parse().expect("a name");
    recognise(&tree, &Recipes::builtin(), &image, &|_| None)
}

/// The distributions that are recognised, and the names of the offered profiles.
fn names(found: &[Recognised]) -> Vec<(&str, Vec<&str>)> {
    found
        .iter()
        .map(|one| {
            let profiles = one.profiles.iter().map(|profile| profile.name.as_str());
            (one.distribution.as_str(), profiles.collect())
        })
        .collect()
}

const NETINST: &str =
    "Debian GNU/Linux 12.8.0 \"Bookworm\" - Official amd64 NETINST with firmware 20241109-11:03";

#[test]
fn debians_installer_of_a_disk_leads_to_the_netboot_files() {
    let found = known(
        "Debian 12.8.0 amd64 n",
        &[
            (".disk/info", NETINST),
            ("install.amd/vmlinuz", ""),
            ("install.amd/initrd.gz", ""),
            ("install.amd/gtk/initrd.gz", ""),
        ],
    );
    assert_eq!(names(&found), [("debian-installer", vec![])]);
    assert_eq!(found[0].title, "Debian 12.8.0 installer (amd64)");
    assert_eq!(found[0].mirror.as_deref(), Some("debian-12-netboot"));
    let [here, arm] = found[0].withheld.as_slice() else {
        panic!("{found:?}");
    };
    let says = "Debian 12.8.0 installer: needs netboot files from a mirror \
                (farrier image add --mirror debian-12-netboot): ";
    assert!(here.starts_with(says), "{here}");
    // What is not on this disk is said to be missing.
    assert_eq!(
        arm,
        "Debian 12.8.0 installer, ARM64: install.a64/vmlinuz is not in it"
    );
    // A disk that does not say which release it is of.
    let files = [
        (".disk/info", "Debian GNU/Linux"),
        ("install.amd/vmlinuz", ""),
        ("install.amd/initrd.gz", ""),
    ];
    let found = known("", &files);
    assert_eq!(
        (found[0].mirror.clone(), found[0].profiles.len()),
        (None, 0)
    );
}

#[test]
fn windows_is_offered_with_wimboot_alone() {
    let files = [
        ("sources/boot.wim", ""),
        ("boot/bcd", ""),
        ("boot/boot.sdi", ""),
        ("bootmgr", ""),
    ];
    let found = known("CCCOMA_X64", &files);
    assert_eq!(names(&found), [("windows", vec![])]);
    assert_eq!(found[0].lacks, ["wimboot"]);
    assert!(found[0].withheld[0].contains("needs wimboot"), "{found:?}");

    let tree = |files: &[(&'static str, &'static str)]| Files {
        label: "",
        files: files.to_vec(),
    };
    let image = "win11".parse().expect("a name");
    let outside = |name: &str| format!("tools/{name}").parse().ok();
    let kernel = |found: &[Recognised]| match &found[0].profiles[0].boot {
        BootMethod::Linux {
            kernel, initrds, ..
        } => {
            assert_eq!(initrds.len(), 4);
            assert_eq!(initrds[3].to_string(), "win11/sources/boot.wim");
            kernel.to_string()
        }
        other => panic!("{other:?}"),
    };
    let found = recognise(&tree(&files), &Recipes::builtin(), &image, &outside);
    assert_eq!(kernel(&found), "tools/wimboot");
    assert_eq!(
        found[0].profiles[0].loader,
        Some(bootplan::LoaderKind::Ipxe)
    );
    assert!(found[0].lacks.is_empty() && found[0].withheld.is_empty());
    // Its own counts before another's.
    let with = [&files[..], &[("wimboot", "")]].concat();
    let found = recognise(&tree(&with), &Recipes::builtin(), &image, &outside);
    assert_eq!(kernel(&found), "win11/wimboot");
}

/// Recipe, label, files with what they hold, title.
type Case = (
    &'static str,
    &'static str,
    Vec<(&'static str, &'static str)>,
    &'static str,
);

#[test]
fn each_distribution_is_recognised_by_its_own_marks() {
    let pxe = [
        ("images/pxeboot/vmlinuz", ""),
        ("images/pxeboot/initrd.img", ""),
    ];
    let rocky = "[general]\nfamily = Rocky Linux\nversion = 9.5\narch = x86_64\n";
    let cases: [Case; 9] = [
        (
            "debian-live",
            "d-live",
            vec![
                (".disk/info", "Official Debian GNU/Linux Live 12.8.0 gnome"),
                ("live/vmlinuz-6.1.0-27-amd64", ""),
                ("live/initrd.img-6.1.0-27-amd64", ""),
                ("live/filesystem.squashfs", ""),
            ],
            "Debian 12.8.0 live",
        ),
        (
            "ubuntu",
            "Ubuntu-Server 24.04.1 LTS amd64",
            vec![
                (
                    ".disk/info",
                    "Ubuntu-Server 24.04.1 LTS \"Noble Numbat\" - Release amd64",
                ),
                ("casper/vmlinuz", ""),
                ("casper/initrd", ""),
            ],
            "Ubuntu 24.04.1",
        ),
        (
            "fedora-coreos",
            "fedora-coreos-41.20241027.3.0",
            vec![pxe[0], pxe[1], ("images/pxeboot/rootfs.img", "")],
            "Fedora CoreOS 41.20241027.3.0",
        ),
        (
            "anaconda",
            "Rocky-9-5-x86_64-dvd",
            vec![(".treeinfo", rocky), pxe[0], pxe[1]],
            "Rocky Linux 9.5 (x86_64)",
        ),
        (
            "fedora-live",
            "Fedora-WS-Live-41",
            vec![("LiveOS/squashfs.img", ""), pxe[0], pxe[1]],
            "Fedora-WS-Live-41 live",
        ),
        (
            "alpine",
            "alpine-std 3.21.0 x86_64",
            vec![
                (".alpine-release", "alpine-standard-3.21.0 241205"),
                ("boot/vmlinuz-lts", ""),
                ("boot/initramfs-lts", ""),
                ("boot/modloop-lts", ""),
            ],
            "Alpine Linux 3.21.0",
        ),
        (
            "talos",
            "TALOS_V1_9_0",
            vec![("boot/vmlinuz", ""), ("boot/initramfs.xz", "")],
            "Talos Linux V1_9_0",
        ),
        (
            "windows",
            "CCCOMA_X64FRE_EN-US_DV9",
            vec![
                ("sources/boot.wim", ""),
                ("boot/bcd", ""),
                ("boot/boot.sdi", ""),
            ],
            "Windows set-up",
        ),
        (
            "linux-pair",
            "",
            vec![("vmlinuz-6.1", ""), ("initrd.img-6.1", "")],
            "Linux kernel with an initial RAM disk",
        ),
    ];
    for (expected, label, files, title) in cases {
        let found = known(label, &files);
        let found: Vec<_> = found
            .iter()
            .map(|one| (&*one.distribution, &*one.title))
            .collect();
        assert_eq!(found, [(expected, title)]);
    }
}

#[test]
fn the_usual_profile_of_a_pair_boots_that_pair() {
    let found = known(
        "",
        &[("vmlinuz", ""), ("initramfs.img", ""), ("readme", "")],
    );
    assert_eq!(names(&found), [("linux-pair-dracut", vec!["image-1"])]);
    assert!(known("", &[("readme", "")]).is_empty());
}

#[test]
fn what_a_system_fetches_later_is_named_by_the_image() {
    let found = known(
        "x",
        &[
            ("casper/vmlinuz", ""),
            ("casper/initrd", ""),
            (".disk/info", "Ubuntu 24.04 LTS"),
        ],
    );
    let BootMethod::Linux { args, .. } = &found[0].profiles[0].boot else {
        panic!("{found:?}");
    };
    let files: Vec<_> = bootplan::menu::files_named(args).collect();
    assert_eq!(files, ["image-1.iso"], "{args}");
}

#[test]
fn what_an_image_says_of_itself_cannot_become_a_command() {
    for evil in [
        "version = 9\u{1b}[2J",
        "version = ${net0/mac}",
        "version = 9; reboot",
        "version = \"><script>",
        "version = \u{202e}9",
        "version = 99999999999999999999999999999999999",
        "version =",
    ] {
        let text: &'static str = Box::leak(format!("family = Rocky\n{evil}\n").into_boxed_str());
        let found = known(
            "",
            &[
                (".treeinfo", text),
                ("images/pxeboot/vmlinuz", ""),
                ("images/pxeboot/initrd.img", ""),
            ],
        );
        assert_eq!(found[0].title, "Rocky ()", "{evil}");
    }
}

#[test]
fn a_profile_is_named_after_its_image() {
    let slug = |image: &str, suffix| slug(&image.parse().expect("a name"), suffix);
    assert_eq!(slug("Debian 12 (amd64)", "-x"), "debian-12--amd64--x");
    assert_eq!(slug("a/b", ""), "a-b");
    assert_eq!(slug("_a", ""), "a");
    let long = slug(&"x".repeat(200), "-graphical");
    assert!(long.len() == 64 && long.ends_with("x-graphical"), "{long}");
    assert!(long.parse::<ProfileName>().is_ok());
}

#[test]
fn patterns() {
    for (pattern, text, expected) in [
        ("vmlinuz", "VMLINUZ", true),
        ("vmlinuz*", "vmlinuz", true),
        ("vmlinuz*", "vmlinuz-6.1", true),
        ("*.squashfs", "filesystem.squashfs", true),
        ("a*b*c", "a-b-c", true),
        ("a*b*c", "a-c-b", false),
        ("a*a", "a", false),
        ("*", "", true),
        ("", "x", false),
    ] {
        assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
    }
}
