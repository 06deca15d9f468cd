//! Datagrams that can leave in one segmented send, without a copy of their content.

use std::io::IoSlice;

use bytes::Bytes;

use crate::packet::encode_data_header;

/// Octets in front of a DATA packet's content.
const HEADER: usize = 4;

/// Datagrams of one window, one behind the other: all of the same size, only the last may be shorter. Made to be
/// used again and again; after the first windows nothing is allocated.
///
/// The content is not here: it is shared memory of the source, a run per piece. (Only netascii is copied,
/// because it is converted.) A run crosses the borders of blocks, and [`Batch::io_slices`] cuts it there.
#[derive(Debug, Default)]
pub struct Batch {
    /// Four octets for each block; or one whole packet that is no block.
    headers: Vec<u8>,
    header_size: usize,
    runs: Vec<Bytes>,
    copied: Vec<u8>,
    content: usize,
    blksize: usize,
    count: usize,
}

impl Batch {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets go of the content; memory of its own is kept.
    pub fn clear(&mut self) {
        self.headers.clear();
        self.runs.clear();
        self.copied.clear();
        (self.content, self.count) = (0, 0);
    }

    /// Datagrams.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Octets of each datagram; only the last may be shorter.
    #[must_use]
    pub fn segment_size(&self) -> usize {
        self.octets().min(self.header_size + self.blksize)
    }

    /// Octets in all.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.headers.len() + self.content
    }

    /// Every datagram as its header and the slices of its content, in order, for a gathering send.
    pub fn io_slices(&self) -> impl Iterator<Item = IoSlice<'_>> {
        self.slices(0).map(IoSlice::new)
    }

    /// Clears `out` and copies datagram `index` (from 0) into it: the way without segmentation offload.
    pub fn copy_datagram(&self, index: usize, out: &mut Vec<u8>) {
        out.clear();
        if index >= self.count {
            return;
        }
        let mut slices = self.slices(index);
        let size = self.header_size + slices.left_after_header();
        while out.len() < size
            && let Some(slice) = slices.next()
        {
            out.extend_from_slice(slice);
        }
    }

    /// Becomes this one packet, which is no block.
    pub(crate) fn set_packet(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.clear();
        encode(&mut self.headers);
        self.header_size = self.headers.len();
        self.blksize = 0;
        self.count = 1;
    }

    /// Becomes an empty window of blocks of this size.
    pub(crate) fn begin(&mut self, blksize: u16) {
        self.clear();
        self.header_size = HEADER;
        self.blksize = usize::from(blksize);
    }

    /// Adds the header of the next block.
    pub(crate) fn push_header(&mut self, number: u16) {
        encode_data_header(number, &mut self.headers);
        self.count += 1;
    }

    /// Adds content.
    pub(crate) fn push_run(&mut self, run: Bytes) {
        self.content += run.len();
        self.runs.push(run);
    }

    /// Adds content that `write` puts at the end of a buffer.
    pub(crate) fn push_copied(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.copied.len();
        write(&mut self.copied);
        self.content += self.copied.len() - before;
    }

    /// Octets of content.
    pub(crate) fn content(&self) -> usize {
        self.content
    }

    /// Keeps the first `keep` octets of the runs and moves what is behind them to the end of `rest`.
    pub(crate) fn cut_runs(&mut self, keep: usize, rest: &mut Vec<Bytes>) {
        let mut end = 0;
        for index in 0..self.runs.len() {
            let start = end;
            end += self.runs[index].len();
            if end > keep {
                rest.push(self.runs[index].split_off(keep - start));
                rest.extend(self.runs.drain(index + 1..));
                self.runs.retain(|run| !run.is_empty());
                self.content = keep;
                return;
            }
        }
    }

    fn slices(&self, first: usize) -> Slices<'_> {
        let mut slices = Slices {
            batch: self,
            index: first,
            left: 0,
            run: 0,
            at: 0,
        };
        slices.pass(first * self.blksize);
        slices
    }

    fn run(&self, index: usize) -> Option<&[u8]> {
        match self.runs.get(index) {
            Some(run) => Some(run),
            None if index == self.runs.len() && !self.copied.is_empty() => Some(&self.copied),
            None => None,
        }
    }
}

/// The walk over a batch: a header, its content, the next header.
struct Slices<'a> {
    batch: &'a Batch,
    /// Block whose header comes next.
    index: usize,
    /// Content octets still due before that.
    left: usize,
    run: usize,
    at: usize,
}

impl<'a> Slices<'a> {
    fn pass(&mut self, mut octets: usize) {
        while octets > 0
            && let Some(run) = self.batch.run(self.run)
        {
            if run.len() > octets {
                self.at = octets;
                return;
            }
            octets -= run.len();
            self.run += 1;
        }
    }

    /// Content octets of block `index`.
    fn left_after_header(&self) -> usize {
        let before = self.index * self.batch.blksize;
        (self.batch.content - before.min(self.batch.content)).min(self.batch.blksize)
    }

    fn header(&mut self) -> Option<&'a [u8]> {
        if self.index >= self.batch.count {
            return None;
        }
        self.left = self.left_after_header();
        let start = self.index * self.batch.header_size;
        self.index += 1;
        Some(&self.batch.headers[start..start + self.batch.header_size])
    }
}

impl<'a> Iterator for Slices<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.left == 0 {
            return self.header();
        }
        let rest = &self.batch.run(self.run)?[self.at..];
        let slice = &rest[..rest.len().min(self.left)];
        self.left -= slice.len();
        self.at += slice.len();
        if slice.len() == rest.len() {
            self.run += 1;
            self.at = 0;
        }
        Some(slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(runs: &[&'static [u8]], blksize: u16, blocks: u16) -> Batch {
        let mut batch = Batch::new();
        batch.begin(blksize);
        for run in runs {
            batch.push_run(Bytes::from_static(run));
        }
        for number in 1..=blocks {
            batch.push_header(number);
        }
        batch
    }

    fn datagrams(batch: &Batch) -> Vec<Vec<u8>> {
        (0..batch.count())
            .map(|index| {
                let mut out = Vec::new();
                batch.copy_datagram(index, &mut out);
                out
            })
            .collect()
    }

    #[test]
    fn runs_are_cut_at_the_borders_of_blocks() {
        for runs in [
            &[&b"abcdefgh"[..]][..],
            &[b"abc", b"defgh"],
            &[b"ab", b"c", b"def", b"gh"],
        ] {
            let batch = batch(runs, 3, 3);
            let expected = [
                &b"\0\x03\0\x01abc"[..],
                b"\0\x03\0\x02def",
                b"\0\x03\0\x03gh",
            ];
            assert_eq!(datagrams(&batch), expected);
            let gathered: Vec<u8> = batch.io_slices().flat_map(|slice| slice.to_vec()).collect();
            assert_eq!(gathered, expected.concat());
            assert_eq!((batch.segment_size(), batch.octets()), (7, 20));
        }
    }

    #[test]
    fn an_empty_last_block_is_a_header() {
        let batch = batch(&[b"abcd"], 4, 2);
        assert_eq!(
            datagrams(&batch),
            [&b"\0\x03\0\x01abcd"[..], b"\0\x03\0\x02"]
        );
        assert_eq!((batch.segment_size(), batch.octets()), (8, 12));
        assert_eq!(batch.io_slices().count(), 3);
    }

    #[test]
    fn a_packet_is_one_datagram() {
        let mut batch = batch(&[b"left over"], 4, 2);
        batch.set_packet(|out| out.extend_from_slice(b"\0\x06tsize\x005\0"));
        assert_eq!(datagrams(&batch), [b"\0\x06tsize\x005\0"]);
        assert_eq!((batch.count(), batch.segment_size()), (1, 10));
        batch.clear();
        assert_eq!(
            (batch.count(), batch.octets(), batch.io_slices().count()),
            (0, 0, 0)
        );
    }

    #[test]
    fn what_is_cut_off_can_be_added_again() {
        for keep in [0, 3, 4, 6] {
            let mut whole = batch(&[b"abc", b"defg", b"h"], 3, 2);
            let mut rest = Vec::new();
            whole.cut_runs(keep, &mut rest);
            assert_eq!(whole.content(), keep);
            for run in rest {
                whole.push_run(run);
            }
            assert_eq!(whole.content(), 8);
            assert_eq!(datagrams(&whole)[1], b"\0\x03\0\x02def");
        }
    }
}
