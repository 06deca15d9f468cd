//! The server's account of a boot: parsed, checked for order, and told in plain words.

use anyhow::{Context, Result, bail};
use bootplan::{Event, EventKind, Intent, Stage, Transport};
use serde_json::Value;

/// One line of `farrier --json boots --follow`.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    /// The event.
    pub(crate) event: Event,
}

impl Happening {
    /// Reads one line.
    ///
    /// # Errors
    /// When it is no event.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let value: Value =
            serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        // The stored event wraps the event proper.
        let inner = if value["event"].is_object() {
            value["event"].clone()
        } else {
            value
        };
        let event = serde_json::from_value(inner).with_context(|| format!("no event: {line}"))?;
        Ok(Self { event })
    }
}

/// Something that must stand in the timeline of a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The machine was seen for the first time.
    Discovered,
    /// It was offered a boot file whose name ends so.
    Offered(Stage, &'static str),
    /// Port 4011 answered with a boot file whose name ends so.
    BootServerAck(&'static str),
    /// A file whose name ends so was sent whole.
    File(Transport, &'static str),
    /// A menu with this profile as default was served.
    Menu(Stage, Transport, &'static str),
    /// A script that lets it wait was served.
    Waiting(Transport),
    /// Somebody assigned this profile to it.
    Assigned(&'static str),
    /// Its request was left unanswered on purpose.
    NotOffered(Stage),
}

impl Step {
    fn is(&self, kind: &EventKind) -> bool {
        match (self, kind) {
            (Self::Discovered, EventKind::Discovered { .. }) => true,
            (Self::Offered(stage, name), EventKind::Offered { stage: s, file, .. }) => {
                s == stage && file.ends_with(name)
            }
            (Self::BootServerAck(name), EventKind::BootServerAck { file, .. }) => {
                file.ends_with(name)
            }
            (
                Self::File(by, name),
                EventKind::FileServed {
                    transport, path, ..
                },
            ) => transport == by && path.ends_with(name),
            (
                Self::Menu(stage, by, name),
                EventKind::MenuServed {
                    stage: s,
                    transport,
                    profile,
                    ..
                },
            ) => {
                s == stage
                    && transport == by
                    && profile.as_ref().is_some_and(|p| p.as_str() == *name)
            }
            (
                Self::Waiting(by),
                EventKind::MenuServed {
                    transport, intent, ..
                },
            ) => transport == by && *intent == Some(Intent::Wait),
            (Self::Assigned(name), EventKind::Assigned { profile, .. }) => {
                profile.as_ref().is_some_and(|p| p.as_str() == *name)
            }
            (Self::NotOffered(stage), EventKind::NotOffered { stage: s, .. }) => s == stage,
            _ => false,
        }
    }
}

/// Checks that `steps` stand in `events` in this order; other events may stand between.
///
/// # Errors
/// Names the first step that is missing, and tells the whole timeline.
pub(crate) fn in_order(events: &[Event], steps: &[Step]) -> Result<()> {
    let mut rest = events.iter();
    for (number, step) in steps.iter().enumerate() {
        if !rest.any(|e| step.is(&e.kind)) {
            let timeline: Vec<String> = events.iter().map(|e| format!("  {:?}", e.kind)).collect();
            bail!(
                "the server's timeline lacks step {} of {}, {step:?} (in this order: {steps:?}); it has:\n{}",
                number + 1,
                steps.len(),
                timeline.join("\n")
            );
        }
    }
    Ok(())
}

/// One sentence for people, about what is worth telling.
pub(crate) fn tell(kind: &EventKind) -> Option<String> {
    Some(match kind {
        EventKind::Discovered { platform } => {
            let kind = platform.map_or_else(|| "machine".to_owned(), |p| format!("{p} machine"));
            format!("a {kind} that nobody has seen before asks the network")
        }
        EventKind::Offered {
            stage,
            file,
            because,
            ..
        } => {
            format!("its {stage} asks by DHCP; Farrier offers it {file} ({because})")
        }
        EventKind::NotOffered { because, .. } => {
            format!("asks by DHCP; no answer on purpose ({because})")
        }
        EventKind::BootServerAck { file, .. } => format!("asks port 4011 and is told {file} again"),
        EventKind::MenuServed {
            stage,
            transport,
            profile,
            intent,
            ..
        } => {
            let about = match (profile, intent) {
                (_, Some(Intent::Queue)) => "lets it wait for its turn".to_owned(),
                (Some(profile), _) => format!("boots {profile}"),
                (None, Some(Intent::Wait)) => "lets it wait for an assignment".to_owned(),
                (None, Some(_)) => "offers the profiles".to_owned(),
                (None, None) => "sends it to its local disk".to_owned(),
            };
            format!(
                "its {stage} fetches its own menu by {}: {about}",
                by(*transport)
            )
        }
        EventKind::FileServed {
            transport,
            path,
            bytes,
            millis,
            ..
        } => {
            let size = match bytes {
                0..=99_999 => format!("{:.1} kB", *bytes as f64 / 1e3),
                _ => format!("{:.1} MB", *bytes as f64 / 1e6),
            };
            let seconds = *millis as f64 / 1e3;
            format!(
                "has fetched {path} by {} ({size} in {seconds:.1} s)",
                by(*transport)
            )
        }
        EventKind::FileFailed { normal: true, .. } => return None,
        EventKind::FileFailed {
            transport,
            path,
            reason,
            ..
        } => {
            format!("did not get {path} by {}: {reason}", by(*transport))
        }
        EventKind::FileStored {
            transport, path, ..
        } => format!("has stored {path} by {}", by(*transport)),
        EventKind::UploadFailed {
            transport,
            path,
            reason,
            ..
        } => format!("could not store {path} by {}: {reason}", by(*transport)),
        EventKind::RunChanged { .. } | EventKind::Powered { .. } | EventKind::HookFailed { .. } => {
            kind.headline()
        }
        EventKind::AnswerServed { name, .. } => format!("has fetched its answer {name}"),
        EventKind::AnswerRefused { name, reason } => {
            format!("was refused its answer {name}: {reason}")
        }
        EventKind::UnknownCard { .. }
        | EventKind::ImageFetched { .. }
        | EventKind::IdentityConflict { .. } => kind.headline(),
        // Said where the demo does it.
        EventKind::Assigned { .. } => return None,
        EventKind::Changed { .. } => return None,
        EventKind::ForeignServer {
            server,
            boots: true,
        } => {
            format!("hears another boot server: {server}")
        }
        EventKind::ForeignServer {
            server,
            boots: false,
        } => {
            format!("hears the site's DHCP server: {server}")
        }
    })
}

fn by(transport: Transport) -> &'static str {
    match transport {
        Transport::Tftp => "TFTP",
        Transport::Http => "HTTP",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootplan::{Origin, Timestamp};

    fn served(path: &str) -> Event {
        Event {
            at: Timestamp(0),
            origin: Origin::default(),
            kind: EventKind::FileServed {
                transport: Transport::Tftp,
                path: path.to_owned(),
                bytes: 1_500_000,
                millis: 1200,
                transfer: None,
            },
        }
    }

    #[test]
    fn steps_must_stand_in_order_with_anything_between() {
        let events = [served("a"), served("x"), served("b")];
        let step = |name| Step::File(Transport::Tftp, name);
        assert!(in_order(&events, &[step("a"), step("b")]).is_ok());
        for wrong in [
            vec![step("b"), step("a")],
            vec![step("a"), step("a")],
            vec![step("c")],
        ] {
            assert!(in_order(&events, &wrong).is_err(), "{wrong:?}");
        }
        let other = Step::File(Transport::Http, "a");
        let error = in_order(&events, &[other])
            .expect_err("by TFTP only")
            .to_string();
        assert!(error.contains("lacks step 1 of 1"), "{error}");
    }

    #[test]
    fn lines_are_read_wrapped_and_bare() {
        let bare = serde_json::to_string(&served("a")).expect("plain data");
        assert_eq!(Happening::parse(&bare).expect("bare").event, served("a"));
        let wrapped = format!("{{\"id\":7,\"machine\":1,\"event\":{bare}}}");
        assert_eq!(
            Happening::parse(&wrapped).expect("wrapped").event,
            served("a")
        );
        assert!(Happening::parse("{}").is_err());
    }

    #[test]
    fn a_file_is_told_with_size_and_time() {
        assert_eq!(
            tell(&served("linux").kind).expect("worth telling"),
            "has fetched linux by TFTP (1.5 MB in 1.2 s)"
        );
    }
}
