//! Events in words: one line per event, for timelines and the feed.

use super::frame::Stamp;
use bootplan::timeline::{BootAttempt, Milestone};
use bootplan::{Event, EventKind, Intent, RunState, Timestamp, TransferStats, Transport};
use std::fmt;

/// One event as a line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Which protocol: a CSS class (`dhcp`, `tftp`, `http`, `people`, `net`).
    pub(crate) class: &'static str,
    /// The same for people.
    pub(crate) plane: &'static str,
    /// What happened.
    pub(crate) what: String,
    /// The page of what came of it: an upload.
    pub(crate) href: Option<String>,
    /// Because of what, or where.
    pub(crate) why: String,
    /// Size, duration and rate.
    pub(crate) extra: String,
    /// How a transfer went over the wire: options agreed on, round trip, repeats.
    pub(crate) details: String,
    /// Quiet: what firmware does in every healthy boot.
    pub(crate) quiet: bool,
    /// Something to look at.
    pub(crate) bad: bool,
    /// When.
    pub(crate) at: Stamp,
    /// Offset from the beginning of the boot.
    pub(crate) offset: String,
}

/// One boot, ready to show.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Stable over updates: when it began.
    pub(crate) key: i64,
    /// When it began.
    pub(crate) started: Stamp,
    /// When it began, relative.
    pub(crate) ago: Stamp,
    /// How far it came and, if it stopped, where.
    pub(crate) summary: String,
    /// How far it has come.
    pub(crate) steps: Vec<Step>,
    /// The furthest step in words, for screen readers and narrow screens.
    pub(crate) reached: &'static str,
    /// Its events, oldest first.
    pub(crate) lines: Vec<Line>,
}

/// One milestone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Whether it was reached.
    pub(crate) done: bool,
}

impl Attempt {
    /// Puts one boot into words.
    pub(crate) fn new(attempt: &BootAttempt, now: Timestamp) -> Self {
        let start = attempt.started;
        let mut told = String::new();
        let lines = attempt.events.iter().map(|e| {
            let mut line = line(e, now);
            line.offset = offset(e.at.0 - start.0);
            line.at = Stamp::clock(e.at);
            // One boot mostly has one reason: it is said where it changes.
            match line.why == told {
                true => line.why.clear(),
                false if !line.quiet && !line.bad && !line.why.is_empty() => {
                    told.clone_from(&line.why)
                }
                false => {}
            }
            line
        });
        Attempt {
            key: start.0,
            started: Stamp::clock(start),
            ago: Stamp::ago(start, now),
            summary: printable(&attempt.summary()),
            steps: MILESTONES
                .iter()
                .map(|(m, name)| Step {
                    name,
                    done: *m <= attempt.milestone,
                })
                .collect(),
            reached: MILESTONES
                .iter()
                .find(|(m, _)| *m == attempt.milestone)
                .map_or("", |(_, name)| name),
            lines: lines.collect(),
        }
    }
}

/// Puts one event into words.
pub(crate) fn line(event: &Event, now: Timestamp) -> Line {
    let told = tell(&event.kind);
    Line {
        class: told.class,
        plane: plane_name(told.class),
        what: printable(&told.what),
        href: told.href,
        why: printable(&told.why),
        extra: printable(&told.extra),
        details: told.details,
        quiet: told.quiet,
        bad: told.bad,
        at: Stamp::ago(event.at, now),
        offset: String::new(),
    }
}

#[derive(Default)]
struct Told {
    class: &'static str,
    what: String,
    href: Option<String>,
    why: String,
    extra: String,
    details: String,
    quiet: bool,
    bad: bool,
}

fn tell(kind: &EventKind) -> Told {
    match kind {
        EventKind::Offered {
            stage,
            platform,
            file,
            because,
            ..
        } => Told {
            class: "dhcp",
            what: match file.is_empty() {
                true => format!("Answered {stage} on {platform}"),
                false => format!("Offered {file} to {stage} on {platform}"),
            },
            why: reason(because),
            ..Told::default()
        },
        EventKind::NotOffered {
            stage,
            platform,
            arch,
            because,
        } => Told {
            class: "dhcp",
            what: match (platform, arch) {
                (Some(platform), _) => format!("Left {stage} on {platform} unanswered"),
                (None, Some(code)) => format!("Left {stage} unanswered (architecture {code})"),
                (None, None) => format!("Left {stage} unanswered"),
            },
            why: reason(because),
            quiet: !because.is_fault(),
            bad: because.is_fault(),
            ..Told::default()
        },
        EventKind::BootServerAck { stage, file } => Told {
            class: "dhcp",
            what: format!("Named {file} to {stage} again (port 4011)"),
            ..Told::default()
        },
        EventKind::MenuServed {
            stage,
            transport,
            intent,
            profile,
            because,
            ..
        } => Told {
            class: transport_class(*transport),
            what: match (intent, profile) {
                (Some(Intent::Queue), _) => "Told to wait for its turn".to_owned(),
                (Some(Intent::Wait), _) => "Told to wait for an assignment".to_owned(),
                (Some(Intent::Menu), _) => format!("Showed the boot menu in {stage}"),
                (None, _) => "Sent to its local disk".to_owned(),
                (_, Some(profile)) => format!("Sent the {stage} menu for {profile}"),
                (Some(Intent::Assigned), None) => format!("Sent the {stage} menu"),
            },
            why: reason(because),
            ..Told::default()
        },
        EventKind::FileServed {
            transport,
            path,
            bytes,
            millis,
            transfer,
        } => Told {
            class: transport_class(*transport),
            what: format!("Sent {path}"),
            why: complaint(transfer, *bytes),
            bad: !complaint(transfer, *bytes).is_empty(),
            extra: amount(*bytes, *millis),
            details: details(transfer),
            ..Told::default()
        },
        EventKind::FileFailed {
            transport,
            path,
            reason,
            normal,
            bytes,
            millis,
            transfer,
        } => Told {
            class: transport_class(*transport),
            what: match normal {
                true => format!("Asked for {path}"),
                false => format!("Did not get {path}"),
            },
            why: match complaint(transfer, *bytes) {
                said if said.is_empty() => reason.clone(),
                said => format!("{reason}; {said}"),
            },
            extra: match bytes {
                0 => String::new(),
                _ => amount(*bytes, *millis),
            },
            details: details(transfer),
            quiet: *normal,
            bad: !normal,
            ..Told::default()
        },
        EventKind::FileStored {
            transport,
            path,
            bytes,
            millis,
            version,
            transfer,
            ..
        } => Told {
            class: transport_class(*transport),
            what: format!("Stored {path}"),
            href: Some(super::uploads::address(path, version)),
            extra: amount(*bytes, *millis),
            details: details(transfer),
            ..Told::default()
        },
        EventKind::UploadFailed {
            transport,
            path,
            reason,
            ..
        } => Told {
            class: transport_class(*transport),
            what: format!("Could not store {path}"),
            why: reason.clone(),
            bad: true,
            ..Told::default()
        },
        EventKind::AnswerServed {
            name,
            attempt,
            bytes,
        } => Told {
            class: "http",
            what: format!("Fetched its answer {name}"),
            extra: bootplan::timeline::human_size(*bytes),
            why: match attempt {
                0 => String::new(),
                attempt => format!("try {attempt}"),
            },
            ..Told::default()
        },
        EventKind::AnswerRefused { name, reason } => Told {
            class: "http",
            what: format!("Answer {name} refused"),
            why: reason.clone(),
            bad: true,
            ..Told::default()
        },
        EventKind::UnknownCard { what, card } => Told {
            class: "http",
            what: match card {
                Some(card) => format!("{what}: asked from the card {card}, which no machine has"),
                None => format!("{what}: asked from an address whose card is not known"),
            },
            ..Told::default()
        },
        EventKind::Discovered { platform } => Told {
            class: "net",
            what: match platform {
                Some(platform) => format!("Seen for the first time: {platform}"),
                None => "Seen for the first time".to_owned(),
            },
            ..Told::default()
        },
        EventKind::Assigned { profile, by } => Told {
            class: "people",
            what: match profile {
                Some(profile) => format!("Assigned to {profile}"),
                None => "Assignment taken away".to_owned(),
            },
            why: format!("by {by}"),
            ..Told::default()
        },
        EventKind::Changed { what, by } => Told {
            class: "people",
            what: capitalised(what),
            why: format!("by {by}"),
            ..Told::default()
        },
        EventKind::RunChanged { state, .. } => Told {
            class: "people",
            what: kind.headline(),
            bad: matches!(state, RunState::Held { .. } | RunState::Failed { .. }),
            ..Told::default()
        },
        EventKind::IdentityConflict { mac, machines } => Told {
            class: "people",
            what: format!("Whose address is {mac}?"),
            href: Some("/conflicts".to_owned()),
            why: format!(
                "it may be that of {}; a person has to say",
                machines.join(" or ")
            ),
            bad: true,
            ..Told::default()
        },
        EventKind::Powered {
            action,
            way,
            state,
            problem,
            by,
        } => Told {
            class: "people",
            what: {
                let way = way.map(|way| format!(" by {way}")).unwrap_or_default();
                let end = match (problem, state) {
                    (Some(_), _) => " failed".to_owned(),
                    (None, Some(state)) => format!(": {state}"),
                    (None, None) => String::new(),
                };
                capitalised(&format!("{action}{way}{end}"))
            },
            why: match problem {
                Some(problem) => format!("{problem}; asked by {by}"),
                None => format!("by {by}"),
            },
            bad: problem.is_some(),
            ..Told::default()
        },
        EventKind::HookFailed { hook, events, why } => Told {
            class: "net",
            what: format!("Hook '{hook}': {events} events given up"),
            why: why.clone(),
            bad: true,
            ..Told::default()
        },
        EventKind::ImageFetched {
            image,
            from,
            verified,
            problem,
            by,
            ..
        } => Told {
            class: "people",
            what: match problem {
                None => format!("Image {image} fetched"),
                Some(_) => format!("Image {image} could not be fetched"),
            },
            why: match (problem, verified) {
                (Some(problem), _) => format!("{problem}; wanted by {by}"),
                (None, Some(verified)) => format!("from {from} by {by}; verified by {verified}"),
                (None, None) => format!("from {from} by {by}; not verified"),
            },
            bad: problem.is_some(),
            ..Told::default()
        },
        EventKind::ForeignServer { server, boots } => Told {
            class: "net",
            what: match boots {
                true => format!("Another boot server answers here: {server}"),
                false => format!("DHCP server of this network: {server}"),
            },
            bad: *boots,
            quiet: !boots,
            ..Told::default()
        },
    }
}

/// What the numbers of a transfer say about the way to the client; empty when it was sound.
fn complaint(transfer: &Option<TransferStats>, bytes: u64) -> String {
    let Some(stats) = transfer else {
        return String::new();
    };
    let Some(said) = stats.complaint(bytes) else {
        return String::new();
    };
    // A far client is slow without any fault: with the round trip people see which of the two it is.
    match stats.round_trip_micros {
        Some(micros) => format!("{said} (round trip {:.1} ms)", micros as f64 / 1e3),
        None => said,
    }
}

/// "18.0 MB in 4.0 s, 4.5 MB/s".
fn amount(bytes: u64, millis: u64) -> String {
    let took = format!("{} in {}", size(bytes), duration(millis as i64));
    // Of less, most of the time is the asking.
    match bytes >= RATED && millis > 0 {
        true => format!("{took}, {}/s", size(bytes.saturating_mul(1000) / millis)),
        false => took,
    }
}

/// "block size 1468, window 16, round trip 0.4 ms, 43 of 812 windows repeated".
fn details(transfer: &Option<TransferStats>) -> String {
    let Some(stats) = transfer else {
        return String::new();
    };
    let mut said = match stats.windowsize {
        0 => format!("segment size {}", stats.blksize),
        window => format!("block size {}, window {window}", stats.blksize),
    };
    if let Some(micros) = stats.round_trip_micros {
        said += &format!(", round trip {:.1} ms", micros as f64 / 1e3);
    }
    said += &match (stats.windows_repeated, stats.retransmits) {
        (0, 0) => ", nothing repeated".to_owned(),
        // Of an upload the device knows its windows, and we what we said again.
        (0, 1) => ", 1 datagram repeated".to_owned(),
        (0, datagrams) => format!(", {datagrams} datagrams repeated"),
        (windows, _) => format!(", {windows} of {} {} repeated", stats.windows, stats.unit()),
    };
    said
}

/// What happened and because of what, without the "because".
pub(crate) fn reason(because: &impl fmt::Display) -> String {
    because.to_string()
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

fn transport_class(transport: Transport) -> &'static str {
    match transport {
        Transport::Tftp => "tftp",
        Transport::Http => "http",
    }
}

fn plane_name(class: &str) -> &'static str {
    match class {
        "dhcp" => "DHCP",
        "tftp" => "TFTP",
        "http" => "HTTP",
        "people" => "PEOPLE",
        _ => "LAN",
    }
}

/// Text from packets: whatever could steer a terminal or turn the reading direction becomes a
/// visible mark.
pub(crate) fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars()
        .map(|c| if steers(c) { '\u{fffd}' } else { c })
        .collect()
}

/// "1.2 MB", decimal as on data sheets.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        ..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// "340 ms", "1.2 s", "3 min 05 s".
pub(crate) fn duration(millis: i64) -> String {
    match millis {
        ..1000 => format!("{} ms", millis.max(0)),
        1000..60_000 => format!("{:.1} s", millis as f64 / 1e3),
        _ => format!("{} min {:02} s", millis / 60_000, millis / 1000 % 60),
    }
}

fn offset(millis: i64) -> String {
    match millis {
        ..100 => "0.0 s".to_owned(),
        100..60_000 => format!("+{:.1} s", millis as f64 / 1e3),
        _ => format!("+{}:{:02}", millis / 60_000, millis / 1000 % 60),
    }
}

/// Bytes of a transfer from which on its rate says something about the way.
const RATED: u64 = 100_000;
const MILESTONES: [(Milestone, &str); 5] = [
    (Milestone::Asked, "Asked"),
    (Milestone::Loader, "Loader"),
    (Milestone::Menu, "Menu"),
    (Milestone::Kernel, "Kernel"),
    (Milestone::HandedOver, "Handed over"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use bootplan::Because;

    #[test]
    fn sizes_and_durations() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_234_567), "1.2 MB");
        assert_eq!(duration(12), "12 ms");
        assert_eq!(duration(185_000), "3 min 05 s");
        assert_eq!(offset(75_000), "+1:15");
    }

    #[test]
    fn nothing_from_a_packet_steers_the_reader() {
        let shown = printable("a\u{202e}b\x1b]0;x\x07\r\nERROR forged");
        assert_eq!(
            shown,
            "a\u{fffd}b\u{fffd}]0;x\u{fffd}\u{fffd}\u{fffd}ERROR forged"
        );
    }

    #[test]
    fn a_lossy_way_is_told_and_a_sound_one_is_not() {
        let sent = |windows_repeated| {
            tell(&EventKind::FileServed {
                transport: Transport::Tftp,
                path: "a".to_owned(),
                bytes: 18_000_000,
                millis: 4000,
                transfer: Some(TransferStats {
                    blksize: 1468,
                    windowsize: 16,
                    windows: 812,
                    windows_repeated,
                    retransmits: windows_repeated * 9,
                    round_trip_micros: Some(420),
                }),
            })
        };
        let (lossy, sound) = (sent(43), sent(1));
        assert!(lossy.bad && !sound.bad && sound.why.is_empty());
        assert_eq!(
            lossy.why,
            "43 of 812 windows repeated: look at the cable or the MTU (round trip 0.4 ms)"
        );
        assert_eq!(
            lossy.details,
            "block size 1468, window 16, round trip 0.4 ms, 43 of 812 windows repeated"
        );
        assert_eq!(lossy.extra, "18.0 MB in 4.0 s, 4.5 MB/s");
        assert_eq!(amount(300, 2), "300 B in 2 ms");
    }

    #[test]
    fn a_refusal_is_loud_only_when_something_is_wrong() {
        let not_offered = |because| EventKind::NotOffered {
            stage: bootplan::Stage::Firmware,
            platform: Some(bootplan::Platform::EfiX64),
            arch: Some(7),
            because,
        };
        let policy = bootplan::UnassignedPolicy::Silence;
        assert!(tell(&not_offered(Because::SiteDefault { policy })).quiet);
        let missing = Because::LoaderMissing {
            platform: bootplan::Platform::EfiX64,
            loader: bootplan::LoaderKind::Ipxe,
        };
        assert!(tell(&not_offered(missing)).bad);
    }
}
