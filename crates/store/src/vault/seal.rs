//! One secret to one line of text and back: ChaCha20-Poly1305 (RFC 8439) from ring.

use super::MasterKey;
use bootplan::Secret;
use data_encoding::BASE64;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::fmt;

/// Seals and opens secrets. Made once from the key file.
pub struct Sealer(LessSafeKey);

/// Why a sealed text could not be opened, or a secret not sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not a text that [`Sealer::seal`] writes.
    #[error("secret '{name}': the stored text is not in the form v1:..., it is damaged")]
    Form {
        /// The secret's name.
        name: String,
    },
    /// A newer Farrier wrote it.
    #[error("secret '{name}': it was sealed by a newer farrier; start that one")]
    Newer {
        /// The secret's name.
        name: String,
    },
    /// Another key, another name or scope, or a changed text: nobody can tell which.
    #[error(
        "secret '{name}': it cannot be opened with this key; put back the key file it was sealed \
         with, or give the secret a new value"
    )]
    Key {
        /// The secret's name.
        name: String,
    },
    /// Longer than `SECRET_LIMIT`.
    #[error("secret '{name}': {bytes} bytes, at most {SECRET_LIMIT} are allowed")]
    TooLarge {
        /// The secret's name.
        name: String,
        /// Its size in bytes.
        bytes: usize,
    },
}

impl Sealer {
    /// Takes the part of the master key that is for secrets at rest.
    pub fn new(key: &MasterKey) -> Self {
        let octets = key.derived("secrets at rest 1");
        let key = UnboundKey::new(&CHACHA20_POLY1305, &octets)
            .expect("ChaCha20-Poly1305 takes 32 octets, and these are 32");
        Sealer(LessSafeKey::new(key))
    }

    /// Seals a secret's value for a row: `v1:` and base64 of nonce, ciphertext and tag. The
    /// name and the scope are bound to it, so that a row cannot be given another's value.
    ///
    /// A nonce is 96 random bits. Two are equal with a chance of 2^-32 only after 2^32 writes.
    ///
    /// # Errors
    /// A value longer than `SECRET_LIMIT`.
    pub fn seal(&self, name: &str, scope: &str, secret: &Secret) -> Result<String, SealError> {
        self.seal_with(name, scope, secret, rand::random())
    }

    fn seal_with(
        &self,
        name: &str,
        scope: &str,
        secret: &Secret,
        nonce: [u8; NONCE_LEN],
    ) -> Result<String, SealError> {
        let too_large = || SealError::TooLarge {
            name: name.to_owned(),
            bytes: secret.len(),
        };
        if secret.len() > SECRET_LIMIT {
            return Err(too_large());
        }
        let mut sealed = secret.expose().as_bytes().to_vec();
        let bound = Aad::from(bound(name, scope));
        let unique = Nonce::assume_unique_for_key(nonce);
        // ring refuses only texts of 256 GiB and more.
        self.0
            .seal_in_place_append_tag(unique, bound, &mut sealed)
            .map_err(|_| too_large())?;
        let mut octets = nonce.to_vec();
        octets.append(&mut sealed);
        Ok(format!("{FORM}{}", BASE64.encode(&octets)))
    }

    /// Opens a row's text.
    ///
    /// # Errors
    /// Which of the three things is wrong; never anything of the value.
    pub fn open(&self, name: &str, scope: &str, sealed: &str) -> Result<Secret, SealError> {
        let form = || SealError::Form {
            name: name.to_owned(),
        };
        let wrong_key = || SealError::Key {
            name: name.to_owned(),
        };
        let Some(text) = sealed.strip_prefix(FORM) else {
            return Err(match newer(sealed) {
                true => SealError::Newer {
                    name: name.to_owned(),
                },
                false => form(),
            });
        };
        let mut octets = BASE64.decode(text.as_bytes()).map_err(|_| form())?;
        let (nonce, body) = octets.split_at_mut_checked(NONCE_LEN).ok_or_else(form)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| form())?;
        let plain = self
            .0
            .open_in_place(nonce, Aad::from(bound(name, scope)), body)
            .map_err(|_| wrong_key())?;
        let plain = std::str::from_utf8(plain).map_err(|_| form())?;
        Ok(Secret::new(plain))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(sealer)")
    }
}

/// What a sealed value belongs to. Names and scopes are slugs, without the octet between them.
fn bound(name: &str, scope: &str) -> Vec<u8> {
    [name.as_bytes(), scope.as_bytes()].join(&0)
}

/// True for `v` and another number, as this form's successors will begin.
fn newer(text: &str) -> bool {
    let number = text.strip_prefix('v').and_then(|rest| rest.split_once(':'));
    number.is_some_and(|(number, _)| number.parse::<u32>().is_ok_and(|number| number > 1))
}

const FORM: &str = "v1:";
/// Fits a TLS key with its chain, or a join script.
pub(crate) const SECRET_LIMIT: usize = 64 * 1024;

#[cfg(test)]
#[path = "seal/tests.rs"]
mod tests;
