//! What the virtual lab shares with the benchmark: a sandbox that leaves nothing behind, and
//! child processes whose end is never forgotten.

pub mod process;
pub mod sandbox;
