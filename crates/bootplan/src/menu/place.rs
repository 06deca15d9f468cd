//! `{{ file('debian/live/filesystem.squashfs') }}` in kernel arguments: the URL of a file below the
//! images directory, by the address of ours that the asking machine reaches.
//!
//! An installer or live system fetches more than its kernel, and is told from where by its
//! arguments; only when the menu is made is it known by which of our addresses.

use crate::{Endpoint, RelPath};

/// The arguments with URLs in place of what asks for them. What is no such thing stays as it is.
pub(super) fn with_urls(args: &str, server: &Endpoint) -> String {
    let mut done = String::with_capacity(args.len());
    let mut rest = args;
    while let Some((before, path, after)) = next(rest) {
        done.push_str(before);
        done.push_str(&format!("{}/images/{path}", server.http_base()));
        rest = after;
    }
    done + rest
}

/// The files below the images directory that a text names like this, also in the middle of an
/// expression. What a template puts together itself cannot be told beforehand.
pub fn files_named(text: &str) -> impl Iterator<Item = &str> {
    text.split("file(").skip(1).filter_map(|rest| {
        let rest = rest.trim_start();
        let quote = rest.chars().next().filter(|c| "'\"".contains(*c))?;
        let (path, _) = rest[1..].split_once(quote)?;
        Some(path)
    })
}

/// The next one that can be understood, with what stands before and behind it.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let starts = text.match_indices("{{").map(|(at, _)| at);
    starts.into_iter().find_map(|at| {
        let (path, after) = call(&text[at + 2..])?;
        Some((&text[..at], path, after))
    })
}

fn call(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start().strip_prefix("file(")?;
    let quote = text.chars().next().filter(|c| "'\"".contains(*c))?;
    let (path, after) = text[1..].split_once(quote)?;
    let after = after.strip_prefix(')')?.trim_start().strip_prefix("}}")?;
    // Needs no escaping in a URL, nor in any menu language.
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.+~/@=".contains(&c);
    let fine = path.bytes().all(plain) && path.parse::<RelPath>().is_ok();
    fine.then_some((path, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn files_become_urls_and_the_rest_stays() {
        let ip = Ipv4Addr::new(10, 0, 0, 2);
        let server = |http_port| Endpoint {
            ip,
            http_port,
            ui_port: 8080,
        };
        for (args, expected) in [
            ("quiet", "quiet"),
            ("", ""),
            ("a={{ file('d/x') }} b", "a=http://10.0.0.2/images/d/x b"),
            ("{{file(\"d.iso\")}}", "http://10.0.0.2/images/d.iso"),
            (
                "a={{ file('d') }},{{ file('e') }}",
                "a=http://10.0.0.2/images/d,http://10.0.0.2/images/e",
            ),
            ("{{ {{ file('d') }}", "{{ http://10.0.0.2/images/d"),
            ("{{ file('../d') }}", "{{ file('../d') }}"),
            ("{{ file('d e') }}", "{{ file('d e') }}"),
            ("{{ file('${net0/mac}') }}", "{{ file('${net0/mac}') }}"),
            ("{{ file('d\") }}", "{{ file('d\") }}"),
            ("{{ file(d) }}", "{{ file(d) }}"),
            ("{{ name }}", "{{ name }}"),
            ("{{ file('d'", "{{ file('d'"),
        ] {
            assert_eq!(with_urls(args, &server(80)), expected);
        }
        let other = with_urls("{{ file('d') }}", &server(8000));
        assert_eq!(other, "http://10.0.0.2:8000/images/d");
    }

    #[test]
    fn the_files_are_told() {
        let args = "a={{ file('d/x') }} {{ other }} {{ file('e.iso') }}";
        assert_eq!(files_named(args).collect::<Vec<_>>(), ["d/x", "e.iso"]);
        let answer = "wget {{ file( \"nos/\" ~ model)|sh }}\n{% set f = file('d/y') %}";
        assert_eq!(files_named(answer).collect::<Vec<_>>(), ["nos/", "d/y"]);
        for nothing in ["quiet", "file(", "file(nos)", "file('d"] {
            assert_eq!(files_named(nothing).count(), 0, "{nothing}");
        }
    }
}
