//! What is inside the images that are being served: which file of the disk a name may mean, and
//! the trees of those images, in memory.
//!
//! A tree belongs to one version of an image, as the cache's pieces belong to one version of a
//! file: every lookup asks the file system which version stands there now, so a replaced image is
//! another one, and nothing has to be invalidated.

use crate::iso_name::{EXTENSIONS, iso_stem};
use crate::opener::{Identity, OpenFile};
use bootplan::RelPath;
use media::{Entry, Kind, Listing, MediaError};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The trees of the images that were asked for last.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    /// The one that was asked for last in front.
    known: Mutex<VecDeque<Known>>,
    /// Held while an image is read: a storm of machines that want the same one reads it once.
    reading: Mutex<()>,
}

#[derive(Debug)]
struct Known {
    identity: Identity,
    tree: Tree,
}

/// What is known of one version of an image; `None`: it is none, or cannot be read as one.
type Tree = Option<Arc<Listing>>;

/// The images that a name may be inside of, and the path in them: `debian/x/y` is `x/y` in
/// `debian.iso`, or if there is none in `debian.ISO`.
pub(crate) fn images_of(name: &RelPath) -> Option<([RelPath; 2], &str)> {
    let (image, below) = name.as_str().split_once('/')?;
    Some((spelled(image)?, below))
}

/// An image that is asked for by the usual spelling of its name, by its other one.
pub(crate) fn other_spelling(name: &RelPath) -> Option<RelPath> {
    let stem = iso_stem(name.as_str()).filter(|stem| !stem.contains('/'))?;
    let mut all = spelled(stem)?.into_iter();
    all.find(|other| other != name)
}

fn spelled(stem: &str) -> Option<[RelPath; 2]> {
    let [usual, other] = EXTENSIONS.map(|extension| format!("{stem}{extension}").parse().ok());
    Some([usual?, other?])
}

/// The regular file that a path means in a tree.
pub(crate) fn file_of(tree: &Tree, below: &str) -> Option<Entry> {
    let tree = tree.as_ref()?;
    let entry = tree.find(below).or_else(|| tree.find(&treeinfo(below)?))?;
    (entry.kind == Kind::File).then_some(entry)
}

/// The hidden name of what Anaconda asks for. Clients have no spelling for names that begin with a
/// dot; Anaconda asks for `.treeinfo` and then for `treeinfo`, and without either it does not find
/// the packages of a Fedora or Rocky disk.
fn treeinfo(below: &str) -> Option<String> {
    let directory = below.strip_suffix("treeinfo")?;
    let alone = directory.is_empty() || directory.ends_with('/');
    alone.then(|| format!("{directory}.treeinfo"))
}

impl Trees {
    /// What is known of this version. Never waits for a disk.
    pub(crate) fn known(&self, identity: &Identity) -> Option<Tree> {
        let mut known = self.lock();
        let at = known.iter().position(|one| one.identity == *identity)?;
        let found = known.remove(at)?;
        let tree = found.tree.clone();
        known.push_front(found);
        Some(tree)
    }

    /// What is inside an open image, read from it unless it is known. Blocks as the disk does.
    ///
    /// # Errors
    /// When the file was changed while it was read, or its disk fails: then nothing is known.
    pub(crate) fn of(&self, open: &OpenFile) -> io::Result<Tree> {
        if let Some(tree) = self.known(&open.identity) {
            return Ok(tree);
        }
        let _turn = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = self.known(&open.identity) {
            return Ok(tree); // somebody was faster
        }
        let tree = match media::list(&open.file) {
            Ok(listing) => Some(Arc::new(listing)),
            Err(MediaError::Read(error)) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "an image cannot be served from inside");
                None
            }
        };
        if !open.identity.same_content(&Identity::of(&open.file)?) {
            return Err(io::Error::other("it was changed while it was read"));
        }
        if open.settled {
            self.keep(open.identity, tree.clone());
        }
        Ok(tree)
    }

    fn keep(&self, identity: Identity, tree: Tree) {
        let mut known = self.lock();
        known.push_front(Known { identity, tree });
        let weight = |one: &Known| one.tree.as_ref().map_or(0, |tree| tree.weight());
        let mut sum: usize = known.iter().map(weight).sum();
        while known.len() > MOST_TREES || (sum > BUDGET && known.len() > 1) {
            let gone = known.pop_back();
            sum -= gone.as_ref().map_or(0, weight);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Trees kept; those of images that nobody boots any more go by and by.
const MOST_TREES: usize = 64;
/// Octets of all of them. A live system's tree takes 0.2 MiB, a DVD's of packages 2 MiB.
const BUDGET: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opener::open_beneath;
    use std::path::Path;

    fn rel(name: &str) -> RelPath {
        name.parse().expect("a plain name")
    }

    fn open(root: &Path, name: &str) -> OpenFile {
        open_beneath(root, &rel(name)).expect("there")
    }

    #[test]
    fn a_name_is_inside_the_image_of_its_first_part() {
        let named = |name: &str| {
            let name = rel(name);
            images_of(&name).map(|([image, other], below)| format!("{image} {other} {below}"))
        };
        assert_eq!(
            named("debian/a/b").as_deref(),
            Some("debian.iso debian.ISO a/b")
        );
        assert_eq!(named("debian.iso"), None);
        assert_eq!(named("debian"), None);
        assert_eq!(
            named(&format!("{}/f", "n".repeat(252))),
            None,
            "too long with its extension"
        );
    }

    #[test]
    fn anacondas_second_name_means_the_hidden_file() {
        assert_eq!(treeinfo("treeinfo").as_deref(), Some(".treeinfo"));
        assert_eq!(treeinfo("a/treeinfo").as_deref(), Some("a/.treeinfo"));
        assert_eq!(treeinfo("a/subtreeinfo"), None);
        assert_eq!(treeinfo("vmlinuz"), None);
    }

    #[test]
    fn what_is_no_image_is_read_once() {
        let temp = tempfile::tempdir().expect("a directory");
        std::fs::write(temp.path().join("x.iso"), "no image").expect("write");
        let trees = Trees::default();
        let first = open(temp.path(), "x.iso");
        assert!(trees.known(&first.identity).is_none());
        assert!(trees.of(&first).expect("readable").is_none());
        assert!(
            trees
                .known(&first.identity)
                .is_some_and(|tree| tree.is_none())
        );
        std::fs::write(temp.path().join("x.iso"), "another version").expect("write");
        let second = open(temp.path(), "x.iso");
        assert!(
            trees.known(&second.identity).is_none(),
            "another version is another image"
        );
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let temp = tempfile::tempdir().expect("a directory");
        let trees = Trees::default();
        let names: Vec<String> = (0..=MOST_TREES).map(|n| format!("{n}.iso")).collect();
        let mut identities = Vec::new();
        for name in &names {
            std::fs::write(temp.path().join(name), name).expect("write");
            let image = open(temp.path(), name);
            trees.keep(image.identity, None);
            identities.push(image.identity);
            // The first is asked for all the time.
            assert!(trees.known(&identities[0]).is_some());
        }
        assert!(trees.known(&identities[1]).is_none());
        assert!(trees.known(&identities[2]).is_some());
    }
}
