//! What somebody wants fetched.

use crate::{FetchError, openpgp};
use bootfiles::images::{ImageError, check_name};
use data_encoding::{BASE64, BASE64_MIME_PERMISSIVE};
use reach::Request;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A file that is to become an image, and what vouches for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// What it will be called below the images directory; empty: as the URL calls it.
    pub name: String,
    /// Where it is. What stands behind `?` may be secret and is shown to nobody.
    pub url: String,
    /// The recipe whose netboot files are wanted; `url` is then the root of a mirror that has them, or
    /// empty for the one that the operator named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// Whether a release of that mirror is meant although it has shown a newer one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_older: bool,
    /// What it must be.
    pub proof: Proof,
    /// Who wants it.
    pub by: String,
}

/// What a file is compared with before it is an image. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Proof {
    /// Its SHA-256 in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// URL of a list of SHA-256 checksums (`SHA256SUMS`) with a line for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sums: Option<String>,
    /// The signature of the list, or of the file itself when there is no list; nothing: the list holds
    /// its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Given>,
    /// The keys of those who may sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyring: Option<Octets>,
}

/// Something that is fetched, or was sent along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Given {
    /// Where it is.
    Url(String),
    /// It.
    Content(Octets),
}

/// A small file: a signature, a keyring. Written down in base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Octets(pub Vec<u8>);

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Octets({})", self.0.len())
    }
}

impl From<Octets> for String {
    fn from(octets: Octets) -> String {
        BASE64.encode(&octets.0)
    }
}

impl TryFrom<String> for Octets {
    type Error = &'static str;

    /// Base64, or an armoured text as it is.
    fn try_from(text: String) -> Result<Octets, Self::Error> {
        if text.trim_start().starts_with("-----BEGIN") {
            return Ok(Octets(text.into_bytes()));
        }
        let octets = BASE64_MIME_PERMISSIVE.decode(text.as_bytes());
        octets.map(Octets).map_err(|_| "neither base64 nor armour")
    }
}

impl Order {
    /// The order as it is carried out: with a name, and everything readable.
    ///
    /// # Errors
    /// What cannot be read, a name that no image may have.
    pub(crate) fn checked(mut self) -> Result<Order, FetchError> {
        // What is left empty in a form is not given.
        let given = |text: Option<String>| {
            let text = text.map(|text| text.trim().to_owned());
            text.filter(|text| !text.is_empty())
        };
        self.url = self.url.trim().to_owned();
        Request::new(&self.url)?;
        self.name = match given(Some(self.name)) {
            Some(name) => name,
            None if self.mirror.is_some() => self.mirror.clone().unwrap_or_default(),
            None => name_of(&self.url).ok_or_else(|| {
                FetchError::Order("the URL names no file; say what it is to be called".to_owned())
            })?,
        };
        check_name(&self.name)?;
        if self.mirror.is_some() {
            return self.checked_mirror();
        }
        if !self.name.contains('/') && !self.name.ends_with(".iso") {
            return Err(ImageError::Alone(self.name).into());
        }
        let mut proof = self.proof;
        proof.sha256 = given(proof.sha256).map(|sum| sum.to_ascii_lowercase());
        if let Some(sum) = &proof.sha256
            && !is_sha256(sum)
        {
            let told = "a SHA-256 has 64 hexadecimal digits";
            return Err(FetchError::Order(told.to_owned()));
        }
        proof.sums = given(proof.sums);
        if let Some(sums) = &proof.sums {
            Request::new(sums)?;
        }
        proof.signature = proof.signature.filter(|signature| match signature {
            Given::Url(url) => !url.trim().is_empty(),
            Given::Content(octets) => !octets.0.is_empty(),
        });
        proof.keyring = proof.keyring.filter(|keyring| !keyring.0.is_empty());
        if let Some(Given::Url(url)) = &mut proof.signature {
            *url = url.trim().to_owned();
            Request::new(url)?;
        }
        match (&proof.keyring, &proof.signature, &proof.sums) {
            (Some(keyring), None, None) => {
                openpgp::binary(&keyring.0).map_err(FetchError::Order)?;
                let told = "a keyring alone checks nothing: say where the signature is, or a list of checksums that is signed";
                return Err(FetchError::Order(told.to_owned()));
            }
            (Some(keyring), ..) => drop(openpgp::binary(&keyring.0).map_err(FetchError::Order)?),
            (None, Some(_), _) => {
                let told = "a signature says nothing without the keys of those who may sign: give a keyring";
                return Err(FetchError::Order(told.to_owned()));
            }
            (None, None, _) => {}
        }
        self.proof = proof;
        Ok(self)
    }

    fn checked_mirror(mut self) -> Result<Order, FetchError> {
        if self.name.contains('/') || self.name.ends_with(".iso") {
            let told = "netboot files become a directory: name it without / and .iso";
            return Err(FetchError::Order(told.to_owned()));
        }
        self.proof.keyring = self.proof.keyring.filter(|keyring| !keyring.0.is_empty());
        if let Some(keyring) = &self.proof.keyring {
            openpgp::binary(&keyring.0).map_err(FetchError::Order)?;
        }
        let keyring = self.proof.keyring.clone();
        let alone = Proof {
            keyring,
            ..Proof::default()
        };
        match alone == self.proof {
            true => Ok(self),
            false => Err(FetchError::Order(
                "the recipe of a mirror says what vouches for its files; only a keyring can be given"
                    .to_owned(),
            )),
        }
    }
}

/// What the file of a URL is called, if the URL says.
fn name_of(url: &str) -> Option<String> {
    let path = url.split(['?', '#']).next()?.split_once("://")?.1;
    let (_, name) = path
        .split_once('/')?
        .1
        .rsplit_once('/')
        .unwrap_or(("", path.split_once('/')?.1));
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|c| b"0123456789abcdef".contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(url: &str, name: &str) -> Result<Order, FetchError> {
        let (url, name) = (url.to_owned(), name.to_owned());
        let order = Order {
            name,
            url,
            ..Order::default()
        };
        order.checked()
    }

    #[test]
    fn the_name_is_the_urls_if_nobody_says_another() {
        let named = |url: &str, name: &str| order(url, name).map(|order| order.name).ok();
        let some = |name: &str| Some(name.to_owned());
        for (url, name, expected) in [
            (
                "https://images.example.org/d/x-1.2.iso",
                "",
                some("x-1.2.iso"),
            ),
            (
                "https://images.example.org/x.iso?key=a/b.iso#c",
                " ",
                some("x.iso"),
            ),
            (" http://images.example.org/x.iso ", "y.iso", some("y.iso")),
            (
                "http://images.example.org/vmlinuz",
                "rescue/vmlinuz",
                some("rescue/vmlinuz"),
            ),
            ("http://images.example.org/vmlinuz", "", None),
            ("http://images.example.org/x.iso", "../x.iso", None),
            ("http://images.example.org/x%2e%2e.iso", "", None),
            ("http://images.example.org/", "", None),
            ("http://images.example.org", "", None),
            ("file:///etc/x.iso", "", None),
            ("http://me:secret@images.example.org/x.iso", "", None),
        ] {
            assert_eq!(named(url, name), expected, "{url} {name}");
        }
    }

    #[test]
    fn what_vouches_is_read_before_anything_is_asked() {
        let with = |sha256: &str, sums: &str| {
            let proof = Proof {
                sha256: Some(sha256.to_owned()),
                sums: Some(sums.to_owned()),
                ..Proof::default()
            };
            let url = "https://images.example.org/x.iso".to_owned();
            Order {
                url,
                proof,
                ..Order::default()
            }
            .checked()
        };
        let sum = "AB".repeat(32);
        let order = with(&format!(" {sum}\n"), "").expect("fine");
        assert_eq!(order.proof.sha256, Some(sum.to_lowercase()));
        assert_eq!(order.proof.sums, None, "an empty field of a form");
        for (sha256, sums) in [
            ("abc", ""),
            (&"g".repeat(64), ""),
            ("", "SHA256SUMS"),
            ("", "ftp://x/y"),
        ] {
            assert!(with(sha256, sums).is_err(), "{sha256} {sums}");
        }
    }
}
