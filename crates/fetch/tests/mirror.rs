//! A mirror as Debian's are, and everything that can be wrong with one.

mod common;

use common::{Bench, sha256};
use fetch::{FetchError, JobView, Octets, Order, Proof, Stage};
use std::fs;
use testkit::gpg::Gpg;
use testkit::image::pattern;

const LIST: &str = "main/installer-amd64/current/images/SHA256SUMS";
const FILES: [(&str, usize); 3] = [
    ("initrd.gz", 5_000_001),
    ("linux", 900_001),
    ("pxelinux.0", 40_001),
];

/// What stands where in an archive; each can be changed before it is put up.
struct Archive {
    files: Vec<(&'static str, Vec<u8>)>,
    list: String,
    release: String,
}

impl Archive {
    fn new() -> Archive {
        let files: Vec<_> = FILES
            .map(|(name, len)| (name, pattern(len, len as u8)))
            .into();
        let line = |(name, bytes): &(&str, Vec<u8>)| {
            format!(
                "{}  ./netboot/debian-installer/amd64/{name}\n",
                sha256(bytes)
            )
        };
        let list: String = files.iter().map(line).collect();
        let mut archive = Archive {
            files,
            list,
            release: String::new(),
        };
        archive.sign_list();
        archive
    }

    fn sign_list(&mut self) {
        let sum = sha256(self.list.as_bytes());
        self.release = format!(
            "Origin: Debian\nSuite: oldstable\nCodename: bookworm\nSHA256:\n {sum} {} {LIST}\n",
            self.list.len()
        );
    }

    fn put(&self, bench: &Bench, signer: &Gpg) {
        let put = |path: &str, octets: &[u8]| {
            bench.web.file(
                &format!("/debian/dists/bookworm/{path}"),
                octets,
                &sha256(octets),
            );
        };
        put("InRelease", &signer.clearsigned(self.release.as_bytes()));
        put(LIST, self.list.as_bytes());
        for (name, bytes) in &self.files {
            put(&path(name), bytes);
        }
    }
}

fn path(name: &str) -> String {
    format!("main/installer-amd64/current/images/netboot/debian-installer/amd64/{name}")
}

fn order(bench: &Bench) -> Order {
    Order {
        mirror: Some("debian-12-netboot".to_owned()),
        url: bench.web.url("/debian"),
        by: "morgan".to_owned(),
        ..Order::default()
    }
}

/// With the keys where the package would put them.
fn bench(signer: &Gpg) -> Bench {
    let bench = Bench::new();
    let keyrings = bench.dir.path().join("keyrings");
    fs::create_dir(&keyrings).expect("made");
    fs::write(
        keyrings.join("debian-archive-keyring.gpg"),
        signer.keyring(false),
    )
    .expect("written");
    bench
}

async fn run(bench: &Bench) -> JobView {
    let job = bench.fetcher.begin(order(bench)).await.expect("a recipe");
    bench.end(&job.id).await
}

fn why(job: JobView) -> String {
    match job.stage {
        Stage::Failed { why } => why,
        stage => panic!("{stage:?}"),
    }
}

#[tokio::test]
async fn netboot_files_become_an_image_by_their_signed_checksums() {
    let ann = Gpg::with("Ann");
    let bench = bench(&ann);
    let archive = Archive::new();
    archive.put(&bench, &ann);
    let job = run(&bench).await;
    assert_eq!(job.stage, Stage::Done { sha256: None });
    assert_eq!(
        job.got,
        FILES.iter().map(|(_, len)| *len as u64).sum::<u64>()
    );
    for (name, bytes) in &archive.files {
        let path = bench.path("debian-12-netboot").join(name);
        assert!(fs::read(path).expect("there") == *bytes, "{name}");
    }
    let image = bench.image("debian-12-netboot").expect("an image");
    let verified = image.verified.clone().expect("signed");
    assert!(
        verified.contains("InRelease, signed by Ann <ann@example.org>"),
        "{verified}"
    );
    assert_eq!(image.from, Some(bench.web.url("/debian")));
    assert_eq!(image.recognised[0].distribution, "debian-netboot");
    assert_eq!((bench.staged(), bench.written()), (0, 0));
    assert_eq!(bench.problems(), [None]);
    let again = bench.fetcher.begin(order(&bench)).await;
    assert!(
        again
            .expect_err("it is there")
            .to_string()
            .contains("already an image")
    );
}

/// Each link of the chain, one at a time.
#[tokio::test]
async fn what_is_tampered_with_is_found_at_every_link() {
    let (ann, eve) = (Gpg::with("Ann"), Gpg::with("Eve"));
    let bench = bench(&ann);
    let release = "/debian/dists/bookworm/InRelease";
    let list = format!("/debian/dists/bookworm/{LIST}");
    type Tamper<'a> = Box<dyn Fn() + 'a>;
    let cases: Vec<(&str, Tamper<'_>, &str)> = vec![
        (
            "signed by somebody else",
            Box::new(|| Archive::new().put(&bench, &eve)),
            "which is not in the keyring",
        ),
        (
            "the release was changed after it was signed",
            Box::new(|| {
                bench.web.change(release, |page| {
                    let at = page
                        .body
                        .windows(8)
                        .position(|w| w == b"bookworm")
                        .expect("named");
                    page.body[at] = b'B';
                });
            }),
            "does not fit",
        ),
        (
            "no signature",
            Box::new(|| {
                bench
                    .web
                    .file(release, Archive::new().release.as_bytes(), "x")
            }),
            "no signature in it",
        ),
        (
            "another release, well signed",
            Box::new(|| {
                let mut archive = Archive::new();
                archive.release = archive.release.replace("bookworm", "buster");
                archive.put(&bench, &ann);
            }),
            "Codename: buster, and not bookworm",
        ),
        (
            "an old one, well signed",
            Box::new(|| {
                let mut archive = Archive::new();
                let until = "Valid-Until: Sat, 05 Dec 2020 10:00:00 UTC\nSHA256:";
                archive.release = archive.release.replace("SHA256:", until);
                archive.put(&bench, &ann);
            }),
            "it was in force until",
        ),
        (
            "a release without the list",
            Box::new(|| {
                let mut archive = Archive::new();
                archive.release = archive.release.replace("amd64", "i386");
                archive.put(&bench, &ann);
            }),
            "it lists no main/installer-amd64",
        ),
        (
            "the list",
            Box::new(|| bench.web.change(&list, |page| page.body.push(b'\n'))),
            "and the signed release says",
        ),
        (
            "a list that lacks a file",
            Box::new(|| {
                let mut archive = Archive::new();
                archive.list = archive.list.replace("pxelinux.0", "lpxelinux.0");
                archive.sign_list();
                archive.put(&bench, &ann);
            }),
            "it has no line for pxelinux.0",
        ),
        (
            "a file",
            Box::new(|| {
                let linux = format!("/debian/dists/bookworm/{}", path("linux"));
                bench.web.change(&linux, |page| page.body[800_000] ^= 1);
            }),
            "the signed list says",
        ),
        (
            "a file that is cut short",
            Box::new(|| {
                let linux = format!("/debian/dists/bookworm/{}", path("linux"));
                bench.web.change(&linux, |page| page.body.truncate(500_000));
            }),
            "the signed list says",
        ),
    ];
    for (what, tamper, expected) in cases {
        Archive::new().put(&bench, &ann);
        tamper();
        let told = why(run(&bench).await);
        assert!(told.contains(expected), "{what}: {told}");
        assert!(!bench.path("debian-12-netboot").exists(), "{what}");
        let id = bench.fetcher.list()[0].id.clone();
        bench
            .fetcher
            .cancel(&id, "morgan")
            .await
            .expect("it failed");
        assert_eq!((bench.staged(), bench.written()), (0, 0), "{what}");
    }
}

#[tokio::test]
async fn a_restart_goes_on_with_the_file_that_it_interrupted() {
    let ann = Gpg::with("Ann");
    let mut bench = bench(&ann);
    Archive::new().put(&bench, &ann);
    let first = format!("/debian/dists/bookworm/{}", path("initrd.gz"));
    let second = format!("/debian/dists/bookworm/{}", path("linux"));
    bench.web.change(&first, |page| page.cuts = vec![2_000_000]);
    bench.web.change(&second, |page| page.gate = Some(500_000));
    let job = bench.fetcher.begin(order(&bench)).await.expect("a recipe");
    let there = |job: &JobView| job.got >= 5_000_001;
    bench.until(&job.id, there).await;
    bench.restart();
    assert!(!bench.path("debian-12-netboot").exists());
    bench.web.let_go();
    let ended = bench.end(&job.id).await;
    assert_eq!(ended.stage, Stage::Done { sha256: None });
    assert_eq!(bench.asked(&first), [(None, 200), (Some(2_000_000), 206)]);
    assert_eq!(bench.staged(), 0);
}

#[tokio::test]
async fn what_is_cancelled_or_forgotten_leaves_nothing() {
    let ann = Gpg::with("Ann");
    let mut bench = bench(&ann);
    Archive::new().put(&bench, &ann);
    let second = format!("/debian/dists/bookworm/{}", path("linux"));
    bench.web.change(&second, |page| page.gate = Some(500_000));
    let job = bench.fetcher.begin(order(&bench)).await.expect("a recipe");
    bench.until(&job.id, |job| job.got >= 5_000_001).await;
    assert_eq!(bench.staged(), 1);
    bench
        .fetcher
        .cancel(&job.id, "morgan")
        .await
        .expect("under way");
    assert_eq!(bench.staged(), 0);
    let job = bench.fetcher.begin(order(&bench)).await.expect("a recipe");
    bench.until(&job.id, |job| job.got >= 5_000_001).await;
    bench.fetcher.stop();
    let jobs = fs::read_dir(bench.dir.path().join("fetches")).expect("readable");
    for job in jobs.flatten() {
        fs::remove_file(job.path()).expect("removed");
    }
    bench.restart();
    assert_eq!(bench.staged(), 0, "nobody knows the job any more");
}

#[tokio::test]
async fn what_is_missing_is_said_before_anything_is_asked_of_others() {
    let ann = Gpg::with("Ann");
    let bench = Bench::new();
    let refused = |order: Order| {
        let fetcher = bench.fetcher.clone();
        async move {
            let refused: FetchError = fetcher.begin(order).await.expect_err("refused");
            refused.to_string()
        }
    };
    let nowhere = Order {
        url: String::new(),
        ..order(&bench)
    };
    let told = refused(nowhere).await;
    assert!(told.contains("outgoing.mirrors.debian"), "{told}");
    let unknown = Order {
        mirror: Some("beos".to_owned()),
        ..order(&bench)
    };
    let told = refused(unknown).await;
    assert!(told.contains("there are debian-12-netboot, "), "{told}");
    let more = Order {
        proof: Proof {
            sha256: Some("a".repeat(64)),
            ..Proof::default()
        },
        ..order(&bench)
    };
    assert!(refused(more).await.contains("only a keyring can be given"));
    let file = Order {
        name: "x.iso".to_owned(),
        ..order(&bench)
    };
    assert!(refused(file).await.contains("become a directory"));
    assert!(why(run(&bench).await).contains("the package debian-archive-keyring brings it"));
    assert!(bench.web.asked().is_empty());
    // A mirror of one's own may be signed by one's own keys.
    Archive::new().put(&bench, &ann);
    let own = Order {
        name: "ours".to_owned(),
        proof: Proof {
            keyring: Some(Octets(ann.keyring(true))),
            ..Proof::default()
        },
        ..order(&bench)
    };
    let job = bench.fetcher.begin(own).await.expect("a recipe");
    assert_eq!(bench.end(&job.id).await.stage, Stage::Done { sha256: None });
    assert!(bench.path("ours/linux").exists());
}

#[tokio::test]
async fn keyrings_are_chosen_by_name_and_by_nothing_else() {
    let bench = bench(&Gpg::with("Ann"));
    fs::write(bench.dir.path().join("secret.gpg"), "secret").expect("written");
    fs::write(bench.path("../keyrings/notes.txt"), "x").expect("written");
    assert_eq!(bench.fetcher.keyrings(), ["debian-archive-keyring.gpg"]);
    assert!(bench.fetcher.keyring("debian-archive-keyring.gpg").is_ok());
    for name in [
        "../secret.gpg",
        "absent.gpg",
        "notes.txt",
        "",
        ".gpg",
        "/etc/passwd",
    ] {
        assert!(bench.fetcher.keyring(name).is_err(), "{name}");
    }
}

impl Archive {
    /// Made on this day, without a last day.
    fn of(day: u32, more: &str) -> Archive {
        let mut archive = Archive::new();
        archive.release = format!(
            "Date: Sat, {day:02} Jul 2026 09:41:22 UTC\n{more}{}",
            archive.release
        );
        archive
    }
}

#[tokio::test]
async fn a_mirror_that_goes_back_is_not_believed_unless_that_is_meant() {
    let ann = Gpg::with("Ann");
    let mut bench = bench(&ann);
    let named = |name: &str, allow_older: bool| Order {
        name: name.to_owned(),
        allow_older,
        ..order(&bench)
    };
    let orders = [
        named("july", false),
        named("june", false),
        named("june", true),
        named("again", false),
    ];
    let mut stages = Vec::new();
    for (day, order) in [11, 4, 4, 11].into_iter().zip(orders) {
        Archive::of(day, "").put(&bench, &ann);
        let job = bench.fetcher.begin(order).await.expect("a recipe");
        stages.push(bench.end(&job.id).await.stage);
        // What was seen is known to the next start, too.
        bench.restart();
    }
    let done = Stage::Done { sha256: None };
    let Stage::Failed { why } = &stages[1] else {
        panic!("{stages:?}");
    };
    assert!(
        why.contains(
            "InRelease: it is of 2026-07-04 09:41 UTC, and this mirror has shown one of 2026-07-11"
        ),
        "{why}"
    );
    assert_eq!([&stages[0], &stages[2], &stages[3]], [&done; 3]);
    assert_eq!((bench.staged(), bench.written()), (0, 0));
}

#[tokio::test]
async fn a_list_is_asked_for_by_its_checksum_where_the_release_says_so() {
    let ann = Gpg::with("Ann");
    let bench = bench(&ann);
    let archive = Archive::of(11, "Acquire-By-Hash: yes\n");
    archive.put(&bench, &ann);
    let list = format!("/debian/dists/bookworm/{LIST}");
    let sum = sha256(archive.list.as_bytes());
    let directory = list.strip_suffix("SHA256SUMS").expect("its name");
    let hashed = format!("{directory}by-hash/SHA256/{sum}");
    bench.web.file(&hashed, archive.list.as_bytes(), &sum);
    // The mirror is being updated: the next list has the name already.
    bench.web.change(&list, |page| page.body.push(b'\n'));
    assert_eq!(run(&bench).await.stage, Stage::Done { sha256: None });
    assert_eq!(bench.asked(&hashed), [(None, 200)]);
    assert_eq!(bench.asked(&list), []);
    // One that says so and does not have it is asked as ever.
    let archive = Archive::of(18, "Acquire-By-Hash: yes\n");
    archive.put(&bench, &ann);
    bench.web.change(&hashed, |page| page.status = Some(404));
    let other = Order {
        name: "other".to_owned(),
        ..order(&bench)
    };
    let job = bench.fetcher.begin(other).await.expect("a recipe");
    assert_eq!(bench.end(&job.id).await.stage, Stage::Done { sha256: None });
    assert_eq!(bench.asked(&list), [(None, 200)]);
}
