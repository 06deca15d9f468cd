//! Events in one line each.

use super::EventKind;
use crate::timeline::{human_duration, human_size};
use crate::{ClientClass, Intent, ProfileName, RunState, TransferStats};

impl EventKind {
    /// One line for people: timelines, live feeds, the log.
    pub fn headline(&self) -> String {
        match self {
            EventKind::Offered {
                stage,
                platform,
                class,
                file,
                because,
            } => {
                let http = match class {
                    ClientClass::Pxe => "",
                    ClientClass::Http => " HTTP Boot",
                };
                let file = match file.as_str() {
                    "" => "its own file list".to_owned(),
                    name => printable(name),
                };
                format!("OFFER: {file} ({platform}{http} {stage}), because {because}")
            }
            EventKind::NotOffered {
                stage,
                platform,
                because,
                ..
            } => match platform {
                Some(platform) => format!("no OFFER ({platform} {stage}), because {because}"),
                None => format!("no OFFER ({stage}), because {because}"),
            },
            EventKind::BootServerAck { stage, file } => {
                format!("port 4011: {} ({stage})", printable(file))
            }
            EventKind::MenuServed {
                stage,
                transport,
                intent,
                profile,
                because,
                ..
            } => {
                let about = match (intent, profile) {
                    (Some(Intent::Assigned), Some(profile)) => format!("boot {profile}"),
                    (Some(Intent::Assigned), None) => "boot".to_owned(),
                    (Some(Intent::Queue), _) => "wait for its turn".to_owned(),
                    (Some(Intent::Wait), _) => "wait for an assignment".to_owned(),
                    (Some(Intent::Menu), _) => "choose from the menu".to_owned(),
                    (None, _) => "boot the local disk".to_owned(),
                };
                format!("{transport} {stage} menu: {about}, because {because}")
            }
            EventKind::FileServed {
                transport,
                path,
                bytes,
                millis,
                transfer,
            } => format!(
                "{transport} {} {} in {}{}",
                printable(path),
                human_size(*bytes),
                human_duration(i64::try_from(*millis).unwrap_or(i64::MAX)),
                complaint(transfer, *bytes)
            ),
            EventKind::FileFailed {
                transport,
                path,
                reason,
                bytes,
                transfer,
                ..
            } => format!(
                "{transport} {}: {}{}",
                printable(path),
                printable(reason),
                complaint(transfer, *bytes)
            ),
            EventKind::FileStored {
                transport,
                path,
                bytes,
                millis,
                ..
            } => format!(
                "{transport} upload {} {} in {}",
                printable(path),
                human_size(*bytes),
                human_duration(i64::try_from(*millis).unwrap_or(i64::MAX))
            ),
            EventKind::UploadFailed {
                transport,
                path,
                reason,
                ..
            } => format!(
                "{transport} upload {}: {}",
                printable(path),
                printable(reason)
            ),
            EventKind::AnswerServed { name, bytes, .. } => {
                format!("answer {} {}", printable(name), human_size(*bytes))
            }
            EventKind::AnswerRefused { name, reason } => {
                format!("answer {} refused: {}", printable(name), printable(reason))
            }
            EventKind::UnknownCard { what, card } => match card {
                Some(card) => format!(
                    "{} to the card {card}, which no machine has",
                    printable(what)
                ),
                None => format!("{} to an address whose card is not known", printable(what)),
            },
            EventKind::Discovered { platform } => match platform {
                Some(platform) => format!("seen for the first time ({platform})"),
                None => "seen for the first time".to_owned(),
            },
            EventKind::Assigned {
                profile: Some(profile),
                by,
            } => format!("assigned to {profile} by {}", printable(by)),
            EventKind::Assigned { profile: None, by } => {
                format!("assignment taken away by {}", printable(by))
            }
            EventKind::Changed { what, by } => format!("{} by {}", printable(what), printable(by)),
            EventKind::RunChanged {
                profile,
                state,
                phase,
                tries,
                of,
                by,
                ..
            } => run_headline(profile, state, phase.as_deref(), (*tries, *of), by),
            EventKind::Powered {
                action,
                way,
                state,
                problem,
                by,
            } => {
                let way = way.map(|way| format!(" by {way}")).unwrap_or_default();
                let by = printable(by);
                match (problem, state) {
                    (Some(problem), _) => {
                        format!(
                            "{action}{way} failed, asked by {by}: {}",
                            printable(problem)
                        )
                    }
                    (None, Some(state)) => format!("{action}{way}, asked by {by}: {state}"),
                    (None, None) => format!("{action}{way}, asked by {by}"),
                }
            }
            EventKind::HookFailed { hook, events, why } => format!(
                "hook '{}': {events} events given up: {}",
                printable(hook),
                printable(why)
            ),
            EventKind::ImageFetched {
                image,
                from,
                bytes,
                problem,
                by,
                ..
            } => {
                let (image, from, by) = (printable(image), printable(from), printable(by));
                match problem {
                    None => {
                        let size = human_size(*bytes);
                        format!("image {image} fetched from {from}, {size}, for {by}")
                    }
                    Some(problem) => {
                        let problem = printable(problem);
                        format!("image {image} not fetched from {from}, for {by}: {problem}")
                    }
                }
            }
            EventKind::IdentityConflict { mac, machines } => {
                let names = printable(&machines.join(" or "));
                format!("whose address is {mac}? It may be that of {names}; a person has to say")
            }
            EventKind::ForeignServer { server, boots } => match boots {
                true => format!("another boot server on this network: {server}"),
                false => format!("DHCP server on this network: {server}"),
            },
        }
    }
}

fn run_headline(
    profile: &ProfileName,
    state: &RunState,
    phase: Option<&str>,
    (tries, of): (u8, u8),
    by: &str,
) -> String {
    let by = printable(by);
    match (state, phase) {
        (RunState::Waiting, _) => format!("{profile} waits for its time, by {by}"),
        (RunState::Armed, _) => format!("{profile} begins at the next boot, by {by}"),
        (RunState::Installing, Some(phase)) => format!("{profile}: {}", printable(phase)),
        (RunState::Installing, None) => format!("{profile}: handed over, try {tries} of {of}"),
        (RunState::Installed, _) => format!("{profile} is done, by {by}"),
        (RunState::Failed { why }, _) => format!("{profile} failed: {}", printable(why)),
        (RunState::Held { why }, _) => {
            format!(
                "{profile} is held: {}, by {by}",
                printable(&why.to_string())
            )
        }
        (RunState::Cancelled, _) => format!("{profile} cancelled by {by}"),
    }
}

/// A name that came in a packet, fit for one line of a log.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// What a transfer's numbers say about the way to the client, to be added to a line.
fn complaint(transfer: &Option<TransferStats>, bytes: u64) -> String {
    let said = transfer.and_then(|transfer| transfer.complaint(bytes));
    said.map_or_else(String::new, |said| format!("; {said}"))
}
