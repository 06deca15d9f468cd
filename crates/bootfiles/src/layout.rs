//! Where in a file on the disk the content of a served file lies.

use media::Extent;
use std::sync::Arc;

/// The way from an offset in the content to one in the file on the disk.
#[derive(Clone, Debug)]
pub(crate) enum Layout {
    /// The file is the content.
    Whole,
    /// Runs inside an image, in the content's order, none of them empty.
    Runs(Arc<[Run]>),
}

/// A run of octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The offset in the content where it begins.
    start: u64,
    /// Where it begins in the file on the disk.
    offset: u64,
    /// How long it is.
    len: u64,
}

impl Layout {
    /// Of a file inside an image.
    pub(crate) fn inside(extents: &[Extent]) -> Layout {
        let mut start = 0;
        let run = |extent: &Extent| {
            let run = Run {
                start,
                offset: extent.offset,
                len: extent.len,
            };
            start += extent.len;
            run
        };
        Layout::Runs(extents.iter().map(run).collect())
    }

    /// Where the octet at `offset` of the content lies on the disk, and how many octets of the
    /// content follow there in one run, itself included; for a whole file as many as there may be.
    /// `None` behind the end of a file inside an image.
    pub(crate) fn place(&self, offset: u64) -> Option<(u64, u64)> {
        let runs = match self {
            Layout::Whole => return Some((offset, u64::MAX)),
            Layout::Runs(runs) => runs,
        };
        let after = runs.partition_point(|run| run.start <= offset);
        let run = runs[..after].last()?;
        let within = offset - run.start;
        (within < run.len).then(|| (run.offset + within, run.len - within))
    }

    /// Whether the runs are so few or so long that sending each by itself costs nothing worth
    /// mentioning.
    pub(crate) fn is_coarse(&self) -> bool {
        match self {
            Layout::Whole => true,
            Layout::Runs(runs) => {
                let sum: u64 = runs.iter().map(|run| run.len).sum();
                runs.len() <= 1 || sum / runs.len() as u64 >= COARSE
            }
        }
    }
}

/// Octets in a run, on average: some system calls for each MiB are none too many.
const COARSE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(extents: &[(u64, u64)]) -> Layout {
        let extents = extents.iter().map(|&(offset, len)| Extent { offset, len });
        Layout::inside(&extents.collect::<Vec<_>>())
    }

    #[test]
    fn a_whole_file_is_where_it_is() {
        assert_eq!(Layout::Whole.place(77), Some((77, u64::MAX)));
        assert!(Layout::Whole.is_coarse());
    }

    #[test]
    fn an_offset_is_in_one_run_and_tells_how_long_it_goes_on() {
        let layout = layout(&[(1000, 10), (5000, 1), (2000, 100)]);
        for (offset, expected) in [
            (0, Some((1000, 10))),
            (9, Some((1009, 1))),
            (10, Some((5000, 1))),
            (11, Some((2000, 100))),
            (110, Some((2099, 1))),
            (111, None),
            (u64::MAX, None),
        ] {
            assert_eq!(layout.place(offset), expected, "{offset}");
        }
        assert!(!layout.is_coarse());
    }

    #[test]
    fn an_empty_file_is_nowhere() {
        assert_eq!(layout(&[]).place(0), None);
    }

    #[test]
    fn long_runs_are_coarse() {
        assert!(layout(&[(0, 5 << 30)]).is_coarse());
        assert!(layout(&[(0, 2 << 20), (4 << 20, 1 << 10)]).is_coarse());
    }

    proptest! {
        /// Walking from run to run meets each octet once, in order.
        #[test]
        fn walking_is_the_same_as_joining(
            extents in prop::collection::vec((0..1_000_u64, 1..50_u64), 0..8),
        ) {
            let joined = extents.iter().flat_map(|&(offset, len)| offset..offset + len);
            let joined: Vec<u64> = joined.collect();
            let layout = layout(&extents);
            let mut walked = Vec::new();
            while let Some((at, run)) = layout.place(walked.len() as u64) {
                walked.extend(at..at + run);
            }
            prop_assert_eq!(walked, joined);
        }
    }
}
