//! Images by URL, from a real server that cuts, changes, lies and sends elsewhere.

mod common;

use common::{Bench, sha256};
use fetch::{FetchError, Order, Proof, Stage};
use reach::{Allowed, Client};
use std::fs;
use testkit::web::Page;

fn sum(bytes: &[u8]) -> Proof {
    Proof {
        sha256: Some(sha256(bytes)),
        ..Proof::default()
    }
}

#[tokio::test]
async fn a_file_is_an_image_when_it_is_what_was_ordered() {
    let bench = Bench::new();
    let iso = bench.iso();
    bench.web.file("/d/x.iso", &iso, "v1");
    let job = bench.begin("/d/x.iso?key=secret", sum(&iso)).await;
    let job = bench.end(&job.id).await;
    assert_eq!(
        job.stage,
        Stage::Done {
            sha256: Some(sha256(&iso))
        }
    );
    assert_eq!(
        (job.got, job.size),
        (iso.len() as u64, Some(iso.len() as u64))
    );
    let image = bench.image("x.iso").expect("an image");
    assert_eq!(fs::read(bench.path("x.iso")).expect("there"), iso);
    assert_eq!(image.source, "fetched by morgan");
    assert_eq!(
        image.from,
        Some(bench.web.url("/d/x.iso")),
        "without what may be secret"
    );
    assert_eq!(
        image.verified.as_deref(),
        Some("the SHA-256 that morgan gave")
    );
    assert_eq!(bench.asked("/d/x.iso"), [(None, 200)]);
    assert_eq!(bench.problems(), [None]);
    assert_eq!((bench.staged(), bench.written()), (0, 0), "nothing is left");
    // Who asks again is told that it is there.
    let again = bench
        .fetcher
        .begin(bench.order("/d/x.iso", sum(&iso)))
        .await;
    let told = again.expect_err("it is there").to_string();
    assert!(told.contains("already an image x.iso"), "{told}");
}

#[tokio::test]
async fn without_a_checksum_nothing_vouches() {
    let bench = Bench::new();
    let iso = bench.iso();
    let page = Page {
        body: iso.clone(),
        endless: true,
        ..Page::default()
    };
    bench.web.put("/x.iso", page);
    let job = bench.begin("/x.iso", Proof::default()).await;
    let job = bench.end(&job.id).await;
    assert_eq!(
        job.stage,
        Stage::Done {
            sha256: Some(sha256(&iso))
        },
        "though no length was said"
    );
    assert_eq!(job.verified, None);
    let image = bench.image("x.iso").expect("an image");
    assert_eq!(image.verified, None);
    // What somebody copies over it is another file: nothing that was known is known of it.
    fs::write(bench.path("x.iso"), "other").expect("written");
    bench.images.look().expect("readable");
    assert_eq!(bench.image("x.iso").expect("there").from, None);
}

#[tokio::test]
async fn what_is_cut_off_goes_on_where_it_stopped() {
    let bench = Bench::new();
    let iso = bench.iso();
    bench.web.file("/x.iso", &iso, "v1");
    bench
        .web
        .change("/x.iso", |page| page.cuts = vec![1_500_000, 700_000, 0, 0]);
    let job = bench.begin("/x.iso", sum(&iso)).await;
    let job = bench.end(&job.id).await;
    assert!(matches!(job.stage, Stage::Done { .. }), "{job:?}");
    let went_on = [
        None,
        Some(1_500_000),
        Some(2_200_000),
        Some(2_200_000),
        Some(2_200_000),
    ];
    let statuses = [200, 206, 206, 206, 206];
    let expected: Vec<_> = went_on.into_iter().zip(statuses).collect();
    assert_eq!(bench.asked("/x.iso"), expected);
}

#[tokio::test]
async fn a_file_that_changed_is_fetched_from_its_beginning() {
    let bench = Bench::new();
    let iso = bench.iso();
    let old = vec![7; iso.len()];
    bench.web.file("/x.iso", &old, "v1");
    bench
        .web
        .change("/x.iso", |page| page.gate = Some(2_000_000));
    let job = bench.begin("/x.iso", sum(&iso)).await;
    bench.until(&job.id, |job| job.got > 0).await;
    // The next request finds another version; the answer under way ends.
    bench.web.file("/x.iso", &iso, "v2");
    bench.fetcher.stop();
    let mut bench = bench;
    bench.restart();
    let job = bench.end(&job.id).await;
    assert!(matches!(job.stage, Stage::Done { .. }), "{job:?}");
    let asked = bench.asked("/x.iso");
    assert!(
        matches!(asked[..], [(None, 200), (Some(1..), 200)]),
        "{asked:?}"
    );
    assert_eq!(fs::read(bench.path("x.iso")).expect("there"), iso);
}

#[tokio::test]
async fn a_file_that_became_shorter_or_longer_is_fetched_anew() {
    for (version, len) in [("v2", 1_000_000), ("v1", 0)] {
        let bench = Bench::new();
        let iso = bench.iso();
        let old = vec![7; iso.len() + 5_000_000];
        bench.web.file("/x.iso", &old, "v1");
        bench
            .web
            .change("/x.iso", |page| page.cuts = vec![1_500_000, 0, 0, 0]);
        let job = bench.begin("/x.iso", sum(&iso)).await;
        let failed = bench.end(&job.id).await;
        assert!(matches!(failed.stage, Stage::Failed { .. }), "{failed:?}");
        assert_eq!(failed.got, 1_500_000);
        // A server that says the same version of another length, or of less than we have.
        let short = match len {
            0 => iso.clone(),
            len => vec![1; len],
        };
        bench.web.file("/x.iso", &short, version);
        bench.fetcher.retry(&job.id).await.expect("it failed");
        let ended = bench.end(&job.id).await;
        let whole = matches!(ended.stage, Stage::Done { .. });
        assert_eq!(whole, len == 0, "{ended:?}");
        assert_eq!(bench.staged(), 0, "{ended:?}");
    }
}

#[tokio::test]
async fn a_server_without_ranges_sends_it_all_again() {
    let bench = Bench::new();
    let iso = bench.iso();
    bench.web.file("/x.iso", &iso, "v1");
    bench.web.change("/x.iso", |page| {
        page.whole = true;
        page.cuts = vec![2_500_000];
    });
    let job = bench.begin("/x.iso", sum(&iso)).await;
    let job = bench.end(&job.id).await;
    assert_eq!(
        job.stage,
        Stage::Done {
            sha256: Some(sha256(&iso))
        }
    );
    assert_eq!(bench.asked("/x.iso"), [(None, 200), (Some(2_500_000), 200)]);
}

#[tokio::test]
async fn a_restart_goes_on_with_what_it_interrupted() {
    let mut bench = Bench::new();
    let iso = bench.iso();
    bench.web.file("/x.iso", &iso, "v1");
    bench
        .web
        .change("/x.iso", |page| page.gate = Some(3_000_000));
    let job = bench.begin("/x.iso", sum(&iso)).await;
    bench.until(&job.id, |job| job.got >= 2 << 20).await;
    let record = fs::read_dir(bench.dir.path().join("fetches")).expect("readable");
    let record = record.flatten().next().expect("it is written down").path();
    let written = fs::read(&record).expect("readable");
    bench.restart();
    bench.web.let_go();
    let ended = bench.end(&job.id).await;
    assert_eq!(
        ended.stage,
        Stage::Done {
            sha256: Some(sha256(&iso))
        }
    );
    let asked = bench.asked("/x.iso");
    assert!(
        matches!(asked[..], [(None, 200), (Some(2_000_000..), 206)]),
        "{asked:?}"
    );
    // Killed after the image got its name and before that was noted: it is known as done.
    fs::write(&record, written).expect("written");
    bench.restart();
    let ended = bench.end(&job.id).await;
    assert_eq!(
        ended.stage,
        Stage::Done {
            sha256: Some(sha256(&iso))
        }
    );
    assert_eq!(bench.asked("/x.iso").len(), 2, "nothing was fetched again");
    assert_eq!(bench.written(), 0);
}

#[tokio::test]
async fn what_is_not_what_was_ordered_is_no_image() {
    let bench = Bench::new();
    let iso = bench.iso();
    let mut tampered = iso.clone();
    tampered[3_000_000] ^= 1;
    bench.web.file("/x.iso", &tampered, "v1");
    let why = bench.failure("/x.iso", sum(&iso)).await;
    assert!(
        why.contains(&sha256(&iso)) && why.contains(&sha256(&tampered)),
        "{why}"
    );
    let page = Page {
        body: b"<!doctype html><title>Please sign in</title>".to_vec(),
        ..Page::default()
    };
    bench.web.put("/page.iso", page);
    let why = bench.failure("/page.iso", Proof::default()).await;
    assert!(why.contains("no image that could be served"), "{why}");
    // Half of a file whose end nobody announced.
    let page = Page {
        body: iso.clone(),
        endless: true,
        cuts: vec![2_000_000],
        ..Page::default()
    };
    bench.web.put("/half.iso", page);
    let why = bench.failure("/half.iso", sum(&iso)).await;
    assert!(why.contains("SHA-256 is"), "{why}");
    assert!(bench.images.list().is_empty());
    assert_eq!(bench.staged(), 0);
    assert!(bench.problems().iter().all(Option::is_some));
}

#[tokio::test]
async fn a_list_of_checksums_vouches_for_its_lines() {
    let bench = Bench::new();
    let iso = bench.iso();
    bench.web.file("/d/x.iso", &iso, "v1");
    let list = |text: String| {
        bench.web.file("/d/SHA256SUMS", text.as_bytes(), "v1");
        Proof {
            sums: Some(bench.web.url("/d/SHA256SUMS?key=secret")),
            ..Proof::default()
        }
    };
    let other = "b".repeat(64);
    let without = list(format!("{other}  y.iso\n"));
    let why = bench.failure("/d/x.iso", without).await;
    assert!(
        why.ends_with("/d/SHA256SUMS: it has no line for x.iso"),
        "{why}"
    );
    let both = Proof {
        sha256: Some(other.clone()),
        ..list(format!("{}  x.iso\n", sha256(&iso)))
    };
    let why = bench.failure("/d/x.iso", both).await;
    assert!(why.contains("and morgan gave"), "{why}");
    assert!(
        bench.asked("/d/x.iso").is_empty(),
        "what cannot be checked is not fetched"
    );
    let wrong = list(format!("{other} *x.iso\n"));
    let why = bench.failure("/d/x.iso", wrong).await;
    assert!(why.contains(&other), "{why}");
    let right = list(format!("{other}  y.iso\n{}  ./x.iso\n", sha256(&iso)));
    let job = bench.begin("/d/x.iso", right).await;
    let job = bench.end(&job.id).await;
    assert!(matches!(job.stage, Stage::Done { .. }), "{job:?}");
    let by = job.verified.expect("a list");
    assert_eq!(
        by,
        format!("{}, not signed", bench.web.url("/d/SHA256SUMS"))
    );
}

/// R45.
#[tokio::test]
async fn private_addresses_are_asked_only_if_the_operator_allows_them() {
    let bench = Bench::with(Client::new(Allowed::default()));
    bench.web.file("/x.iso", b"x", "v1");
    let why = bench.failure("/x.iso", Proof::default()).await;
    assert!(
        why.contains("127.0.0.1, an address of this server itself")
            && why.contains("outgoing.allow"),
        "{why}"
    );
    let elsewhere = Bench::new();
    for (path, to) in [
        (
            "/a.iso",
            format!("http://127.0.0.2:{}/x.iso", bench.web.port()),
        ),
        (
            "/b.iso",
            "http://169.254.169.254/latest/meta-data".to_owned(),
        ),
        ("/c.iso", "http://10.1.2.3/x.iso".to_owned()),
    ] {
        let page = Page {
            status: Some(302),
            location: to,
            ..Page::default()
        };
        elsewhere.web.put(path, page);
        let why = elsewhere.failure(path, Proof::default()).await;
        assert!(why.contains("nothing there is asked"), "{why}");
        // Neither does a list of checksums lead there.
        let list = Proof {
            sums: Some(elsewhere.web.url(path)),
            ..Proof::default()
        };
        let why = elsewhere.failure(&format!("{path}.iso"), list).await;
        assert!(why.contains("nothing there is asked"), "{why}");
    }
    assert!(bench.web.asked().is_empty(), "nobody was asked");
    let file = Order {
        url: "file:///dev/zero".to_owned(),
        name: "x.iso".to_owned(),
        ..Order::default()
    };
    let refused = bench.fetcher.begin(file).await.expect_err("no web");
    assert!(
        refused.to_string().contains("only http and https"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_failure_says_what_it_was_and_can_be_tried_again() {
    let mut bench = Bench::new();
    let iso = bench.iso();
    let why = bench.failure("/x.iso", sum(&iso)).await;
    let url = bench.web.url("/x.iso");
    assert_eq!(
        why,
        format!("GET {url}: the server answered 404: no such file")
    );
    assert_eq!(
        bench.asked("/x.iso").len(),
        1,
        "that does not pass by waiting"
    );
    bench.web.file("/x.iso", &iso, "v1");
    bench
        .web
        .change("/x.iso", |page| page.cuts = vec![2_000_000, 0, 0, 0]);
    let id = bench.fetcher.list()[0].id.clone();
    bench.fetcher.retry(&id).await.expect("it failed");
    let Stage::Failed { why } = bench.end(&id).await.stage else {
        panic!("it was cut off each time");
    };
    assert!(
        why.contains("cut off") && why.contains("given up after"),
        "{why}"
    );
    // What came stays, also over a restart, which by itself tries nothing again.
    bench.restart();
    let job = bench.fetcher.get(&id).expect("written down");
    assert_eq!((job.got, &job.stage), (2_000_000, &Stage::Failed { why }));
    // Who orders the same once more goes on with it, whatever it is compared with now.
    let again = bench.begin("/x.iso", Proof::default()).await;
    assert_eq!(again.id, id);
    let ended = bench.end(&id).await;
    assert_eq!(
        ended.stage,
        Stage::Done {
            sha256: Some(sha256(&iso))
        }
    );
    assert_eq!(bench.asked("/x.iso").last(), Some(&(Some(2_000_000), 206)));
    assert!(matches!(
        bench.fetcher.retry(&id).await,
        Err(FetchError::State { .. })
    ));
}

#[tokio::test]
async fn what_is_cancelled_leaves_nothing() {
    let bench = Bench::new();
    let iso = bench.iso();
    bench.web.file("/x.iso", &iso, "v1");
    bench.web.file("/other/x.iso", &iso, "v1");
    bench
        .web
        .change("/x.iso", |page| page.gate = Some(2_000_000));
    let job = bench.begin("/x.iso", sum(&iso)).await;
    bench.until(&job.id, |job| job.got > 0).await;
    let same = bench.begin("/x.iso", sum(&iso)).await;
    assert_eq!(same.id, job.id, "who orders the same twice has one job");
    let other = bench
        .fetcher
        .begin(bench.order("/other/x.iso", sum(&iso)))
        .await;
    assert!(matches!(other, Err(FetchError::UnderWay(_))), "{other:?}");
    // It is no upload: nobody can write into it by that door.
    assert!(bench.images.stagings().is_empty());
    let staged = bench.images.fetched()[0].id().to_owned();
    assert!(bench.images.staging(&staged).is_err());
    bench
        .fetcher
        .cancel(&job.id, "robin")
        .await
        .expect("under way");
    assert!(bench.fetcher.list().is_empty());
    assert_eq!((bench.staged(), bench.written()), (0, 0));
    assert_eq!(bench.problems(), [Some("cancelled by robin".to_owned())]);
    let gone = bench.fetcher.cancel(&job.id, "robin").await;
    assert!(matches!(gone, Err(FetchError::NotFound(_))));
    // Its name is free.
    let other = bench.begin("/other/x.iso", sum(&iso)).await;
    let ended = bench.end(&other.id).await;
    assert!(matches!(ended.stage, Stage::Done { .. }), "{ended:?}");
}

#[tokio::test]
async fn two_have_their_turn_and_the_others_wait() {
    let bench = Bench::new();
    let iso = bench.iso();
    let mut jobs = Vec::new();
    for name in ["a", "b", "c"] {
        let path = format!("/{name}.iso");
        bench.web.file(&path, &iso, "v1");
        bench.web.change(&path, |page| page.gate = Some(1));
        jobs.push(bench.begin(&path, sum(&iso)).await.id);
    }
    for id in &jobs[..2] {
        bench.until(id, |job| job.stage == Stage::Fetching).await;
    }
    let third = bench.fetcher.get(&jobs[2]).expect("on the list");
    assert_eq!(third.stage, Stage::Waiting);
    bench.web.let_go();
    for id in &jobs {
        let ended = bench.end(id).await;
        assert!(matches!(ended.stage, Stage::Done { .. }), "{ended:?}");
    }
}
