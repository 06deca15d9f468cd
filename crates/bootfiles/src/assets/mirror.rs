//! Which Debian mirror this host uses, read from its own apt sources, so that no server's name is
//! built in and a site's local mirror or proxy is used.

use std::path::Path;

/// The mirror most likely to carry every Debian suite, from `/etc/apt`.
///
/// A source counts when it has the component `main` and a suite that is a Debian release name;
/// one whose address ends like Debian's own mirrors (`…/debian`) goes before others.
pub(crate) fn find(etc_apt: &Path) -> Option<String> {
    let mut files = vec![etc_apt.join("sources.list")];
    if let Ok(listing) = std::fs::read_dir(etc_apt.join("sources.list.d")) {
        let mut more: Vec<_> = listing.flatten().map(|e| e.path()).collect();
        more.sort();
        files.extend(more);
    }
    let mut found: Vec<String> = Vec::new();
    for path in files {
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        match path.extension().and_then(|e| e.to_str()) {
            Some("list") => found.extend(one_line(&text)),
            Some("sources") => found.extend(deb822(&text)),
            _ => {}
        }
    }
    let like_debian = |uri: &&String| {
        let uri = uri.trim_end_matches('/');
        uri.ends_with("/debian") || uri.contains("/debian/") || uri.contains("debian.list")
    };
    found.iter().find(like_debian).or(found.first()).cloned()
}

/// `deb [options] uri suite component…`
fn one_line(text: &str) -> Vec<String> {
    let source = |line: &str| {
        let line = line.split('#').next().unwrap_or("").trim();
        let rest = line.strip_prefix("deb")?;
        let mut rest = rest.strip_prefix([' ', '\t'])?.trim_start();
        if let Some(options) = rest.strip_prefix('[') {
            rest = options.split_once(']')?.1;
        }
        let words: Vec<&str> = rest.split_whitespace().collect();
        let (uri, suite, components) = (words.first()?, words.get(1)?, words.get(2..)?);
        let fits = is_release(suite) && components.contains(&"main");
        fits.then(|| (*uri).to_owned())
    };
    text.lines().filter_map(source).collect()
}

/// Stanzas of `Types: … URIs: … Suites: … Components: …`, comments left out (apt allows them
/// between the fields).
fn deb822(text: &str) -> Vec<String> {
    let text: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    let source = |stanza: &[&str]| {
        let field = |name: &str| -> Vec<String> {
            let mut words = Vec::new();
            let mut inside = false;
            for line in stanza {
                if line.starts_with([' ', '\t']) {
                    if inside {
                        words.extend(line.split_whitespace().map(str::to_owned));
                    }
                } else if let Some((key, value)) = line.split_once(':') {
                    inside = key.trim().eq_ignore_ascii_case(name);
                    if inside {
                        words.extend(value.split_whitespace().map(str::to_owned));
                    }
                }
            }
            words
        };
        let has = |name: &str, word: &str| field(name).iter().any(|w| w == word);
        let off = ["no", "false", "0", "off"];
        let enabled = !field("Enabled").iter().any(|w| off.contains(&w.as_str()));
        let release = field("Suites").iter().any(|s| is_release(s));
        let fits = enabled && has("Types", "deb") && has("Components", "main") && release;
        fits.then(|| field("URIs").into_iter().next()).flatten()
    };
    text.split(|line| line.trim().is_empty())
        .filter_map(source)
        .collect()
}

/// A whole release; `…-security`, `…-updates` and `…-backports` live at other places or alone.
fn is_release(suite: &str) -> bool {
    RELEASES.contains(&suite)
}

const RELEASES: [&str; 9] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "sid",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(files: &[(&str, &str)]) -> Option<String> {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(temp.path().join("sources.list.d")).expect("mkdir");
        for (name, text) in files {
            std::fs::write(temp.path().join(name), text).expect("write");
        }
        find(temp.path())
    }

    #[test]
    fn the_hosts_own_mirror_is_found_in_either_format() {
        let stanza = "Types: deb deb-src\n# a comment\nURIs: http://mirror.example/debian\n\
                      Suites: bookworm\n bookworm-updates\nComponents: main\n";
        let security = "Types: deb\nURIs: http://mirror.example/debian-security\n\
                        Suites: bookworm-security\nComponents: main\n";
        let both = format!("{security}\n{stanza}");
        let line = "# deb http://old.example/debian bookworm main\n\
                    deb-src http://src.example/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/x] http://mirror.example/debian bookworm main\n";
        for (name, text) in [
            ("sources.list.d/debian.sources", both.as_str()),
            ("sources.list", line),
        ] {
            let found = find_in(&[(name, text)]);
            assert_eq!(found.as_deref(), Some("http://mirror.example/debian"));
        }
    }

    #[test]
    fn other_peoples_archives_are_not_taken_for_debian() {
        let other = "deb https://other.example/repo bookworm main\n";
        let debian = "deb http://mirror.example/debian/ bookworm main\n";
        let found = find_in(&[
            ("sources.list.d/a.list", other),
            ("sources.list.d/b.list", debian),
        ]);
        assert_eq!(found.as_deref(), Some("http://mirror.example/debian/"));
        let off = "Types: deb\nEnabled: no\nURIs: http://x.example/debian\nSuites: sid\n\
                   Components: main\n";
        for text in ["", "deb", "deb [", "deb http://x.example/ubuntu jammy main"] {
            assert_eq!(find_in(&[("sources.list", text)]), None, "{text}");
        }
        assert_eq!(find_in(&[("sources.list.d/x.sources", off)]), None);
    }
}
