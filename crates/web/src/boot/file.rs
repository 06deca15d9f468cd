//! An existing file as an answer: whole, in part, or not at all.

use super::Exchange;
use super::body::FileBody;
use super::conditions::{self, Answer};
use super::direct::Direct;
use super::respond::{Response, refusal, set, whole};
use super::underway::Transfer;
use crate::listen::Outgoing;
use bootfiles::SharedFile;
use bootplan::MacAddr;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};

impl Exchange {
    pub(super) fn file(
        &self,
        file: SharedFile,
        name: String,
        mac: Option<MacAddr>,
        request: &Parts,
    ) -> Response {
        let answer = conditions::answer(&request.method, &request.headers, &file);
        let method = &request.method;
        let (start, length, status) = match answer {
            Answer::Whole => (0, file.len(), StatusCode::OK),
            Answer::Part { start, length } => (start, length, StatusCode::PARTIAL_CONTENT),
            Answer::NotModified => {
                let mut response = Response::new(Outgoing::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                conditions::validators(response.headers_mut(), &file);
                return response;
            }
            Answer::Failed => {
                return refusal(
                    StatusCode::PRECONDITION_FAILED,
                    "the file has changed\n",
                    method,
                );
            }
            Answer::Beyond => {
                let mut response =
                    refusal(StatusCode::RANGE_NOT_SATISFIABLE, "no such range\n", method);
                set(
                    &mut response,
                    header::CONTENT_RANGE,
                    &format!("bytes */{}", file.len()),
                );
                return response;
            }
        };
        let mut response = whole(status, length, Outgoing::empty());
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(content_type(&name)),
        );
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        conditions::validators(headers, &file);
        if status == StatusCode::PARTIAL_CONTENT {
            let range = format!("bytes {start}-{}/{}", start + length - 1, file.len());
            set(&mut response, header::CONTENT_RANGE, &range);
        }
        if method == Method::GET {
            let transfer = Transfer {
                events: self.state.events.clone(),
                transfers: self.state.transfers.clone(),
                peer: self.peer.remote,
                line: self.line.clone(),
                origin: self.origin(mac),
                path: name,
                started: self.started,
                // A part out of the middle (iPXE reads an ISO by thousands of them) is no
                // milestone; whoever got the last octet has the file.
                report: start + length == file.len(),
            };
            let octets = start..start + length;
            let direct = Direct::plan(&file, &octets);
            let body = FileBody::new(file, octets, direct, transfer);
            *response.body_mut() = Outgoing::Long(Box::pin(body));
        }
        response
    }
}

fn content_type(name: &str) -> &'static str {
    let efi = name.len() >= 4 && name.as_bytes()[name.len() - 4..].eq_ignore_ascii_case(b".efi");
    if efi {
        "application/efi"
    } else {
        "application/octet-stream"
    }
}
