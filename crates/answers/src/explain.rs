//! From an error of the template engine to a fault for people, without any value.
//!
//! The engine's own details are useful and unsafe: "unable to calculate X + Y" prints X and Y,
//! a missing include prints the name it was given, which may be a secret. So what is said comes
//! from the *kind* of the error, from texts of our own ([`Said`]), and from the template's own
//! source at the place, which its author wrote.

use crate::Fault;
use crate::fault::place;
use crate::filters::Said;
use crate::render::TooMuch;
use minijinja::{Error, ErrorKind};
use std::error::Error as _;

/// Turns `error` into a fault. `source_of` gives the text of a template by its name; `whole` is
/// the template that was asked for.
pub(crate) fn explain<'a>(
    error: &Error,
    whole: &str,
    source_of: impl Fn(&str) -> Option<&'a str>,
) -> Fault {
    let inner = innermost(error);
    let name = inner.name().unwrap_or(whole);
    let source = source_of(name).unwrap_or("");
    let (line, column, piece) = match inner.range().and_then(|r| Some((r.start, source.get(r)?))) {
        Some((start, piece)) => {
            let (line, column) = place(source, start);
            (line, column, Some(piece))
        }
        None => {
            let line = inner.line().unwrap_or(1);
            (line, 1, source.lines().nth(line.saturating_sub(1)))
        }
    };
    let excerpt = piece.map(excerpt).filter(|piece| !piece.is_empty());
    Fault::at(name, line, column, sentence(inner, excerpt.as_deref()))
}

/// The error at the bottom of a chain of includes: that is the place to mend.
fn innermost(error: &Error) -> &Error {
    let mut inner = error;
    // Bounded by the engine's recursion limit; the number is for a chain that bites its tail.
    for _ in 0..64 {
        match inner
            .source()
            .and_then(|below| below.downcast_ref::<Error>())
        {
            Some(below) => inner = below,
            None => break,
        }
    }
    inner
}

fn sentence(error: &Error, excerpt: Option<&str>) -> String {
    if let Some(said) = error.source().and_then(|s| s.downcast_ref::<Said>()) {
        return with(said.0, excerpt);
    }
    if has_too_much(error) {
        return format!(
            "the text grows larger than {} bytes",
            crate::render::OUTPUT_LIMIT
        );
    }
    match error.kind() {
        ErrorKind::UndefinedError => match excerpt {
            Some(name) if is_path(name) => format!("`{name}` is not defined"),
            Some(text) => format!("something in `{text}` is not defined"),
            None => "something is not defined".to_owned(),
        },
        // Written by the parser from the template's source; no value exists yet.
        ErrorKind::SyntaxError | ErrorKind::InvalidDelimiter | ErrorKind::BadEscape => error
            .detail()
            .unwrap_or("this is not understood")
            .to_owned(),
        // Names of these stand in the source.
        ErrorKind::UnknownFilter => with("there is no such filter", excerpt),
        ErrorKind::UnknownTest => with("there is no such test", excerpt),
        ErrorKind::UnknownFunction => with(
            "there is no such function here (`secret` exists in sealed answers only)",
            excerpt,
        ),
        ErrorKind::UnknownMethod => with("there is no such method", excerpt),
        ErrorKind::TemplateNotFound => with("there is no snippet by this name", excerpt),
        ErrorKind::OutOfFuel => {
            "this makes more work than a template may: is there a loop without an end?".to_owned()
        }
        ErrorKind::InvalidOperation if error.detail() == Some("recursion limit exceeded") => {
            "includes or macros are nested too deep: does one call itself?".to_owned()
        }
        kind => with(&kind.to_string(), excerpt),
    }
}

/// The bounded writer's refusal stands somewhere in the chain of sources.
fn has_too_much(error: &Error) -> bool {
    let Some(io) = error
        .source()
        .and_then(|s| s.downcast_ref::<std::io::Error>())
    else {
        return false;
    };
    io.get_ref().is_some_and(|inner| inner.is::<TooMuch>())
}

fn with(text: &str, excerpt: Option<&str>) -> String {
    match excerpt {
        Some(excerpt) => format!("{text}: `{excerpt}`"),
        None => text.to_owned(),
    }
}

/// The first line of a piece of source without the braces around it, cut to what a message can
/// hold.
fn excerpt(source: &str) -> String {
    let line = source.trim().lines().next().unwrap_or("");
    let line = line.trim_start_matches("{{").trim_end_matches("}}").trim();
    let mut shown: String = line.chars().take(EXCERPT).collect();
    if shown.len() < line.len() {
        shown.push_str("...");
    }
    shown
}

/// `hostname` or `machine.serial`: an expression that is itself the thing not defined.
fn is_path(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'.')
}

/// Characters of source in a message.
const EXCERPT: usize = 60;
