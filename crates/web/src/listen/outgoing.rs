//! What goes out in answer to a request, in amounts that suit the socket.

use super::stretch::{Stretch, stand_in};
use axum::BoxError;
use bootfiles::SharedFile;
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

/// A response's body.
pub enum Outgoing {
    /// Some octets, all there; `None` when there are none (any more).
    Whole(Option<Bytes>),
    /// Whatever a router made.
    Routed(axum::body::Body),
    /// Something long, a few pieces at a time.
    Long(Pin<Box<dyn Body<Data = Pieces, Error = BoxError> + Send>>),
}

/// Octets that lie in several places and leave in one write.
///
/// hyper writes a frame of a body before it asks for the next. With 256 KiB in each, a fast client
/// was woken for each write and slept again in between, which cost the server half as much again
/// as writes of some megabytes do (docs/decisions/0008-file-cache.md).
pub struct Pieces {
    /// Empty only if all is.
    first: Bytes,
    rest: vec::IntoIter<Bytes>,
    told: Option<Arc<dyn Taken>>,
    /// What `first` stands for, if it is not the octets themselves.
    stretch: Option<Arc<Stretch>>,
}

/// Whoever wants to know how much has left. It is let go when the last octets have left or never
/// will; hyper lets go of a *body* as soon as it has its last octets, sent or not.
pub trait Taken: Send + Sync {
    /// The socket took so many octets more.
    fn taken(&self, octets: usize);

    /// The file they come from could not be sent; the connection will end.
    fn failed(&self, error: &io::Error);
}

impl Outgoing {
    /// No body.
    pub fn empty() -> Outgoing {
        Outgoing::Whole(None)
    }
}

impl<T: Into<Bytes>> From<T> for Outgoing {
    fn from(octets: T) -> Self {
        Outgoing::Whole(Some(octets.into()).filter(|octets| !octets.is_empty()))
    }
}

impl Body for Outgoing {
    type Data = Pieces;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Pieces>, BoxError>>> {
        match &mut *self {
            Outgoing::Whole(octets) => {
                let octets = octets.take();
                Poll::Ready(octets.map(|octets| Ok(Frame::data(octets.into()))))
            }
            Outgoing::Routed(body) => Pin::new(body).poll_frame(cx).map(|next| {
                next.map(|frame| match frame {
                    Ok(frame) => Ok(frame.map_data(Pieces::from)),
                    Err(error) => Err(error.into()),
                })
            }),
            Outgoing::Long(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Outgoing::Whole(octets) => octets.is_none(),
            Outgoing::Routed(body) => body.is_end_stream(),
            Outgoing::Long(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Outgoing::Whole(octets) => {
                SizeHint::with_exact(octets.as_ref().map_or(0, |octets| octets.len() as u64))
            }
            Outgoing::Routed(body) => body.size_hint(),
            Outgoing::Long(body) => body.size_hint(),
        }
    }
}

impl Pieces {
    /// Octets of a file that the kernel is to put into the socket itself, at most [`LONGEST`].
    /// They may be those of another version (see [`SharedFile::send`]).
    ///
    /// [`LONGEST`]: super::LONGEST
    pub fn direct(file: SharedFile, offset: u64, len: usize) -> Pieces {
        Pieces {
            stretch: Some(Arc::new(Stretch::new(file, offset, len))),
            ..Pieces::from(stand_in(len))
        }
    }

    /// Octets left.
    pub fn octets(&self) -> u64 {
        self.remaining() as u64
    }

    pub(super) fn stretch(&self) -> Option<&Arc<Stretch>> {
        self.stretch.as_ref()
    }

    /// The same, telling somebody when they leave.
    #[must_use]
    pub fn telling(self, told: Arc<dyn Taken>) -> Pieces {
        if let Some(stretch) = &self.stretch {
            stretch.tell(Arc::clone(&told));
        }
        Pieces {
            told: Some(told),
            ..self
        }
    }
}

impl From<Bytes> for Pieces {
    fn from(first: Bytes) -> Self {
        Pieces {
            first,
            rest: Vec::new().into_iter(),
            told: None,
            stretch: None,
        }
    }
}

impl From<Vec<Bytes>> for Pieces {
    fn from(mut all: Vec<Bytes>) -> Self {
        all.retain(|piece| !piece.is_empty());
        let mut rest = all.into_iter();
        Pieces {
            first: rest.next().unwrap_or_default(),
            rest,
            told: None,
            stretch: None,
        }
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        let rest = self.rest.as_slice().iter();
        self.first.len() + rest.map(Bytes::len).sum::<usize>()
    }

    fn chunk(&self) -> &[u8] {
        &self.first
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = std::iter::once(&self.first).chain(self.rest.as_slice());
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces.filter(|p| !p.is_empty())) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        if let Some(stretch) = &self.stretch {
            stretch.count(count);
        }
        if let Some(told) = &self.told {
            told.taken(count);
        }
        while count >= self.first.len() && count > 0 {
            count -= self.first.len();
            match self.rest.next() {
                Some(next) => self.first = next,
                None => {
                    assert_eq!(count, 0, "advanced behind the end");
                    self.first = Bytes::new();
                }
            }
        }
        self.first.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[derive(Default)]
    struct Sum(AtomicUsize);

    impl Taken for Sum {
        fn taken(&self, octets: usize) {
            self.0.fetch_add(octets, Relaxed);
        }

        fn failed(&self, error: &io::Error) {
            panic!("{error}");
        }
    }

    fn gathered(pieces: &Pieces, most: usize) -> Vec<u8> {
        let mut slices = vec![IoSlice::new(&[]); most];
        let count = pieces.chunks_vectored(&mut slices);
        slices[..count]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect()
    }

    proptest! {
        #[test]
        fn however_much_the_socket_takes_the_octets_leave_in_order(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..6),
            steps in prop::collection::vec(0usize..7, 0..20),
            most in 1usize..8,
        ) {
            let all = parts.concat();
            let parts: Vec<Bytes> = parts.into_iter().map(Bytes::from).collect();
            let told = Arc::new(Sum::default());
            let mut pieces = Pieces::from(parts).telling(told.clone());
            let mut sent = 0;
            for step in steps {
                prop_assert_eq!(pieces.remaining(), all.len() - sent);
                prop_assert_eq!(pieces.chunk().is_empty(), sent == all.len());
                let offered = gathered(&pieces, most);
                prop_assert_eq!(&offered[..], &all[sent..][..offered.len()]);
                prop_assert!(most < 6 || offered.len() == all.len() - sent);
                let taken = step.min(offered.len());
                pieces.advance(taken);
                sent += taken;
                prop_assert_eq!(told.0.load(Relaxed), sent);
            }
            drop(pieces);
            prop_assert_eq!(Arc::strong_count(&told), 1);
        }
    }
}
