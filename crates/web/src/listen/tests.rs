//! The listener against hostile, slow and peculiar clients, over real loopback sockets.

use super::testing::Served;
use super::{Budget, Peer};
use axum::body::Body;
use axum::extract::Extension;
use axum::routing::get;
use axum::{Router, response::Response};
use bytes::Bytes;
use futures_util::stream;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn router() -> Router {
    let endless = || async {
        let chunks =
            stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 65536])));
        Response::new(Body::from_stream(chunks))
    };
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "done"
    };
    Router::new()
        .route("/", get(async || "hello"))
        .route("/big", get(async || Bytes::from(vec![b'x'; BIG])))
        .route("/slow", get(slow))
        .route("/endless", get(endless))
        .route(
            "/peer",
            get(async |Extension(peer): Extension<Peer>| format!("{peer:?}")),
        )
}

fn hasty() -> Budget {
    Budget {
        first_byte: Duration::from_millis(400),
        headers: Duration::from_millis(400),
        idle: Duration::from_millis(800),
        rate_window: Duration::from_millis(400),
        drain: Duration::from_millis(500),
        per_ip: 256,
        total: 256,
        ..Budget::boot_plane()
    }
}

/// More than the kernel holds of a connection.
const BIG: usize = 24 << 20;

const GET: &str = "GET / HTTP/1.1\r\nHost: 192.168.77.2\r\n\r\n";

#[tokio::test]
async fn header_names_are_in_title_case() {
    let served = Served::start(router(), hasty()).await;
    let reply = served.ask(GET).await;
    assert!(
        reply.head.starts_with("HTTP/1.1 200 OK\r\n"),
        "{}",
        reply.head
    );
    assert_eq!(reply.header("Content-Length"), Some("5"));
    assert_eq!(
        reply.header("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(reply.text(), "hello");
}

#[tokio::test]
async fn a_request_knows_both_ends_of_its_connection() {
    let served = Served::start(router(), hasty()).await;
    let mut raw = served.connect().await;
    raw.send("GET /peer HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        .await;
    let expected = Peer {
        remote: Some(raw.stream.local_addr().expect("connected")),
        local: Some(served.address),
    };
    assert_eq!(raw.reply(false).await.text(), format!("{expected:?}"));
}

/// R19 in small: 50 connections that never finish a request are closed in time, and a genuine
/// client is answered meanwhile.
#[tokio::test]
async fn silent_and_dripping_connections_are_closed_while_others_are_served() {
    let served = Served::start(router(), hasty()).await;
    let mut hostile = Vec::new();
    for kind in 0..50 {
        let mut raw = served.connect().await;
        match kind % 3 {
            0 => {}
            1 => raw.send("GET / HTTP/1.1\r\nHo").await,
            _ => raw.send("G").await,
        }
        let drips = kind % 3 == 2;
        hostile.push(tokio::spawn(async move {
            let began = Instant::now();
            let mut octet = [0; 1];
            loop {
                let read = raw.stream.read(&mut octet);
                match tokio::time::timeout(Duration::from_millis(50), read).await {
                    Ok(Ok(0) | Err(_)) => break,
                    Ok(Ok(_)) => panic!("an answer to half a request"),
                    Err(_) if drips => {
                        let _ = raw.stream.write_all(b"E").await;
                    }
                    Err(_) => {}
                }
            }
            began.elapsed()
        }));
    }
    for _ in 0..20 {
        assert_eq!(served.ask(GET).await.status(), 200);
    }
    for task in hostile {
        let lasted = task.await.expect("closed without an answer");
        assert!(lasted < Duration::from_millis(400 * 4), "{lasted:?}");
    }
}

#[tokio::test]
async fn a_pause_between_two_requests_is_allowed_and_bounded() {
    let served = Served::start(router(), hasty()).await;
    let mut raw = served.connect().await;
    raw.send(GET).await;
    assert_eq!(raw.reply(false).await.status(), 200);
    // Longer than the deadlines of a header, shorter than that of a pause.
    tokio::time::sleep(Duration::from_millis(500)).await;
    raw.send(GET).await;
    assert_eq!(raw.reply(false).await.status(), 200);
    let began = Instant::now();
    raw.closed().await.expect("closed by FIN");
    assert!(
        began.elapsed() >= Duration::from_millis(400),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    let served = Served::start(router(), hasty()).await;
    let mut raw = served.connect().await;
    raw.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // Nothing is read for longer than the window; then what the kernel holds, and the end.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut taken = 0;
    let mut chunk = vec![0; 1 << 16];
    while let Ok(read @ 1..) = raw.stream.read(&mut chunk).await {
        taken += read;
        assert!(taken < 64 << 20, "still being served");
    }
}

#[tokio::test]
async fn a_steady_reader_is_not_cut() {
    let served = Served::start(router(), hasty()).await;
    let mut raw = served.connect().await;
    raw.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let began = Instant::now();
    let mut chunk = vec![0; 1 << 18];
    while began.elapsed() < Duration::from_millis(1200) {
        assert!(raw.stream.read(&mut chunk).await.expect("open") > 0);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Here the end is all of it: hyper has the whole body in hand at once.
#[tokio::test]
async fn the_end_of_a_response_may_take_longer_than_a_pause() {
    let served = Served::start(router(), hasty()).await;
    let mut raw = served.connect().await;
    let mut chunk = vec![0; 1 << 17];
    // The second request comes while the first is being answered, and is no pause either.
    for _ in 0..2 {
        raw.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n").await;
    }
    let mut taken = 0;
    while taken < 2 * BIG {
        let read = raw.stream.read(&mut chunk).await.expect("open");
        assert!(read > 0, "cut after {taken} octets");
        taken += read;
        // One answer needs 2 s.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn silence_makes_room_when_the_seats_are_taken() {
    let budget = Budget {
        total: 4,
        first_byte: Duration::from_secs(60),
        headers: Duration::from_secs(60),
        ..hasty()
    };
    let served = Served::start(router(), budget).await;
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(served.connect().await);
    }
    assert_eq!(served.ask(GET).await.status(), 200);
    silent[0].closed().await.expect("the oldest had to go");
}

/// H49a: GRUB's connection ends with RST once GRUB has finished, never before.
#[tokio::test]
async fn grub_is_answered_and_then_reset() {
    let served = Served::start(router(), hasty()).await;
    let request = "GET / HTTP/1.1\r\nHost: 192.168.77.2\r\nUser-Agent: GRUB 2.06\r\n\r\n";
    let mut raw = served.connect().await;
    raw.send(request).await;
    let reply = raw.reply(false).await;
    assert!(reply.head.starts_with("HTTP/1.1 200 "), "{}", reply.head);
    assert_eq!(reply.text(), "hello");
    raw.stream.shutdown().await.expect("FIN");
    let end = raw.closed().await.expect_err("RST");
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
    // The port is free at once: GRUB uses the same one after its next boot.
    let port = raw.stream.local_addr().expect("was connected");
    drop(raw);
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("set");
    socket.bind(port).expect("free");
    let mut again = socket
        .connect(served.address)
        .await
        .expect("accepted at once");
    again.write_all(request.as_bytes()).await.expect("open");
    let mut first = [0; 13];
    again.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200 ");
}

#[tokio::test]
async fn other_clients_are_closed_by_fin() {
    let served = Served::start(router(), hasty()).await;
    let mut raw = served.connect().await;
    raw.send(GET).await;
    raw.reply(false).await;
    raw.stream.shutdown().await.expect("FIN");
    raw.closed().await.expect("FIN, not RST");
}

#[tokio::test]
async fn a_client_that_has_finished_sending_still_gets_its_answer() {
    let served = Served::start(router(), hasty()).await;
    let mut raw = served.connect().await;
    raw.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    raw.stream.shutdown().await.expect("FIN");
    assert_eq!(raw.reply(false).await.text(), "done");
}

#[tokio::test]
async fn headers_have_a_limit() {
    let served = Served::start(router(), hasty()).await;
    let mut raw = served.connect().await;
    let long = "x".repeat(20_000);
    let _ = raw
        .stream
        .write_all(format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {long}\r\n\r\n").as_bytes())
        .await;
    let mut answer = Vec::new();
    let _ = raw.stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_under_way() {
    let served = Served::start(router(), hasty()).await;
    let address = served.address;
    let mut busy = served.connect().await;
    let mut resting = served.connect().await;
    resting.send(GET).await;
    resting.reply(false).await;
    busy.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.stop().await;
    assert_eq!(busy.reply(false).await.text(), "done");
    resting.closed().await.expect("closed");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let served = Served::start(router(), hasty()).await;
    let mut raw = served.connect().await;
    raw.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await;
    raw.stream.readable().await.expect("under way");
    let began = Instant::now();
    served.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn unix_sockets_are_served_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    let listener = tokio::net::UnixListener::bind(&path).expect("bound");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(super::serve(listener, router(), hasty(), async {
        let _ = stopped.await;
    }));
    let mut stream = tokio::net::UnixStream::connect(&path)
        .await
        .expect("connected");
    stream
        .write_all(b"GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .expect("open");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("closed at the end");
    assert!(
        answer.ends_with(&format!("{:?}", Peer::default())),
        "{answer}"
    );
    stop.send(()).expect("still serving");
    task.await.expect("ends");
}
