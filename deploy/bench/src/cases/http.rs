//! HTTP.

use super::columns::{BULK, REQUESTS};
use super::{Case, File, Http, QUICK, Work, size};
use crate::servers::Kind;

pub(super) fn http() -> Vec<Case> {
    let case = |name, file, connections, requests, columns| Case {
        name,
        what: format!(
            "HTTP: {connections} connections, {requests} x {} on each",
            size(file)
        ),
        servers: match (file, connections) {
            // 32 GiB for each of them.
            (File::Image, 64) => EVERYBODY[..2].to_vec(),
            _ => EVERYBODY.to_vec(),
        },
        quick: QUICK.contains(&name),
        columns,
        work: Work::Http(Http {
            connections,
            requests,
            file,
        }),
    };
    vec![
        case("http_4k_c1", File::Small, 1, 4000, REQUESTS),
        case("http_4k_c16", File::Small, 16, 1200, REQUESTS),
        case("http_4k_c64", File::Small, 64, 300, REQUESTS),
        case("http_1m_c1", File::Mib, 1, 512, BULK),
        case("http_1m_c16", File::Mib, 16, 32, BULK),
        case("http_1m_c64", File::Mib, 64, 16, BULK),
        case("http_64m_c1", File::Initrd, 1, 12, BULK),
        case("http_64m_c16", File::Initrd, 16, 1, BULK),
        case("http_64m_c64", File::Initrd, 64, 1, BULK),
        case("http_512m_c1", File::Image, 1, 2, BULK),
        case("http_512m_c16", File::Image, 16, 1, BULK),
        case("http_512m_c64", File::Image, 64, 1, BULK),
    ]
}

const EVERYBODY: [Kind; 5] = [
    Kind::Farrier,
    Kind::Nginx,
    Kind::ServeDir,
    Kind::FloorWrite,
    Kind::FloorSendfile,
];
