//! Rules.

use crate::change::{Change, to_the_end};
use crate::rows::{failed, to_json};
use crate::{Store, StoreError, validate};
use bootplan::{EventKind, Rule, RuleName};
use std::sync::Arc;

impl Store {
    /// Creates a rule or replaces the one of the same name. Read rules from
    /// [`rules`](Self::rules); the Catalog has only those in force, in the order they are asked.
    ///
    /// # Errors
    /// Its profile does not exist, database failure.
    pub async fn put_rule(&self, rule: Rule, by: &str) -> Result<(), StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.put_rule(rule, &by).await?;
            change.finish().await
        })
        .await
    }

    /// Deletes a rule. What it has assigned stays assigned.
    ///
    /// # Errors
    /// No such rule, database failure.
    pub async fn delete_rule(&self, name: &RuleName, by: &str) -> Result<(), StoreError> {
        let (store, name, by) = (self.clone(), name.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.delete_rule(name, &by).await?;
            change.finish().await
        })
        .await
    }

    /// Every rule by name, disabled ones too. From memory.
    pub fn rules(&self) -> Vec<Arc<Rule>> {
        self.model().rules.values().cloned().collect()
    }
}

impl Change {
    pub(crate) async fn put_rule(&mut self, rule: Rule, by: &str) -> Result<(), StoreError> {
        self.must_have_profile(&rule.profile)?;
        validate::labels(&rule.labels)?;
        let done = {
            let model = self.store.model();
            match self.overlay.rule(&model, &rule.name) {
                Some(old) if **old == rule => return Ok(()),
                Some(_) => "changed",
                None => "created",
            }
        };
        sqlx::query(
            "INSERT INTO rules (name, spec) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET spec = excluded.spec",
        )
        .bind(rule.name.to_string())
        .bind(to_json(&rule))
        .execute(&mut *self.tx)
        .await
        .map_err(failed("storing a rule"))?;
        let what = format!("rule '{}' {done}", rule.name);
        let by = by.to_owned();
        self.say(None, EventKind::Changed { what, by });
        let name = rule.name.clone();
        self.overlay.put_rule(name, Some(Arc::new(rule)));
        Ok(())
    }

    pub(crate) async fn delete_rule(&mut self, name: RuleName, by: &str) -> Result<(), StoreError> {
        let known = {
            let model = self.store.model();
            self.overlay.rule(&model, &name).is_some()
        };
        if !known {
            return Err(StoreError::NotFound {
                what: format!("rule '{name}'"),
            });
        }
        sqlx::query("DELETE FROM rules WHERE name = $1")
            .bind(name.to_string())
            .execute(&mut *self.tx)
            .await
            .map_err(failed("deleting a rule"))?;
        let what = format!("rule '{name}' deleted");
        let by = by.to_owned();
        self.say(None, EventKind::Changed { what, by });
        self.overlay.put_rule(name, None);
        Ok(())
    }
}
