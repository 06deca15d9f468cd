//! The people's doors: login, sessions, other sites' tricks, the route table.

mod support;

use http::{Method, StatusCode, header};
use support::site::{Answer, PASSWORD, Site, request};
use web::people::{auth, ui};

#[tokio::test]
async fn the_first_start_goes_by_the_set_up_link_and_only_once() {
    let site = Site::empty().await;
    assert_eq!(site.get("/machines", "").await.location(), "/setup");
    assert_eq!(site.get("/login", "").await.location(), "/setup");
    let bare = site.get("/setup", "").await;
    assert!(
        !bare.body.contains("password_again"),
        "no form without the link"
    );
    assert_eq!(
        site.get("/setup?token=guess", "").await.status,
        StatusCode::FORBIDDEN
    );

    let first = auth::setup_token(&site.store)
        .await
        .expect("store")
        .expect("no user");
    let token = auth::setup_token(&site.store)
        .await
        .expect("store")
        .expect("no user");
    let old = site.get(&format!("/setup?token={first}"), "").await;
    assert_eq!(
        old.status,
        StatusCode::FORBIDDEN,
        "a new link voids the old one"
    );
    let form = site.get(&format!("/setup?token={token}"), "").await;
    assert!(form.body.contains("name=\"password_again\""));

    let weak = format!("token={token}&username=morgan&password=short&password_again=short");
    let refused = site.post("/setup", &weak, "").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.body.contains("at least 10 characters"),
        "{}",
        refused.body
    );
    let forged = "token=guess&username=m&password=long+enough+1&password_again=long+enough+1";
    assert_eq!(
        site.post("/setup", forged, "").await.status,
        StatusCode::FORBIDDEN
    );

    let cookie = site.set_up().await;
    assert_eq!(site.get("/machines", &cookie).await.status, StatusCode::OK);
    assert_eq!(
        site.get("/setup?token=guess", "").await.location(),
        "/login"
    );
    assert_eq!(auth::setup_token(&site.store).await.expect("store"), None);
}

#[tokio::test]
async fn login_gives_a_new_session_and_logout_and_password_change_end_it() {
    let (site, first) = Site::full().await;
    let wrong = site.login("morgan", "not the password").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let unknown = site.login("nobody", "not the password").await;
    let same = |a: &Answer| a.body.replace("morgan", "X").replace("nobody", "X");
    assert_eq!(
        same(&wrong),
        same(&unknown),
        "nothing tells which names exist"
    );

    // Fixation: a cookie from before the login is not the session afterwards.
    let fixed = "farrier_session=chosen-by-an-attacker";
    let form = format!("username=MORGAN&password={}", PASSWORD.replace(' ', "+"));
    let second = site.post("/login", &form, fixed).await;
    let second_cookie = second.session().expect("logged in");
    assert_ne!(second_cookie, fixed);
    assert_ne!(second_cookie, first);
    assert_eq!(
        site.get("/machines", fixed).await.status,
        StatusCode::SEE_OTHER
    );
    let flags = second.header("set-cookie");
    assert!(
        flags.contains("HttpOnly") && flags.contains("SameSite=Strict"),
        "{flags}"
    );

    let change = format!(
        "current={}&password=another+long+one&password_again=another+long+one",
        PASSWORD.replace(' ', "+")
    );
    let changed = site
        .post("/settings/password", &change, &second_cookie)
        .await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER, "{}", changed.body);
    let third = changed.session().expect("a new session");
    for ended in [&first, &second_cookie] {
        assert_eq!(
            site.get("/machines", ended).await.location(),
            "/login?next=/machines"
        );
    }
    assert_eq!(site.get("/machines", &third).await.status, StatusCode::OK);
    assert_eq!(
        site.login("morgan", PASSWORD).await.status,
        StatusCode::UNAUTHORIZED
    );

    let out = site.post("/logout", "x=1", &third).await;
    assert_eq!(out.location(), "/login");
    assert_eq!(
        site.get("/api/v1/machines", &third).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_login_goes_back_to_the_page_that_was_asked_for_and_nowhere_else() {
    let (site, _) = Site::full().await;
    let turned = site.get("/machines?q=a%26b&state=discovered", "").await;
    assert_eq!(
        turned.location(),
        "/login?next=/machines%3Fq%3Da%2526b%26state%3Ddiscovered"
    );
    for (next, to) in [
        ("/machines%3Fq%3Da", "/machines?q=a"),
        ("//evil.example", "/machines"),
        ("https://evil.example/", "/machines"),
    ] {
        let form = format!(
            "username=morgan&password={}&next={next}",
            PASSWORD.replace(' ', "+")
        );
        assert_eq!(site.post("/login", &form, "").await.location(), to);
    }
}

#[tokio::test]
async fn passwords_cannot_be_tried_at_will_and_nobody_is_locked_out_by_others() {
    let (mut site, _) = Site::full().await;
    let mut checked = 0;
    for _ in 1..=12 {
        let answer = site.login("morgan", "guess").await;
        match answer.status {
            StatusCode::UNAUTHORIZED => checked += 1,
            StatusCode::TOO_MANY_REQUESTS => assert_ne!(answer.header("retry-after"), ""),
            other => panic!("{other}"),
        }
    }
    assert!(
        (1..=10).contains(&checked),
        "{checked} tries at one account were checked"
    );
    site.from = 99;
    let owner = site.login("morgan", PASSWORD).await;
    assert_eq!(owner.status, StatusCode::SEE_OTHER, "from another address");
}

#[tokio::test]
async fn mistyping_the_first_password_does_not_spoil_the_link() {
    let site = Site::empty().await;
    for _ in 0..12 {
        let forged = "token=guess&username=m&password=long+enough+1&password_again=long+enough+1";
        site.post("/setup", forged, "").await;
    }
    let token = auth::setup_token(&site.store).await.expect("store");
    let token = token.expect("no user");
    let form = format!("token={token}&username=morgan&password=long+enough+1&password_again=other");
    let limited = site.post("/setup", &form, "").await;
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    for kept in [token.as_str(), "value=\"morgan\"", "Wait "] {
        assert!(limited.body.contains(kept), "{kept}: {}", limited.body);
    }
    let site = Site::empty().await;
    let token = auth::setup_token(&site.store).await.expect("store");
    let form = form.replace(limited_token(&form), &token.expect("no user"));
    for _ in 0..12 {
        let again = site.post("/setup", &form, "").await;
        assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    site.set_up().await;
}

fn limited_token(form: &str) -> &str {
    let pair = form.split('&').next().expect("a first pair");
    pair.trim_start_matches("token=")
}

#[tokio::test]
async fn a_mistyped_address_gets_a_page_with_a_way_back() {
    let (site, cookie) = Site::full().await;
    for (path, status) in [
        ("/machines?page=abc", StatusCode::BAD_REQUEST),
        ("/machines/abc", StatusCode::NOT_FOUND),
        ("/machines/99", StatusCode::NOT_FOUND),
    ] {
        let answer = site.get(path, &cookie).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body.contains("href=\"/machines\""), "{path}");
    }
    let put = site.send(request(Method::DELETE, "/machines", "", &cookie));
    assert_ne!(put.await.status, StatusCode::OK);
    for (path, page) in [
        ("/settings/password", "/settings"),
        ("/settings/tokens", "/settings"),
        ("/settings/tokens/3/delete", "/settings"),
        ("/machines/1/assign", "/machines/1"),
        ("/logout", "/machines"),
    ] {
        assert_eq!(site.get(path, &cookie).await.location(), page, "{path}");
    }
}

#[tokio::test]
async fn the_description_of_the_api_is_open() {
    let (site, _) = Site::full().await;
    let answer = site.get("/api/v1/openapi.json", "").await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn other_sites_cannot_act_for_a_person() {
    let (site, cookie) = Site::full().await;
    let attempts: [&[(&str, &str)]; 6] = [
        &[],
        &[("origin", "null")],
        &[("origin", "http://evil.example")],
        &[("origin", "http://127.0.0.1:9999")],
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://127.0.0.1:8080"),
        ],
        &[("sec-fetch-site", "same-site")],
    ];
    let form = "unassigned=wait";
    for headers in attempts {
        let mut forged = request(Method::POST, "/settings/default", form, &cookie);
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().expect("name");
            forged
                .headers_mut()
                .insert(name, value.parse().expect("value"));
        }
        assert_eq!(
            site.send(forged).await.status,
            StatusCode::FORBIDDEN,
            "{headers:?}"
        );
    }
    assert_eq!(site.store.site().unassigned.slug(), "silence");
    let own = site.post("/settings/default", form, &cookie).await;
    assert_eq!(own.status, StatusCode::SEE_OTHER);
    assert_eq!(site.store.site().unassigned.slug(), "wait");
}

#[tokio::test]
async fn foreign_names_do_not_reach_the_pages() {
    let (site, cookie) = Site::full().await;
    for (host, status) in [
        ("evil.example", StatusCode::FORBIDDEN),
        ("evil.example:8080", StatusCode::FORBIDDEN),
        ("boot01:8080", StatusCode::OK),
        ("localhost:8080", StatusCode::OK),
        ("[::1]:8080", StatusCode::OK),
    ] {
        let mut asked = request(Method::GET, "/machines", "", &cookie);
        asked
            .headers_mut()
            .insert(header::HOST, host.parse().expect("value"));
        assert_eq!(site.send(asked).await.status, status, "{host}");
    }
}

#[tokio::test]
async fn api_tokens_work_without_a_browser_and_wrong_ones_do_not() {
    let (site, cookie) = Site::full().await;
    let made = site
        .post("/settings/tokens", "name=ci&days=30", &cookie)
        .await;
    let secret = made
        .body
        .split("data-testid=\"token-secret\">")
        .nth(1)
        .and_then(|rest| rest.split('<').next())
        .expect("shown once");
    let with = |token: &str| {
        let mut asked = request(Method::POST, "/settings/default", "unassigned=menu", "");
        let value = format!("Bearer {token}").parse().expect("value");
        asked.headers_mut().insert(header::AUTHORIZATION, value);
        asked
    };
    let wrong = site.send(with("wrong")).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.send(with(secret)).await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.store.site().unassigned.slug(), "menu");
    let again = site.get("/settings", &cookie).await;
    assert!(!again.body.contains(secret), "a token is shown once");
    let id = site.store.tokens().await.expect("store")[0].id;
    site.post(&format!("/settings/tokens/{id}/delete"), "x=1", &cookie)
        .await;
    assert_eq!(
        site.send(with(secret)).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let (site, cookie) = Site::full().await;
    for (path, cookie) in [
        ("/machines", cookie.as_str()),
        ("/nowhere", &cookie),
        ("/login", ""),
        ("/machines", ""),
        ("/api/v1/machines", ""),
        ("/favicon.ico", ""),
    ] {
        let answer = site.get(path, cookie).await;
        let csp = answer.header("content-security-policy");
        assert!(csp.contains("default-src 'self'") && csp.contains("frame-ancestors 'none'"));
        assert!(!csp.contains("unsafe"), "{csp}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_ne!(answer.header("cache-control"), "", "{path}");
    }
}

/// Every route of the table, by a stranger and by a person.
#[tokio::test]
async fn the_route_table_is_closed_to_strangers() {
    let (site, cookie) = Site::full().await;
    let public = ["/login", "/setup", "/static/{hash}/{file}", "/favicon.ico"];
    for (route, methods, _) in ui::table() {
        let path = route
            .replace("/tokens/{id}", "/tokens/1")
            .replace("{id}", "1")
            .replace("/uploads/file", "/uploads/file?name=configs/core/sw1.cfg")
            .replace(
                "/uploads/content",
                "/uploads/content?name=configs/core/sw1.cfg",
            )
            .replace("/rules/{name}", "/rules/rack-10")
            .replace("{kind}", "template")
            .replace("{mac}", "52-54-00-a1-17-10")
            .replace("{name}", "debian-12")
            .replace("{hash}", "0")
            .replace("{file}", "farrier.css");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let ask = |cookie: &str| {
                let method = method.parse().expect("method");
                let mut asked = request(method, &path, "", cookie);
                let origin = "http://127.0.0.1:8080".parse().expect("value");
                asked.headers_mut().insert(header::ORIGIN, origin);
                asked
            };
            let stranger = site.send(ask("")).await;
            if !public.contains(&route) {
                let to_login = stranger.location().starts_with("/login");
                let turned_away = to_login || stranger.status == StatusCode::UNAUTHORIZED;
                assert!(turned_away, "{method} {path}: {}", stranger.status);
            }
            if !methods.contains(&method) {
                let person = site.send(ask(&cookie)).await;
                // Who loads an action's address again gets to the page it belongs to.
                let expected = match method {
                    "GET" => StatusCode::SEE_OTHER,
                    _ => StatusCode::METHOD_NOT_ALLOWED,
                };
                assert_eq!(person.status, expected, "{method} {path}");
            }
        }
        if methods.contains(&"GET") {
            let person = site.get(&path, &cookie).await;
            assert!(person.status.as_u16() < 400, "{path}: {}", person.status);
        }
    }
    assert_eq!(site.store.machines().len(), 9, "asking changed nothing");
}

#[tokio::test]
async fn the_pages_of_an_empty_site_help_on() {
    let site = Site::empty().await;
    let cookie = site.set_up().await;
    let machines = site.get("/machines", &cookie).await;
    for policy in ["silence", "wait", "menu"] {
        let hook = format!("data-testid=\"default-{policy}\"");
        assert!(machines.body.contains(&hook), "{policy}");
    }
    for path in [
        "/profiles",
        "/rules",
        "/rules/new",
        "/images",
        "/boots",
        "/status",
        "/settings",
        "/profiles/new",
        "/machines/new",
    ] {
        let answer = site.get(path, &cookie).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(answer.body.contains("<main"), "{path}");
    }
    let unseen = site.get("/m/52-54-00-99-99-99", &cookie).await;
    assert_eq!(unseen.status, StatusCode::NOT_FOUND);
    assert!(unseen.body.contains("Not seen yet"));
    let nowhere = site.get("/nowhere", &cookie).await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    assert!(nowhere.body.contains("href=\"/machines\""), "a way back");
}

#[tokio::test]
async fn pages_have_no_inline_script_or_style_and_nothing_from_elsewhere() {
    let (site, cookie) = Site::full().await;
    for path in [
        "/machines",
        "/machines/1",
        "/machines/new",
        "/profiles",
        "/profiles/debian-12",
        "/profiles/new",
        "/rules",
        "/rules/rack-10",
        "/images",
        "/boots?all=1",
        "/status",
        "/settings",
        "/m/52-54-00-99-99-99",
    ] {
        let body = site.get(path, &cookie).await.body;
        let scripts = body.matches("<script").count();
        assert_eq!(
            scripts,
            body.matches("src=\"/static/").count() - 1,
            "{path}: img and scripts"
        );
        for inline in [" style=", "<style", " onclick=", " onload=", "javascript:"] {
            assert!(!body.contains(inline), "{path}: {inline}");
        }
        for attribute in ["src=\"http", "href=\"http", "action=\"http"] {
            assert!(!body.contains(attribute), "{path}: {attribute}");
        }
        assert_eq!(body.matches("<h1").count(), 1, "{path}: one heading");
    }
}

#[tokio::test]
async fn static_files_are_cached_by_their_content() {
    let (site, cookie) = Site::full().await;
    let page = site.get("/machines", &cookie).await.body;
    let css = page
        .split('"')
        .find(|part| part.starts_with("/static/") && part.ends_with(".css"))
        .expect("linked");
    let current = site.get(css, "").await;
    assert_eq!(current.status, StatusCode::OK);
    assert!(current.header("cache-control").contains("immutable"));
    let old = site.get("/static/000000000000/farrier.css", "").await;
    assert_eq!(old.header("cache-control"), "no-cache");
    assert_eq!(
        site.get("/static/0/../../etc/passwd", "").await.status,
        StatusCode::NOT_FOUND
    );
}
