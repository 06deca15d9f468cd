//! The content of a source cut into blocks that can be produced again.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;

use crate::batch::Batch;
use crate::netascii;
use crate::packet::Mode;
use crate::source::Source;

/// Blocks of one transfer, counted from 1.
#[derive(Debug)]
pub(crate) enum Blocks {
    /// Block n starts at (n - 1) * blksize.
    Octet(Held),
    /// Where a block starts depends on what was converted before it: starts of the blocks in flight are kept.
    Netascii(Converter),
}

/// What came of filling a batch.
#[derive(Debug)]
pub(crate) struct Filled {
    /// Whole blocks that were added.
    pub(crate) blocks: usize,
    /// Why there are no more; [`io::ErrorKind::WouldBlock`] stands for content to wait for.
    pub(crate) stopped: Option<Stopped>,
}

/// The source had no more to give.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// Where it ended.
    pub(crate) offset: u64,
    pub(crate) error: io::Error,
}

impl Blocks {
    pub(crate) fn new(mode: Mode) -> Self {
        match mode {
            Mode::Netascii => Self::Netascii(Converter::default()),
            Mode::Octet | Mode::Mail | Mode::Unknown => Self::Octet(Held::default()),
        }
    }

    /// The last block and its octets, where that is known before it was produced.
    pub(crate) fn last(&self, len: u64, blksize: u16) -> Option<(u64, u64)> {
        let blksize = u64::from(blksize);
        matches!(self, Self::Octet(_)).then_some((len / blksize + 1, len % blksize))
    }

    /// Adds the content of up to `count` blocks from `first` on to `batch`, which was begun and is empty. A block
    /// of less than `blksize` octets is the last, and none may be asked for behind it. Only blocks not yet
    /// [released](Self::release) can be asked for, and of those never asked for before only the next ones.
    pub(crate) fn fill<S: Source>(
        &mut self,
        source: &S,
        first: u64,
        count: usize,
        blksize: u16,
        batch: &mut Batch,
    ) -> Filled {
        match self {
            Self::Octet(held) => held.fill(source, first, count, blksize, batch),
            Self::Netascii(converter) => converter.fill(source, first, count, blksize, batch),
        }
    }

    /// The blocks up to `base` were acknowledged and will not be asked for again.
    pub(crate) fn release(&mut self, base: u64) {
        if let Self::Netascii(converter) = self {
            converter.release(base);
        }
    }
}

/// The beginning of a block whose rest has to be waited for. Kept here, so that a source that has room for only one
/// piece gets past the border of two.
#[derive(Debug, Default)]
pub(crate) struct Held {
    offset: u64,
    runs: Vec<Bytes>,
}

impl Held {
    fn fill<S: Source>(
        &mut self,
        source: &S,
        first: u64,
        count: usize,
        blksize: u16,
        batch: &mut Batch,
    ) -> Filled {
        let offset = (first - 1) * u64::from(blksize);
        let wanted = at_most(count * usize::from(blksize), source.len(), offset);
        if self.offset == offset {
            self.runs.drain(..).for_each(|run| batch.push_run(run));
        } else {
            self.runs.clear();
        }
        while batch.content() < wanted {
            let at = offset + batch.content() as u64;
            match read(source, at, wanted - batch.content()) {
                Ok(run) => batch.push_run(run),
                Err(error) => {
                    let blocks = batch.content() / usize::from(blksize);
                    let keep = blocks * usize::from(blksize);
                    batch.cut_runs(keep, &mut self.runs);
                    self.offset = offset + keep as u64;
                    return Filled {
                        blocks,
                        stopped: Some(Stopped { offset: at, error }),
                    };
                }
            }
        }
        Filled {
            blocks: count,
            stopped: None,
        }
    }
}

/// Starts of the netascii blocks from `first` on.
#[derive(Debug)]
pub(crate) struct Converter {
    first: u64,
    starts: VecDeque<Start>,
    /// Octets to convert, from `offset` on.
    input: Vec<u8>,
    offset: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Start {
    offset: u64,
    pending: Option<u8>,
}

impl Default for Converter {
    fn default() -> Self {
        Self {
            first: 1,
            starts: VecDeque::from([Start::default()]),
            input: Vec::new(),
            offset: 0,
        }
    }
}

impl Converter {
    fn fill<S: Source>(
        &mut self,
        source: &S,
        first: u64,
        count: usize,
        blksize: u16,
        batch: &mut Batch,
    ) -> Filled {
        for (blocks, block) in (first..).take(count).enumerate() {
            let before = batch.content();
            if let Err(stopped) = self.write(source, block, blksize, batch) {
                return Filled {
                    blocks,
                    stopped: Some(stopped),
                };
            }
            if batch.content() - before < usize::from(blksize) {
                return Filled {
                    blocks: blocks + 1,
                    stopped: None,
                };
            }
        }
        Filled {
            blocks: count,
            stopped: None,
        }
    }

    fn write<S: Source>(
        &mut self,
        source: &S,
        block: u64,
        blksize: u16,
        batch: &mut Batch,
    ) -> Result<(), Stopped> {
        let index = usize::try_from(block - self.first).expect("a window is short");
        let start = self.starts[index];
        // Every octet becomes one or two, so blksize octets are always enough.
        let wanted = at_most(usize::from(blksize), source.len(), start.offset);
        if self.offset != start.offset {
            self.input.clear();
            self.offset = start.offset;
        }
        while self.input.len() < wanted {
            let offset = self.offset + self.input.len() as u64;
            let run = read(source, offset, wanted - self.input.len())
                .map_err(|error| Stopped { offset, error })?;
            self.input.extend_from_slice(&run);
        }
        let mut pending = start.pending;
        let mut used = 0;
        batch.push_copied(|out| {
            used = netascii::encode(&self.input, &mut pending, usize::from(blksize), out);
        });
        if index + 1 == self.starts.len() {
            self.starts.push_back(Start {
                offset: start.offset + used as u64,
                pending,
            });
        }
        Ok(())
    }

    fn release(&mut self, base: u64) {
        while self.first <= base && self.starts.len() > 1 {
            self.starts.pop_front();
            self.first += 1;
        }
    }
}

/// `count`, or what is left from `offset` on.
fn at_most(count: usize, len: u64, offset: u64) -> usize {
    count.min(usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX))
}

/// At least one octet. A source that got shorter is an error and never a short block, which the client would take
/// for the end of the file.
fn read<S: Source>(source: &S, offset: u64, max: usize) -> io::Result<Bytes> {
    let mut run = source.bytes_at(offset, max)?;
    if run.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("content ends at octet {offset} of {}", source.len()),
        ));
    }
    run.truncate(max);
    Ok(run)
}
