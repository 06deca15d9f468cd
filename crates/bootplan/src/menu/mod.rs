//! Boot menus, rendered from one [`Decision`] into the three languages loaders speak.

use crate::{BootClient, Decision, Endpoint, Platform};

/// Which text is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// An iPXE script for one machine.
    Ipxe,
    /// A PXELINUX configuration for one machine.
    Pxelinux,
    /// A GRUB configuration for one machine.
    Grub,
}

/// Renders what this client is served. Deterministic; LF line endings; ASCII only.
///
/// `round` counts the questions of a waiting machine, from 0.
pub fn render(
    language: Language,
    client: &BootClient,
    decision: &Decision,
    server: &Endpoint,
    round: u32,
) -> String {
    let _ = (language, client, decision, server, round);
    String::new()
}

/// The script that every iPXE is sent first: it finds out its own MAC, UUID and hardware and
/// chains to the script of that machine by absolute URL.
pub fn ipxe_bootstrap(server: &Endpoint) -> String {
    let _ = server;
    String::new()
}

/// The configuration that every GRUB is sent first: it sources the one of its own MAC.
pub fn grub_bootstrap(server: &Endpoint) -> String {
    let _ = server;
    String::new()
}

/// The boot-plane names that the default entry makes the loader fetch from us, in order; empty
/// when there is none. For [`EventKind::MenuServed`](crate::EventKind::MenuServed).
pub fn default_files(decision: &Decision, platform: Option<Platform>) -> Vec<String> {
    let _ = (decision, platform);
    Vec::new()
}
