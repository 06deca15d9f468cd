//! `/status`: whether this server is able to boot anything, and what to do if not.

use super::error::{PageResult, page};
use super::frame::{Frame, Stamp, Visit, now};
use super::story::{printable, size};
use super::transfers::{Moving, Sum, sums};
use crate::people::{FilesStatus, LoaderLine, PeopleState, ServerStatus};
use askama::Template;
use axum::extract::State;

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    frame: Frame,
    status: ServerStatus,
    started: Stamp,
    missing: usize,
    serving: usize,
    broken_ports: usize,
    rivals: usize,
    moving: Moving,
    sums: Vec<Sum>,
    loaders: Vec<(LoaderLine, String)>,
    ignored: Vec<(String, u64)>,
    foreign: Vec<(String, bool, Stamp)>,
    /// The watched directory.
    files: Option<FilesStatus>,
    files_at: String,
}

/// `GET /status`
pub(crate) async fn show(State(state): State<PeopleState>, visit: Visit) -> PageResult {
    let status = (state.status)();
    let sized = |l: &LoaderLine| {
        let role = role(&l.role).to_owned();
        let line = LoaderLine { role, ..l.clone() };
        (line, l.size.map(size).unwrap_or_default())
    };
    let mut ignored: Vec<(String, u64)> = status
        .ignored
        .iter()
        .filter(|(_, n)| **n > 0)
        .map(|(reason, n)| (reason.replace('-', " "), *n))
        .collect();
    ignored.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let files = status.files.clone().map(|files| FilesStatus {
        faults: files.faults.iter().map(|fault| printable(fault)).collect(),
        ..files
    });
    let files_at = files.as_ref().map(|files| Stamp::ago(files.at, now()));
    page(&StatusPage {
        files,
        files_at: files_at.map(|at| at.to_string()).unwrap_or_default(),
        frame: visit.frame(&state, "status"),
        started: Stamp::ago(status.started, now()),
        missing: status.loaders.iter().filter(|l| !l.present).count(),
        serving: status.interfaces.iter().filter(|i| i.serving).count(),
        broken_ports: status.ports.iter().filter(|p| p.state == "failed").count(),
        rivals: status.foreign_servers.iter().filter(|f| f.boots).count(),
        moving: Moving::all(&state),
        sums: sums(&state),
        loaders: status.loaders.iter().map(sized).collect(),
        ignored,
        foreign: status
            .foreign_servers
            .iter()
            .map(|f| (f.address.clone(), f.boots, Stamp::ago(f.last_seen, now())))
            .collect(),
        status,
    })
}

/// A role of the loader manifest in words.
fn role(slug: &str) -> &str {
    match slug {
        "ipxe" => "iPXE, firmware's driver",
        "ipxe-native" => "iPXE, own drivers",
        "pxelinux" => "PXELINUX",
        "shim" => "Secure Boot shim",
        "companion" => "fetched by another loader",
        other => other,
    }
}
