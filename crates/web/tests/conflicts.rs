//! Whose address it is, by the pages, with forms alone.

mod support;

use bootplan::{MacAddr, MachineId, Timestamp};
use http::StatusCode;
use store::Sighting;
use support::site::{Answer, Site};

const BOARD: &str = "12345678-9abc-def0-1122-334455667788";

fn mac(card: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 9, card])
}

async fn seen(site: &Site, card: u8, board: &str) -> MachineId {
    let sighting = Sighting {
        uuid: board.parse().ok(),
        ..Sighting::of(mac(card), Timestamp(support::now()))
    };
    let seen = site.store.sight(sighting).await.expect("seen");
    seen.machine.machine.id
}

/// A machine that asks by its second card for the first time.
async fn with_question() -> (Site, String, MachineId, MachineId) {
    let (site, cookie) = Site::full().await;
    seen(&site, 1, BOARD).await;
    let node = seen(&site, 1, BOARD).await;
    let card = seen(&site, 2, BOARD).await;
    (site, cookie, node, card)
}

fn notice(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let lines = answer.headers.get_all("set-cookie").iter();
    let mut texts = lines.filter_map(|line| line.to_str().ok());
    let text = texts.find_map(|text| text.strip_prefix("farrier_notice="));
    let text = text.and_then(|text| text.split(';').next());
    text.expect("a word about it").to_owned()
}

#[tokio::test]
async fn a_question_is_shown_where_people_look_and_is_answered_there() {
    let (site, cookie, node, card) = with_question().await;
    let list = site.get("/machines", &cookie).await.body;
    assert!(list.contains("data-testid=\"conflicts\""));
    assert_eq!(list.matches("data-testid=\"row-conflict\"").count(), 1);
    for id in [node, card] {
        let page = site.get(&format!("/machines/{}", id.0), &cookie).await;
        assert!(page.body.contains("data-testid=\"in-conflict\""));
        assert!(page.body.contains("/conflicts#q-02-00-00-00-09-02"));
    }
    let page = site.get("/conflicts", &cookie).await.body;
    assert_eq!(page.matches("data-testid=\"conflict\"").count(), 1);
    assert!(page.contains(&format!("UUID {BOARD}")), "what was said");
    assert!(page.contains("has its UUID") && page.contains("boots its local disk"));
    assert_eq!(page.matches("data-testid=\"settle-is\"").count(), 2);
    assert!(!page.contains("data-testid=\"settle-another\""));

    let here = "/conflicts/02-00-00-00-09-02";
    let nothing = site.post(here, "how=", &cookie).await;
    assert!(notice(&nothing).starts_with("no-"));
    let unnamed = site.post(here, "how=shared&why=", &cookie).await;
    assert!(notice(&unnamed).starts_with("no-"));
    let form = format!("is={}", node.0);
    let answer = site.post(here, &form, &cookie).await;
    assert!(notice(&answer).starts_with("ok-"));
    assert_eq!(answer.location(), "/conflicts");
    assert!(site.store.machine(card).is_none());
    let page = site.get("/conflicts", &cookie).await.body;
    assert!(page.contains("data-testid=\"no-conflicts\""));
    let list = site.get("/machines", &cookie).await.body;
    assert!(!list.contains("row-conflict") && !list.contains("\"conflicts\""));
    let nowhere = site.post("/conflicts/nonsense", &form, &cookie).await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_adapter_is_marked_and_taken_back() {
    let (site, cookie, _, card) = with_question().await;
    for board in 2..4 {
        seen(&site, 1, &BOARD.replacen('1', &board.to_string(), 1)).await;
    }
    let page = site.get("/conflicts", &cookie).await.body;
    assert!(page.contains("3 machines seem to use it"));
    assert!(page.contains("data-testid=\"settle-another\""));
    let form = "how=shared&why=%3Cb%3Edongle";
    let answer = site.post("/conflicts/02-00-00-00-09-02", form, &cookie);
    assert!(notice(&answer.await).starts_with("ok-"));
    assert!(site.store.machine(card).is_none());
    let page = site.get("/conflicts", &cookie).await.body;
    assert!(page.contains("data-testid=\"unshare\"") && !page.contains("<b>dongle"));
    let back = "/conflicts/02-00-00-00-09-02/unshare";
    assert!(notice(&site.post(back, "x=1", &cookie).await).starts_with("ok-"));
    assert!(notice(&site.post(back, "x=1", &cookie).await).starts_with("no-"));
    assert!(site.store.shared_macs().is_empty());
}

#[tokio::test]
async fn machines_are_merged_and_split_on_their_page() {
    let (site, cookie, node, card) = with_question().await;
    let page = format!("/machines/{}", node.0);
    let merge = format!("{page}/merge");
    for other in ["nobody", &node.0.to_string(), ""] {
        let answer = site.post(&merge, &format!("other={other}"), &cookie).await;
        assert!(notice(&answer).starts_with("no-"), "{other}");
    }
    assert!(site.store.machine(card).is_some());
    let other = format!("other={}", mac(2));
    let merged = site.post(&merge, &other, &cookie).await;
    assert!(notice(&merged).starts_with("ok-"));
    let shown = site.get(&page, &cookie).await.body;
    assert!(shown.contains("name=\"mac\" value=\"02:00:00:00:09:02\""));
    let split = format!("{page}/split");
    let none = site.post(&split, "x=1", &cookie).await;
    assert!(notice(&none).starts_with("no-"));
    let form = "mac=02%3A00%3A00%3A00%3A09%3A02";
    let done = site.post(&split, form, &cookie).await;
    assert!(notice(&done).starts_with("ok-"));
    let new = site.get(done.location(), &cookie).await;
    assert_eq!(new.status, StatusCode::OK);
    assert!(!new.body.contains("data-testid=\"split\""), "one card");
    assert_eq!(
        site.store.machine(node).expect("there").machine.macs,
        [mac(1)]
    );
}
