//! Passwords: argon2id, off the async threads, equally slow for known and unknown names.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use std::sync::LazyLock;
use tokio::sync::Semaphore;

/// Why a new password was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WeakPassword {
    /// Too short to withstand guessing.
    #[error("use at least {MIN_CHARS} characters; a short sentence is easy to remember")]
    Short,
    /// Longer than anybody types; bounds the hashing work.
    #[error("use at most {MAX_BYTES} bytes")]
    Long,
    /// Mistyped in one of the two fields.
    #[error("the two passwords differ; type the same one twice")]
    Differ,
}

/// Checks a new password that was typed twice.
pub(crate) fn check_new(password: &str, again: &str) -> Result<(), WeakPassword> {
    if password.chars().count() < MIN_CHARS {
        Err(WeakPassword::Short)
    } else if password.len() > MAX_BYTES {
        Err(WeakPassword::Long)
    } else if password != again {
        Err(WeakPassword::Differ)
    } else {
        Ok(())
    }
}

/// Hashes a password into a PHC string.
pub(crate) async fn hash(password: String) -> String {
    off_thread(move || hash_now(&password)).await
}

/// Whether the password belongs to the stored hash. With `None` (no such user) the same work is
/// done against a hash that nothing matches, so that time tells nobody which names exist.
pub(crate) async fn verify(password: String, stored: Option<String>) -> bool {
    off_thread(move || {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| DECOY.clone());
        let matches = password.len() <= MAX_BYTES
            && PasswordHash::new(&stored).is_ok_and(|h| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &h)
                    .is_ok()
            });
        known && matches
    })
    .await
}

fn hash_now(password: &str) -> String {
    Argon2::default()
        .hash_password(password.as_bytes())
        .expect("argon2 with its default parameters hashes any password")
        .to_string()
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let _permit = WORKERS.acquire().await.expect("never closed");
    tokio::task::spawn_blocking(work)
        .await
        .expect("hashing does not panic")
}

static DECOY: LazyLock<String> = LazyLock::new(|| hash_now("nobody's password"));
/// argon2id takes 19 MiB each time: two at once bound what a flood of logins costs.
static WORKERS: Semaphore = Semaphore::const_new(2);
/// NIST SP 800-63B asks for 8; ours guards disks.
const MIN_CHARS: usize = 10;
const MAX_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_matches() {
        let stored = hash("correct horse".to_owned()).await;
        assert!(stored.starts_with("$argon2id$"), "{stored}");
        assert!(verify("correct horse".to_owned(), Some(stored.clone())).await);
        assert!(!verify("correct horse ".to_owned(), Some(stored)).await);
        assert!(!verify("nobody's password".to_owned(), None).await);
        assert!(!verify("x".to_owned(), Some("garbage".to_owned())).await);
    }

    #[test]
    fn new_passwords_have_a_floor_and_a_ceiling() {
        assert_eq!(check_new("short", "short"), Err(WeakPassword::Short));
        let long = "x".repeat(MAX_BYTES + 1);
        assert_eq!(check_new(&long, &long), Err(WeakPassword::Long));
        assert_eq!(
            check_new("long enough 1", "long enough 2"),
            Err(WeakPassword::Differ)
        );
        assert_eq!(check_new("long enough", "long enough"), Ok(()));
    }
}
