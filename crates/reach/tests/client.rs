//! The guarded client against a real server that cuts, lies, redirects and never ends.

mod common;

use common::{Server, answer, say};
use reach::{Allowed, Client, Error, Fault, Limits, Login, Request, Resume, Zone};
use std::time::Duration;

/// Loopback is opened by address, as an operator would.
fn here() -> Client {
    Client::new(Allowed(vec!["127.0.0.1".parse().expect("address")]))
}

fn ask(url: &str) -> Request {
    Request::new(url).expect("a URL")
}

async fn text(client: &Client, request: &Request) -> Result<String, Error> {
    let bytes = client.get(request).await?.bytes().await?;
    Ok(String::from_utf8(bytes).expect("text"))
}

#[tokio::test]
async fn a_file_comes_whole_with_its_validator() {
    let server = Server::start(|_, out| {
        answer(
            out,
            "200 OK",
            "ETag: \"v1\"\r\nContent-Type: text/x\r\n",
            "hello",
        )
    });
    let got = here()
        .get(&ask(&server.url("/f?key=k")))
        .await
        .expect("got");
    assert_eq!((got.status, got.begins, got.size), (200, 0, Some(5)));
    assert_eq!(got.validator.as_deref(), Some("\"v1\""));
    assert_eq!(got.content_type(), Some("text/x"));
    assert_eq!(got.from, server.url("/f"), "the query may be a secret");
    assert_eq!(got.bytes().await.expect("whole"), b"hello");
    assert!(server.asked()[0].head.starts_with("GET /f?key=k HTTP/1.1"));
}

#[tokio::test]
async fn what_is_not_allowed_is_never_asked() {
    let server = Server::start(|_, out| answer(out, "200 OK", "", "secret"));
    let port = server.port;
    let strict = Client::new(Allowed::default());
    // Every way to write this host: as the URL standard reads addresses, and by a name.
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "0.0.0.0",
    ] {
        for zone in [Zone::Internet, Zone::Site] {
            let request = ask(&format!("http://{host}:{port}/")).zone(zone);
            let error = strict.get(&request).await.expect_err(host);
            assert!(
                matches!(error.fault, Fault::Refused { .. }),
                "{host}: {error}"
            );
            assert!(!error.is_passing());
        }
    }
    assert!(server.asked().is_empty());
    let error = strict
        .get(&ask("http://10.1.2.3/x"))
        .await
        .expect_err("private");
    assert_eq!(
        error.to_string(),
        "GET http://10.1.2.3/x: '10.1.2.3' leads to 10.1.2.3, an address of a private network, and nothing there is asked; \
         if that is meant, add it to outgoing.allow in the configuration"
    );
}

#[tokio::test]
async fn redirects_are_checked_like_the_first_url() {
    let inner = Server::start(|_, out| answer(out, "200 OK", "", "inner"));
    // The way in is allowed, the way on is not: 127.0.0.2 is another address of this host.
    for to in [
        format!("http://127.0.0.2:{}/", inner.port),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        format!("//127.0.0.2:{}/", inner.port),
    ] {
        let location = format!("Location: {to}\r\n");
        let server = Server::start(move |_, out| answer(out, "302 Found", &location, ""));
        let client = Client::new(Allowed(vec!["127.0.0.1".parse().expect("address")]));
        let error = text(&client, &ask(&server.url("/"))).await.expect_err(&to);
        assert!(
            matches!(error.fault, Fault::Refused { .. }),
            "{to}: {error}"
        );
    }
}

#[tokio::test]
async fn redirects_end() {
    let server = Server::start(|asked, out| match asked.path() {
        "/loop" => answer(out, "301 Moved Permanently", "Location: /loop\r\n", ""),
        "/to" => answer(out, "307 Temporary Redirect", "Location: there?x=1\r\n", ""),
        "/ftp" => answer(out, "302 Found", "Location: ftp://127.0.0.1/x\r\n", ""),
        "/nowhere" => answer(out, "302 Found", "", ""),
        path => answer(out, "200 OK", "", path),
    });
    let client = here();
    assert_eq!(
        text(&client, &ask(&server.url("/to")))
            .await
            .expect("followed"),
        "/there?x=1"
    );
    let error = text(&client, &ask(&server.url("/loop")))
        .await
        .expect_err("endless");
    assert!(matches!(error.fault, Fault::Redirects(5)), "{error}");
    let loops = server
        .asked()
        .iter()
        .filter(|a| a.path() == "/loop")
        .count();
    assert_eq!(loops, 6);
    for path in ["/ftp", "/nowhere"] {
        let error = text(&client, &ask(&server.url(path)))
            .await
            .expect_err(path);
        assert!(
            matches!(error.fault, Fault::Moved { .. } | Fault::Answer(_)),
            "{error}"
        );
    }
    // Neither a password nor a body is sent on.
    let login = Login {
        user: "admin".into(),
        password: "hunter2".into(),
    };
    let error = text(&client, &ask(&server.url("/to")).login(login))
        .await
        .expect_err("password");
    assert!(
        error.to_string().contains("a password is not sent on"),
        "{error}"
    );
    let error = client
        .post(&ask(&server.url("/to")), "body")
        .await
        .expect_err("body");
    assert!(
        matches!(error.fault, Fault::Moved { status: 307, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn cut_answers_are_faults_and_can_be_resumed() {
    let server = Server::start(|asked, out| match (asked.path(), asked.header("range")) {
        ("/cut", None) => say(
            out,
            "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\n01234",
        ),
        ("/cut", Some("bytes=5-")) if asked.header("if-range") == Some("\"v1\"") => {
            answer(
                out,
                "206 Partial Content",
                "Content-Range: bytes 5-9/10\r\n",
                "56789",
            );
        }
        ("/changed", _) => answer(out, "200 OK", "ETag: \"v2\"\r\n", "another"),
        ("/wrong", _) => answer(
            out,
            "206 Partial Content",
            "Content-Range: bytes 0-4/10\r\n",
            "01234",
        ),
        ("/unsaid", _) => answer(out, "206 Partial Content", "", "01234"),
        ("/chunks", _) => say(
            out,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56",
        ),
        (path, range) => answer(out, "400 Bad Request", "", &format!("{path} {range:?}")),
    });
    let client = here();
    let mut body = client
        .get(&ask(&server.url("/cut")))
        .await
        .expect("begun")
        .into_body();
    assert_eq!(body.chunk().await.expect("first").expect("piece"), "01234");
    let error = body.chunk().await.expect_err("cut");
    assert!(
        matches!(
            error.fault,
            Fault::Cut {
                got: 5,
                of: Some(10)
            }
        ),
        "{error}"
    );
    assert!(error.is_passing());

    let resume = Some(Resume {
        offset: 5,
        validator: "\"v1\"".into(),
    });
    let rest = client
        .get(&ask(&server.url("/cut")).resume(resume.clone()))
        .await
        .expect("resumed");
    assert_eq!((rest.begins, rest.size), (5, Some(10)));
    assert_eq!(rest.bytes().await.expect("rest"), b"56789");

    // What changed meanwhile comes whole, and says so.
    let whole = client
        .get(&ask(&server.url("/changed")).resume(resume.clone()))
        .await
        .expect("whole");
    assert_eq!(
        (whole.begins, whole.validator.as_deref()),
        (0, Some("\"v2\""))
    );
    for path in ["/wrong", "/unsaid"] {
        let error = client
            .get(&ask(&server.url(path)).resume(resume.clone()))
            .await
            .expect_err(path);
        assert!(matches!(error.fault, Fault::Answer(_)), "{error}");
    }
    let error = text(&client, &ask(&server.url("/chunks")))
        .await
        .expect_err("cut");
    assert!(
        matches!(error.fault, Fault::Cut { of: None, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn answers_are_bounded() {
    let server = Server::start(|asked, out| match asked.path() {
        "/told" => say(
            out,
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        ),
        "/endless" => {
            say(out, "HTTP/1.1 200 OK\r\n\r\n");
            // Ends when the client goes.
            while out.write_all(&[b'x'; 4096]).is_ok() {}
        }
        "/angry" => {
            say(out, "HTTP/1.1 500 Oh\r\n\r\n<h1>Sorry</h1>\n");
            while out.write_all(&[b'x'; 4096]).is_ok() {}
        }
        "/headers" => {
            say(out, "HTTP/1.1 200 OK\r\n");
            while out
                .write_all(b"X-Y: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\r\n")
                .is_ok()
            {}
        }
        _ => {
            let mut octet = [0];
            // Silence until the client goes.
            let _ = std::io::Read::read(&mut std::io::empty(), &mut octet);
            std::thread::park_timeout(Duration::from_secs(30));
        }
    });
    let client = here();
    let limits = Limits {
        body: 100_000,
        idle: Duration::from_millis(300),
        ..Limits::SMALL
    };
    for path in ["/told", "/endless"] {
        let error = text(&client, &ask(&server.url(path)).limits(limits))
            .await
            .expect_err(path);
        assert!(matches!(error.fault, Fault::TooBig(100_000)), "{error}");
        assert!(!error.is_passing());
    }
    let error = text(&client, &ask(&server.url("/angry")).limits(limits))
        .await
        .expect_err("500");
    assert!(
        matches!(&error.fault, Fault::Status { status: 500, text } if text.starts_with("Sorry x")),
        "{error}"
    );
    assert!(error.to_string().len() < 500 && error.is_passing());
    let error = text(&client, &ask(&server.url("/headers")).limits(limits))
        .await
        .expect_err("headers");
    assert!(matches!(error.fault, Fault::Answer(_)), "{error}");
    let error = text(&client, &ask(&server.url("/silent")).limits(limits))
        .await
        .expect_err("silent");
    assert!(matches!(error.fault, Fault::Slow { .. }), "{error}");
    let total = Limits {
        total: Duration::from_millis(300),
        idle: Duration::from_secs(20),
        ..limits
    };
    let error = text(&client, &ask(&server.url("/silent")).limits(total))
        .await
        .expect_err("silent");
    assert!(matches!(error.fault, Fault::Slow { .. }), "{error}");
}

#[tokio::test]
async fn json_is_sent_and_read() {
    let server = Server::start(|asked, out| match asked.path() {
        "/none" => say(out, "HTTP/1.1 204 No Content\r\n\r\n"),
        "/page" => answer(out, "200 OK", "", "<html>"),
        _ => answer(out, "200 OK", "", &asked.body),
    });
    let client = here();
    let login = Login {
        user: "admin".into(),
        password: "hunter2".into(),
    };
    let body = serde_json::json!({"ResetType": "On"});
    let request = ask(&server.url("/echo")).login(login);
    let back = client
        .patch_json(&request, &body)
        .await
        .expect("sent")
        .json()
        .await
        .expect("json");
    assert_eq!(back, body);
    let asked = &server.asked()[0];
    assert!(asked.head.starts_with("PATCH /echo"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert_eq!(
        asked.header("authorization"),
        Some("Basic YWRtaW46aHVudGVyMg==")
    );
    let none = client
        .post_json(&ask(&server.url("/none")), &body)
        .await
        .expect("sent");
    assert_eq!(none.json().await.expect("nothing"), serde_json::Value::Null);
    let page = client
        .post_json(&ask(&server.url("/page")), &body)
        .await
        .expect("sent");
    assert!(matches!(
        page.json().await.expect_err("a page").fault,
        Fault::Answer(_)
    ));
}

#[tokio::test]
async fn no_connection_says_where_to_look() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").port()
    };
    let error = text(&here(), &ask(&format!("http://127.0.0.1:{port}/x?y=z")))
        .await
        .expect_err("closed");
    let message = error.to_string();
    assert!(
        message.starts_with(&format!(
            "GET http://127.0.0.1:{port}/x: no connection: Connection refused"
        )),
        "{message}"
    );
    assert!(error.is_passing());
    let error = text(&here(), &ask("http://no-such-host.invalid/"))
        .await
        .expect_err("no name");
    assert!(matches!(error.fault, Fault::Name { .. }), "{error}");
}
