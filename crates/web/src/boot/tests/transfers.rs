//! Files on their way: whole, seen, counted, in little memory, never a mixture.

use super::*;

#[tokio::test]
async fn transfers_end_in_one_event() {
    let mut plane = Plane::start().await;
    assert_eq!(
        plane.get("/images/debian-12/linux").await.body,
        pattern(300_000)
    );
    match plane.next_event().await.1 {
        EventKind::FileServed {
            path,
            bytes,
            transport,
            ..
        } => {
            assert_eq!(
                (path.as_str(), bytes, transport),
                ("images/debian-12/linux", 300_000, Transport::Http)
            );
        }
        other => panic!("{other:?}"),
    }
    plane
        .get_with("/images/debian-12/linux", "Range: bytes=0-99")
        .await;
    plane.get("/boot/revocations_sbat.efi").await;
    plane.get("/images/debian-12/initrd.gz").await;
    for (expected, optional) in [
        ("revocations_sbat.efi", true),
        ("images/debian-12/initrd.gz", false),
    ] {
        match plane.next_event().await.1 {
            EventKind::FileFailed { path, normal, .. } => {
                assert_eq!((path.as_str(), normal), (expected, optional));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_reported() {
    let mut plane = Plane::start().await;
    sparse(&plane.dir.path().join("images/big.iso"), 1 << 30);
    let mut raw = plane.served.connect().await;
    raw.send("GET /images/big.iso HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    raw.stream.readable().await.expect("under way");
    drop(raw);
    match plane.next_event().await.1 {
        EventKind::FileFailed {
            path,
            normal,
            reason,
            ..
        } => {
            assert_eq!((path.as_str(), normal), ("images/big.iso", false));
            assert!(reason.contains("of 1073741824 bytes"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(plane.ended(Ending::Vanished), 1);
    assert!(plane.transfers.running().is_empty());
}

/// From the disk and out of memory, at every width of a write.
#[tokio::test]
async fn a_file_of_many_pieces_arrives_as_it_is() {
    for budget in [DEFAULT_BUDGET, 10 * PIECE, 0] {
        let plane = Plane::with_memory(budget).await;
        let bytes: Vec<u8> = (0..13_000_000_u32)
            .flat_map(|n| (n / 4).to_be_bytes().get(n as usize % 4).copied())
            .collect();
        fs::write(plane.dir.path().join("images/initrd"), &bytes).expect("written");
        for _ in 0..2 {
            let reply = plane.get("/images/initrd").await;
            assert!(reply.body == bytes, "of {} bytes", reply.body.len());
        }
        let reply = plane
            .get_with("/images/initrd", "Range: bytes=262100-3000000")
            .await;
        assert!(reply.body == bytes[262_100..=3_000_000]);
        assert!(plane.cache.stats().bytes <= budget);
    }
}

#[tokio::test]
async fn transfers_are_listed_and_counted() {
    let mut plane = Plane::start().await;
    sparse(&plane.dir.path().join("images/big.iso"), 1 << 26);
    let mut raw = plane.served.connect().await;
    raw.send("GET /images/big.iso HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    raw.stream.readable().await.expect("under way");
    let listed = plane.transfers.running();
    let view = listed.first().expect("listed");
    let shown = (view.path.as_str(), view.transport, view.total);
    assert_eq!(shown, ("images/big.iso", Transport::Http, Some(1 << 26)));
    assert_eq!(Some(view.peer), raw.stream.local_addr().ok());
    assert_eq!(raw.reply(false).await.body.len(), 1 << 26);
    assert!(matches!(
        plane.next_event().await.1,
        EventKind::FileServed {
            bytes: 67_108_864,
            ..
        }
    ));
    assert!(plane.transfers.running().is_empty());
    assert_eq!(
        (plane.ended(Ending::Completed), plane.taken()),
        (1, 1 << 26)
    );

    // Too short for the list; a part; no content at all; nothing to fetch.
    plane.get("/f1500").await;
    plane.get_with("/f1500", "Range: bytes=0-99").await;
    plane.get("/f0").await;
    plane.get("/none").await;
    plane
        .served
        .ask("HEAD /f1500 HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    assert_eq!(plane.ended(Ending::Completed), 3);
    assert_eq!(plane.taken(), (1 << 26) + 1500 + 100);
}

/// Slow readers of other files each, more of them than the memory has pieces.
#[tokio::test]
async fn clients_that_take_nothing_hold_little_memory() {
    const CLIENTS: u64 = 20;
    let plane = Plane::with_memory(16 * PIECE).await;
    let mut stuck = Vec::new();
    for number in 0..CLIENTS {
        sparse(&plane.dir.path().join(format!("images/{number}")), 1 << 26);
        let mut raw = plane.served.connect().await;
        raw.send(&format!("GET /images/{number} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        raw.stream.readable().await.expect("under way");
        stuck.push(raw);
    }
    // Until the kernel takes no more of any.
    let mut before = 0;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let taken = plane.taken();
        if taken == before {
            break;
        }
        before = taken;
    }
    let stats = plane.cache.stats();
    assert_eq!(plane.transfers.running().len(), CLIENTS as usize);
    // What is kept, a quarter of that, and two pieces each; a client that keeps up has up to 32.
    let bound = (16 + 4 + 2 * CLIENTS) * PIECE;
    assert!(stats.in_hands <= bound, "{stats:?}");
}

#[tokio::test]
async fn big_files_are_streamed() {
    let plane = Plane::start().await;
    let len: u64 = 1 << 30;
    sparse(&plane.dir.path().join("images/big.iso"), len);
    for at in [0, len / 2, len - 8] {
        let range = format!("Range: bytes={at}-{}", at + 7);
        let reply = plane.get_with("/images/big.iso", &range).await;
        assert_eq!(reply.body, at.to_be_bytes());
    }
    let began = Instant::now();
    let mut raw = plane.served.connect().await;
    raw.send("GET /images/big.iso HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    raw.stream.readable().await.expect("an answer");
    // A server that loads a gibibyte first (in a debug build, on a busy machine) needs longer.
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_file_changed_in_place_while_it_is_sent_ends_the_connection() {
    type Change = fn(&File) -> std::io::Result<()>;
    let cut: Change = |file| file.set_len(4096);
    let overwrite: Change = |file| file.write_all_at(b"another version", 1 << 29);
    for change in [cut, overwrite] {
        let plane = Plane::start().await;
        let path = plane.dir.path().join("images/big.iso");
        sparse(&path, 1 << 30);
        let mut raw = plane.served.connect().await;
        raw.send("GET /images/big.iso HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        raw.stream.readable().await.expect("under way");
        let file = File::options().write(true).open(&path).expect("there");
        change(&file).expect("changed");
        let mut taken = 0;
        let mut chunk = vec![0; 1 << 20];
        loop {
            use tokio::io::AsyncReadExt;
            match raw.stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(read) => taken += read,
            }
        }
        assert!(taken < 1 << 30, "neither padded nor mixed");
    }
}

/// The length of a file of which the kernel sends 64 MiB itself: what may be on the way comes out of our memory.
pub(super) fn long() -> u64 {
    super::super::direct::queues().expect("/proc/sys is there") + (64 << 20)
}

/// Every page of it says where it stands, every octet in which version.
pub(super) fn version(number: u8) -> Vec<u8> {
    let mut bytes = vec![number; long() as usize];
    for (at, page) in bytes.chunks_mut(4096).enumerate() {
        page[..8].copy_from_slice(&at.to_be_bytes());
    }
    bytes
}

#[tokio::test]
async fn a_long_file_arrives_as_it_is_and_takes_little_memory() {
    let long = long();
    let mut plane = Plane::with_memory(64 * PIECE).await;
    let bytes = version(1);
    fs::write(plane.dir.path().join("images/initrd"), &bytes).expect("written");
    for _ in 0..2 {
        let reply = plane.get("/images/initrd").await;
        assert!(reply.body == bytes, "of {} bytes", reply.body.len());
        match plane.next_event().await.1 {
            EventKind::FileServed { bytes, .. } => assert_eq!(bytes, long),
            other => panic!("{other:?}"),
        }
    }
    let (read, all) = (plane.cache.stats().misses, 2 * long / PIECE);
    assert!(read < all - 100, "only its ends: {read} of {all} pieces");
    let range = "Range: bytes=1000001-67000000";
    let reply = plane.get_with("/images/initrd", range).await;
    assert!(reply.body == bytes[1_000_001..=67_000_000]);
    assert_eq!(plane.taken(), 2 * long + 66_000_000);
}

/// Whatever moment the file is changed at: before everything has left, or when all of it has but
/// lies unread in the client's own memory.
#[tokio::test]
async fn no_client_gets_the_whole_length_of_two_versions() {
    use tokio::io::AsyncReadExt;
    let (old, new) = (version(1), version(2));
    let (long, mut whole, mut cut) = (long(), 0, 0);
    for tenth in [0, 2, 4, 6, 8, 9, 10] {
        let mut plane = Plane::with_memory(64 * PIECE).await;
        let path = plane.dir.path().join("images/initrd");
        fs::write(&path, &old).expect("written");
        let mut raw = plane.served.connect().await;
        raw.send("GET /images/initrd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await;
        let mut got = vec![0; 64 * 1024];
        raw.stream.read_exact(&mut got).await.expect("it begins");
        let head = got
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .expect("a head")
            + 4;
        got.drain(..head);
        got.resize((long * tenth / 10).max(1 << 16) as usize, 0);
        let read = 64 * 1024 - head;
        raw.stream.read_exact(&mut got[read..]).await.expect("half");
        // What has left by now lies in the kernel.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let file = File::options().write(true).open(&path).expect("there");
        file.write_all_at(&new, 0).expect("written");
        let _ = raw.stream.read_to_end(&mut got).await;
        if got.len() as u64 == long {
            assert!(got == old, "a mixture of the full length, {tenth} tenths");
            whole += 1;
        } else {
            cut += 1;
            match plane.next_event().await.1 {
                EventKind::FileFailed { reason, .. } => {
                    assert!(reason.contains("changed"), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(whole > 0 && cut > 2, "{whole} whole, {cut} cut");
}
