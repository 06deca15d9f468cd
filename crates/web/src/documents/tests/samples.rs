//! The sample templates and installs are what `apply` takes.

use crate::documents::{Options, kinds, plan};
use store::{Decided, Marks};

#[test]
fn every_sample_may_be_applied() {
    let mut all = String::new();
    for folder in ["templates", "installs", "profiles"] {
        let dir = format!("{}/../../configs/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(&dir).expect("the samples are there") {
            let path = entry.expect("listed").path();
            let text = std::fs::read_to_string(&path).expect("readable");
            let parsed = kinds::parse(&text);
            parsed.unwrap_or_else(|faults| panic!("{}: {faults:?}", path.display()));
            all += &format!("---\n{text}\n");
        }
    }
    let documents = kinds::parse(&all).expect("together, too");
    let (decided, options) = (Decided::default(), Options::default());
    let made = plan::plan(&documents, &decided, &Marks::default(), &options);
    let made = made.unwrap_or_else(|faults| panic!("{faults:?}"));
    assert_eq!(made.steps.len(), documents.len());
    assert!(documents.len() > 25, "{}", documents.len());
}
