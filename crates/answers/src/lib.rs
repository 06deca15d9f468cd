//! The texts a machine fetches while it is installed: rendered, checked, and reached by links.
//!
//! An answer file (a preseed, a kickstart, `user-data` ...) is a template that an operator wrote.
//! [`render()`] fills it with the variables of a [`Scope`], each with a visible [`Origin`], within
//! fixed limits of work and size; [`check()`] reads the result as its installer would; [`links`]
//! makes and proves the addresses under which one machine gets it. Every fault says
//! template, line and column, and none ever shows a value: variables may be private, and secrets
//! are.
//!
//! Pure: no clock, no files, no sockets. The time and the keys come in as arguments. A template
//! can read no file, because there is none to read: includes come from a [`Library`] in memory.

mod about;
mod case;
mod check;
mod explain;
mod fault;
mod fill;
mod filters;
pub mod links;
mod named;
mod render;
mod review;
mod scope;
mod secrets;

pub use about::{About, Addresses, Server, Try};
pub use case::{Case, Links, standing, stranger};
pub use check::check;
pub use fault::Fault;
pub use fill::fill;
pub use render::{Document, Library, Material, Rendered, parse, render, render_words};
pub use review::{Asked, Reviewed, review};
pub use scope::{Conflict, GroupLayer, Origin, Resolved, Scope};
pub use secrets::{SecretBook, Secrets};
