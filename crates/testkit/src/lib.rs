//! What the other side of the wire does: pretend firmware, packets and captures. For tests only.
//!
//! Written apart from the rooms under test, from captures and protocol descriptions, so that a
//! shared mistake does not cancel out: nothing here uses `proxydhcp`.

pub mod fixtures;
pub mod hex;
pub mod packet;
pub mod pcap;
pub mod site;
