//! Against packages built here and a stand-in for apt-get; no network.

use super::super::apt::native_arch;
use super::super::run::run;
use super::*;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

/// A data directory, a "mirror" of packages built here, and an apt-get that copies from it.
struct Bench {
    temp: tempfile::TempDir,
    manifest: Manifest,
}

const MANIFEST: &str = "
format: 1
suites: [new, old]
loaders:
  - {name: a.efi, platform: efi-x64, role: ipxe, licence: X,
     from: {package: alpha, arch: all, path: usr/lib/a}}
  - {name: b.efi, platform: efi-x64, role: companion, licence: X,
     from: {package: alpha, arch: all, path: usr/lib/b}}
  - {name: c.efi, platform: efi-arm64, role: ipxe, licence: Y, older: C of old is slow,
     from: {package: beta, arch: arm64, path: boot/c}}
images:
  - {name: os/1/linux, licence: Z,
     from: {package: alpha, arch: all, path: usr/lib/linux}}
";

const FAKE_APT: &str = r#"#!/bin/sh
mirror=${0%/*}/mirror
echo "$@" >> "$mirror/log"
state=${2%/*} # -c STATE/ARCH/apt.conf -q
shift 3
# One list that does not fit makes apt drop the suite, for all architectures of this state.
disorder=
for file in "$mirror"/disorder-*; do
    test -e "$file" || continue
    grep -qs "^Architectures:.* ${file##*-}" "$state"/sources/* && disorder=yes
done
case $1 in
update)
    test -z "$disorder" || { echo "E: Failed to fetch the lists: Hash Sum mismatch" >&2; exit 100; }
    test ! -e "$mirror/unreachable" || echo "W: Failed to fetch the lists" >&2
    exit 0 ;;
download)
    shift
    asking=
    if test "$1" = --print-uris; then asking=yes; shift; fi
    for name; do
        package=${name%%/*} suite=${name##*/} arch=all
        case $package in *:*) arch=${package##*:} ;; esac
        test -z "$disorder" || test "$suite" = old || package=none
        file=$(ls "$mirror/$suite/${package%%:*}"_*_"$arch".deb 2>/dev/null | tail -n 1)
        if test -z "$file"; then
            echo "E: Unable to locate package $package" >&2
            exit 100
        fi
        base=${file##*/}
        if test -z "$asking"; then cp "$file" .
        elif test ! -e "$base"; then echo "'file:$file' $base 1 SHA256:00"
        fi
    done ;;
esac
"#;

impl Bench {
    fn new() -> Bench {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let dir = |name: &str| temp.path().join(name);
        for name in ["mirror/new", "mirror/old", "etc"] {
            fs::create_dir_all(dir(name)).expect("mkdir");
        }
        fs::write(dir("keys"), "").expect("write");
        fs::write(
            dir("etc/sources.list"),
            "deb http://mirror.example/debian sid main\n",
        )
        .expect("write");
        // Written by a child: a script that this process has open for writing while another test
        // forks could not be executed (ETXTBSY).
        let mut child = Command::new("sh")
            .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
            .arg(dir("apt-get"))
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(FAKE_APT.as_bytes()).expect("write");
        drop(stdin);
        assert!(child.wait().expect("sh").success());
        let manifest = Manifest::parse(MANIFEST).expect("well-formed");
        Bench { temp, manifest }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn options(&self) -> SyncOptions {
        SyncOptions {
            apt_get: self.path("apt-get"),
            etc_apt: self.path("etc"),
            keyring: self.path("keys"),
            ..SyncOptions::new(self.path("data"))
        }
    }

    /// Builds a package into the mirror.
    fn deb(&self, suite: &str, package: &str, version: &str, arch: &str, files: &[(&str, &str)]) {
        let tree = self.path("tree");
        let control = format!(
            "Package: {package}\nVersion: {version}\nArchitecture: {arch}\n\
             Maintainer: Nobody <nobody@example.org>\nDescription: for a test\n"
        );
        fs::create_dir_all(tree.join("DEBIAN")).expect("mkdir");
        fs::write(tree.join("DEBIAN/control"), control).expect("write");
        for (name, content) in files {
            let path = tree.join(name);
            fs::create_dir_all(path.parent().expect("relative")).expect("mkdir");
            match content.strip_prefix("-> ") {
                Some(target) => symlink(target, path).expect("symlink"),
                None => fs::write(path, content).expect("write"),
            }
        }
        let file = self.path(&format!("mirror/{suite}/{package}_{version}_{arch}.deb"));
        let mut build = Command::new("dpkg-deb");
        build.args(["--root-owner-group", "--build"]);
        run(build.arg(&tree).arg(file)).expect("dpkg-deb");
        fs::remove_dir_all(tree).expect("clean");
    }

    fn alpha(&self, version: &str) {
        let files = [
            ("usr/lib/a", "A"),
            ("usr/lib/b", "B"),
            ("usr/lib/linux", "kernel"),
            ("usr/lib/unlisted", "U"),
        ];
        self.deb("new", "alpha", version, "all", &files);
    }

    fn run(&self, options: &SyncOptions) -> Report {
        sync_manifest(&self.manifest, options, &mut |_| {}).expect("a usable data directory")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path("data").join(name)).expect("installed")
    }

    fn calls(&self) -> usize {
        let log = fs::read_to_string(self.path("mirror/log")).unwrap_or_default();
        log.lines().count()
    }
}

fn outcome<'a>(report: &'a Report, name: &str) -> &'a Outcome {
    let file = report.files.iter().find(|f| f.name == name);
    &file.expect("in the report").outcome
}

#[test]
fn first_choices_fallbacks_and_gaps_are_told_apart() {
    let mut bench = Bench::new();
    bench.manifest = Manifest::parse(&format!(
        "{MANIFEST}{}",
        "  - {name: os/2/linux, licence: Z, from: {package: alpha, arch: all, path: usr/lib/no}}\n  \
         - {name: os/3/linux, licence: Z, from: {package: gamma, arch: all, path: usr/lib/x}}\n"
    ))
    .expect("well-formed");
    bench.alpha("1.0-1");
    bench.deb("old", "beta", "0.9", "arm64", &[("boot/c", "C")]);
    let report = bench.run(&bench.options());
    assert!(!report.is_complete());
    let text = report.to_string();
    let temp = fs::canonicalize(bench.temp.path()).expect("there");
    let text = text.replace(&temp.display().to_string(), "TEMP");
    insta::assert_snapshot!("report", text);
    for (name, content) in [
        ("loaders/packaged/a.efi", "A"),
        ("loaders/packaged/b.efi", "B"),
        ("loaders/packaged/c.efi", "C"),
        ("images/os/1/linux", "kernel"),
    ] {
        assert_eq!(bench.read(name), content);
        let meta = fs::metadata(bench.path("data").join(name)).expect("there");
        assert_eq!(meta.permissions().mode() & 0o777, 0o644);
    }
    insta::assert_snapshot!("record", bench.read("loaders/packaged/installed.yaml"));
    // Nothing else lies about: no unpacked trees, no half-written files, no package lists.
    let mut left: Vec<_> = fs::read_dir(bench.path("data/cache/assets"))
        .expect("listed")
        .map(|e| e.expect("listed").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["debs", "lock"]);
    let loaders = fs::read_dir(bench.path("data/loaders/packaged")).expect("listed");
    assert_eq!(loaders.count(), 4);
}

#[test]
fn lists_in_disorder_cost_only_their_own_architecture() {
    let bench = Bench::new();
    bench.alpha("1.0");
    for suite in ["new", "old"] {
        bench.deb(suite, "beta", "1", "arm64", &[("boot/c", suite)]);
    }
    fs::write(bench.path("mirror/disorder-arm64"), "").expect("write");
    let report = bench.run(&bench.options());
    let Outcome::Installed { fallback, .. } = outcome(&report, "a.efi") else {
        panic!("{report}");
    };
    assert_eq!(*fallback, None, "{report}");
    let Outcome::Installed { fallback, .. } = outcome(&report, "c.efi") else {
        panic!("{report}");
    };
    let why = fallback.as_deref().unwrap_or_default();
    assert!(why.contains("Hash Sum mismatch"), "{report}");
    assert_eq!(bench.read("loaders/packaged/c.efi"), "old");
}

#[test]
fn what_is_there_and_whole_costs_no_network() {
    let bench = Bench::new();
    bench.alpha("1.0");
    bench.deb("new", "beta", "1", "arm64", &[("boot/c", "C")]);
    assert_eq!(bench.run(&bench.options()).installed(), 4);
    let calls = bench.calls();
    let again = bench.run(&bench.options());
    assert!(again.is_complete());
    assert_eq!((again.installed(), bench.calls()), (0, calls));

    // A damaged file is put right, and only its package is fetched.
    fs::write(bench.path("data/loaders/packaged/c.efi"), "broken").expect("write");
    let repaired = bench.run(&bench.options());
    assert_eq!(repaired.installed(), 1);
    assert_eq!(bench.read("loaders/packaged/c.efi"), "C");

    let forced = SyncOptions {
        force: true,
        ..bench.options()
    };
    assert_eq!(bench.run(&forced).installed(), 4);
}

#[test]
fn refresh_takes_newer_packages_and_drops_the_old_ones() {
    let bench = Bench::new();
    bench.alpha("1.0");
    bench.deb("new", "beta", "1", "arm64", &[("boot/c", "C")]);
    bench.run(&bench.options());
    bench.deb("new", "beta", "2", "arm64", &[("boot/c", "C2")]);
    assert_eq!(bench.run(&bench.options()).installed(), 0);
    let refresh = SyncOptions {
        refresh: true,
        ..bench.options()
    };
    let report = bench.run(&refresh);
    assert_eq!(report.installed(), 1);
    assert_eq!(bench.read("loaders/packaged/c.efi"), "C2");
    let debs = bench.path("data/cache/assets/debs/new");
    assert!(debs.join("beta_2_arm64.deb").exists());
    assert!(!debs.join("beta_1_arm64.deb").exists());
}

#[test]
fn a_fallback_is_given_up_when_the_first_choice_can_be_had() {
    let bench = Bench::new();
    bench.alpha("1.0");
    bench.deb("old", "beta", "0.9", "arm64", &[("boot/c", "C")]);
    let report = bench.run(&bench.options());
    let Outcome::Installed { fallback, .. } = outcome(&report, "c.efi") else {
        panic!("{report}");
    };
    assert!(
        fallback
            .as_deref()
            .expect("told")
            .starts_with("C of old is slow")
    );
    bench.deb("new", "beta", "1", "arm64", &[("boot/c", "C of new")]);
    let report = bench.run(&bench.options());
    assert_eq!(
        outcome(&report, "c.efi"),
        &Outcome::Installed {
            package: "beta 1 (new)".to_owned(),
            fallback: None
        }
    );
}

#[test]
fn offline_uses_packages_at_hand_and_says_how_to_get_the_rest() {
    let bench = Bench::new();
    bench.alpha("1.0");
    let offline = SyncOptions {
        offline: true,
        ..bench.options()
    };
    let report = bench.run(&offline);
    assert_eq!(report.missing().count(), 4);
    let text = report.to_string();
    assert!(text.contains("apt-get download alpha beta:arm64"), "{text}");
    assert!(text.contains("cache/assets/debs"), "{text}");
    // Put there by hand, without a suite's directory.
    let debs = bench.path("data/cache/assets/debs");
    fs::create_dir_all(&debs).expect("mkdir");
    let name = "alpha_1.0_all.deb";
    fs::copy(bench.path("mirror/new").join(name), debs.join(name)).expect("copy");
    let report = bench.run(&offline);
    assert_eq!((report.installed(), report.missing().count()), (3, 1));
    assert_eq!(bench.calls(), 0);
}

#[test]
fn a_package_installed_on_this_host_is_the_last_resort() {
    let mut bench = Bench::new();
    let arch = native_arch().expect("dpkg");
    bench.manifest = Manifest::parse(&format!(
        "format: 1\nsuites: [new]\nimages: [{{name: x, licence: X, from: {{package: base-files, \
         arch: {arch}, path: usr/lib/os-release}}}}]"
    ))
    .expect("well-formed");
    let report = bench.run(&bench.options());
    let Outcome::Installed { package, fallback } = outcome(&report, "x") else {
        panic!("{report}");
    };
    assert!(package.ends_with("(installed on this host)"), "{package}");
    let why = fallback.as_deref().expect("told");
    assert!(why.contains("Unable to locate package base-files"), "{why}");
    assert_eq!(
        bench.read("images/x"),
        fs::read_to_string("/usr/lib/os-release").expect("Debian")
    );
}

#[test]
fn no_way_to_download_is_said_once_and_plainly() {
    let bench = Bench::new();
    bench.alpha("1.0");
    let nowhere = SyncOptions {
        etc_apt: bench.path("none"),
        ..bench.options()
    };
    let keyless = SyncOptions {
        keyring: bench.path("none"),
        ..bench.options()
    };
    for (options, says) in [
        (nowhere, "names no Debian mirror; name one with --mirror"),
        (keyless, "package debian-archive-keyring"),
    ] {
        let report = bench.run(&options);
        let trouble = report.trouble.expect("told");
        assert!(trouble.contains(says), "{trouble}");
    }
    let aptless = SyncOptions {
        apt_get: bench.path("no-apt-get"),
        ..bench.options()
    };
    let text = bench.run(&aptless).to_string();
    assert!(text.contains("no-apt-get is not on this host"), "{text}");
    fs::write(bench.path("mirror/unreachable"), "").expect("write");
    fs::remove_file(bench.path("mirror/new/alpha_1.0_all.deb")).expect("gone");
    let text = bench.run(&bench.options()).to_string();
    assert!(text.contains("Failed to fetch the lists"), "{text}");
}

#[test]
fn what_an_earlier_sync_installed_is_kept_when_nothing_better_is_to_be_had() {
    let bench = Bench::new();
    bench.alpha("1.0");
    bench.run(&bench.options());
    fs::remove_file(bench.path("mirror/new/alpha_1.0_all.deb")).expect("gone");
    let forced = SyncOptions {
        force: true,
        ..bench.options()
    };
    let report = bench.run(&forced);
    assert!(
        matches!(outcome(&report, "a.efi"), Outcome::Current { .. }),
        "{report}"
    );
    assert_eq!(bench.read("loaders/packaged/a.efi"), "A");
}

#[test]
fn links_in_a_package_cannot_fetch_files_of_this_host() {
    let bench = Bench::new();
    let files = [
        ("usr/lib/a", "-> /etc/passwd"),
        ("usr/lib/b", "-> ../../../../../../../../etc/passwd"),
        ("usr/lib/real", "R"),
        ("usr/lib/linux", "-> real"),
    ];
    bench.deb("new", "alpha", "1", "all", &files);
    let report = bench.run(&bench.options());
    for name in ["a.efi", "b.efi"] {
        let Outcome::Missing { why } = outcome(&report, name) else {
            panic!("{report}");
        };
        assert!(why.contains("package alpha 1 has no file"), "{why}");
    }
    assert_eq!(bench.read("images/os/1/linux"), "R");
}

#[test]
fn a_file_that_is_another_package_is_refused() {
    let bench = Bench::new();
    bench.alpha("1");
    let mirror = bench.path("mirror/new");
    fs::rename(
        mirror.join("alpha_1_all.deb"),
        mirror.join("beta_1_arm64.deb"),
    )
    .expect("rename");
    let text = bench.run(&bench.options()).to_string();
    assert!(text.contains("is not the package beta (arm64)"), "{text}");
}

#[test]
fn one_at_a_time_and_only_in_a_usable_place() {
    let bench = Bench::new();
    bench.alpha("1");
    let _held = Place::open(&bench.path("data")).expect("free");
    let refused = sync_manifest(&bench.manifest, &bench.options(), &mut |_| {});
    assert!(matches!(refused, Err(SyncError::Busy(_))), "{refused:?}");
    let options = SyncOptions {
        data_dir: bench.path("a\"b"),
        ..bench.options()
    };
    let refused = sync_manifest(&bench.manifest, &options, &mut |_| {});
    assert!(matches!(refused, Err(SyncError::Name(_))), "{refused:?}");
    fs::write(bench.path("file"), "").expect("write");
    let options = SyncOptions {
        data_dir: bench.path("file"),
        ..bench.options()
    };
    let refused = sync_manifest(&bench.manifest, &options, &mut |_| {});
    assert!(
        matches!(refused, Err(SyncError::File { .. })),
        "{refused:?}"
    );
}
