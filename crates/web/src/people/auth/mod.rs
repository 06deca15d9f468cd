//! Who is asking: set-up link, login, sessions, API tokens.

mod actor;

pub use actor::{Actor, Via};

/// Sign-in limits and the pending set-up link; lives as long as the program.
#[derive(Default)]
pub(crate) struct Auth {}
