//! Other DHCP and boot servers heard on the LAN: the first thing to know when machines boot
//! something else than they should.

use bootplan::{EventKind, Origin};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};
use store::journal::EventSink;

/// The servers heard so far.
#[derive(Debug, Default)]
pub(crate) struct ForeignServers {
    heard: Mutex<BTreeMap<Ipv4Addr, Heard>>,
}

/// One server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    /// Whether it ever offered boot files.
    pub boots: bool,
    /// When it was last heard.
    pub last: SystemTime,
}

impl ForeignServers {
    /// Notes that a server was heard; an event is made of the first time, of a server that
    /// begins to offer boot files, and of a return after a long silence.
    pub(crate) fn heard(&self, server: Ipv4Addr, boots: bool, events: &EventSink) {
        let now = SystemTime::now();
        let mut all = self.heard.lock().expect("no panic while held");
        if all.len() >= REMEMBERED && !all.contains_key(&server) {
            return;
        }
        let before = all.get(&server).copied();
        let known = before.is_some_and(|b| {
            (b.boots || !boots) && now.duration_since(b.last).is_ok_and(|d| d < FORGOTTEN)
        });
        let boots = boots || before.is_some_and(|b| b.boots);
        all.insert(server, Heard { boots, last: now });
        drop(all);
        if !known {
            events.emit(
                Origin::default(),
                EventKind::ForeignServer { server, boots },
            );
        }
    }

    /// Every server heard.
    pub(crate) fn snapshot(&self) -> BTreeMap<Ipv4Addr, Heard> {
        self.heard.lock().expect("no panic while held").clone()
    }
}

/// Option 54 can be forged: a flood of invented servers must not fill memory.
const REMEMBERED: usize = 64;
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);
