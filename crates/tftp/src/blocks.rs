//! The content of a source cut into blocks that can be produced again.

use std::collections::VecDeque;
use std::io;

use crate::netascii;
use crate::packet::Mode;
use crate::source::Source;

/// Blocks of one transfer, counted from 1.
#[derive(Debug)]
pub(crate) enum Blocks {
    /// Block n starts at (n - 1) * blksize.
    Octet,
    /// Where a block starts depends on what was converted before it: starts of the blocks in flight are kept.
    Netascii(Converter),
}

impl Blocks {
    pub(crate) fn new(mode: Mode) -> Self {
        match mode {
            Mode::Netascii => Self::Netascii(Converter::default()),
            Mode::Octet | Mode::Mail | Mode::Unknown => Self::Octet,
        }
    }

    /// Writes the content of `block` to the end of `out`: less than `blksize` octets means it is the last.
    /// Only blocks not yet [released](Self::release) can be asked for, and the first of them never asked for
    /// before at most one step ahead.
    pub(crate) fn write<S: Source>(
        &mut self,
        source: &S,
        block: u64,
        blksize: u16,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        match self {
            Self::Octet => {
                let offset = (block - 1) * u64::from(blksize);
                let left = source.len().saturating_sub(offset);
                let count = usize::from(blksize).min(usize::try_from(left).unwrap_or(usize::MAX));
                read_exactly(source, offset, count, out)
            }
            Self::Netascii(converter) => converter.write(source, block, blksize, out),
        }
    }

    /// The blocks up to `base` were acknowledged and will not be asked for again.
    pub(crate) fn release(&mut self, base: u64) {
        if let Self::Netascii(converter) = self {
            converter.release(base);
        }
    }
}

/// Starts of the netascii blocks from `first` on.
#[derive(Debug)]
pub(crate) struct Converter {
    first: u64,
    starts: VecDeque<Start>,
    input: Vec<u8>,
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
        }
    }
}

impl Converter {
    fn write<S: Source>(
        &mut self,
        source: &S,
        block: u64,
        blksize: u16,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let index = usize::try_from(block - self.first).expect("a window is short");
        let start = self.starts[index];
        let left = source.len().saturating_sub(start.offset);
        // Every octet becomes one or two, so blksize octets are always enough.
        let count = usize::from(blksize).min(usize::try_from(left).unwrap_or(usize::MAX));
        self.input.clear();
        read_exactly(source, start.offset, count, &mut self.input)?;
        let mut pending = start.pending;
        let used = netascii::encode(&self.input, &mut pending, usize::from(blksize), out);
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

/// Appends exactly `count` octets; a source that got shorter is an error and never a short block, which the
/// client would take for the end of the file.
fn read_exactly<S: Source>(
    source: &S,
    offset: u64,
    count: usize,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let start = out.len();
    out.resize(start + count, 0);
    let mut done = 0;
    while done < count {
        match source.read_at(offset + done as u64, &mut out[start + done..]) {
            Ok(0) => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!(
                        "content ends at octet {} of {}",
                        offset + done as u64,
                        source.len()
                    ),
                ));
            }
            Ok(read) => done += read.min(count - done),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
