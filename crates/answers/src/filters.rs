//! The ways from a value into a language, one filter each. A template that uses them can put no
//! second word, key or command anywhere, whatever a machine claims to be.

use data_encoding::BASE64;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};
use std::fmt;

/// Adds our filters to an engine.
pub(crate) fn add_to(engine: &mut Environment<'_>) {
    engine.add_filter("sh", |value: Value| {
        text_of(&value).and_then(|text| sh(&text))
    });
    engine.add_filter("yaml", |value: Value| json(&value));
    engine.add_filter("json", |value: Value| json(&value));
    engine.add_filter("xml", |value: Value| {
        text_of(&value).and_then(|text| xml(&text))
    });
    engine.add_filter("ps", |value: Value| {
        text_of(&value).and_then(|text| ps(&text))
    });
    engine.add_filter("line", |value: Value| text_of(&value).and_then(line));
    engine.add_filter("word", |value: Value| text_of(&value).and_then(word));
    engine.add_filter("b64", |value: Value| {
        text_of(&value).map(|text| BASE64.encode(text.as_bytes()))
    });
    engine.add_filter("password_hash", |value: Value| {
        text_of(&value).and_then(password_hash)
    });
}

/// How a value without a filter is written: truth values as `true` and `false`, and nothing for
/// which a reader would have to guess (a list in Python's style, `None`).
pub(crate) fn write_plain(
    out: &mut Output<'_>,
    _state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if value.is_undefined() {
        // Only `{{ a if b }}` without an else comes here; what is not defined was refused before.
        return Ok(());
    }
    out.write_str(&text_of(value)?).map_err(Error::from)
}

/// How a value is written among a loader's commands: as one plain word, or not at all when it is
/// empty.
pub(crate) fn write_word(
    out: &mut Output<'_>,
    _state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if value.is_undefined() {
        return Ok(());
    }
    let text = text_of(value)?;
    if text.is_empty() {
        return Ok(());
    }
    out.write_str(&word(text)?).map_err(Error::from)
}

/// A text of ours in an error of the engine. Only such texts and the engine's fixed words reach
/// people: the engine's own details may contain values.
#[derive(Debug)]
pub(crate) struct Said(pub(crate) &'static str);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Said {}

/// An error of the engine that says `text` to people.
pub(crate) fn said(text: &'static str) -> Error {
    Error::from(ErrorKind::InvalidOperation).with_source(Said(text))
}

/// The text of a text, number or truth value.
fn text_of(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::String | ValueKind::Number => Ok(value.to_string()),
        // The engine writes True and False, which no installer reads.
        ValueKind::Bool => Ok(value.is_true().to_string()),
        _ => Err(said(
            "a text, a number or true/false is needed here, not a list, map or none",
        )),
    }
}

/// One word of a POSIX shell, in single quotes, in which nothing is special. Line breaks stay:
/// a `preseed` line needs `|line` before it.
fn sh(text: &str) -> Result<String, Error> {
    if text.contains('\0') {
        return Err(said("a shell word cannot contain a NUL character"));
    }
    Ok(format!("'{}'", text.replace('\'', "'\\''")))
}

/// A JSON value, which is a YAML value as well: texts in double quotes, lists and maps in flow
/// style. YAML forbids some characters that JSON allows raw (YAML 1.2, 5.1); they are escaped.
fn json(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let text = serde_json::to_string(value)
        .map_err(|_| said("this value cannot be written as JSON: keys must be texts"))?;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // serde_json has escaped everything below U+0020; the rest is in the basic plane.
        if c.is_control()
            || matches!(
                c,
                '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
            )
        {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Ok(out)
}

/// Text or attribute value of an XML document.
fn xml(text: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", u32::from(c))),
            // XML 1.0, 2.2: no other control character can be written at all.
            c if u32::from(c) < 0x20 || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                return Err(said("XML has no way to write this control character"));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

/// A literal string of PowerShell. It takes four typographic quotes for the plain one, so each
/// is doubled (about_Quoting_Rules).
fn ps(text: &str) -> Result<String, Error> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(said(
            "a line of PowerShell cannot contain control characters",
        ));
    }
    let mut out = String::from("'");
    for c in text.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            out.push(c);
        }
        out.push(c);
    }
    out.push('\'');
    Ok(out)
}

/// The rest of one line: what preseed, kickstart and switches take, which only a line break, or
/// a backslash before one, could leave.
fn line(text: String) -> Result<String, Error> {
    if text.chars().any(char::is_control) {
        return Err(said(
            "this must stay on one line: no line breaks or control characters",
        ));
    }
    if text.ends_with('\\') {
        return Err(said(
            "this must not end with a backslash, which joins lines",
        ));
    }
    Ok(text)
}

/// One word that no shell, loader or kernel takes apart: a host name in kernel arguments, where
/// `web1 init=/bin/sh` would be two arguments (vector R47).
fn word(text: String) -> Result<String, Error> {
    let legal = |c: u8| c.is_ascii_alphanumeric() || b"-._:/@%+=,~".contains(&c);
    if !text.is_empty() && text.bytes().all(legal) {
        Ok(text)
    } else {
        Err(said(
            "this must be one word of letters, digits and -._:/@%+=,~",
        ))
    }
}

/// A password's hash as crypt(3) writes it, passed on as it is: a plain password in its place is
/// a fault, before an installer takes it for a hash that nobody can match.
fn password_hash(text: String) -> Result<String, Error> {
    let legal = |c: u8| c.is_ascii_alphanumeric() || b"./$,=+-_".contains(&c);
    let mut parts = text.strip_prefix('$').unwrap_or("").splitn(2, '$');
    let (id, rest) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let ok = (1..=12).contains(&id.len()) && !rest.is_empty() && text.bytes().all(legal);
    if ok {
        Ok(text)
    } else {
        Err(said(
            "this is no password hash (expected $6$..., $y$... or alike, as `mkpasswd` prints)",
        ))
    }
}

#[cfg(test)]
#[path = "filters/tests.rs"]
mod tests;
