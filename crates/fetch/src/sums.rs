//! Lists of checksums: `SHA256SUMS` as coreutils write them, `CHECKSUM` as the BSDs do.

use crate::order::is_sha256;
use std::collections::BTreeSet;

/// The SHA-256 of a file in a list. `path` is how the list may call it: below its own directory if
/// that is known, else by its last part alone.
///
/// # Errors
/// For people: there is no line, or there are several that differ.
pub(crate) fn find(list: &str, path: &str) -> Result<String, String> {
    let lines: Vec<(&str, String)> = list.lines().filter_map(line).collect();
    if lines.is_empty() {
        return Err("this is no list of SHA-256 checksums".to_owned());
    }
    let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let of = |fits: &dyn Fn(&str) -> bool| -> BTreeSet<&String> {
        let fitting = lines.iter().filter(|(name, _)| fits(name));
        fitting.map(|(_, sum)| sum).collect()
    };
    let exact = of(&|name| name == path);
    let found = match exact.is_empty() {
        false => exact,
        true => of(&|name| last(name) == last(path)),
    };
    match (found.len(), found.first()) {
        (1, Some(sum)) => Ok((*sum).clone()),
        (0, _) => Err(format!("it has no line for {}", last(path))),
        _ => Err(format!(
            "it has several lines for {} that differ",
            last(path)
        )),
    }
}

/// Name and checksum of one line.
fn line(line: &str) -> Option<(&str, String)> {
    let line = line.trim();
    let (name, sum) = match line.strip_prefix("SHA256 (") {
        Some(rest) => rest.rsplit_once(") = ")?,
        None => {
            let (sum, name) = line.split_once(char::is_whitespace)?;
            // An asterisk says that it was read as octets.
            let name = name.trim_start();
            (name.strip_prefix('*').unwrap_or(name), sum)
        }
    };
    let sum = sum.to_ascii_lowercase();
    let name = name.strip_prefix("./").unwrap_or(name);
    (is_sha256(&sum) && !name.is_empty()).then_some((name, sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_distributions_write_them() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let upper = "A".repeat(64);
        for (list, path, expected) in [
            (format!("{a}  x.iso\n{b} *y.iso\n"), "x.iso", Some(&a)),
            (format!("{a}  x.iso\r\n{b} *y.iso\r\n"), "y.iso", Some(&b)),
            (
                format!("# x\nSHA256 (x.iso) = {upper}\nSHA512 (x.iso) = {b}{b}"),
                "x.iso",
                Some(&a),
            ),
            (
                format!("{a}  ./netboot/linux\n{b}  ./gtk/linux\n"),
                "gtk/linux",
                Some(&b),
            ),
            (
                format!("{a}  ./netboot/linux\n{b}  ./gtk/linux\n"),
                "linux",
                None,
            ),
            (
                format!("{a}  one/linux\n{a}  two/linux\n"),
                "linux",
                Some(&a),
            ),
            (format!("{a}  x.iso.torrent\n"), "x.iso", None),
            (format!("{a}  other.iso\n"), "x.iso", None),
            (format!("{}  x.iso\n", "a".repeat(32)), "x.iso", None),
            ("<html>x.iso</html>".to_owned(), "x.iso", None),
        ] {
            assert_eq!(find(&list, path).ok().as_ref(), expected, "{list} {path}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let list = format!("{}  y.iso\n", "a".repeat(64));
        let told = find(&list, "d/x.iso").expect_err("not there");
        assert_eq!(told, "it has no line for x.iso");
        assert!(find("", "x.iso").expect_err("empty").contains("no list"));
    }
}
