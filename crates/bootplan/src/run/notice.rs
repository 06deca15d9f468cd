//! What an event of the boot network means to a machine's run.

use super::Happening;
use crate::{BootPath, EventKind, Intent, Platform, Profile, menu};

/// What this event of a machine means to its run, which boots `profile`; `None`: nothing.
///
/// Every question begins a boot: none of them comes from an installer. The machine is handed over
/// by the last file of the profile's list, or by the menu when that sends it to other servers.
/// Nothing has to be remembered from one event to the next, so a restart between them loses none.
pub fn happening(
    kind: &EventKind,
    profile: &Profile,
    platform: Option<Platform>,
) -> Option<Happening> {
    let files = menu::boot_files(profile, platform);
    match kind {
        EventKind::MenuServed {
            intent: Some(Intent::Assigned),
            profile: Some(booted),
            ..
        } if files.is_empty() && *booted == profile.name => Some(Happening::HandedOver),
        EventKind::Offered { .. } | EventKind::NotOffered { .. } | EventKind::MenuServed { .. } => {
            Some(Happening::Asked)
        }
        EventKind::FileServed { path, .. } => {
            let path = path.split('?').next().unwrap_or(path);
            let BootPath::Image(name) = BootPath::parse(path.as_bytes()).ok()? else {
                return None;
            };
            let name = format!("images/{name}");
            match files.last()? {
                last if *last == name => Some(Happening::HandedOver),
                _ if files.contains(&name) => Some(Happening::Fetched),
                _ => None,
            }
        }
        EventKind::AnswerServed { attempt, .. } if *attempt > 0 => {
            Some(Happening::Came { attempt: *attempt })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn profile(boot: serde_json::Value) -> Profile {
        let written = json!({"name": "debian-12", "title": "Debian", "boot": boot});
        serde_json::from_value(written).expect("a profile")
    }

    fn event(written: serde_json::Value) -> EventKind {
        serde_json::from_value(written).expect("an event")
    }

    fn served(path: &str) -> EventKind {
        event(
            json!({"event": "file-served", "transport": "http", "path": path, "bytes": 1,
            "millis": 1}),
        )
    }

    fn menu(profile: &str) -> EventKind {
        event(
            json!({"event": "menu-served", "stage": "ipxe", "transport": "http",
            "path": "/boot.ipxe", "intent": "assigned", "profile": profile,
            "because": {"reason": "site-default", "policy": "wait"}}),
        )
    }

    #[test]
    fn the_last_file_hands_over() {
        let linux = profile(json!({"kind": "linux", "kernel": "d/linux", "initrds": ["d/initrd"]}));
        let bare = profile(json!({"kind": "linux", "kernel": "d/linux"}));
        let told = |kind: &EventKind, profile| happening(kind, profile, None);
        assert_eq!(
            told(&served("/images/d/linux"), &linux),
            Some(Happening::Fetched)
        );
        for path in [
            "/images/d/initrd",
            "images/d/initrd",
            "/images/d/initrd?x=1",
        ] {
            assert_eq!(
                told(&served(path), &linux),
                Some(Happening::HandedOver),
                "{path}"
            );
        }
        assert_eq!(
            told(&served("/images/d/linux"), &bare),
            Some(Happening::HandedOver)
        );
        assert_eq!(told(&served("/boot/snponly.efi"), &linux), None);
        assert_eq!(told(&menu("debian-12"), &linux), Some(Happening::Asked));
        let discovered = event(json!({"event": "discovered", "platform": null}));
        assert_eq!(told(&discovered, &linux), None);
        let answered = |attempt| {
            event(json!({"event": "answer-served", "name": "x", "attempt": attempt, "bytes": 1}))
        };
        assert_eq!(
            told(&answered(2), &linux),
            Some(Happening::Came { attempt: 2 })
        );
        assert_eq!(told(&answered(0), &linux), None, "it belongs to no run");
    }

    #[test]
    fn what_others_serve_is_handed_over_by_its_menu() {
        let url = "http://other.example/boot.ipxe";
        let chain = profile(json!({"kind": "chain", "url": url}));
        let told = |kind: &EventKind| happening(kind, &chain, None);
        assert_eq!(told(&menu("debian-12")), Some(Happening::HandedOver));
        assert_eq!(told(&menu("another")), Some(Happening::Asked));
        assert_eq!(told(&served("/images/d/linux")), None);
    }
}
