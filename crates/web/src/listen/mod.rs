//! The HTTP listener under both planes: an accept loop on hyper's HTTP/1 connection builder.
//!
//! `axum::serve` will not do. GRUB reads header names case-sensitively and takes a file whose
//! `content-length` it does not find for an empty one (protocol.md E.3), and a connection that
//! says nothing, half a header, or a byte per second is never closed by it (measured,
//! reliability.md 1.2). So every connection here has title-case headers, a deadline for each
//! phase ([`Budget`]) and a place in a bounded [`registry`]; the two planes have a budget each,
//! so that a flood on the boot network never takes the people's pages along.

mod connection;
mod line;
mod outgoing;
mod registry;
mod stream;
mod stretch;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use axum::Router;
use http::{Request, Response};
use hyper::body::Incoming;
pub use line::{Cut, Figures, Line, Span};
pub use outgoing::{Outgoing, Pieces, Taken};
use registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
pub use stream::Overdue;
use stream::Stream;
pub(crate) use stretch::LONGEST;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Both ends of the connection a request came by; in the extensions of a router's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The client's address; `None` on a unix socket.
    pub remote: Option<SocketAddr>,
    /// The address the client connected to: what a rendered script must name as the server
    /// (protocol.md F.5); `None` on a unix socket.
    pub local: Option<SocketAddr>,
}

/// Whoever answers the requests of a listener; cloned for each of them.
pub trait Handler: Clone + Send + 'static {
    /// The answer to one request, which came by this line.
    fn handle(
        self,
        request: Request<Incoming>,
        peer: Peer,
        line: &Arc<Line>,
    ) -> impl Future<Output = Response<Outgoing>> + Send;
}

impl Handler for Router {
    async fn handle(
        self,
        mut request: Request<Incoming>,
        peer: Peer,
        _: &Arc<Line>,
    ) -> Response<Outgoing> {
        request.extensions_mut().insert(peer);
        let Ok(response) = self.oneshot(request).await;
        response.map(Outgoing::Routed)
    }
}

/// How many connections one plane may hold, and how long each may take over what.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Connections in all. When they are used up, the one that has been silent longest goes.
    pub total: usize,
    /// Connections from one address; iPXE opens several at once, so never fewer than 16.
    pub per_ip: usize,
    /// From accept to the first octet of a request.
    pub first_byte: Duration,
    /// From the first octet of a request to the end of its header.
    pub headers: Duration,
    /// From the header to the response's beginning, a request body included.
    pub request: Duration,
    /// Between two requests of a kept-alive connection. At least 30 s on the boot plane:
    /// firmware pauses that long while it measures and verifies an image (protocol.md E.5).
    pub idle: Duration,
    /// A client that lets us wait to send must take this many octets per second, …
    pub min_rate: u64,
    /// … averaged over this long, or its connection is cut.
    pub rate_window: Duration,
    /// How long a shutdown waits for responses under way.
    pub drain: Duration,
}

impl Budget {
    /// For machines: many connections, short patience with silence, long with pauses.
    pub fn boot_plane() -> Self {
        Budget {
            total: 2048,
            per_ip: 64,
            first_byte: Duration::from_secs(8),
            headers: Duration::from_secs(8),
            request: Duration::from_secs(10),
            idle: Duration::from_secs(45),
            min_rate: 1024,
            rate_window: Duration::from_secs(60),
            drain: Duration::from_secs(5),
        }
    }

    /// For browsers and API clients: few, and time enough for an upload by hand.
    pub fn people() -> Self {
        Budget {
            total: 512,
            per_ip: 64,
            first_byte: Duration::from_secs(10),
            headers: Duration::from_secs(10),
            request: Duration::from_secs(60),
            idle: Duration::from_secs(75),
            min_rate: 256,
            rate_window: Duration::from_secs(60),
            drain: Duration::from_secs(3),
        }
    }
}

/// A listening socket of either kind.
#[derive(Debug)]
pub enum Socket {
    /// On the network.
    Tcp(TcpListener),
    /// For local commands.
    Unix(UnixListener),
}

impl From<TcpListener> for Socket {
    fn from(listener: TcpListener) -> Self {
        Socket::Tcp(listener)
    }
}

impl From<UnixListener> for Socket {
    fn from(listener: UnixListener) -> Self {
        Socket::Unix(listener)
    }
}

/// Serves until `shutdown` resolves, then lets responses under way finish within
/// [`Budget::drain`]. Nothing that a client or the accept call does ends the loop.
pub async fn serve(
    listener: impl Into<Socket>,
    handler: impl Handler,
    budget: Budget,
    shutdown: impl Future<Output = ()>,
) {
    let listener = listener.into();
    let budget = Arc::new(budget);
    let registry = Registry::new(&budget);
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    back_off(&registry, &error).await;
                    continue;
                }
            },
        };
        let Some(seat) = registry.admit(peer.remote.map(|a| a.ip())) else {
            stream.reset();
            continue;
        };
        let meter = seat.meter();
        let abort = connections.spawn(connection::run(
            stream,
            peer,
            handler.clone(),
            Arc::clone(&budget),
            seat,
            stopping.clone(),
        ));
        meter.evict_with(abort);
    }
    drop(listener);
    stop.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(budget.drain, drained).await.is_err() {
        tracing::info!(
            left = connections.len(),
            "cutting connections that outlasted the drain limit"
        );
        registry.cut_all(Cut::Stopped);
        connections.shutdown().await;
    }
}

async fn accept(listener: &Socket) -> std::io::Result<(Stream, Peer)> {
    match listener {
        Socket::Tcp(listener) => {
            let (stream, remote) = listener.accept().await?;
            // Small answers (a 200-octet script) must not wait for the client's delayed ACK.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%remote, %error, "cannot switch TCP_NODELAY on");
            }
            let peer = Peer {
                remote: Some(canonical(remote)),
                local: stream.local_addr().ok().map(canonical),
            };
            Ok((Stream::tcp(stream), peer))
        }
        Socket::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            Ok((Stream::unix(stream), Peer::default()))
        }
    }
}

/// An IPv4 client of a dual-stack socket is an IPv4 client.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A client that hung up before we accepted costs nothing; running out of descriptors or memory
/// does not get better by asking again at once, so somebody silent goes and we wait a moment.
async fn back_off(registry: &Registry, error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    ) {
        return;
    }
    tracing::warn!(%error, "cannot accept connections; raise the limit of open files if this stays");
    registry.evict_silent();
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Long enough not to spin, short enough that firmware's first retransmission (1 s) finds us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
