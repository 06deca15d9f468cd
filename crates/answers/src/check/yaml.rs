//! YAML by the same reader as our own files (decision 2).

use super::Page;
use crate::Fault;
use serde::Deserialize;
use serde_yaml::Value;

/// All documents of a text.
pub(super) fn documents(page: &Page<'_>) -> Result<Vec<Value>, Fault> {
    serde_yaml::Deserializer::from_str(page.text)
        .map(|document| Value::deserialize(document).map_err(|error| fault(page, &error)))
        .collect()
}

/// The one document of a text.
pub(super) fn document(page: &Page<'_>) -> Result<Value, Fault> {
    let mut all = documents(page)?;
    match (all.pop(), all.is_empty()) {
        (Some(document), true) => Ok(document),
        (None, _) => Ok(Value::Null),
        (Some(_), false) => Err(page.whole("there is more than one YAML document in it")),
    }
}

fn fault(page: &Page<'_>, error: &serde_yaml::Error) -> Fault {
    let said = error.to_string();
    let text = if said.contains("duplicate entry") {
        "a key stands here twice".to_owned()
    } else {
        without_values(&said)
    };
    match error.location() {
        Some(place) => page.at(place.line(), place.column(), text),
        None => page.whole(text),
    }
}

/// The reader's message without its place, which a fault has, and without what stands in double
/// quotes or backticks, which may be a value.
fn without_values(said: &str) -> String {
    let said = said.split(" at line ").next().unwrap_or(said);
    let mut kept = String::from("not YAML: ");
    for (i, part) in said.split(['"', '`']).enumerate() {
        kept.push_str(if i % 2 == 0 { part } else { "..." });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_out_of_messages() {
        assert_eq!(
            without_values("invalid type: string \"CANARY\", expected `X` at line 3 column 1"),
            "not YAML: invalid type: string ..., expected ..."
        );
        assert_eq!(without_values("it ends \"CANARY"), "not YAML: it ends ...");
    }

    #[test]
    fn one_document_is_one() {
        let page = |text| Page { name: "x", text };
        assert_eq!(document(&page("")), Ok(Value::Null));
        assert_eq!(document(&page("1")), Ok(Value::from(1)));
        assert!(document(&page("1\n---\n2\n")).is_err());
        assert_eq!(documents(&page("1\n---\n2\n")).map(|all| all.len()), Ok(2));
    }
}
