//! Directories that are served as they are, below a prefix of their own: firmware for switches and phones.

use crate::networks::Networks;
use bootplan::RelPath;
use std::path::{Path, PathBuf};

/// One directory and who may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Names below this path are the directory's, and nobody else's.
    pub prefix: RelPath,
    /// Where its files lie.
    pub directory: PathBuf,
    /// Who may read them.
    pub networks: Networks,
    /// Whether a name that is not there means the only one that differs from it in letter case.
    pub ignore_case: bool,
}

impl Published {
    /// The name within this directory.
    pub(crate) fn below(&self, name: &RelPath) -> Option<RelPath> {
        if !self.ignore_case {
            return name.below(&self.prefix);
        }
        let prefix = self.prefix.as_str();
        let (start, rest) = name.as_str().split_at_checked(prefix.len())?;
        let rest = rest.strip_prefix('/')?;
        start
            .eq_ignore_ascii_case(prefix)
            .then(|| rest.parse().ok())?
    }
}

/// The only file whose name differs from this one in letter case alone, component by component. Two that do are
/// none: nobody could tell which is meant. What is found is opened like any other name, so a link that leads out
/// of the directory leads nowhere.
pub(crate) fn other_case(directory: &Path, name: &RelPath) -> Option<RelPath> {
    let mut place = directory.to_owned();
    let mut found: Vec<String> = Vec::new();
    for wanted in name.as_str().split('/') {
        let actual = match place.join(wanted).symlink_metadata() {
            Ok(_) => wanted.to_owned(),
            Err(_) => only_like(&place, wanted)?,
        };
        place.push(&actual);
        found.push(actual);
    }
    found.join("/").parse().ok()
}

fn only_like(dir: &Path, wanted: &str) -> Option<String> {
    let names = std::fs::read_dir(dir)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut alike = names.filter(|name| name.to_lowercase() == wanted.to_lowercase());
    let first = alike.next()?;
    alike.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opener::{Patience, Refused};
    use crate::{BootFiles, Network};
    use std::net::Ipv4Addr;

    const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 7);

    struct Site {
        _dir: tempfile::TempDir,
        files: BootFiles,
    }

    fn site(ignore_case: bool) -> Site {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("firmware");
        for name in ["Cisco/C2960.bin", "a.bin", "A.bin", "plain.bin", "link"] {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().expect("below")).expect("made");
            std::fs::write(path, name).expect("written");
        }
        std::fs::write(dir.path().join("outside"), "secret").expect("written");
        std::fs::remove_file(root.join("link")).expect("removed");
        std::os::unix::fs::symlink("../outside", root.join("link")).expect("made");
        let loaders = dir.path().join("loaders");
        let files = BootFiles::open(std::slice::from_ref(&loaders), &dir.path().join("images"))
            .expect("opens");
        // What lies under the same name in a loader directory is hidden by the prefix.
        std::fs::create_dir_all(loaders.join("fw")).expect("made");
        std::fs::write(loaders.join("fw/shadowed.bin"), "x").expect("written");
        let published = Published {
            prefix: "fw".parse().expect("a path"),
            directory: root,
            networks: Networks::from_iter(["10.9.0.0/16".parse::<Network>().expect("valid")]),
            ignore_case,
        };
        Site {
            _dir: dir,
            files: files.with_published(vec![published]),
        }
    }

    impl Site {
        fn len(&self, name: &str, ip: Ipv4Addr) -> Option<u64> {
            let name = name.parse().expect("a path");
            match self.files.open_published(&name, ip, Patience::Waits) {
                Some(Ok(file)) => Some(file.len()),
                Some(Err(Refused::WouldBlock)) => panic!("it may wait"),
                Some(Err(_)) => None,
                None => panic!("{name} is below the prefix"),
            }
        }
    }

    #[test]
    fn files_are_served_inside_the_networks_and_absent_outside() {
        let site = site(false);
        assert_eq!(site.len("fw/plain.bin", INSIDE), Some(9));
        assert_eq!(site.len("fw/Cisco/C2960.bin", INSIDE), Some(15));
        assert_eq!(site.len("fw/plain.bin", [10, 8, 0, 7].into()), None);
        for absent in [
            "fw/none",
            "fw/PLAIN.bin",
            "fw/Cisco",
            "fw/link",
            "fw/shadowed.bin",
        ] {
            assert_eq!(site.len(absent, INSIDE), None, "{absent}");
        }
        let elsewhere = "fwx/plain.bin".parse().expect("a path");
        let none = site
            .files
            .open_published(&elsewhere, INSIDE, Patience::Waits);
        assert!(none.is_none());
    }

    #[test]
    fn letter_case_is_ignored_where_that_is_asked_for() {
        let site = site(true);
        assert_eq!(site.len("FW/PLAIN.BIN", INSIDE), Some(9));
        assert_eq!(site.len("fw/cisco/c2960.BIN", INSIDE), Some(15));
        assert_eq!(site.len("fw/a.bin", INSIDE), Some(5), "exactly that name");
        assert_eq!(site.len("fw/a.BIN", INSIDE), None, "two of that name");
        assert_eq!(site.len("fw/LINK", INSIDE), None, "it leads out");
        assert_eq!(site.len("FW/plain.bin", [10, 8, 0, 7].into()), None);
    }
}
