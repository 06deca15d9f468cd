//! Profiles and site settings.

use crate::change::to_the_end;
use crate::rows::{failed, to_json};
use crate::{Store, StoreError};
use bootplan::{EventKind, Profile, ProfileName, Site};

impl Store {
    /// Creates a profile or replaces the one of the same name. Read profiles from the
    /// [`catalog`](Self::catalog).
    ///
    /// # Errors
    /// [`StoreError::Profile`] when it would be dangerous or useless in a menu; database failure.
    pub async fn put_profile(&self, profile: Profile, by: &str) -> Result<(), StoreError> {
        let (store, by) = (self.clone(), by.to_owned());
        to_the_end(async move { store.put_profile_now(profile, by).await }).await
    }

    /// Deletes a profile.
    ///
    /// # Errors
    /// No such profile; a conflict that names machines while any is assigned to it.
    pub async fn delete_profile(&self, name: &ProfileName, by: &str) -> Result<(), StoreError> {
        let (store, name, by) = (self.clone(), name.clone(), by.to_owned());
        to_the_end(async move { store.delete_profile_now(name, by).await }).await
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
        to_the_end(async move { store.set_site_now(site.clamped(), by).await }).await
    }

    async fn put_profile_now(&self, profile: Profile, by: String) -> Result<(), StoreError> {
        let name = profile.name.to_string();
        if let Err(source) = profile.validate() {
            return Err(StoreError::Profile { name, source });
        }
        let mut change = self.begin().await?;
        let old = self.model().profiles.get(&profile.name).cloned();
        if old.as_deref() == Some(&profile) {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO profiles (name, spec) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET spec = excluded.spec",
        )
        .bind(&name)
        .bind(to_json(&profile))
        .execute(&mut *change.tx)
        .await
        .map_err(failed("storing a profile"))?;
        let done = if old.is_some() { "changed" } else { "created" };
        let what = format!("profile '{name}' {done}");
        change.touch_profiles();
        change.say(None, EventKind::Changed { what, by });
        change.commit().await.map(drop)
    }

    async fn delete_profile_now(&self, name: ProfileName, by: String) -> Result<(), StoreError> {
        let mut change = self.begin().await?;
        {
            let model = self.model();
            if !model.profiles.contains_key(&name) {
                return Err(no_profile(&name));
            }
            let machines = model.machines.values().map(|row| &row.record.machine);
            let users: Vec<_> = machines
                .filter(|machine| machine.profile.as_ref() == Some(&name))
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
            .execute(&mut *change.tx)
            .await
            .map_err(failed("deleting a profile"))?;
        let what = format!("profile '{name}' deleted");
        change.touch_profiles();
        change.say(None, EventKind::Changed { what, by });
        change.commit().await.map(drop)
    }

    async fn set_site_now(&self, site: Site, by: String) -> Result<(), StoreError> {
        let mut change = self.begin().await?;
        if self.model().site == site {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO settings (name, value) VALUES ('site', $1) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(to_json(&site))
        .execute(&mut *change.tx)
        .await
        .map_err(failed("storing site settings"))?;
        let what = format!(
            "site settings changed: machines without an assignment get '{}'",
            site.unassigned
        );
        change.touch_site();
        change.say(None, EventKind::Changed { what, by });
        change.commit().await.map(drop)
    }
}

pub(crate) fn no_profile(name: &ProfileName) -> StoreError {
    StoreError::NotFound {
        what: format!("profile '{name}'"),
    }
}
