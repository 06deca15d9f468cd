//! The program as it is installed, in a LAN of its own: the real binary, real sockets, real signals.
//!
//! Each test makes the network namespaces it needs, so these tests need root; without it they fail
//! and say so. Nothing of the host's own network is touched.

mod boot;
mod canary;
mod cli;
mod common;
mod dhcp;
mod diskless;
mod files;
mod http_told;
mod identity;
mod images;
mod install_now;
mod interfaces;
mod orders;
mod ports;
mod reach;
mod reload;
mod rules;
mod samples;
mod stop;
mod templates;
mod tftp_clients;
mod tftp_hostile;
mod tftp_image;
mod tftp_published;
mod tftp_sockets;
mod tftp_storm;
mod tftp_told;
mod tftp_uploads;
mod versions;
