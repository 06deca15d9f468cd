//! One connection from accept to close.

use super::line::Cut;
use super::registry::Seat;
use super::stream::{Meter, Overdue, Phase, Stream};
use super::{Budget, Handler, Outgoing, Peer, Pieces};
use axum::BoxError;
use bytes::Buf;
use http::{Request, Response, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::watch;
use tokio::time::Instant;

/// Serves one connection. Whatever ends it (the client, a deadline, a shutdown) ends only it.
pub(super) async fn run(
    stream: Stream,
    peer: Peer,
    handler: impl Handler,
    budget: Arc<Budget>,
    seat: Seat,
    mut stopping: watch::Receiver<bool>,
) {
    let meter = seat.meter();
    let io = TokioIo::new(stream.watched_by(Arc::clone(&meter)));
    let service = {
        let meter = Arc::clone(&meter);
        hyper::service::service_fn(move |request| {
            serve(request, peer, handler.clone(), Arc::clone(&meter))
        })
    };
    let connection = hyper::server::conn::http1::Builder::new()
        // Its clock runs while the end of the response before is still leaving. Ours does not.
        .header_read_timeout(None)
        .title_case_headers(true)
        .half_close(true)
        .keep_alive(true)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut deadline = pin!(tokio::time::sleep_until(Instant::now() + budget.first_byte));
    let end = {
        let watched = poll_fn(|cx| {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(End::Closed(result));
            }
            // Every change of phase happens inside the poll above, so this sees it at once.
            loop {
                match meter.check(&budget, Instant::now()) {
                    Err(overdue) => return Poll::Ready(End::Overdue(overdue)),
                    Ok(None) => return Poll::Pending,
                    Ok(Some(at)) => {
                        if deadline.deadline() != at {
                            deadline.as_mut().reset(at);
                        }
                        if deadline.as_mut().poll(cx).is_pending() {
                            return Poll::Pending;
                        }
                    }
                }
            }
        });
        tokio::select! {
            end = watched => Some(end),
            _ = stopping.wait_for(|stop| *stop) => None,
        }
    };
    let end = match end {
        Some(end) => end,
        None => {
            // The response under way is finished; `serve` bounds how long that may take.
            connection.as_mut().graceful_shutdown();
            End::Closed(connection.await)
        }
    };
    match end {
        End::Closed(Ok(())) => {}
        // Shim ends every connection with RST (protocol.md E.2): nothing to tell anybody.
        End::Closed(Err(error)) => {
            tracing::debug!(remote = ?peer.remote, %error, "connection ended early");
        }
        End::Overdue(reason) => {
            meter.line().cut(Cut::Overdue(reason));
            tracing::debug!(remote = ?peer.remote, %reason, "connection cut");
        }
    }
}

enum End {
    Closed(hyper::Result<()>),
    Overdue(Overdue),
}

async fn serve(
    request: Request<Incoming>,
    peer: Peer,
    handler: impl Handler,
    meter: Arc<Meter>,
) -> Result<Response<Metered>, Infallible> {
    let request_number = meter.request();
    let agent = request.headers().get(header::USER_AGENT);
    if agent.is_some_and(|agent| agent.as_bytes().starts_with(b"GRUB")) {
        meter.set_grub();
    }
    let response = handler.handle(request, peer, meter.line()).await;
    meter.enter(Phase::Sending);
    let rest = Arc::new(Rest {
        meter,
        request_number,
    });
    Ok(response.map(|body| Metered { body, rest }))
}

/// A response body that tells the meter when all of it has left.
struct Metered {
    body: Outgoing,
    rest: Arc<Rest>,
}

/// What a client has not yet been sent of a response, be it in a body or on its way to the socket.
struct Rest {
    meter: Arc<Meter>,
    request_number: u64,
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.meter.answered(self.request_number);
    }
}

/// Octets on their way to the socket.
struct Leaving {
    pieces: Pieces,
    _rest: Arc<Rest>,
}

impl Buf for Leaving {
    fn remaining(&self) -> usize {
        self.pieces.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.pieces.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        self.pieces.advance(count);
    }
}

impl http_body::Body for Metered {
    type Data = Leaving;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Leaving>, BoxError>>> {
        let next = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let rest = &self.rest;
        let leaving = |pieces: Pieces| {
            if let Some(stretch) = pieces.stretch() {
                rest.meter.lane().push(Arc::clone(stretch));
            }
            Leaving {
                pieces,
                _rest: Arc::clone(rest),
            }
        };
        Poll::Ready(next.map(|frame| frame.map(|frame| frame.map_data(leaving))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bounds the request header, and what is buffered of a response (protocol.md E.5).
const MAX_BUFFER: usize = 16 * 1024;
