//! Rules on the pages: seen through before they are saved, with forms alone.

mod support;

use http::StatusCode;
use support::site::{Answer, Site};

/// The value of the hidden field that says what was seen.
fn seen(answer: &Answer) -> String {
    let rest = answer.body.split("name=\"seen\" value=\"").nth(1);
    let value = rest.and_then(|rest| rest.split('"').next());
    value.expect("the form says what it shows").to_owned()
}

/// The lines of the list of changes, as text.
fn changes(answer: &Answer) -> Vec<String> {
    let rows = answer.body.split("data-testid=\"rule-change\"").skip(1);
    let text = |row: &str| {
        let row = row.split("</tr>").next().unwrap_or_default();
        let row = row.split_once('>').map_or("", |(_, row)| row);
        let mut out = String::new();
        let mut tag = false;
        for c in row.chars() {
            match c {
                '<' => (tag, out) = (true, out + " "),
                '>' => tag = false,
                c if !tag => out.push(c),
                _ => {}
            }
        }
        let words: Vec<&str> = out.split_whitespace().collect();
        words.join(" ").replace("&#39;", "'")
    };
    rows.map(text).collect()
}

const FORM: &str = "name=rack-11&profile=rescue-9&mode=always&enabled=1&label=rack%3D11";

#[tokio::test]
async fn a_rule_is_seen_through_then_saved_then_deleted() {
    let (site, cookie) = Site::full().await;
    // What the sample machines of that rack are assigned would come before any rule.
    for record in site.store.machines() {
        let ids = [record.machine.id];
        site.store
            .assign(&ids, None, "test")
            .await
            .expect("unassigned");
    }
    let form = FORM.replace("rescue-9", "debian-12");
    let preview = site
        .post("/rules/new", &format!("{form}&action=preview"), &cookie)
        .await;
    assert_eq!(preview.status, StatusCode::OK);
    let told = changes(&preview);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].ends_with("profile 'debian-12' rule 'rack-11' gives it profile 'debian-12'"),
        "{told:?}"
    );
    assert!(
        preview
            .body
            .contains("3 machines match; 3 machines would get something else.")
    );
    assert!(
        site.store
            .rules()
            .iter()
            .all(|rule| rule.name.as_str() != "rack-11")
    );

    // Saved at once it is held back, for it changes what nobody was shown; then it is saved.
    let held = site
        .post("/rules/new", &format!("{form}&action=save"), &cookie)
        .await;
    assert_eq!(held.status, StatusCode::OK);
    assert!(held.body.contains("data-testid=\"rule-held\""));
    assert!(
        site.store
            .rules()
            .iter()
            .all(|rule| rule.name.as_str() != "rack-11")
    );
    let saved = site
        .post(
            "/rules/new",
            &format!("{form}&action=save&seen={}", seen(&held)),
            &cookie,
        )
        .await;
    assert_eq!(saved.location(), "/rules");
    let list = site.get("/rules", &cookie).await;
    assert!(list.body.contains("label rack is 11"));

    // An edit that changes nothing for any machine needs no second look.
    let wider = form.replace("name=rack-11&", "") + "%0Arack%3D99&action=save";
    let edited = site.post("/rules/rack-11", &wider, &cookie).await;
    assert_eq!(edited.location(), "/rules", "{}", edited.body);

    let page = site.get("/rules/rack-11", &cookie).await;
    assert!(page.body.contains("rack=11\nrack=99"));
    let blind = site.post("/rules/rack-11/delete", "seen=", &cookie).await;
    assert_eq!(blind.location(), "/rules/rack-11");
    let delete = page
        .body
        .split("/rules/rack-11/delete")
        .nth(1)
        .expect("a form");
    let mark = delete
        .split("value=\"")
        .nth(1)
        .and_then(|v| v.split('"').next());
    let form = format!("seen={}", mark.expect("a mark"));
    let deleted = site.post("/rules/rack-11/delete", &form, &cookie).await;
    assert_eq!(deleted.location(), "/rules");
    let gone = site.get("/rules/rack-11", &cookie).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_wrong_stands_beside_its_field_and_nothing_typed_is_lost() {
    let (site, cookie) = Site::full().await;
    let form = "name=rack-10&profile=gone&subnet=10.1.0.5/16&label=rack%3D11&more=nott:%201";
    let wrong = site.post("/rules/new", form, &cookie).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    for said in [
        "id=\"error-name\"",
        "id=\"error-subnet\"",
        "id=\"error-more\"",
        "rack=11",
        "nott: 1",
    ] {
        assert!(wrong.body.contains(said), "{said}");
    }
    let gone = "name=other&profile=gone&label=rack%3D11";
    let gone = site.post("/rules/new", gone, &cookie).await;
    assert!(
        gone.body
            .contains("There is no profile of this name any more")
    );
}
