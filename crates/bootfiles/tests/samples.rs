//! The sample profiles in `configs/profiles` are usable, and boot files that `assets sync` brings.

use bootfiles::assets::Manifest;
use bootplan::{BootMethod, FileRef, Profile};
use serde::Deserialize;
use std::collections::HashSet;
use std::path::PathBuf;

/// One YAML document as `farrier apply` reads it.
#[derive(Deserialize)]
struct Document {
    kind: String,
    #[serde(flatten)]
    rest: serde_yaml::Mapping,
}

fn samples() -> Vec<(PathBuf, Profile)> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/profiles");
    let mut samples = Vec::new();
    for entry in std::fs::read_dir(dir).expect("configs/profiles") {
        let path = entry.expect("listed").path();
        let text = std::fs::read_to_string(&path).expect("readable");
        let document: Document =
            serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(document.kind, "profile", "{}", path.display());
        let profile = serde_yaml::from_value(document.rest.into())
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        samples.push((path, profile));
    }
    samples
}

fn files(profile: &Profile) -> Vec<&FileRef> {
    match &profile.boot {
        BootMethod::Linux {
            kernel, initrds, ..
        } => std::iter::once(kernel).chain(initrds).collect(),
        BootMethod::Program { files } => files.values().collect(),
        // A diskless machine's are made by a script (deploy/build-live.sh).
        BootMethod::Chain { .. } | BootMethod::LocalDisk {} | BootMethod::Diskless(_) => Vec::new(),
    }
}

#[test]
fn every_sample_profile_is_valid_and_named_like_its_file() {
    for (path, profile) in samples() {
        assert_eq!(profile.validate(), Ok(()), "{}", path.display());
        let stem = path.file_stem().and_then(|s| s.to_str());
        assert_eq!(stem, Some(profile.name.as_str()));
    }
}

#[test]
fn every_way_to_boot_has_a_sample() {
    let kinds: HashSet<&str> = samples()
        .iter()
        .map(|(_, profile)| match profile.boot {
            BootMethod::Linux { .. } => "linux",
            BootMethod::LocalDisk {} => "local-disk",
            BootMethod::Program { .. } => "program",
            BootMethod::Chain { .. } => "chain",
            BootMethod::Diskless(_) => "diskless",
        })
        .collect();
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}

#[test]
fn what_the_samples_boot_is_what_the_manifest_brings() {
    let manifest = Manifest::builtin();
    let brought: HashSet<&str> = manifest.images.iter().map(|i| i.name.as_str()).collect();
    let mut booted = HashSet::new();
    let samples = samples();
    for (path, profile) in &samples {
        for file in files(profile) {
            let FileRef::Image(image) = file else {
                continue;
            };
            assert!(
                brought.contains(image.as_str()),
                "{}: {image} is in no package of the manifest",
                path.display()
            );
            booted.insert(image.as_str());
        }
    }
    assert_eq!(booted, brought, "an image that no sample profile boots");
}
