//! Sockets: bytes in, a decision, bytes out. Everything that decides is in the sans-io rooms.

pub(crate) mod dhcp;
pub(crate) mod interfaces;
pub(crate) mod listener;
pub(crate) mod owner;
pub(crate) mod pace;
pub(crate) mod tftp;
pub(crate) mod udp;
