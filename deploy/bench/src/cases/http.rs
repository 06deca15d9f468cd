//! HTTP.

use super::columns::{BULK, REQUESTS};
use super::{Case, File, Http, QUICK, Work, size};
use crate::servers::Kind;

pub(super) fn http() -> Vec<Case> {
    let case = |name, rounds_of_five, file, connections, requests, columns| Case {
        name,
        what: format!(
            "HTTP: {connections} connections, {requests} x {} on each",
            size(file)
        ),
        servers: vec![
            Kind::Farrier,
            Kind::Nginx,
            Kind::ServeDir,
            Kind::FloorWrite,
            Kind::FloorSendfile,
        ],
        rounds_of_five,
        quick: QUICK.contains(&name),
        columns,
        work: Work::Http(Http {
            connections,
            requests,
            file,
        }),
    };
    vec![
        case("http_64m_c1", 5, File::Initrd, 1, 32, BULK),
        case("http_64m_c16", 3, File::Initrd, 16, 4, BULK),
        case("http_64m_c64", 5, File::Initrd, 64, 1, BULK),
        case("http_512m_c1", 5, File::Image, 1, 4, BULK),
        case("http_512m_c16", 2, File::Image, 16, 1, BULK),
        case("http_1m_c64", 5, File::Mib, 64, 32, BULK),
        case("http_1m_c16", 3, File::Mib, 16, 64, BULK),
        case("http_4k_c1", 3, File::Small, 1, 4000, REQUESTS),
        case("http_4k_c16", 3, File::Small, 16, 1200, REQUESTS),
        case("http_4k_c64", 5, File::Small, 64, 600, REQUESTS),
    ]
}
