//! One connection from accept to close.

use super::registry::Seat;
use super::stream::{Meter, Overdue, Phase, Stream};
use super::{Budget, Peer};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::ServiceExt;

/// Serves one connection. Whatever ends it (the client, a deadline, a shutdown) ends only it.
pub(super) async fn run(
    stream: Stream,
    peer: Peer,
    router: Router,
    budget: Arc<Budget>,
    seat: Seat,
    mut stopping: watch::Receiver<bool>,
) {
    let meter = seat.meter();
    let io = TokioIo::new(stream.watched_by(Arc::clone(&meter)));
    let service = {
        let meter = Arc::clone(&meter);
        hyper::service::service_fn(move |request| {
            serve(request, peer, router.clone(), Arc::clone(&meter))
        })
    };
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        // hyper starts this clock while a connection rests, too; the finer deadlines are ours.
        .header_read_timeout(budget.idle + budget.headers)
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
            tracing::debug!(remote = ?peer.remote, %reason, "connection cut");
        }
    }
}

enum End {
    Closed(hyper::Result<()>),
    Overdue(Overdue),
}

async fn serve(
    mut request: Request<Incoming>,
    peer: Peer,
    router: Router,
    meter: Arc<Meter>,
) -> Result<Response<Metered>, Infallible> {
    meter.enter(Phase::Serving);
    let agent = request.headers().get(header::USER_AGENT);
    if agent.is_some_and(|agent| agent.as_bytes().starts_with(b"GRUB")) {
        meter.set_grub();
    }
    request.extensions_mut().insert(peer);
    let response = router.oneshot(request.map(Body::new)).await?;
    meter.enter(Phase::Sending);
    Ok(response.map(|body| Metered { body, meter }))
}

/// A response body that tells the meter when hyper is done with it.
struct Metered {
    body: Body,
    meter: Arc<Meter>,
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.meter.enter(Phase::Idle);
    }
}

/// Bounds the request header, and what is buffered of a response (protocol.md E.5).
const MAX_BUFFER: usize = 16 * 1024;
