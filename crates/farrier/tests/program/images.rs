//! Images with the real program: copied in, uploaded, cut off, served from inside, booted.

use crate::common::{Farrier, Lan, SERVER, eventually};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::gpg::Gpg;
use testkit::image::{self, Flavour, pattern};
use testkit::web::Web;

/// An ISO as Debian's live images are: marks, kernel, initial RAM disk, root file system.
fn live(home: &Path) -> PathBuf {
    let (tree, iso) = (home.join("tree"), home.join("live.iso"));
    for (name, len) in [
        ("live/vmlinuz-6.1.0-9-amd64", 300_001),
        ("live/initrd.img-6.1.0-9-amd64", 1_200_000),
        ("live/filesystem.squashfs", 40_000_000),
    ] {
        let path = tree.join(name);
        fs::create_dir_all(path.parent().expect("below")).expect("made");
        fs::write(path, pattern(len, name.len() as u8)).expect("written");
    }
    fs::create_dir(tree.join(".disk")).expect("made");
    fs::write(
        tree.join(".disk/info"),
        "Official Debian GNU/Linux Live 12.8.0 xfce",
    )
    .expect("written");
    image::make(Flavour::RockRidge, &tree, &iso);
    iso
}

fn curl(lan: &Lan, args: &[&str]) -> Vec<u8> {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail"]).args(args);
    let output = lan
        .client
        .run(|| curl.output())
        .expect("deploy/setup.sh test installs it");
    assert!(output.status.success(), "{args:?}: {output:?}");
    output.stdout
}

/// What a browser would need three clicks for, and what the machine then gets.
#[test]
fn an_added_image_is_offered_booted_and_kept_while_it_is_used() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    let iso = live(farrier.home());
    let said = farrier.ok(&["image", "add", &iso.display().to_string()]);
    assert!(said.starts_with("added live.iso, SHA-256 "), "{said}");
    let list = farrier.ok(&["image", "list"]);
    assert!(list.contains("Debian 12.8.0 live"), "{list}");
    let offers = farrier.ok(&["image", "offer", "live.iso"]);
    assert!(
        offers.contains("fetch={{ file('live/live/filesystem.squashfs') }}"),
        "{offers}"
    );
    let made = farrier.ok(&["image", "offer", "live.iso", "--make"]);
    assert_eq!(made, "made live: Debian 12.8.0 live\n");
    // A menu that is made for one machine is given to no other.
    let mac = lan.client.mac("eth0");
    farrier.ok(&["machine", "assign", "--profile", "live", &mac]);
    let menu = format!("http://{SERVER}/{}/boot.ipxe", mac.replace(':', "-"));
    let menu = curl(&lan, &[&menu]);
    let menu = String::from_utf8(menu).expect("text");
    let url = format!("http://{SERVER}/images/live/live/filesystem.squashfs");
    assert!(
        menu.contains(&format!("boot=live components fetch={url}")),
        "{menu}"
    );

    // What the machine fetches is what xorriso takes out of the image.
    let taken = farrier.home().join("taken");
    image::extract(&iso, &taken);
    let expected = fs::read(taken.join("live/filesystem.squashfs")).expect("taken out");
    assert!(curl(&lan, &[&url]) == expected);
    for (from, to) in [
        (0, 0),
        (262_143, 262_144),
        (1_000_003, 30_000_007),
        (39_999_999, 39_999_999),
    ] {
        let got = curl(&lan, &["-r", &format!("{from}-{to}"), &url]);
        assert!(got == expected[from..=to], "{from}-{to}");
    }
    let kernel = format!("tftp://{SERVER}/images/live/live/vmlinuz-6.1.0-9-amd64");
    let got = curl(&lan, &["--tftp-blksize", "1428", &kernel]);
    assert!(got == fs::read(taken.join("live/vmlinuz-6.1.0-9-amd64")).expect("taken out"));
    eventually(Duration::from_secs(10), "it is noted as served", || {
        farrier.json(&["image", "list"])["images"]
            .as_array()
            .and_then(|images| images.iter().find(|image| image["name"] == "live.iso"))
            .and_then(|image| image["last_served"].as_i64())
    });

    let refused = farrier.cli(&["image", "remove", "live.iso"]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("profile live"),
        "{}",
        refused.stderr
    );
    assert!(
        farrier
            .ok(&["image", "check", "live.iso"])
            .contains("is what it was")
    );
}

#[test]
fn what_is_copied_into_the_directory_shows_up_with_its_checksum() {
    let lan = Lan::new();
    let farrier = Farrier::started(&lan.server);
    let iso = live(farrier.home());
    fs::copy(&iso, farrier.data().join("images/copied.iso")).expect("copied");
    farrier.log_line_within(Duration::from_secs(30), "image recognised");
    let sums = Command::new("sha256sum")
        .arg(&iso)
        .output()
        .expect("coreutils");
    let sum = String::from_utf8_lossy(&sums.stdout)[..64].to_owned();
    eventually(Duration::from_secs(30), "its checksum is known", || {
        let list = farrier.json(&["image", "list"]).to_string();
        list.contains(&sum).then_some(())
    });
}

/// R26: cut off at many places by kill -9, each time resumed, and never there before it is whole.
#[test]
fn an_upload_survives_kills_and_comes_out_whole() {
    let lan = Lan::new();
    let mut farrier = Farrier::started(&lan.server);
    let iso = live(farrier.home());
    let len = fs::metadata(&iso).expect("there").len();
    let mut offsets = vec![0];
    let mut adding = farrier.command(&["image", "add"]);
    adding
        .arg(&iso)
        .arg("--socket")
        .arg(farrier.control_socket());
    let mut adding = adding.stdout(Stdio::piped()).spawn().expect("starts");
    let progress = |farrier: &Farrier<'_>| {
        let staging = fs::read_dir(farrier.data().join("images/.staging")).expect("there");
        let parts = staging
            .filter_map(|entry| Some(entry.ok()?.path().join("part").metadata().ok()?.len()));
        parts.max()
    };
    for _ in 0..6 {
        let before = *offsets.last().expect("one");
        let reached = eventually(Duration::from_secs(30), "it goes on", || {
            match adding.try_wait().expect("our own child") {
                Some(_) => Some(len),
                None => progress(&farrier).filter(|now| *now > before),
            }
        });
        if reached == len {
            break;
        }
        farrier.kill();
        assert!(!farrier.data().join("images/live.iso").exists());
        offsets.push(progress(&farrier).unwrap_or(reached));
        farrier.start();
    }
    assert!(offsets.len() > 1, "it was never cut off: {offsets:?}");
    let output = adding.wait_with_output().expect("our own child");
    assert!(output.status.success(), "{output:?}\n{}", farrier.log());
    let came = fs::read(farrier.data().join("images/live.iso")).expect("there");
    assert!(came == fs::read(&iso).expect("there"));
    let left = fs::read_dir(farrier.data().join("images/.staging"))
        .expect("there")
        .count();
    assert_eq!(left, 0);
}

/// The server fetches; it is killed in the middle, and goes on.
#[test]
fn an_image_by_url_survives_a_kill_and_comes_out_whole() {
    let lan = Lan::new();
    let mut farrier = Farrier::prepared(&lan.server);
    farrier.configure("outgoing:\n  allow: [10.77.0.0/24]\n");
    farrier.start();
    let iso = live(farrier.home());
    let bytes = fs::read(&iso).expect("there");
    let sums = Command::new("sha256sum").arg(&iso).output();
    let sums = sums.expect("coreutils").stdout;
    let sum = String::from_utf8_lossy(&sums)[..64].to_owned();
    let listener = lan.client.run(|| TcpListener::bind("0.0.0.0:0"));
    let web = Web::on(listener.expect("a port"));
    web.file("/d/live.iso", &bytes, "v1");
    web.file(
        "/d/SHA256SUMS",
        format!("{sum}  live.iso\n").as_bytes(),
        "v1",
    );
    web.change("/d/live.iso", |page| page.gate = Some(20_000_000));
    let address = own_address(&lan);
    let url = |path: &str| format!("http://{address}:{}{path}", web.port());
    let mut adding = farrier.command(&["image", "add", &url("/d/live.iso")]);
    adding.args(["--sha256sums", &url("/d/SHA256SUMS")]);
    adding.arg("--socket").arg(farrier.control_socket());
    let adding = adding.stdout(Stdio::piped()).spawn().expect("starts");
    eventually(Duration::from_secs(30), "half of it is here", || {
        let job = &farrier.json(&["image", "fetches"])["fetches"][0];
        job["offset"].as_u64().filter(|offset| *offset > 15_000_000)
    });
    farrier.kill();
    assert!(!farrier.data().join("images/live.iso").exists());
    web.let_go();
    farrier.start();
    let output = adding.wait_with_output().expect("our own child");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("added live.iso"),
        "{output:?}\n{}",
        farrier.log()
    );
    assert!(fs::read(farrier.data().join("images/live.iso")).expect("there") == bytes);
    let asked: Vec<_> = web
        .asked()
        .into_iter()
        .filter(|asked| asked.path == "/d/live.iso")
        .collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(
        asked[1].status == 206 && asked[1].from > Some(15_000_000),
        "{asked:?}"
    );
    let events = farrier.page("/api/v1/events?limit=5");
    assert!(
        events.contains(r#""event":"image-fetched","image":"live.iso""#),
        "{events}"
    );
    let refused = farrier.cli(&["image", "add", "http://192.168.1.1/x.iso"]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("outgoing.allow"),
        "{}",
        refused.stderr
    );
    let left = fs::read_dir(farrier.data().join("images/.staging"));
    assert_eq!(left.expect("there").count(), 0);
}

/// As an operator does it: a mirror at home, its keys in a file, the machine boots what came.
#[test]
fn netboot_files_come_from_a_mirror_by_its_signed_checksums() {
    let lan = Lan::new();
    let mut farrier = Farrier::prepared(&lan.server);
    let listener = lan.client.run(|| TcpListener::bind("0.0.0.0:0"));
    let web = Web::on(listener.expect("a port"));
    let root = format!("http://{}:{}/debian", own_address(&lan), web.port());
    farrier.configure(&format!(
        "outgoing:\n  allow: [10.77.0.0/24]\n  mirrors: {{debian: '{root}'}}\n"
    ));
    farrier.start();
    let (ann, eve) = (Gpg::with("Ann"), Gpg::with("Eve"));
    let images = "main/installer-amd64/current/images";
    let put = |path: &str, octets: &[u8]| {
        web.file(&format!("/debian/dists/bookworm/{path}"), octets, "v1");
    };
    let mut sums = String::new();
    for name in ["linux", "initrd.gz", "pxelinux.0"] {
        let bytes = pattern(400_000, name.len() as u8);
        let path = format!("netboot/debian-installer/amd64/{name}");
        sums += &format!("{}  ./{path}\n", sha256sum(&farrier, &bytes));
        put(&format!("{images}/{path}"), &bytes);
    }
    put(&format!("{images}/SHA256SUMS"), sums.as_bytes());
    let release = format!(
        "Origin: Debian\nCodename: bookworm\nSHA256:\n {} {} {images}/SHA256SUMS\n",
        sha256sum(&farrier, sums.as_bytes()),
        sums.len()
    );
    put("InRelease", &eve.clearsigned(release.as_bytes()));
    let keys = farrier.home().join("ann.asc");
    fs::write(&keys, ann.keyring(true)).expect("written");
    let add = ["image", "add", "--mirror", "debian-12-netboot", "--keyring"];
    let keys = keys.display().to_string();
    let add = [&add[..], &[&keys]].concat();
    let refused = farrier.cli(&add);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("which is not in the keyring"),
        "{}",
        refused.stderr
    );
    assert!(!farrier.data().join("images/debian-12-netboot").exists());
    put("InRelease", &ann.clearsigned(release.as_bytes()));
    let said = farrier.ok(&add);
    assert!(
        said.contains("added debian-12-netboot; verified by") && said.contains("signed by Ann"),
        "{said}"
    );
    let offers = farrier.ok(&["image", "offer", "debian-12-netboot"]);
    assert!(offers.contains("Debian installer"), "{offers}");
    let kernel = format!("http://{SERVER}/images/debian-12-netboot/linux");
    assert!(curl(&lan, &[&kernel]) == pattern(400_000, 5));
    let listed = farrier.ok(&["image", "mirrors"]);
    assert!(
        listed.contains("debian-13-netboot") && listed.contains(&root),
        "{listed}"
    );
}

fn sha256sum(farrier: &Farrier<'_>, bytes: &[u8]) -> String {
    let file = farrier.home().join("summed");
    fs::write(&file, bytes).expect("written");
    let output = Command::new("sha256sum").arg(file).output();
    let text = String::from_utf8(output.expect("coreutils").stdout).expect("text");
    text[..64].to_owned()
}

/// The client's address on the network.
fn own_address(lan: &Lan) -> String {
    let mut ip = Command::new("ip");
    ip.args(["-o", "-4", "addr", "show", "eth0"]);
    let output = lan.client.run(|| ip.output()).expect("iproute2");
    let text = String::from_utf8(output.stdout).expect("text");
    let address = text.split("inet ").nth(1).expect("an address");
    address.split('/').next().expect("an address").to_owned()
}
