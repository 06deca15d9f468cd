//! Everything durable, and the only room that knows SQL.
//!
//! One [`Store`] owns the database (SQLite in the data directory, or a PostgreSQL) and the
//! [`Catalog`](bootplan::Catalog) that every packet is answered from. Each change method is one
//! transaction, the change together with its [event](bootplan::Event); when it returns, the
//! change is on disk and a fresh immutable Catalog has been published. Packets read that
//! snapshot and never wait for the database.
//!
//! What the boot network reports comes in by the [`journal`]: one task that puts events in
//! order, finds out which machine each one belongs to, and passes them on.

mod batch;
mod change;
mod database;
mod decided;
mod doubts;
mod error;
mod events;
mod hooks;
pub mod journal;
mod machine_bulk;
mod machine_changes;
mod machine_rows;
mod machine_side;
mod machines;
mod marks;
mod merge;
mod model;
mod objects;
mod observe;
mod overlay;
mod people;
mod power;
mod profiles;
mod reports;
mod rows;
mod rules;
mod runs;
mod secrets;
mod sessions;
mod settle;
mod sight;
mod sqlite_file;
mod store;
mod unstored;
mod validate;
mod vault;

pub use batch::{Refused, Step};
pub use decided::{Decided, Held};
pub use doubts::{Conflict, SharedMac};
pub use error::{OpenError, StoreError};
pub use events::{EventQuery, StoredEvent};
pub use hooks::{Delivery, HookStatus};
pub use machine_side::MachineSide;
pub use machines::{MachineChange, MachineRecord, NewMachine};
pub use marks::{Applied, Batch, Mark, Marks};
pub use people::User;
pub use reports::Heard;
pub use sessions::{ApiToken, Session};
pub use settle::Settlement;
pub use sight::{Sighted, Sighting};
pub use store::{Store, StoreOptions};
pub use vault::{Absent, KeyFileError, MasterKey, SealError, Sealer, SecretRecord, UnlockError};
