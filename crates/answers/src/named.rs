//! Which secrets a template names: read out of its text, before anything is known of a machine.

use crate::Fault;
use crate::fault::place;
use bootplan::Secret;
use std::collections::BTreeSet;

/// The names in every `secret('...')` of a text.
///
/// Only written-out names count. What a machine says of itself (its serial number, its product) is
/// not to be trusted, and a name made from such a value, or from a variable, would let it choose
/// the secret that it gets.
///
/// # Errors
/// The first call with something else than a written-out name, or with the name of a secret that
/// is not for answers. Also in a comment or in the text around the code: whoever reads a template
/// must not have to tell these apart.
pub(crate) fn named(template: &str, text: &str) -> Result<BTreeSet<String>, Fault> {
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices(WORD) {
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        let (before, after) = (&text[..at], &text[at + WORD.len()..]);
        if before.ends_with(in_word) {
            continue;
        }
        let Some(arguments) = after.trim_start().strip_prefix('(') else {
            continue;
        };
        let fault = |problem: &str| {
            let (line, column) = place(text, at);
            Fault::at(template, line, column, problem)
        };
        let name = written_out(arguments).ok_or_else(|| fault(NOT_WRITTEN_OUT))?;
        if !Secret::is_for_answers(name) {
            return Err(fault(NOT_FOR_ANSWERS));
        }
        names.insert(name.to_owned());
    }
    Ok(names)
}

/// The text between quotes, if that is all there is before the closing bracket.
fn written_out(arguments: &str) -> Option<&str> {
    let arguments = arguments.trim_start();
    let quote = arguments.chars().next().filter(|c| "'\"".contains(*c))?;
    let (name, rest) = arguments[1..].split_once(quote)?;
    // No escapes: a secret's name has none.
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    let whole = name.bytes().all(plain) && rest.trim_start().starts_with(')');
    whole.then_some(name)
}

const WORD: &str = "secret";
const NOT_WRITTEN_OUT: &str = "the name of a secret is written out, as in secret('root-password-hash'): no value may choose it";
const NOT_FOR_ANSWERS: &str =
    "secrets whose names begin with 'power.' or 'hook.' are for power switches and web hooks only";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_where_they_are_written_out() {
        let names = |text: &str| {
            let names = named("t", text).expect("names only");
            names.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            names("{{ secret('root') }} {{ secret( \"talos.id\" )|yaml }}"),
            "root talos.id"
        );
        assert_eq!(
            names("secret: {{ secret ('a')|sh }} {{ secret\n('a') }}"),
            "a"
        );
        // Another word, a key of a file, an attribute.
        assert_eq!(
            names("my_secret(x) secretary(x) secret: {{ labels.secret }}"),
            ""
        );
        assert_eq!(names(""), "");
    }

    #[test]
    fn nothing_else_chooses_a_secret() {
        for (text, at) in [
            ("{{ secret(machine.serial) }}", "t:1:4"),
            ("x\n  {{ secret(role) }}", "t:2:6"),
            ("{{ secret('a' ~ machine.serial) }}", "t:1:4"),
            ("{{ secret('a'|lower) }}", "t:1:4"),
            ("{{ secret(['a', machine.serial][1]) }}", "t:1:4"),
            ("{{ secret(name='a') }}", "t:1:4"),
            ("{{ secret(('a')) }}", "t:1:4"),
            ("{{ secret('\\x61') }}", "t:1:4"),
            ("{{ secret('é", "t:1:4"),
            ("{{ secret('a') }}{{ secret(secret('a')) }}", "t:1:21"),
            ("{{ secret(", "t:1:4"),
            ("{# secret(x) #}", "t:1:4"),
            ("{{ secret('power.bmc') }}", "t:1:4"),
            ("{{ secret('hook.chat') }}", "t:1:4"),
        ] {
            let fault = named("t", text).expect_err(text).to_string();
            assert!(fault.starts_with(&format!("{at}: ")), "{text}: {fault}");
        }
    }
}
