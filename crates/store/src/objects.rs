//! Templates, snippets and groups.

use crate::change::{Change, to_the_end};
use crate::rows::{Tx, failed, json, to_json};
use crate::{Store, StoreError, validate};
use bootplan::{EventKind, Object, ObjectKind, ObjectName, Objects};

impl Store {
    /// Creates a template, snippet or group, or replaces the one of the same kind and name. Read
    /// them from the [`catalog`](Self::catalog).
    ///
    /// # Errors
    /// A text that is too large, database failure.
    pub async fn put_object(&self, object: Object, by: &str) -> Result<(), StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.put_object(object, &by).await?;
            change.finish().await
        })
        .await
    }

    /// Deletes a template, snippet or group. Answers that want it cannot be made any more, which
    /// their review says.
    ///
    /// # Errors
    /// No such object, database failure.
    pub async fn delete_object(
        &self,
        kind: ObjectKind,
        name: &ObjectName,
        by: &str,
    ) -> Result<(), StoreError> {
        let (store, name, by) = (self.clone(), name.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.delete_object(kind, &name, &by).await?;
            change.finish().await
        })
        .await
    }
}

impl Change {
    pub(crate) async fn put_object(&mut self, object: Object, by: &str) -> Result<(), StoreError> {
        let (kind, name) = (object.kind(), object.name().clone());
        if let Some(bytes) = object.too_large() {
            return Err(StoreError::Invalid {
                field: "text".to_owned(),
                problem: format!("{bytes} bytes are too many: a template has at most 256 KiB"),
            });
        }
        validate::labels(object.labels())?;
        let spec = to_json(&object);
        let doing = failed("storing a template");
        let old: Option<String> =
            sqlx::query_scalar("SELECT spec FROM objects WHERE kind = $1 AND name = $2")
                .bind(kind.slug())
                .bind(name.to_string())
                .fetch_optional(&mut *self.tx)
                .await
                .map_err(doing)?;
        let done = match old {
            Some(old) if old == spec => return Ok(()),
            Some(_) => "changed",
            None => "created",
        };
        sqlx::query(
            "INSERT INTO objects (kind, name, spec) VALUES ($1, $2, $3) \
             ON CONFLICT (kind, name) DO UPDATE SET spec = excluded.spec",
        )
        .bind(kind.slug())
        .bind(name.to_string())
        .bind(spec)
        .execute(&mut *self.tx)
        .await
        .map_err(doing)?;
        self.objects_changed(kind, &name, done, by);
        Ok(())
    }

    pub(crate) async fn delete_object(
        &mut self,
        kind: ObjectKind,
        name: &ObjectName,
        by: &str,
    ) -> Result<(), StoreError> {
        let gone = sqlx::query("DELETE FROM objects WHERE kind = $1 AND name = $2")
            .bind(kind.slug())
            .bind(name.to_string())
            .execute(&mut *self.tx)
            .await
            .map_err(failed("deleting a template"))?;
        if gone.rows_affected() == 0 {
            return Err(StoreError::NotFound {
                what: format!("{} '{name}'", kind.slug()),
            });
        }
        self.objects_changed(kind, name, "deleted", by);
        Ok(())
    }

    fn objects_changed(&mut self, kind: ObjectKind, name: &ObjectName, done: &str, by: &str) {
        let what = format!("{} '{name}' {done}", kind.slug());
        let by = by.to_owned();
        self.say(None, EventKind::Changed { what, by });
        self.overlay.touch_objects();
    }
}

/// All of them.
pub(crate) async fn load_objects(tx: &mut Tx) -> Result<Objects, sqlx::Error> {
    let rows = sqlx::query("SELECT spec FROM objects ORDER BY kind, name")
        .fetch_all(&mut **tx)
        .await?;
    rows.iter().map(|row| json::<Object>(row, "spec")).collect()
}
