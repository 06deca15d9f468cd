//! Profiles and site settings.

use crate::change::{Change, to_the_end};
use crate::rows::{failed, to_json};
use crate::{Store, StoreError, validate};
use bootplan::{EventKind, Machine, Profile, ProfileName, Site};
use std::sync::Arc;

impl Store {
    /// Creates a profile or replaces the one of the same name. Read profiles from the
    /// [`catalog`](Self::catalog).
    ///
    /// # Errors
    /// [`StoreError::Profile`] when it would be dangerous or useless in a menu; database failure.
    pub async fn put_profile(&self, profile: Profile, by: &str) -> Result<(), StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.put_profile(profile, &by).await?;
            change.finish().await
        })
        .await
    }

    /// Deletes a profile.
    ///
    /// # Errors
    /// No such profile; a conflict that names machines while any is assigned to it.
    pub async fn delete_profile(&self, name: &ProfileName, by: &str) -> Result<(), StoreError> {
        let (store, name, by) = (self.clone(), name.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.delete_profile(name, &by).await?;
            change.finish().await
        })
        .await
    }

    /// Site settings in force.
    pub fn site(&self) -> Site {
        self.catalog().site.clone()
    }

    /// Replaces the site settings; numbers are brought into their range.
    ///
    /// # Errors
    /// Database failure.
    pub async fn set_site(&self, site: Site, by: &str) -> Result<(), StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move {
            let mut change = store.begin().await?;
            change.set_site(site, &by).await?;
            change.finish().await
        })
        .await
    }
}

impl Change {
    pub(crate) async fn put_profile(
        &mut self,
        profile: Profile,
        by: &str,
    ) -> Result<(), StoreError> {
        let name = profile.name.to_string();
        if let Err(source) = profile.validate() {
            return Err(StoreError::Profile { name, source });
        }
        validate::labels(&profile.labels)?;
        let done = {
            let model = self.store.model();
            match self.overlay.profile(&model, &profile.name) {
                Some(old) if **old == profile => return Ok(()),
                Some(_) => "changed",
                None => "created",
            }
        };
        sqlx::query(
            "INSERT INTO profiles (name, spec) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET spec = excluded.spec",
        )
        .bind(&name)
        .bind(to_json(&profile))
        .execute(&mut *self.tx)
        .await
        .map_err(failed("storing a profile"))?;
        let what = format!("profile '{name}' {done}");
        let by = by.to_owned();
        self.say(None, EventKind::Changed { what, by });
        let name = profile.name.clone();
        self.overlay.put_profile(name, Some(Arc::new(profile)));
        Ok(())
    }

    pub(crate) async fn delete_profile(
        &mut self,
        name: ProfileName,
        by: &str,
    ) -> Result<(), StoreError> {
        self.must_have_profile(&name)?;
        {
            let model = self.store.model();
            let rules = model.rules.keys();
            let mut rules = rules.filter_map(|rule| self.overlay.rule(&model, rule));
            if let Some(rule) = rules.find(|rule| rule.profile == name) {
                return Err(StoreError::Conflict {
                    what: format!("rule '{}' gives profile '{name}'", rule.name),
                    advice: "change or delete that rule first".to_owned(),
                });
            }
            let ordered = |machine: &Machine| {
                let run = machine.run.as_ref().filter(|run| !run.is_over());
                run.is_some_and(|run| run.profile == name)
            };
            let users: Vec<_> = self
                .overlay
                .machines(&model)
                .filter(|machine| machine.profile.as_ref() == Some(&name) || ordered(machine))
                .map(|machine| machine.name.clone())
                .collect();
            if let Some(first) = users.first() {
                let others = match users.len() - 1 {
                    0 => String::new(),
                    n => format!(" and {n} more"),
                };
                return Err(StoreError::Conflict {
                    what: format!("profile '{name}' is assigned to '{first}'{others}"),
                    advice: "assign them another profile or none first".to_owned(),
                });
            }
        }
        sqlx::query("DELETE FROM profiles WHERE name = $1")
            .bind(name.as_str())
            .execute(&mut *self.tx)
            .await
            .map_err(failed("deleting a profile"))?;
        let (what, by) = (format!("profile '{name}' deleted"), by.to_owned());
        self.overlay.put_profile(name, None);
        self.say(None, EventKind::Changed { what, by });
        Ok(())
    }

    pub(crate) async fn set_site(&mut self, site: Site, by: &str) -> Result<(), StoreError> {
        let site = site.clamped();
        if *self.overlay.site(&self.store.model()) == site {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO settings (name, value) VALUES ('site', $1) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(to_json(&site))
        .execute(&mut *self.tx)
        .await
        .map_err(failed("storing site settings"))?;
        let what = format!(
            "site settings changed: machines without an assignment get '{}'",
            site.unassigned
        );
        let by = by.to_owned();
        self.say(None, EventKind::Changed { what, by });
        self.overlay.put_site(site);
        Ok(())
    }

    pub(crate) fn must_have_profile(&self, name: &ProfileName) -> Result<(), StoreError> {
        let model = self.store.model();
        let found = self.overlay.profile(&model, name);
        found.map(drop).ok_or_else(|| no_profile(name))
    }
}

fn no_profile(name: &ProfileName) -> StoreError {
    StoreError::NotFound {
        what: format!("profile '{name}'"),
    }
}
