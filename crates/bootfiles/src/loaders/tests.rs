use super::*;

struct Dirs {
    temp: tempfile::TempDir,
}

impl Dirs {
    fn new() -> Dirs {
        let temp = tempfile::tempdir().expect("a temporary directory");
        for dir in ["local", "packaged"] {
            std::fs::create_dir(temp.path().join(dir)).expect("mkdir");
        }
        Dirs { temp }
    }

    fn put(&self, name: &str, content: &str) {
        std::fs::write(self.temp.path().join(name), content).expect("write");
    }

    fn scan(&self) -> LoaderIndex {
        let dir = |name| self.temp.path().join(name);
        LoaderIndex::scan(&[dir("local"), dir("packaged")])
    }

    fn status(&self, name: &str) -> LoaderStatus {
        let status = self.scan().status();
        let found = status.into_iter().find(|s| s.name == name);
        found.expect("in the manifest")
    }
}

fn rel(name: &str) -> RelPath {
    name.parse().expect("a plain name")
}

#[test]
fn nothing_there_means_nothing_offered_and_how_to_get_it() {
    let dirs = Dirs::new();
    assert_eq!(dirs.scan().inventory(), LoaderInventory::default());
    let status = dirs.status("snponly.efi");
    assert_eq!(status.set, None);
    let problem = status.problem.expect("missing");
    assert!(problem.contains("farrier assets sync") && problem.contains("package ipxe"));
    let problem = dirs.status("snponly-i386.efi").problem.expect("missing");
    assert!(problem.contains("no iPXE for 32-bit UEFI"), "{problem}");
}

#[test]
fn a_loader_without_its_companion_is_not_offered() {
    let dirs = Dirs::new();
    dirs.put("packaged/shimx64.efi", "shim");
    let shim = |index: &LoaderIndex| {
        let inventory = index.inventory();
        let file = inventory.file(Platform::EfiX64, LoaderRole::Shim);
        file.map(str::to_owned)
    };
    assert_eq!(shim(&dirs.scan()), None);
    let problem = dirs.status("shimx64.efi").problem.expect("incomplete");
    assert!(problem.contains("needs grubx64.efi"), "{problem}");
    // The companion may come from another set.
    dirs.put("local/grubx64.efi", "grub");
    assert_eq!(shim(&dirs.scan()).as_deref(), Some("shimx64.efi"));
    assert_eq!(dirs.status("shimx64.efi").problem, None);
}

#[test]
fn the_operators_file_wins_and_is_told_from_the_packaged_one() {
    let dirs = Dirs::new();
    dirs.put("packaged/snponly.efi", "packaged");
    dirs.put(
        "packaged/installed.yaml",
        "loaders: [{name: snponly.efi, package: ipxe, version: '1.2', arch: all, suite: trixie, \
         sha256: '00', size: 8, licence: X}]",
    );
    let status = dirs.status("snponly.efi");
    assert_eq!(status.set, Some(LoaderSet::Packaged));
    assert_eq!(status.package.as_deref(), Some("ipxe 1.2 (trixie)"));
    assert!(status.problem.expect("altered").contains("checksum"));
    dirs.put("local/snponly.efi", "mine");
    let status = dirs.status("snponly.efi");
    assert_eq!(status.set, Some(LoaderSet::Operator));
    assert_eq!((status.size, status.problem), (4, None));
    let sum = "3fd30542fe3f61b14bd4a4b2dc0b6fb30fa6f63ebce52dd1778aaa8c4dc02cff";
    assert_eq!(status.sha256.as_deref(), Some(sum));
}

#[test]
fn an_operators_manifest_adds_names_and_comes_first() {
    let dirs = Dirs::new();
    dirs.put("packaged/snponly.efi", "packaged");
    dirs.put("local/lab-ipxe.efi", "lab");
    dirs.put(
        "local/manifest.yaml",
        "format: 1\nloaders: [{name: lab-ipxe.efi, platform: efi-x64, role: ipxe, licence: X}]",
    );
    let index = dirs.scan();
    assert_eq!(
        index.inventory().file(Platform::EfiX64, LoaderRole::Ipxe),
        Some("lab-ipxe.efi")
    );
    assert!(index.problems().is_empty());
}

#[test]
fn a_broken_manifest_is_reported_and_stops_nothing() {
    let dirs = Dirs::new();
    dirs.put("packaged/snponly.efi", "packaged");
    dirs.put("local/manifest.yaml", "format: 1\nloaders: [{nme: x}]");
    dirs.put("packaged/installed.yaml", "loaders: 7");
    let index = dirs.scan();
    assert_eq!(index.problems().len(), 2, "{:?}", index.problems());
    assert!(index.problems()[0].contains("unknown field `nme`"));
    assert_eq!(
        index.inventory().file(Platform::EfiX64, LoaderRole::Ipxe),
        Some("snponly.efi")
    );
}

#[test]
fn a_loader_that_may_not_be_opened_is_not_offered() {
    let dirs = Dirs::new();
    std::os::unix::fs::symlink("/etc/passwd", dirs.temp.path().join("local/snponly.efi"))
        .expect("symlink");
    assert_eq!(dirs.scan().inventory(), LoaderInventory::default());
    let problem = dirs.status("snponly.efi").problem.expect("refused");
    assert!(problem.contains("out of the served directory"), "{problem}");
}

#[test]
fn another_case_is_found_when_only_one_name_fits() {
    let dirs = Dirs::new();
    std::fs::create_dir_all(dirs.temp.path().join("local/EFI/Boot")).expect("mkdir");
    dirs.put("local/EFI/Boot/X.efi", "x");
    dirs.put("local/Two", "1");
    dirs.put("local/TWO", "2");
    let index = dirs.scan();
    let found = index.other_case(&rel("efi/boot/x.EFI"));
    assert_eq!(found, Some(rel("EFI/Boot/X.efi")));
    assert_eq!(index.other_case(&rel("two")), None);
    assert_eq!(index.other_case(&rel("none")), None);
}
