//! The files of an image, held in memory.

use crate::MediaError;
use crate::tree::{Entry, Extent, Kind};
use std::cmp::Ordering;
use std::sync::Arc;

/// All names of an image and where the content of its files lies. Holds no file.
#[derive(Debug)]
pub struct Listing {
    label: String,
    nodes: Vec<Node>,
    /// Octets of all names and targets.
    text: usize,
    flaws: Vec<String>,
    more_flaws: usize,
}

#[derive(Debug)]
struct Node {
    name: Box<str>,
    parent: u32,
    modified: i64,
    what: What,
}

/// What stands under one name of an image.
#[derive(Debug)]
pub(crate) enum What {
    /// Its children by [`by_name`], once the listing is finished.
    Directory(Vec<u32>),
    File {
        len: u64,
        extents: Arc<[Extent]>,
    },
    /// A symbolic link, with its target as it is written in the image.
    Link(Box<str>),
}

/// How a name of a client is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Exact,
    /// As firmware does it: what differs in case is the same, if there is only one such name.
    Any,
}

impl Listing {
    /// With an empty root.
    pub(crate) fn new(label: &str) -> Listing {
        Listing {
            // A label goes to pages and logs.
            label: label
                .chars()
                .filter(|c| !c.is_control())
                .take(128)
                .collect(),
            nodes: vec![Node {
                name: "".into(),
                parent: ROOT,
                modified: 0,
                what: What::Directory(Vec::new()),
            }],
            text: 0,
            flaws: Vec::new(),
            more_flaws: 0,
        }
    }

    /// Adds a name to a directory that was added before. `None`: such a name cannot be served, and
    /// is noted as a flaw.
    ///
    /// # Errors
    /// When there are more names, or longer ones together, than we keep.
    pub(crate) fn add(
        &mut self,
        parent: u32,
        name: &[u8],
        what: What,
        modified: i64,
    ) -> Result<Option<u32>, MediaError> {
        let Some(name) = usable(name) else {
            let shown = String::from_utf8_lossy(name).escape_debug().to_string();
            self.flaw(parent, &shown, "is no name that can be served");
            return Ok(None);
        };
        if self.nodes.len() >= MOST_NODES {
            return Err(MediaError::TooMany { limit: MOST_NODES });
        }
        self.text += name.len();
        if let What::Link(target) = &what {
            self.text += target.len();
        }
        if self.text > MOST_TEXT {
            return Err(MediaError::TooLong { limit: MOST_TEXT });
        }
        let number = u32::try_from(self.nodes.len()).expect("MOST_NODES is less");
        self.nodes.push(Node {
            name: name.into(),
            parent,
            modified,
            what,
        });
        if let What::Directory(children) = &mut self.nodes[parent as usize].what {
            children.push(number);
        }
        Ok(Some(number))
    }

    /// Notes what was left out of a directory, and why; without a name, the directory itself.
    pub(crate) fn flaw(&mut self, directory: u32, name: &str, why: &str) {
        if self.flaws.len() >= SHOWN_FLAWS {
            self.more_flaws += 1;
            return;
        }
        let path = match (self.path(directory), name) {
            (directory, "") if directory.is_empty() => "the root directory".to_owned(),
            (directory, "") => directory,
            (directory, name) if directory.is_empty() => name.to_owned(),
            (directory, name) => format!("{directory}/{name}"),
        };
        self.flaws.push(format!("{path} {why}"));
    }

    /// Puts the names in order. Of a name that is there twice the first one stays.
    pub(crate) fn finish(mut self) -> Listing {
        for at in 0..self.nodes.len() {
            let What::Directory(children) = &mut self.nodes[at].what else {
                continue;
            };
            let mut children = std::mem::take(children);
            let name = |number: u32| &*self.nodes[number as usize].name;
            // Stable: what was added first stays first among equals.
            children.sort_by(|&a, &b| by_name(name(a), name(b)));
            children.dedup_by(|later, first| name(*later) == name(*first));
            children.shrink_to_fit();
            self.nodes[at].what = What::Directory(children);
        }
        self
    }

    /// The name that the image has for itself.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What was left out of a damaged or hostile image: path and reason, for people. After the
    /// first few only how many there are.
    pub fn flaws(&self) -> Vec<String> {
        let more = (self.more_flaws > 0).then(|| format!("and {} more", self.more_flaws));
        self.flaws.iter().cloned().chain(more).collect()
    }

    /// How many files and directories there are.
    pub fn count(&self) -> usize {
        self.nodes.len() - 1
    }

    /// About how much memory it takes, in octets.
    pub fn weight(&self) -> usize {
        let of = |node: &Node| match &node.what {
            What::Directory(children) => children.len() * size_of::<u32>(),
            What::File { extents, .. } => size_of_val(&**extents),
            What::Link(_) => 0,
        };
        let nodes = self.nodes.len() * size_of::<Node>();
        nodes + self.text + self.nodes.iter().map(of).sum::<usize>()
    }

    /// What stands under a path: see [`crate::Tree::find`].
    pub fn find(&self, path: &str) -> Option<Entry> {
        let exact = self.resolve(path, Case::Exact);
        let number = exact.or_else(|| self.resolve(path, Case::Any))?;
        self.entry(number)
    }

    /// What is in a directory: see [`crate::Tree::list`].
    pub fn list(&self, directory: &str) -> Vec<Entry> {
        let number = match directory {
            "" => Some(ROOT),
            path => self.find(path).map(|entry| entry.number),
        };
        let what = number.map(|number| &self.nodes[number as usize].what);
        let Some(What::Directory(children)) = what else {
            return Vec::new();
        };
        let under = |&child: &u32| {
            let path = self.path(child);
            let entry = self.entry(self.resolve(&path, Case::Exact)?)?;
            Some(Entry { path, ..entry })
        };
        children.iter().filter_map(under).collect()
    }

    /// Walks a path from the root, following links.
    fn resolve(&self, path: &str, case: Case) -> Option<u32> {
        let mut links = 0;
        let mut at = ROOT;
        // What is still to be walked, the next step last.
        let mut steps: Vec<&str> = path.split('/').rev().collect();
        while let Some(step) = steps.pop() {
            let What::Directory(children) = &self.nodes[at as usize].what else {
                return None;
            };
            match step {
                "" | "." => continue,
                // Above the root there is nothing: not even for a link.
                ".." if at == ROOT => return None,
                ".." => {
                    at = self.nodes[at as usize].parent;
                    continue;
                }
                _ => {}
            }
            let child = self.child(children, step, case)?;
            let What::Link(target) = &self.nodes[child as usize].what else {
                at = child;
                continue;
            };
            links += 1;
            steps.extend(target.split('/').rev());
            // An absolute target means a place of the machine that the image was made for.
            if target.starts_with('/') || links > MOST_LINKS || steps.len() > MOST_STEPS {
                return None;
            }
        }
        Some(at)
    }

    fn child(&self, children: &[u32], wanted: &str, case: Case) -> Option<u32> {
        let name = |number: u32| &*self.nodes[number as usize].name;
        let start = children.partition_point(|child| folded(name(*child), wanted).is_lt());
        let mut same = children[start..]
            .iter()
            .take_while(|child| folded(name(**child), wanted).is_eq());
        if let Some(exact) = same.clone().find(|child| name(**child) == wanted) {
            return Some(*exact);
        }
        match (case, same.next(), same.next()) {
            (Case::Any, Some(only), None) => Some(*only),
            _ => None,
        }
    }

    fn entry(&self, number: u32) -> Option<Entry> {
        let node = &self.nodes[number as usize];
        let (kind, len, extents) = match &node.what {
            What::Directory(_) => (Kind::Directory, 0, Arc::default()),
            What::File { len, extents } => (Kind::File, *len, Arc::clone(extents)),
            What::Link(_) => return None,
        };
        Some(Entry {
            path: self.path(number),
            kind,
            len,
            extents,
            modified: node.modified,
            number,
        })
    }

    fn path(&self, mut number: u32) -> String {
        let mut names = Vec::new();
        while number != ROOT {
            let node = &self.nodes[number as usize];
            names.push(&*node.name);
            number = node.parent;
        }
        names.reverse();
        names.join("/")
    }
}

/// Text of a sane length without what separates or steers.
fn usable(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    let fine = !matches!(name, "" | "." | "..")
        && name.len() <= MOST_NAME
        && !name.contains('/')
        && !name.chars().any(char::is_control);
    fine.then_some(name)
}

/// The order of names: those that differ in case alone stand together.
fn by_name(a: &str, b: &str) -> Ordering {
    folded(a, b).then_with(|| a.cmp(b))
}

/// ASCII alone: firmware and loaders change the case of nothing else.
fn folded(a: &str, b: &str) -> Ordering {
    let lower = |c: u8| c.to_ascii_lowercase();
    a.bytes().map(lower).cmp(b.bytes().map(lower))
}

/// The root's number.
pub(crate) const ROOT: u32 = 0;

/// Debian's first DVD has about 5,000, Rocky's 8,000, a whole SUSE 30,000.
pub(crate) const MOST_NODES: usize = 100_000;
const MOST_TEXT: usize = 16 << 20;
/// As everywhere on Linux.
const MOST_NAME: usize = 255;
/// Links followed for one name. Linux takes 40; nobody nests them that deep on a disk.
const MOST_LINKS: usize = 16;
/// Steps waiting to be walked: a bound for targets that are long and refer to each other.
const MOST_STEPS: usize = 1000;
/// Flaws that are told one by one.
const SHOWN_FLAWS: usize = 20;

#[cfg(test)]
mod tests;
