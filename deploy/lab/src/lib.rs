//! What the virtual lab shares with the benchmark: a sandbox that leaves nothing behind, child
//! processes whose end is never forgotten, and how figures are made and shown.

pub mod process;
pub mod sandbox;
pub mod stats;
pub mod table;
