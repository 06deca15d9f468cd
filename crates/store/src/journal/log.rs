//! One log line per event.

use crate::StoredEvent;
use bootplan::EventKind;

/// Logs an event: quietly what firmware does in every healthy boot, for people the rest.
pub(crate) fn event(stored: &StoredEvent, machine: Option<&str>) {
    let origin = &stored.event.origin;
    let mac = origin.mac.map(tracing::field::display);
    let ip = origin.ip.map(tracing::field::display);
    let interface = origin.interface.as_deref();
    // The text is only made when it is wanted.
    let kind = &stored.event.kind;
    if is_quiet(kind) {
        tracing::debug!(target: "boot", mac, ip, interface, machine, "{}", kind.headline());
    } else {
        tracing::info!(target: "boot", mac, ip, interface, machine, "{}", kind.headline());
    }
}

fn is_quiet(kind: &EventKind) -> bool {
    matches!(kind, EventKind::FileFailed { normal: true, .. })
}
