//! Profiles and site settings.

use crate::{Store, StoreError};
use bootplan::{Profile, ProfileName, Site};

impl Store {
    /// Creates a profile or replaces the one of the same name. Read profiles from the
    /// [`catalog`](Self::catalog).
    ///
    /// # Errors
    /// [`StoreError::Profile`] when it would be dangerous or useless in a menu; database failure.
    pub async fn put_profile(&self, profile: Profile, by: &str) -> Result<(), StoreError> {
        let _ = (profile, by);
        unimplemented!("store: in work")
    }

    /// Deletes a profile.
    ///
    /// # Errors
    /// No such profile; a conflict that names machines while any is assigned to it.
    pub async fn delete_profile(&self, name: &ProfileName, by: &str) -> Result<(), StoreError> {
        let _ = (name, by);
        unimplemented!("store: in work")
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
        let _ = (site, by);
        unimplemented!("store: in work")
    }
}
