//! Signatures by real keys: what is signed by whom we know is taken, and nothing else.

mod common;

use common::{Bench, sha256};
use fetch::{Given, Octets, Proof, Stage};
use testkit::gpg::Gpg;

fn keys(gpg: &Gpg) -> Option<Octets> {
    Some(Octets(gpg.keyring(false)))
}

fn list(iso: &[u8]) -> Vec<u8> {
    format!("{}  y.iso\n{}  x.iso\n", "b".repeat(64), sha256(iso)).into_bytes()
}

/// Where the list and its signature are.
fn signed(bench: &Bench, keyring: Option<Octets>) -> Proof {
    Proof {
        sums: Some(bench.web.url("/d/SHA256SUMS")),
        signature: Some(Given::Url(bench.web.url("/d/SHA256SUMS.gpg"))),
        keyring,
        ..Proof::default()
    }
}

#[tokio::test]
async fn a_signed_list_vouches_for_its_lines() {
    let ann = Gpg::with("Ann");
    for armoured in [false, true] {
        let bench = Bench::new();
        let iso = bench.iso();
        let list = list(&iso);
        bench.web.file("/d/x.iso", &iso, "v1");
        bench.web.file("/d/SHA256SUMS", &list, "v1");
        let signature = ann.signature(&list, armoured);
        bench.web.file("/d/SHA256SUMS.gpg", &signature, "v1");
        let keyring = Some(Octets(ann.keyring(armoured)));
        let job = bench.begin("/d/x.iso", signed(&bench, keyring)).await;
        let job = bench.end(&job.id).await;
        assert!(matches!(job.stage, Stage::Done { .. }), "{job:?}");
        let by = bench.image("x.iso").expect("an image").verified.clone();
        let by = by.expect("somebody vouched");
        assert!(
            by.contains("/d/SHA256SUMS, signed by Ann <ann@example.org> ("),
            "{by}"
        );
    }
}

#[tokio::test]
async fn a_list_may_hold_its_own_signature() {
    let bench = Bench::new();
    let iso = bench.iso();
    let ann = Gpg::with("Ann");
    bench.web.file("/d/x.iso", &iso, "v1");
    let other = format!("{}  x.iso\n", "c".repeat(64));
    // What stands around the signed part is nobody's word.
    let mut around = other.clone().into_bytes();
    around.extend(ann.clearsigned(&list(&iso)));
    around.extend(other.as_bytes());
    bench.web.file("/d/CHECKSUM", &around, "v1");
    let proof = Proof {
        sums: Some(bench.web.url("/d/CHECKSUM")),
        keyring: keys(&ann),
        ..Proof::default()
    };
    let job = bench.begin("/d/x.iso", proof.clone()).await;
    let job = bench.end(&job.id).await;
    assert_eq!(
        job.stage,
        Stage::Done {
            sha256: Some(sha256(&iso))
        }
    );
    bench.images.delete("x.iso").expect("there");
    // Two texts, both signed, of which one is by somebody else.
    let mut two = Gpg::with("Eve").clearsigned(other.as_bytes());
    two.extend(ann.clearsigned(&list(&iso)));
    bench.web.file("/d/CHECKSUM", &two, "v1");
    let why = bench.failure("/d/x.iso", proof.clone()).await;
    assert!(why.contains("CHECKSUM: "), "{why}");
    // No signature at all.
    bench.web.file("/d/CHECKSUM", &list(&iso), "v1");
    let why = bench.failure("/d/x.iso", proof).await;
    assert!(why.contains("no signature in it"), "{why}");
    assert_eq!(
        bench.asked("/d/x.iso").len(),
        1,
        "what cannot be checked is not fetched"
    );
}

#[tokio::test]
async fn a_file_may_have_a_signature_of_its_own() {
    let bench = Bench::new();
    let iso = bench.iso();
    let ann = Gpg::with("Ann");
    let mut tampered = iso.clone();
    tampered[3_000_000] ^= 1;
    bench.web.file("/x.iso", &tampered, "v1");
    let proof = Proof {
        signature: Some(Given::Content(Octets(ann.signature(&iso, false)))),
        keyring: keys(&ann),
        ..Proof::default()
    };
    let why = bench.failure("/x.iso", proof.clone()).await;
    assert!(why.contains("does not fit"), "{why}");
    assert!(bench.image("x.iso").is_none());
    let id = bench.fetcher.list()[0].id.clone();
    bench
        .fetcher
        .cancel(&id, "morgan")
        .await
        .expect("it failed");
    bench.web.file("/x.iso", &iso, "v2");
    let job = bench.begin("/x.iso", proof).await;
    let job = bench.end(&job.id).await;
    assert!(matches!(job.stage, Stage::Done { .. }), "{job:?}");
    let by = job.verified.expect("somebody vouched");
    assert!(
        by.starts_with("the signature of Ann <ann@example.org> ("),
        "{by}"
    );
}

#[tokio::test]
async fn keys_that_are_unknown_expired_or_revoked_are_refused_with_words() {
    let bench = Bench::new();
    let iso = bench.iso();
    bench.web.file("/d/x.iso", &iso, "v1");
    let text = list(&iso);
    let (old, expired) = Gpg::expired("Old", &text);
    let (ann, eve) = (Gpg::with("Ann"), Gpg::with("Eve"));
    let revoked = Gpg::with("Rex");
    let by_rex = revoked.clearsigned(&text);
    revoked.revoke();
    let mut tampered = ann.clearsigned(&text);
    let at = tampered
        .windows(5)
        .position(|w| w == b"x.iso")
        .expect("named");
    tampered[at - 10] = b'0';
    for (signed, keyring, expected) in [
        (
            eve.clearsigned(&text),
            keys(&ann),
            "which is not in the keyring",
        ),
        (
            expired,
            keys(&old),
            "a key that has expired: Old <old@example.org>",
        ),
        (
            by_rex,
            keys(&revoked),
            "a key that was revoked: Rex <rex@example.org>",
        ),
        (tampered, keys(&ann), "does not fit"),
    ] {
        bench.web.file("/d/SHA256SUMS", &signed, "v1");
        let proof = Proof {
            signature: None,
            ..self::signed(&bench, keyring)
        };
        let why = bench.failure("/d/x.iso", proof).await;
        assert!(why.contains(expected), "{why}");
    }
    // The signature of another list.
    bench.web.file("/d/SHA256SUMS", &text, "v1");
    bench
        .web
        .file("/d/SHA256SUMS.gpg", &ann.signature(b"other", true), "v1");
    let why = bench.failure("/d/x.iso", signed(&bench, keys(&ann))).await;
    assert!(
        why.contains("/d/SHA256SUMS: the signature does not fit"),
        "{why}"
    );
    assert!(bench.images.list().is_empty());
    assert!(bench.asked("/d/x.iso").is_empty());
}

#[tokio::test]
async fn half_of_what_vouches_is_refused_before_anything_is_asked() {
    let bench = Bench::new();
    let ann = Gpg::with("Ann");
    let without_keys = signed(&bench, None);
    let keys_alone = Proof {
        keyring: keys(&ann),
        ..Proof::default()
    };
    let no_keys = signed(&bench, Some(Octets(b"hello".to_vec())));
    for (proof, expected) in [
        (without_keys, "give a keyring"),
        (keys_alone, "a keyring alone checks nothing"),
        (no_keys, "holds no OpenPGP key"),
    ] {
        let refused = bench.fetcher.begin(bench.order("/d/x.iso", proof)).await;
        let told = refused.expect_err(expected).to_string();
        assert!(told.contains(expected), "{told}");
    }
    assert!(bench.web.asked().is_empty());
}
