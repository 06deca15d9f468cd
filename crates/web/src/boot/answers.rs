//! What a machine's link opens: `GET /a/LINK/NAME`, `POST /a/LINK/report` and `POST /a/LINK/inventory`.
//!
//! A stranger learns nothing here: what is not a link of ours, and what comes from an address that
//! is known to be another machine's, is absent. A card that no machine has may be the machine's own
//! (PXE by one card, the installer by another or by a bridge): it is served, and the timeline says so. Only the holder of a link that was good once is
//! told that it is over (410). The link itself stands in no event, log or transfer.

use super::respond::{Response, TEXT, body_for, refusal, set, whole};
use super::{Exchange, request};
use answers::links::{self, LinkFault, LinkKey};
use answers::{Case, Links, SecretBook, Secrets, standing};
use bootplan::run::Report;
use bootplan::{
    Answer, Because, BootClient, Catalog, EventKind, Hardware, Intent, LinkPurpose, MacAddr,
    Machine, MachineState, Outcome, Profile, Stage, Timestamp, Uses, VerifiedLink, decide,
    identity,
};
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use store::Heard;

/// A path below `/a/`, taken apart; `None` for every other path.
pub(super) struct Wanted<'p> {
    link: &'p str,
    name: &'p str,
}

impl<'p> Wanted<'p> {
    pub(super) fn parse(path: &'p str) -> Option<Self> {
        let (link, name) = path.strip_prefix("/a/")?.split_once('/')?;
        Some(Wanted { link, name })
    }
}

/// Why a request gets nothing.
enum Denied {
    /// Nobody may know why: 404.
    Absent,
    /// The holder of a good link may: 410.
    Gone(String),
    /// Not now; the machine may try again.
    Failed(&'static str),
    /// Not at all, until a person mends it: installers repeat a 503 for long.
    Broken,
}

impl Exchange {
    /// An answer, by its link.
    pub(super) async fn fetch(self, wanted: Wanted<'_>, method: &Method) -> Response {
        let name = request::printable(wanted.name);
        let given = self.verified(LinkPurpose::Answers, wanted.link);
        let (mac, result) = match given {
            Ok((link, machine)) => {
                let mac = machine.macs.first().copied();
                let served = self.served(&link, &machine, wanted.name, method).await;
                if served.is_ok() {
                    self.tell_of_card(&machine, &name);
                }
                (mac, served)
            }
            Err((mac, denied)) => (mac, Err(denied)),
        };
        match result {
            Ok((response, event)) => {
                if let Some(event) = event {
                    self.state.events.emit(self.origin(mac), event);
                }
                response
            }
            Err(denied) => self.deny(&name, mac, denied, method),
        }
    }

    /// A machine's own report, or its inventory.
    pub(super) async fn report(self, wanted: Wanted<'_>, body: Incoming) -> Response {
        let method = &Method::POST;
        let given = self.verified(LinkPurpose::Report, wanted.link);
        let (link, machine) = match given {
            Ok(given) => given,
            Err((mac, denied)) => return self.deny(wanted.name, mac, denied, method),
        };
        let mac = machine.macs.first().copied();
        let Some(name) = ["report", "inventory"]
            .into_iter()
            .find(|n| *n == wanted.name)
        else {
            return self.deny("report", mac, Denied::Absent, method);
        };
        self.tell_of_card(&machine, name);
        let read = tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_LIMIT).collect());
        let Ok(Ok(body)) = read.await else {
            return refusal(
                StatusCode::PAYLOAD_TOO_LARGE,
                "at most 64 KiB within 5 seconds\n",
                method,
            );
        };
        if name == "inventory" {
            return self.inventory(&link, mac, &body.to_bytes()).await;
        }
        let Some(report) = form(&body.to_bytes()) else {
            return refusal(
                StatusCode::BAD_REQUEST,
                "expected state=done, state=failed or state=phase\n",
                method,
            );
        };
        match self.state.machines.report(&link, report).await {
            // Again: our first answer got lost, and the installer asks once more.
            Ok(Heard::Stored | Heard::Again) => text_of("noted\n".to_owned(), TEXT, method),
            Ok(Heard::OutOfDate) => {
                let gone = Denied::Gone("the run that it reports of is over".to_owned());
                self.deny("report", mac, gone, method)
            }
            Err(error) => {
                tracing::error!(%error, "a machine's report was not stored");
                self.deny("report", mac, Denied::Failed("try again"), method)
            }
        }
    }

    /// What the machine says that it is made of.
    async fn inventory(&self, link: &VerifiedLink, mac: Option<MacAddr>, body: &[u8]) -> Response {
        let method = &Method::POST;
        let Some(hardware) = Hardware::told(body) else {
            let expected = "expected at most 16 KiB of JSON: cpu, memory_mib, disks, cards\n";
            return refusal(StatusCode::BAD_REQUEST, expected, method);
        };
        match self.state.machines.tell_hardware(link, hardware).await {
            Ok(true) => text_of("noted\n".to_owned(), TEXT, method),
            Ok(false) => {
                let gone = Denied::Gone("the run that it belongs to is over".to_owned());
                self.deny("inventory", mac, gone, method)
            }
            Err(error) => {
                tracing::error!(%error, "a machine's inventory was not stored");
                self.deny("inventory", mac, Denied::Failed("try again"), method)
            }
        }
    }

    /// The link's claims and its machine; otherwise what is known of it, and what to say.
    fn verified(
        &self,
        purpose: LinkPurpose,
        text: &str,
    ) -> Result<(VerifiedLink, Arc<Machine>), (Option<MacAddr>, Denied)> {
        let hint = self.card();
        let absent = || (hint, Denied::Absent);
        let key = self.state.machines.link_key().ok_or_else(absent)?;
        let now = Timestamp::from(SystemTime::now());
        let (link, expired) = match links::verify(&LinkKey::new(key), purpose, text, now) {
            Ok(link) => (link, false),
            Err(LinkFault::Expired(link)) => (link, true),
            Err(LinkFault::Unknown) => return Err(absent()),
        };
        let catalog = self.state.catalog.borrow().clone();
        let machine = catalog.machine(link.machine).ok_or_else(absent)?;
        let mac = machine.macs.first().copied();
        // A link does not travel: an address that is another machine's holds a stolen one.
        if hint.is_some_and(|card| is_another(card, machine, &catalog)) {
            let reason = "the link is another machine's".to_owned();
            let name = "(any)".to_owned();
            let refused = EventKind::AnswerRefused { name, reason };
            self.state.events.emit(self.origin(mac), refused);
            return Err(absent());
        }
        if expired {
            let gone = Denied::Gone("the link has expired".to_owned());
            return Err((mac, gone));
        }
        Ok((link, Arc::clone(machine)))
    }

    /// The card behind the asking address, where the neighbour table knows it.
    fn card(&self) -> Option<MacAddr> {
        let ip = self.ip?;
        self.state.events.neighbours().lookup(ip)
    }

    /// Says in the machine's timeline that a card was let in which is not among its own.
    fn tell_of_card(&self, machine: &Machine, what: &str) {
        let card = self.card().filter(|card| !machine.macs.contains(card));
        if let (Some(card), Some(own)) = (card, machine.macs.first()) {
            let (what, card) = (what.to_owned(), Some(card));
            let told = EventKind::UnknownCard { what, card };
            self.state.events.emit(self.origin(Some(*own)), told);
        }
    }

    async fn served(
        &self,
        link: &VerifiedLink,
        machine: &Arc<Machine>,
        name: &str,
        method: &Method,
    ) -> Result<(Response, Option<EventKind>), Denied> {
        let now = Timestamp::from(SystemTime::now());
        links::admit(link, standing(machine, link.run, now))
            .map_err(|gone| Denied::Gone(gone.to_string()))?;
        let catalog = self.state.catalog.borrow().clone();
        let profile = profile_of(link, machine, &catalog).ok_or(Denied::Absent)?;
        let Some(answer) = profile.answers.iter().find(|a| a.name == name).cloned() else {
            // cloud-init asks for these in any case, and waits for long where there is nothing.
            let nocloud = profile.answers.iter().any(|a| a.name == "meta-data");
            if nocloud && matches!(name, "vendor-data" | "network-config") {
                return Ok((text_of(String::new(), TEXT, method), None));
            }
            return Err(Denied::Absent);
        };
        if answer.is_plain() || (link.run == 0 && answer.sealed) {
            return Err(Denied::Absent);
        }
        let rendered = self
            .rendered(&catalog, machine, &profile, &answer)
            .await
            .map_err(|fault| {
                let reason = fault.to_string();
                let name = name.to_owned();
                let refused = EventKind::AnswerRefused { name, reason };
                let mac = machine.macs.first().copied();
                self.state.events.emit(self.origin(mac), refused);
                Denied::Broken
            })?;
        if method == Method::HEAD {
            return Ok((text_of(rendered, answer.kind.media_type(), method), None));
        }
        if answer.uses == Uses::Once {
            // Noted before the text leaves: a crash costs one more try, never a second reader.
            let first = self.state.machines.use_once(link, name, self.ip).await;
            match first {
                Ok(true) => {}
                Ok(false) => return Err(Denied::Gone("it was for one use".to_owned())),
                Err(error) => {
                    tracing::error!(%error, "the use of a link was not stored");
                    return Err(Denied::Failed("try again"));
                }
            }
        }
        let event = EventKind::AnswerServed {
            name: name.to_owned(),
            attempt: link.try_number,
            bytes: rendered.len() as u64,
        };
        let response = text_of(rendered, answer.kind.media_type(), method);
        Ok((response, Some(event)))
    }

    /// Away from the threads that serve everybody: an answer may take a few milliseconds.
    async fn rendered(
        &self,
        catalog: &Arc<Catalog>,
        machine: &Arc<Machine>,
        profile: &Arc<Profile>,
        answer: &Answer,
    ) -> Result<String, String> {
        let machines = self.state.machines.clone();
        let (catalog, machine, profile) = (
            Arc::clone(catalog),
            Arc::clone(machine),
            Arc::clone(profile),
        );
        let (answer, server) = (answer.clone(), self.server);
        let render = move || {
            let key = machines.link_key().map(LinkKey::new);
            let now = Timestamp::from(SystemTime::now());
            let links = key
                .as_ref()
                .map_or(Links::Hidden, |k| Links::Minted(k, now));
            let secrets = Secrets::Plain(Arc::new(SecretBook::from(machines.secrets())));
            let case = Case::new(&catalog, &machine, &profile, &server, links);
            let made = case.answer(&answer, &secrets);
            made.map(|made| made.text).map_err(|f| f.to_string())
        };
        let rendered = tokio::task::spawn_blocking(render).await;
        rendered.unwrap_or_else(|error| {
            tracing::error!(%error, "rendering an answer failed");
            Err("rendering failed".to_owned())
        })
    }

    fn deny(&self, name: &str, mac: Option<MacAddr>, denied: Denied, method: &Method) -> Response {
        match denied {
            Denied::Absent => self.absent(&format!("a/.../{name}"), mac, "no such link", method),
            Denied::Gone(reason) => {
                let name = name.to_owned();
                let refused = EventKind::AnswerRefused { name, reason };
                self.state.events.emit(self.origin(mac), refused);
                refusal(StatusCode::GONE, "this link is used up or over\n", method)
            }
            Denied::Failed(why) => {
                tracing::warn!(why, "an answer was not served");
                let status = StatusCode::SERVICE_UNAVAILABLE;
                refusal(status, "not now; see the machine's page\n", method)
            }
            Denied::Broken => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                refusal(
                    status,
                    "this answer has a fault; see the machine's page\n",
                    method,
                )
            }
        }
    }
}

/// Whether this card is known to be another machine's. One that was merely discovered and says the
/// same UUID is this one's second card: it asked before anybody could tell. Nor is it known of a
/// card that waits for a person to say whose it is.
fn is_another(card: MacAddr, machine: &Machine, catalog: &Catalog) -> bool {
    let owner = catalog.find(card, None);
    owner.is_some_and(|owner| {
        let doubtful = catalog.doubts().conflicts.contains(&card);
        let second = owner.state == MachineState::Discovered
            && (doubtful || identity::same_uuid(owner.uuid, machine));
        owner.id != machine.id && !second
    })
}

/// Whose answers a link opens: the run's profile, else what the machine boots each time.
fn profile_of(link: &VerifiedLink, machine: &Machine, catalog: &Catalog) -> Option<Arc<Profile>> {
    if link.run != 0 {
        let run = machine.run.as_deref()?;
        return catalog.profile(&run.profile).cloned();
    }
    let mac = machine.macs.first()?;
    let decision = decide(&BootClient::asking(*mac, Stage::Ipxe), catalog);
    match decision.outcome {
        // A run has links of its own.
        _ if matches!(decision.because, Because::Run { .. }) => None,
        Outcome::Boot(plan) if plan.intent == Intent::Assigned => plan.entries.first().cloned(),
        _ => None,
    }
}

fn text_of(text: String, media_type: &'static str, method: &Method) -> Response {
    let length = text.len() as u64;
    let mut response = whole(StatusCode::OK, length, body_for(method, text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

/// `state=done|failed|phase`, `text=` for people, `next=disk`.
fn form(body: &[u8]) -> Option<Report> {
    let body = std::str::from_utf8(body).ok()?;
    let field = |wanted: &str| {
        body.trim_ascii_end()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| decoded(value))
    };
    let said = || {
        let text = field("text").unwrap_or_default();
        let shown = text.trim().chars().filter(|c| !c.is_control());
        shown.take(SAID_LIMIT).collect::<String>()
    };
    match field("state")?.as_str() {
        "done" => Some(Report::Done),
        "failed" => Some(Report::Failed {
            why: match said() {
                empty if empty.is_empty() => "the installer did not say why".to_owned(),
                why => why,
            },
        }),
        "phase" => Some(Report::Phase {
            text: said(),
            to_disk: field("next").as_deref() == Some("disk"),
        }),
        _ => None,
    }
}

/// A form's value: `+` is a space. What is no escape stays as it is, and other octets than UTF-8
/// become question marks: the text is for people.
fn decoded(value: &str) -> String {
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                octets.push((high << 4 | low) as u8);
                rest = &tail[2..];
            }
            (b'+', ..) => octets.push(b' '),
            _ => octets.push(first),
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

const BODY_LIMIT: usize = 64 * 1024;
const BODY_TIME: Duration = Duration::from_secs(5);
/// One line on a page.
const SAID_LIMIT: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read() {
        let phase = |text: &str, to_disk| Report::Phase {
            text: text.to_owned(),
            to_disk,
        };
        let failed = |why: &str| Report::Failed {
            why: why.to_owned(),
        };
        for (body, expected) in [
            ("state=done", Some(Report::Done)),
            ("state=done\r\n", Some(Report::Done)),
            (
                "state=phase&text=a+b%20c&next=disk",
                Some(phase("a b c", true)),
            ),
            ("text=x&state=phase", Some(phase("x", false))),
            ("state=failed&text=100%", Some(failed("100%"))),
            (
                "state=failed",
                Some(failed("the installer did not say why")),
            ),
            ("state=failed&text=%1b[2Jx%0ay", Some(failed("[2Jxy"))),
            ("state=DONE", None),
            ("", None),
            ("done", None),
        ] {
            assert_eq!(form(body.as_bytes()), expected, "{body}");
        }
        let long = format!("state=phase&text={}", "x".repeat(9999));
        assert_eq!(form(long.as_bytes()), Some(phase(&"x".repeat(200), false)));
        assert_eq!(form(b"state=\xff"), None);
    }
}
