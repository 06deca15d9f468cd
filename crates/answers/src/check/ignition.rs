//! JSON, and Ignition's first level.

use super::Page;
use crate::Fault;
use serde_json::Value;

/// Any JSON.
pub(super) fn json(page: &Page<'_>) -> Result<Value, Fault> {
    serde_json::from_str(page.text).map_err(|error| {
        // A category, not the message: that of a data error may contain a value.
        let text = match error.classify() {
            serde_json::error::Category::Eof => "not JSON: it ends too early",
            _ => "not JSON: something else is expected here",
        };
        page.at(error.line(), error.column(), text)
    })
}

/// An Ignition configuration of specification 3.
pub(super) fn ignition(page: &Page<'_>) -> Vec<Fault> {
    let config = match json(page) {
        Ok(config) => config,
        Err(fault) => return vec![fault],
    };
    let mut faults = Vec::new();
    let version = config.pointer("/ignition/version").and_then(Value::as_str);
    if !version.is_some_and(|version| version.starts_with("3.")) {
        faults.push(page.whole("`ignition.version` must be a text such as \"3.4.0\""));
    }
    let list = |pointer: &str| {
        let items = config.pointer(pointer).and_then(Value::as_array);
        items.map(Vec::as_slice).unwrap_or_default()
    };
    for pointer in ["/storage/files", "/storage/directories", "/storage/links"] {
        for (i, item) in list(pointer).iter().enumerate() {
            let path = item.get("path").and_then(Value::as_str);
            if !path.is_some_and(|path| path.starts_with('/')) {
                let place = pointer.trim_start_matches('/').replace('/', ".");
                let text = format!("`{place}[{i}].path` must begin with a slash");
                faults.push(page.whole(text));
            }
        }
    }
    for (i, unit) in list("/systemd/units").iter().enumerate() {
        let name = unit.get("name").and_then(Value::as_str);
        if !name.is_some_and(|name| name.contains('.')) {
            let text = format!("`systemd.units[{i}].name` must end as units do (.service, ...)");
            faults.push(page.whole(text));
        }
    }
    faults
}
