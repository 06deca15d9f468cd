//! A value that must not be seen: a password's hash, a join token, a BMC's password.

use std::fmt;

/// A secret's value. It has no `Display`, no `Serialize` and no comparison, and its `Debug` text
/// says only that it is one: whoever wants the value writes [`Secret::expose`], which can be
/// searched for.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Whether an answer may name this secret. Those of power switches and web hooks have names of
    /// their own, so that no template can hand them to a machine.
    pub fn is_for_answers(name: &str) -> bool {
        !name.starts_with(POWER_SECRETS) && !name.starts_with(HOOK_SECRETS)
    }

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

/// How names of secrets begin that hold a controller's password.
pub(crate) const POWER_SECRETS: &str = "power.";
/// How names of secrets begin that sign what web hooks post.
pub(crate) const HOOK_SECRETS: &str = "hook.";

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

    #[test]
    fn answers_cannot_name_what_switches_and_hooks_use() {
        for (name, may) in [
            ("root-password-hash", true),
            ("power", true),
            ("power.rack1", false),
            ("hook.chat", false),
        ] {
            assert_eq!(Secret::is_for_answers(name), may, "{name}");
        }
    }
}
