//! Requests to a people's plane without sockets.

use axum::Router;
use axum::body::Body;
use bootfiles::FileCache;
use bootfiles::dropbox::DropBoxes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use std::net::SocketAddr;
use store::Store;
use tempfile::TempDir;
use tower::ServiceExt;
use web::listen::Peer;
use web::people::{auth, router};
use web::transfers::Transfers;

/// The sample user's.
pub const PASSWORD: &str = "a long enough password";

/// A people's plane under test.
pub struct Site {
    app: Router,
    /// What is behind it.
    pub store: Store,
    /// What is under way on it.
    pub transfers: Transfers,
    /// Last octet of the address that requests come from.
    pub from: u8,
    /// Where all of it lies.
    pub dir: TempDir,
}

/// What came back.
pub struct Answer {
    /// Status line.
    pub status: StatusCode,
    /// Header fields.
    pub headers: http::HeaderMap,
    /// Text of the body.
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |v| v.to_str().expect("text"))
    }

    pub fn location(&self) -> &str {
        self.header("location")
    }

    /// The session cookie that this answer sets, as a request carries it.
    pub fn session(&self) -> Option<String> {
        let lines = self.headers.get_all(header::SET_COOKIE).iter();
        let mut pairs = lines.filter_map(|l| l.to_str().ok()?.split(';').next());
        pairs
            .find(|p| p.starts_with("farrier_session=") && p.len() > 20)
            .map(str::to_owned)
    }
}

impl Site {
    pub async fn empty() -> Site {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = super::empty(dir.path()).await;
        let mut site = Site {
            app: Router::new(),
            store,
            transfers: Transfers::default(),
            from: 1,
            dir,
        };
        site.serve(DropBoxes::default());
        site
    }

    fn serve(&mut self, drop_boxes: DropBoxes) {
        let images = super::images(self.dir.path());
        let state = super::state(&self.store)
            .with_fetcher(super::fetcher(self.dir.path(), &images))
            .with_image_store(images)
            .with_transfers(self.transfers.clone())
            .with_cache(FileCache::new(1 << 20))
            .with_drop_boxes(drop_boxes);
        self.app = router(state);
    }

    /// With sample data and one user, who is logged in by the cookie returned.
    pub async fn full() -> (Site, String) {
        let mut site = Site::empty().await;
        super::fill(&site.store).await;
        site.serve(super::drop_boxes(site.dir.path()));
        let cookie = site.set_up().await;
        (site, cookie)
    }

    pub async fn set_up(&self) -> String {
        let token = auth::setup_token(&self.store)
            .await
            .expect("store")
            .expect("no user yet");
        let form = format!(
            "token={token}&username=morgan&password={p}&password_again={p}",
            p = PASSWORD.replace(' ', "+")
        );
        let answer = self.post("/setup", &form, "").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        assert_eq!(answer.location(), "/machines");
        answer.session().expect("logged in")
    }

    pub async fn login(&self, name: &str, password: &str) -> Answer {
        let password = password.replace(' ', "+");
        self.post(
            "/login",
            &format!("username={name}&password={password}"),
            "",
        )
        .await
    }

    pub async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.send(request(Method::GET, path, "", cookie)).await
    }

    /// As a browser posts a form of ours.
    pub async fn post(&self, path: &str, form: &str, cookie: &str) -> Answer {
        let mut request = request(Method::POST, path, form, cookie);
        let origin = "http://127.0.0.1:8080".parse().expect("value");
        request.headers_mut().insert(header::ORIGIN, origin);
        self.send(request).await
    }

    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        let remote = SocketAddr::from(([10, 0, 0, self.from], 40_000));
        request.extensions_mut().insert(Peer {
            remote: Some(remote),
            local: None,
        });
        let response: Response<Body> = self.app.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = match parts.headers.get(header::CONTENT_TYPE) {
            Some(kind) if kind == "text/event-stream" => String::new(),
            _ => String::from_utf8_lossy(&body.collect().await.expect("body").to_bytes()).into(),
        };
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }
}

/// A request as a browser sends it, without Origin.
pub fn request(method: Method, path: &str, form: &str, cookie: &str) -> Request<Body> {
    let mut builder = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "127.0.0.1:8080");
    if !cookie.is_empty() {
        builder = builder.header(header::COOKIE, cookie);
    }
    if !form.is_empty() {
        builder = builder.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    builder.body(Body::from(form.to_owned())).expect("request")
}
