//! Runs `assets::sync` into a data directory: `cargo run -p bootfiles --example sync -- DIR`.
//! What `farrier assets sync` does, for working on this crate alone.

use bootfiles::assets::{SyncOptions, sync};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(dir) = args.next() else {
        eprintln!("usage: sync DIR [--force] [--refresh] [--offline]");
        return ExitCode::from(2);
    };
    let flags: Vec<String> = args.collect();
    let flag = |name: &str| flags.iter().any(|f| f == name);
    let options = SyncOptions {
        force: flag("--force"),
        refresh: flag("--refresh"),
        offline: flag("--offline"),
        ..SyncOptions::new(dir)
    };
    match sync(&options, &mut |step| eprintln!("{step}")) {
        Ok(report) => {
            print!("{report}");
            ExitCode::from(u8::from(!report.is_complete()))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
