//! The secrets that sealed answers may name.

use bootplan::Secret;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Secrets by name, but for those of power switches and web hooks. A rendering gets those of them
/// that its template writes out by name, whatever machine it is for, and copies no other. Its
/// `Debug` text shows names only.
#[derive(Clone, Default)]
pub struct SecretBook(Arc<BTreeMap<String, Secret>>);

impl SecretBook {
    /// The secret by this name.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name).filter(|_| Secret::is_for_answers(name))
    }
}

impl From<Arc<BTreeMap<String, Secret>>> for SecretBook {
    fn from(secrets: Arc<BTreeMap<String, Secret>>) -> Self {
        SecretBook(secrets)
    }
}

impl FromIterator<(String, Secret)> for SecretBook {
    fn from_iter<I: IntoIterator<Item = (String, Secret)>>(secrets: I) -> Self {
        SecretBook(Arc::new(secrets.into_iter().collect()))
    }
}

impl fmt::Debug for SecretBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.keys().filter(|name| Secret::is_for_answers(name));
        f.debug_set().entries(names).finish()
    }
}

/// What `secret(name)` gives in a sealed answer. In any other text the function does not exist.
#[derive(Clone, Debug)]
pub enum Secrets {
    /// The values: for the machine that fetches the answer.
    Plain(Arc<SecretBook>),
    /// `MASK` for each: for people, who see that there is a secret and not which.
    Masked(Arc<SecretBook>),
}

/// Stands for a secret in a preview. It has a crypt hash's form, so that a preview passes the
/// same checks as the answer.
pub(crate) const MASK: &str = "$0$secret";

impl Secrets {
    /// No secret at all.
    pub fn none() -> Self {
        Secrets::Masked(Arc::default())
    }

    /// The text for a template, or `None` if there is no such secret.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self {
            Secrets::Plain(book) => book.get(name).map(|secret| secret.expose().to_owned()),
            Secrets::Masked(book) => book.get(name).map(|_| MASK.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_shows_names_and_no_values() {
        let entry = ("root".to_owned(), Secret::new("CANARY-1"));
        let book = Arc::new(SecretBook::from_iter([entry]));
        for secrets in [Secrets::Plain(book.clone()), Secrets::Masked(book.clone())] {
            let said = format!("{secrets:?} {secrets:#?}");
            assert!(said.contains("root") && !said.contains("CANARY"), "{said}");
            assert_eq!(secrets.text("nobody"), None);
        }
        assert_eq!(
            Secrets::Plain(book.clone()).text("root").as_deref(),
            Some("CANARY-1")
        );
        assert_eq!(Secrets::Masked(book).text("root").as_deref(), Some(MASK));
    }

    #[test]
    fn a_book_has_nothing_of_switches_and_hooks() {
        let entry = |name: &str| (name.to_owned(), Secret::new("CANARY-1"));
        let book = SecretBook::from_iter(["root", "power.bmc", "hook.chat"].map(entry));
        let has = ["root", "power.bmc", "hook.chat"].map(|name| book.get(name).is_some());
        assert_eq!(has, [true, false, false]);
        assert_eq!(format!("{book:?}"), "{\"root\"}");
    }
}
