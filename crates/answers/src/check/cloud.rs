//! cloud-init's files, Ubuntu's autoinstall, and Talos, all of them YAML.

use super::{Page, yaml};
use crate::Fault;
use serde_yaml::{Mapping, Value};

/// `user-data` or `vendor-data` that is a cloud-config.
pub(super) fn config(page: &Page<'_>) -> Vec<Fault> {
    let first = page.text.lines().next().unwrap_or("");
    if first.trim_end() != "#cloud-config" {
        return vec![page.whole(
            "the first line must be `#cloud-config`: cloud-init ignores the file otherwise",
        )];
    }
    let keys = match mapping(page) {
        Ok(keys) => keys,
        Err(fault) => return vec![fault],
    };
    let mut faults = Vec::new();
    for key in LISTS {
        if keys.get(*key).is_some_and(|value| !value.is_sequence()) {
            let line = page.line_of_key(key);
            faults.push(page.at(line, 1, format!("`{key}` must be a list")));
        }
    }
    if let Some(install) = keys.get("autoinstall") {
        let line = page.line_of_key("autoinstall");
        match install.get("version") {
            Some(version) if version.as_u64() == Some(1) => {}
            _ => faults.push(page.at(line, 1, "`autoinstall` needs `version: 1`")),
        }
    }
    faults
}

/// `meta-data` of NoCloud.
pub(super) fn meta(page: &Page<'_>) -> Vec<Fault> {
    match mapping(page) {
        Ok(keys) if keys.get("instance-id").is_some_and(has_text) => Vec::new(),
        Ok(_) => vec![
            page.whole("`instance-id` is missing: cloud-init takes no NoCloud source without it"),
        ],
        Err(fault) => vec![fault],
    }
}

/// `network-config` of NoCloud: its keys at the top, or below `network`.
pub(super) fn network(page: &Page<'_>) -> Vec<Fault> {
    let keys = match mapping(page) {
        Ok(keys) => keys,
        Err(fault) => return vec![fault],
    };
    let keys = keys
        .get("network")
        .and_then(Value::as_mapping)
        .unwrap_or(&keys);
    match keys.get("version").and_then(Value::as_u64) {
        Some(1 | 2) => Vec::new(),
        _ => vec![page.whole("`version: 1` or `version: 2` is missing")],
    }
}

/// A Talos machine configuration: one document of `v1alpha1`, and named ones after it.
pub(super) fn talos(page: &Page<'_>) -> Vec<Fault> {
    let documents = match yaml::documents(page) {
        Ok(documents) => documents,
        Err(fault) => return vec![fault],
    };
    let is_main = |document: &&Value| document.get("version").is_some();
    let mut faults = Vec::new();
    match documents.iter().find(is_main) {
        Some(main) => {
            if main.get("version").and_then(Value::as_str) != Some("v1alpha1") {
                let line = page.line_of_key("version");
                faults.push(page.at(line, 1, "`version` must be v1alpha1"));
            }
            for key in ["machine", "cluster"] {
                if !main.get(key).is_some_and(Value::is_mapping) {
                    let line = page.line_of_key(key);
                    faults.push(page.at(
                        line,
                        1,
                        format!("`{key}` must be there, with keys in it"),
                    ));
                }
            }
        }
        None => faults.push(page.whole("no document with `version: v1alpha1`")),
    }
    let named = |document: &Value| {
        document.get("version").is_some()
            || (document.get("apiVersion").is_some() && document.get("kind").is_some())
    };
    if !documents.iter().all(named) {
        faults.push(page.whole("a document has neither `version` nor `apiVersion` and `kind`"));
    }
    faults
}

fn mapping(page: &Page<'_>) -> Result<Mapping, Fault> {
    match yaml::document(page)? {
        Value::Mapping(keys) => Ok(keys),
        Value::Null => Ok(Mapping::new()),
        _ => Err(page.whole("keys with values are expected (`key: value`)")),
    }
}

fn has_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty()) || value.is_number()
}

/// Keys of cloud-config that people write as one text, which cloud-init then skips.
const LISTS: &[&str] = &[
    "bootcmd",
    "runcmd",
    "packages",
    "ssh_authorized_keys",
    "write_files",
];
