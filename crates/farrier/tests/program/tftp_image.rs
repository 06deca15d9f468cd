//! Files inside an untouched image, fetched whole over TFTP by a client that people have.

use crate::common::{Farrier, Lan, SERVER};
use std::fs;
use std::process::Command;
use testkit::image::{self, Flavour};

#[test]
fn curl_fetches_files_inside_an_image() {
    let temp = tempfile::tempdir().expect("a directory");
    let (tree, iso) = (temp.path().join("tree"), temp.path().join("sample.iso"));
    fs::create_dir(&tree).expect("made");
    image::sample_tree(&tree);
    image::make(Flavour::RockRidge, &tree, &iso);
    let lan = Lan::new();
    let mut farrier = Farrier::prepared(&lan.server);
    farrier.put("images/sample.iso", &fs::read(&iso).expect("readable"));
    farrier.start();
    for name in [
        "casper/vmlinuz",
        "sizes/1.bin",
        "sizes/2048.bin",
        "pool/kernel",
        "stable/initrd",
    ] {
        let file = temp.path().join("FILE");
        let url = format!("tftp://{SERVER}/images/sample/{name}");
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--tftp-blksize", "1428", "-o"])
            .arg(&file)
            .arg(&url);
        let output = lan
            .client
            .run(|| curl.output())
            .expect("deploy/setup.sh test installs it");
        assert!(output.status.success(), "{name}: {output:?}");
        let expected = fs::read(tree.join(name)).expect("readable");
        assert!(fs::read(&file).expect("fetched") == expected, "{name}");
    }
}
