//! A real store that documents are applied to.

use crate::documents::{ApplyError, Done, Options, apply, export};
use store::Store;

pub(super) struct Site {
    pub(super) store: Store,
    _dir: tempfile::TempDir,
}

impl Site {
    /// An empty one.
    pub(super) async fn open() -> Site {
        let dir = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", dir.path().join("farrier.db").display());
        let store = Store::open(&url).await.expect("a fresh database");
        store
            .unlock(&dir.path().join("secret.key"))
            .await
            .expect("a new key");
        Site { store, _dir: dir }
    }

    /// One to which only this was applied.
    pub(super) async fn of(text: &str) -> Site {
        let site = Site::open().await;
        site.done(text, &Options::default()).await;
        site
    }

    pub(super) async fn apply(&self, text: &str, options: &Options) -> Result<Done, ApplyError> {
        apply(&self.store, text, options, "git").await
    }

    /// What was changed, as people read it.
    pub(super) async fn done(&self, text: &str, options: &Options) -> String {
        let done = self.apply(text, options).await;
        done.unwrap_or_else(|e| panic!("{e}: {:?}", e.faults()))
            .text
    }

    /// The first of what is wrong.
    pub(super) async fn refused(&self, text: &str) -> String {
        let done = self.apply(text, &Options::default()).await;
        let error = done.expect_err("refused");
        error.faults().first().expect("a place").problem.clone()
    }

    pub(super) async fn export(&self, values: bool) -> String {
        export(&self.store.decided().await.expect("read"), values)
    }
}
