//! TFTP on bad cables.

use super::columns::LOSS;
use super::tftp::EVERYBODY;
use super::{Case, File, QUICK, Tftp, Work, size};
use std::time::Duration;

pub(super) fn loss() -> Vec<Case> {
    let case = |name, what: &str, window, file, work: fn(&mut Tftp)| {
        let mut tftp = Tftp {
            clients: 32,
            file,
            // The same for everybody, for here times are compared.
            file_windowless: file,
            limit: LIMIT,
            ..Tftp::of(1428, window)
        };
        work(&mut tftp);
        Case {
            name,
            what: format!("{what}: 32 clients, {} each, window {window}", size(file)),
            servers: EVERYBODY.to_vec(),
            quick: QUICK.contains(&name),
            columns: LOSS,
            work: Work::Tftp(tftp),
        }
    };
    vec![
        case("f1_w1", "1 % of DATA lost", 1, File::Quarter, |t| {
            t.impairments.lose_data = 10;
        }),
        case("f1_w16", "1 % of DATA lost", 16, File::Mib, |t| {
            t.impairments.lose_data = 10;
        }),
        case(
            "f1_w16e",
            "1 % of DATA lost, an ACK for every gap (EDK2)",
            16,
            File::Mib,
            |t| {
                t.impairments.lose_data = 10;
                t.ack_every_gap = true;
            },
        ),
        case(
            "fa1_w1",
            "0.5 % of DATA and of ACKs lost, client's timer 4 s",
            1,
            File::Quarter,
            |t| {
                t.impairments.lose_data = 5;
                t.impairments.lose_acks = 5;
                t.timer = Duration::from_secs(4);
            },
        ),
        case("f5_w1", "5 % of DATA lost", 1, File::Quarter, |t| {
            t.impairments.lose_data = 50;
        }),
        case("f5_w16", "5 % of DATA lost", 16, File::Quarter, |t| {
            t.impairments.lose_data = 50;
        }),
        case(
            "fr_w1",
            "10 % reordered, 10 % doubled",
            1,
            File::Quarter,
            |t| {
                t.impairments.reorder = 100;
                t.impairments.duplicate = 100;
            },
        ),
        case(
            "fr_w16",
            "10 % reordered, 10 % doubled",
            16,
            File::Quarter,
            |t| {
                t.impairments.reorder = 100;
                t.impairments.duplicate = 100;
            },
        ),
    ]
}

/// What is not there by then counts as failed. Some peers would need minutes.
const LIMIT: Duration = Duration::from_secs(20);
