//! The boot plane over HTTP: loaders, images and rendered scripts for machines, without login.
//!
//! One handler for every path. Firmware is a poor HTTP client and each rule here has its story in
//! protocol.md E: no redirects (EDK2 fails on them), exact `Content-Length` and never chunks (old
//! EDK2, GRUB and shim need the size), every refusal with a short body (shim waits for ever on an
//! empty one), HEAD like GET, ranges for EDK2's resume and iPXE's `sanboot`.

mod answers;
mod body;
mod conditions;
mod direct;
mod file;
mod request;
mod respond;
#[cfg(test)]
mod tests;
mod underway;

use crate::listen::{Handler, Line, Outgoing, Peer};
use crate::transfers::Transfers;
use answers::Wanted;
use bootfiles::{Asker, BootFiles, Found, Rendered};
use bootplan::{BootPath, Catalog, Endpoint, EventKind, MacAddr, Origin, Transport};
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use request::Target;
use respond::{Response, TEXT, body_for, refusal, whole};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use store::journal::EventSink;
use store::{MachineSide, Sighting};
use tokio::sync::watch;

/// What the boot plane knows. Of the store it has what a machine's link allows, and nothing of
/// people and their sessions.
pub struct BootState {
    /// Loaders and images.
    pub files: Arc<BootFiles>,
    /// The published snapshot; each request is answered from the newest.
    pub catalog: watch::Receiver<Arc<Catalog>>,
    /// Where to report what happened; knows which MAC is behind an address, too.
    pub events: EventSink,
    /// What a machine's link allows.
    pub machines: MachineSide,
    /// Where people see how far a file is.
    pub transfers: Transfers,
    /// TCP port of this plane, for the URLs in scripts.
    pub http_port: u16,
    /// TCP port of the people's pages, for texts that say where to assign a machine.
    pub ui_port: u16,
}

/// The boot plane; cheap to clone. Serve it with [`crate::listen::serve`], which spells header
/// names the way GRUB reads them.
#[derive(Clone)]
pub struct BootPlane(Arc<BootState>);

impl From<BootState> for BootPlane {
    fn from(state: BootState) -> Self {
        BootPlane(Arc::new(state))
    }
}

impl Handler for BootPlane {
    async fn handle(
        self,
        request: Request<Incoming>,
        peer: Peer,
        line: &Arc<Line>,
    ) -> http::Response<Outgoing> {
        let (request, body) = request.into_parts();
        let wanted = Wanted::parse(request.uri.path());
        let reports = request.method == Method::POST && wanted.is_some();
        if request.method != Method::GET && request.method != Method::HEAD && !reports {
            let (said, allowed) = match wanted {
                Some(_) => ("only GET, HEAD and POST\n", "GET, HEAD, POST"),
                None => ("only GET and HEAD\n", "GET, HEAD"),
            };
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let mut response = refusal(status, said, &Method::GET);
            let headers = response.headers_mut();
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
            self.0.transfers.refuse(Transport::Http, "method");
            return response;
        }
        let local = peer.local.and_then(|a| ipv4(a.ip()));
        let exchange = Exchange {
            peer,
            line: Arc::clone(line),
            ip: peer.remote.and_then(|a| ipv4(a.ip())),
            server: Endpoint {
                ip: local.unwrap_or(Ipv4Addr::LOCALHOST),
                http_port: self.0.http_port,
                ui_port: self.0.ui_port,
            },
            started: Instant::now(),
            state: self.0.clone(),
        };
        let response = match wanted {
            Some(wanted) if reports => exchange.report(wanted, body).await,
            Some(wanted) => exchange.fetch(wanted, &request.method).await,
            None => exchange.answer(&request).await,
        };
        let refused = match response.status() {
            StatusCode::NOT_FOUND => Some("not-found"),
            StatusCode::PRECONDITION_FAILED => Some("changed-meanwhile"),
            StatusCode::RANGE_NOT_SATISFIABLE => Some("no-such-range"),
            other => other.is_client_error().then_some("other"),
        };
        if let Some(reason) = refused {
            self.0.transfers.refuse(Transport::Http, reason);
        }
        response
    }
}

/// One request on its way to an answer.
struct Exchange {
    state: Arc<BootState>,
    peer: Peer,
    line: Arc<Line>,
    ip: Option<Ipv4Addr>,
    server: Endpoint,
    started: Instant,
}

impl Exchange {
    async fn answer(self, request: &Parts) -> Response {
        let method = &request.method;
        let target = match Target::parse(&request.uri) {
            Ok(target) => target,
            Err(refused) => {
                let name = request::printable(request.uri.path());
                return self.absent(&name, None, &refused.to_string(), method);
            }
        };
        let name = wire_name(&target.path)
            .unwrap_or_else(|| request::printable(request.uri.path().trim_start_matches('/')));
        let hint = self
            .ip
            .and_then(|ip| self.state.events.neighbours().lookup(ip));
        let mac = target.path.mac().or(hint);
        let mut asker =
            Asker::at(self.ip.unwrap_or(Ipv4Addr::UNSPECIFIED)).with_query(target.query);
        asker.mac_hint = hint;
        let said = request.headers.get("onie-eth-addr");
        asker.said_mac = said.and_then(|said| said.to_str().ok()?.trim().parse().ok());
        match self.lookup(&target.path, &asker).await {
            Found::Text(rendered) => self.text(*rendered, &target.path, &asker, method),
            Found::File(file) => self.file(file, name, mac, request),
            Found::Absent => self.absent(&name, mac, "no such file", method),
        }
    }

    /// What was asked for lately is answered at once. Opening another file blocks as the file
    /// system does (a sleeping disk, an NFS mount), so it is done away from the threads that serve
    /// everybody.
    async fn lookup(&self, path: &BootPath, asker: &Asker) -> Found {
        let files = &self.state.files;
        let catalog = self.state.catalog.borrow().clone();
        let server = self.server;
        if let Some(found) = files.lookup_cached(path, asker, &catalog, &server) {
            return found;
        }
        let (files, path, asker) = (Arc::clone(files), path.clone(), asker.clone());
        let lookup = move || files.lookup(&path, &asker, &catalog, &server);
        match tokio::task::spawn_blocking(lookup).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "a boot file lookup failed");
                Found::Absent
            }
        }
    }

    fn text(
        &self,
        rendered: Rendered,
        path: &BootPath,
        asker: &Asker,
        method: &Method,
    ) -> Response {
        let mac = rendered.client.as_ref().map(|c| c.mac);
        // Anybody may ask for any machine's menu. What such a URL says about the machine is
        // believed only while the neighbour table does not say that it is another one asking.
        let believed = asker.mac_hint.is_none() || asker.mac_hint == mac;
        if method == Method::GET {
            if let (Some(mac), Some(ip), true) = (path.mac(), self.ip, believed) {
                self.state.events.neighbours().learn(ip, mac);
            }
            if let (Some(mac), true) = (mac, believed) {
                self.report_facts(mac, asker);
            }
            let told = rendered.event(Transport::Http).into_iter();
            for event in told.chain(rendered.unproved.clone()) {
                self.state.events.emit(self.origin(mac), event);
            }
        }
        let length = rendered.body.len() as u64;
        let mut response = whole(StatusCode::OK, length, body_for(method, rendered.body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(TEXT));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// The same answer whether a name is absent, forbidden or nonsense.
    fn absent(&self, name: &str, mac: Option<MacAddr>, reason: &str, method: &Method) -> Response {
        if method == Method::GET {
            self.state.events.emit(
                self.origin(mac),
                EventKind::refused(Transport::Http, name.to_owned(), reason, is_optional(name)),
            );
        }
        refusal(StatusCode::NOT_FOUND, "not found\n", method)
    }

    /// What iPXE's query says about the hardware goes to the machine's page.
    fn report_facts(&self, mac: MacAddr, asker: &Asker) {
        let silent = asker.uuid.is_none()
            && asker.serial.is_none()
            && asker.platform.is_none()
            && asker.manufacturer.is_none()
            && asker.product.is_none()
            && asker.asset.is_none()
            && asker.memory_mib.is_none()
            && asker.cpu.is_none();
        if silent {
            return;
        }
        self.state.events.facts(Sighting {
            uuid: asker.uuid,
            serial: asker.serial.clone(),
            platform: asker.platform,
            manufacturer: asker.manufacturer.clone(),
            product: asker.product.clone(),
            asset: asker.asset.clone(),
            memory_mib: asker.memory_mib,
            cpu: asker.cpu.clone(),
            ..Sighting::of(mac, SystemTime::now().into())
        });
    }

    fn origin(&self, mac: Option<MacAddr>) -> Origin {
        Origin {
            mac,
            ip: self.ip,
            interface: None,
        }
    }
}

fn ipv4(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}

/// A file's name as events carry it: the same for either transport.
fn wire_name(path: &BootPath) -> Option<String> {
    match path {
        BootPath::Loader(name) => Some(name.to_string()),
        BootPath::Image(name) => Some(format!("images/{name}")),
        _ => None,
    }
}

/// Files that healthy firmware looks for and does without (protocol.md C.2, C.3, C.4).
fn is_optional(name: &str) -> bool {
    if name.contains("pxelinux.cfg/") {
        return true;
    }
    let name = name.rsplit('/').next().unwrap_or(name);
    name.starts_with("revocations")
        || name.starts_with("shim_certificate")
        || name.starts_with("grub.cfg")
        || name.ends_with(".lst")
        || name.ends_with(".pf2")
        || matches!(name, "autoexec.ipxe" | "favicon.ico")
}
