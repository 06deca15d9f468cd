//! The models of the fuzz targets `template_render` and `link`, over their kept seeds and over
//! random octets.

#[path = "common/model_link.rs"]
#[allow(unreachable_pub, reason = "the fuzz target includes it, too")]
mod model_link;
#[path = "common/model_render.rs"]
#[allow(unreachable_pub, reason = "the fuzz target includes it, too")]
mod model_render;

use proptest::prelude::*;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = format!("{}/../../fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_dir(&dir)
        .expect("the seeds are there")
        .map(|entry| std::fs::read(entry.expect("listed").path()).expect("readable"))
        .collect()
}

#[test]
fn the_seeds_of_templates_hold() {
    let rendered = seeds("template_render")
        .iter()
        .filter(|seed| model_render::run(seed))
        .count();
    assert!(rendered >= 4, "only {rendered} seeds render");
}

#[test]
fn the_seeds_of_links_hold() {
    let accepted = seeds("link")
        .iter()
        .filter(|seed| model_link::run(seed))
        .count();
    assert!(accepted >= 1, "no seed is a link");
}

proptest! {
    #[test]
    fn random_templates_hold(data in prop::collection::vec(any::<u8>(), 0..200)) {
        model_render::run(&data);
    }

    #[test]
    fn random_links_hold(data in prop::collection::vec(any::<u8>(), 0..60)) {
        model_link::run(&data);
    }
}
