//! What the server knows about itself, for the status page and `farrier status`.

use crate::applier::Told;
use crate::config::DhcpMode;
use crate::counters::{PortCounts, Requests};
use crate::foreign::ForeignServers;
use crate::net::interfaces::{Interface, Interfaces};
use bootfiles::{BootFiles, LoaderSet, LoaderStatus};
use proxydhcp::Port;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use store::Store;
use store::journal::EventSink;
use tokio::sync::watch;
use web::people::{
    ForeignServer, InterfaceStatus, LoaderLine, PortRequests, PortStatus, ServerStatus,
};

/// Everything a status is read from; each part belongs to somebody else.
pub(crate) struct StatusSources {
    /// When the program started.
    pub started: SystemTime,
    /// Present interfaces.
    pub interfaces: watch::Receiver<Arc<Interfaces>>,
    /// The sockets, as opened at the start.
    pub ports: Vec<PortStatus>,
    /// nbdkit's ports, while somebody needs them.
    pub nbd: crate::diskless::Ports,
    /// Loaders.
    pub files: Arc<BootFiles>,
    /// Requests by port.
    pub counters: Arc<Requests>,
    /// Event drops.
    pub events: EventSink,
    /// Other servers.
    pub foreign: Arc<ForeignServers>,
    /// Site settings.
    pub store: Store,
    /// Why the present configuration file is not the one in force, if so.
    pub config_fault: Arc<Mutex<Option<String>>>,
    /// What came of the watched directory last.
    pub files_told: Told,
}

impl StatusSources {
    /// The status now.
    pub(crate) fn read(&self) -> ServerStatus {
        let mut ports = self.ports.clone();
        let nbd = self.nbd.lock().expect("no panic while held");
        ports.extend(nbd.values().cloned());
        drop(nbd);
        if let Some(fault) = self
            .config_fault
            .lock()
            .expect("no panic while held")
            .clone()
        {
            ports.push(port("Configuration", "", "failed", &fault));
        }
        let requests = request_rows(&self.counters);
        let mut ignored = BTreeMap::new();
        for (reason, count) in requests.iter().flat_map(|port| &port.ignored) {
            *ignored.entry(reason.clone()).or_default() += count;
        }
        let events = self.events.counts();
        ServerStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started.into(),
            interfaces: interface_rows(&self.interfaces.borrow()),
            ports,
            loaders: self.files.loaders().into_iter().map(loader_line).collect(),
            ignored,
            requests,
            events_dropped: events.dropped,
            events_left_out: events.suppressed,
            events_failed: events.failed,
            foreign_servers: self
                .foreign
                .snapshot()
                .into_iter()
                .map(|(address, heard)| ForeignServer {
                    address: address.to_string(),
                    boots: heard.boots,
                    last_seen: heard.last.into(),
                })
                .collect(),
            unassigned: self.store.catalog().site.unassigned,
            files: self.files_told.lock().expect("no panic while held").clone(),
        }
    }
}

fn request_rows(counters: &Requests) -> Vec<PortRequests> {
    let row = |port: u16, counts: &PortCounts, answered: Option<u64>| {
        let mut ignored = counts.ignored.snapshot();
        ignored.retain(|_, n| *n > 0);
        PortRequests {
            port,
            answered,
            ignored,
        }
    };
    let dhcp =
        |port: Port, counts: &PortCounts| row(port.number(), counts, Some(counts.answered()));
    vec![
        dhcp(Port::Dhcp, &counters.dhcp),
        row(69, &counters.tftp, None),
        dhcp(Port::BootServer, &counters.boot_server),
    ]
}

fn interface_rows(interfaces: &Interfaces) -> Vec<InterfaceStatus> {
    let absent = interfaces.absent().iter().map(|name| InterfaceStatus {
        name: name.clone(),
        address: String::new(),
        serving: false,
        reason: "listed in the configuration, but there is no such interface".to_owned(),
    });
    interfaces
        .iter()
        .map(interface_status)
        .chain(absent)
        .collect()
}

fn interface_status(interface: &Interface) -> InterfaceStatus {
    let addresses: Vec<String> = interface
        .addresses
        .iter()
        .map(|(ip, prefix)| format!("{ip}/{prefix}"))
        .collect();
    InterfaceStatus {
        name: interface.name.clone(),
        address: addresses.join(", "),
        serving: interface.serving.is_ok(),
        reason: interface
            .serving
            .err()
            .unwrap_or("answers boot requests")
            .to_owned(),
    }
}

fn loader_line(loader: LoaderStatus) -> LoaderLine {
    let role = serde_json::to_value(loader.role).unwrap_or_default();
    LoaderLine {
        present: loader.set.is_some(),
        set: match loader.set {
            Some(LoaderSet::Operator) => "local".to_owned(),
            Some(LoaderSet::Packaged) => "packaged".to_owned(),
            None => String::new(),
        },
        size: loader.set.map(|_| loader.size),
        name: loader.name,
        platform: loader.platform.to_string(),
        role: role.as_str().unwrap_or_default().to_owned(),
        version: loader.package,
        how_to_get: loader.problem.unwrap_or_default(),
    }
}

/// A row of the ports table.
pub(crate) fn port(plane: &str, address: &str, state: &str, detail: &str) -> PortStatus {
    PortStatus {
        plane: plane.to_owned(),
        address: address.to_owned(),
        state: state.to_owned(),
        detail: detail.to_owned(),
    }
}

/// What stands in the ports table for the DHCP side.
pub(crate) fn dhcp_rows(mode: DhcpMode) -> Vec<PortStatus> {
    let off = |plane: &str, address: &str| port(plane, address, "off", "switched off by dhcp.mode");
    match mode {
        DhcpMode::Proxy => vec![
            port("proxyDHCP", "0.0.0.0:67", "open", ""),
            port("Boot server", "0.0.0.0:4011", "open", ""),
        ],
        DhcpMode::BootServerOnly => vec![
            off("proxyDHCP", "0.0.0.0:67"),
            port("Boot server", "0.0.0.0:4011", "open", ""),
        ],
        DhcpMode::Off => vec![
            off("proxyDHCP", "0.0.0.0:67"),
            off("Boot server", "0.0.0.0:4011"),
        ],
    }
}
