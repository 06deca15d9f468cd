//! Everything spoken over HTTP: the boot plane for machines, pages and API for people. Two
//! routers, two states, two listeners: nothing on the boot network reaches the people's pages.

pub mod api;
pub mod boot;
mod debconf;
pub mod documents;
mod every_boot;
mod images;
mod kept;
pub mod listen;
mod metrics;
mod orders;
pub mod people;
mod review;
mod rules;
mod search;
pub mod transfers;
mod uploads;
mod windows;

pub use orders::NEXT_BOOT_WARNING;
