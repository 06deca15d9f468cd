//! What may be had under which name, and what never.

use super::*;

/// H50, G.2 and R18: no octet of a file outside, no error of ours, and the same answer for what
/// is absent and what is forbidden.
#[tokio::test]
async fn nothing_outside_is_served_under_any_name() {
    let plane = Plane::start().await;
    let loaders = plane.loaders();
    symlink(plane.dir.path().join("s"), loaders.join("link")).expect("linked");
    symlink("../s", loaders.join("relative")).expect("linked");
    symlink("/etc", loaders.join("etc")).expect("linked");
    fs::write(loaders.join(".hidden"), b"x").expect("written");
    named_pipe(&loaders.join("fifo"));
    let long = format!("/{}", "a".repeat(5000));
    for path in [
        "/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/a%00b",
        "/..\\..\\x",
        "/../s",
        "/./../s",
        "/a/../../s",
        "/..//s",
        "/....//s",
        "/..\\s",
        "/..%2fs",
        "/%2e%2e/s",
        "/%252e%252e/s",
        "/..%c0%afs",
        "/%c0%ae%c0%ae/s",
        "/..;/s",
        "/etc/passwd",
        "//etc/passwd",
        "///",
        "/\\etc\\passwd",
        "/C:\\s",
        "/C:s",
        "/file:///etc/passwd",
        "/f1500%00.efi",
        "/.",
        "/..",
        "/",
        "/boot",
        "/boot/",
        "/images",
        "/images/",
        "/images/debian-12",
        "/images/debian-12/",
        "/images/../s",
        "/link",
        "/relative",
        "/etc/passwd",
        "/.hidden",
        "/fifo",
        "/%0aevil",
        "/%1b[31m",
        "/%s%n",
        "/%zz",
        "/NUL",
        "/.git/config",
        "/boot/../../s",
        &long,
    ] {
        let reply = plane.get(path).await;
        let status = reply.status();
        assert!(status == 404 || status == 400, "{path}: {}", reply.head);
        if status == 404 {
            assert_eq!(reply.text(), "not found\n", "{path}");
        }
    }
    assert_eq!(
        plane.get("/f1500").await.status(),
        200,
        "and it still serves"
    );
}

/// A named pipe, by the tool for it.
fn named_pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.expect("coreutils").success());
}
