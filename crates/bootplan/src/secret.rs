//! A value that must not be seen: a password's hash, a join token, a BMC's password.

use std::fmt;

/// A secret's value. It has no `Display`, no `Serialize` and no comparison, and its `Debug` text
/// says only that it is one: whoever wants the value writes [`Secret::expose`], which can be
/// searched for.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a value into keeping.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value itself. Only for a sealed answer and for the protocol that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its length in bytes, for limits.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True for a secret without a value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_debug_text_says_nothing_of_the_value() {
        let secret = Secret::new("CANARY-1");
        assert_eq!(format!("{secret:?}"), "(secret)");
        assert_eq!(format!("{:#?}", Some(&secret)), "Some(\n    (secret),\n)");
        assert_eq!(secret.expose(), "CANARY-1");
        assert_eq!((secret.len(), secret.is_empty()), (8, false));
    }
}
