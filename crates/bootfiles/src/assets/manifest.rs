//! `manifest.yaml`: the loaders and images there should be.

use bootplan::{LoaderRole, Platform, RelPath};
use serde::{Deserialize, Deserializer};

/// What loaders and images there should be. The shipped one is `boot-assets/manifest.yaml`; an
/// operator can add another of the same format beside their own loaders.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always 1.
    pub format: u32,
    /// Debian suites, tried in this order.
    #[serde(default)]
    pub suites: Vec<String>,
    /// Network boot programs and what they fetch by fixed names.
    #[serde(default)]
    pub loaders: Vec<LoaderEntry>,
    /// Files of the sample profiles.
    #[serde(default)]
    pub images: Vec<ImageEntry>,
}

/// One loader.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoaderEntry {
    /// File name on the wire.
    #[serde(deserialize_with = "path")]
    pub name: RelPath,
    /// The platform it runs on.
    pub platform: Platform,
    /// What it is for.
    pub role: LoaderRole,
    /// SPDX licence expression.
    pub licence: String,
    /// Where it comes from; `None` for what no package has.
    #[serde(default)]
    pub from: Option<PackageFile>,
    /// Names of loaders without which this one is useless.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What is lost when it comes from an older suite than the first.
    #[serde(default)]
    pub older: Option<String>,
    /// How to get it when no package has it.
    #[serde(default)]
    pub by_hand: Option<String>,
}

/// One file below the images directory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageEntry {
    /// Path below the images directory.
    #[serde(deserialize_with = "path")]
    pub name: RelPath,
    /// SPDX licence expression.
    pub licence: String,
    /// Where it comes from.
    pub from: PackageFile,
    /// What is lost when it comes from an older suite than the first.
    #[serde(default)]
    pub older: Option<String>,
}

/// A file inside a Debian package.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageFile {
    /// Package name.
    pub package: String,
    /// Debian architecture of the package: `all`, `amd64`, `i386`, `arm64`.
    pub arch: String,
    /// The file's path inside the package.
    #[serde(deserialize_with = "path")]
    pub path: RelPath,
    /// Suites to look in; empty means the manifest's.
    #[serde(default)]
    pub suites: Vec<String>,
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not YAML, or not of this shape; the source tells line and column.
    #[error("manifest: {0}")]
    Yaml(#[from] serde_yaml::Error),
    /// Another format than 1.
    #[error("manifest: format {0} is not known to this version of Farrier (1 is)")]
    Format(u32),
    /// A loader's name with a slash.
    #[error("manifest: loader name '{0}' must be a bare file name")]
    LoaderName(RelPath),
    /// The same name twice.
    #[error("manifest: '{0}' is listed twice")]
    Twice(RelPath),
    /// A name that would break an apt command line.
    #[error("manifest: '{name}': '{value}' is no name of a Debian package, architecture or suite")]
    Word {
        /// The entry.
        name: RelPath,
        /// The value at fault.
        value: String,
    },
}

impl Manifest {
    /// The manifest this program was built with.
    pub fn builtin() -> Manifest {
        Manifest::parse(BUILTIN).expect("the shipped manifest is parsed by a test")
    }

    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] names the entry and the value.
    pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
        let manifest: Manifest = serde_yaml::from_str(text)?;
        if manifest.format != 1 {
            return Err(ManifestError::Format(manifest.format));
        }
        let mut seen = std::collections::HashSet::new();
        for loader in &manifest.loaders {
            if loader.name.as_str().contains('/') {
                return Err(ManifestError::LoaderName(loader.name.clone()));
            }
            if !seen.insert(&loader.name) {
                return Err(ManifestError::Twice(loader.name.clone()));
            }
        }
        seen.clear();
        for image in &manifest.images {
            if !seen.insert(&image.name) {
                return Err(ManifestError::Twice(image.name.clone()));
            }
        }
        manifest.check_words()?;
        Ok(manifest)
    }

    /// The suites to look in for one file, best first.
    pub fn suites_of<'a>(&'a self, from: &'a PackageFile) -> &'a [String] {
        match from.suites.as_slice() {
            [] => &self.suites,
            own => own,
        }
    }

    fn check_words(&self) -> Result<(), ManifestError> {
        let loaders = self.loaders.iter().map(|l| (&l.name, l.from.as_ref()));
        let images = self.images.iter().map(|i| (&i.name, Some(&i.from)));
        for (name, from) in loaders.chain(images) {
            let Some(from) = from else { continue };
            let words = [&from.package, &from.arch];
            let suites = self.suites_of(from);
            if let Some(bad) = words.into_iter().chain(suites).find(|w| !is_word(w)) {
                return Err(ManifestError::Word {
                    name: name.clone(),
                    value: bad.clone(),
                });
            }
        }
        Ok(())
    }
}

/// Debian policy 5.6.1: lower case, digits, `+`, `-`, `.`, beginning with a letter or digit.
fn is_word(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .bytes()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"+-.".contains(&c))
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RelPath, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|refusal| {
        serde::de::Error::custom(format!("'{text}' is not a plain relative path: {refusal}"))
    })
}

const BUILTIN: &str = include_str!("../../../../boot-assets/manifest.yaml");

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_shipped_manifest_is_complete() {
        let manifest = Manifest::parse(BUILTIN).expect("shipped");
        let names: HashSet<&str> = manifest.loaders.iter().map(|l| l.name.as_str()).collect();
        for loader in &manifest.loaders {
            for need in &loader.needs {
                assert!(
                    names.contains(need.as_str()),
                    "{} needs {need}",
                    loader.name
                );
            }
            let source = loader.from.is_some() || loader.by_hand.is_some();
            assert!(source, "{} has no origin", loader.name);
            assert!(!loader.licence.is_empty());
        }
        let role = |platform, role| {
            let fits = |l: &&LoaderEntry| l.platform == platform && l.role == role;
            manifest.loaders.iter().find(fits).map(|l| l.name.as_str())
        };
        for (platform, wanted, name) in [
            (Platform::Bios, LoaderRole::Ipxe, "undionly.kpxe"),
            (Platform::Bios, LoaderRole::IpxeNative, "ipxe.pxe"),
            (Platform::Bios, LoaderRole::Pxelinux, "pxelinux.0"),
            (Platform::EfiX64, LoaderRole::Ipxe, "snponly.efi"),
            (Platform::EfiX64, LoaderRole::Shim, "shimx64.efi"),
            (Platform::EfiIa32, LoaderRole::Shim, "shimia32.efi"),
            (Platform::EfiArm64, LoaderRole::Ipxe, "ipxe-arm64.efi"),
            (Platform::EfiArm64, LoaderRole::Shim, "shimaa64.efi"),
        ] {
            assert_eq!(role(platform, wanted), Some(name));
        }
    }

    #[test]
    fn mistakes_are_named() {
        let entry = "platform: bios, role: ipxe, licence: X";
        let from = "from: {package: p, arch: all, path: a/b}";
        for (text, says) in [
            ("format: 2".to_owned(), "format 2 is not known"),
            (
                "format: 1\ncolour: red".to_owned(),
                "unknown field `colour`",
            ),
            (
                format!("format: 1\nloaders: [{{name: a/b, {entry}}}]"),
                "loader name 'a/b' must be a bare file name",
            ),
            (
                format!("format: 1\nloaders: [{{name: ../b, {entry}}}]"),
                "'../b' is not a plain relative path",
            ),
            (
                format!("format: 1\nloaders: [{{name: a, {entry}}}, {{name: a, {entry}}}]"),
                "'a' is listed twice",
            ),
            (
                format!("format: 1\nsuites: [-oX=y]\nloaders: [{{name: a, {entry}, {from}}}]"),
                "'-oX=y' is no name of a Debian package",
            ),
        ] {
            let error = Manifest::parse(&text).expect_err("refused").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
