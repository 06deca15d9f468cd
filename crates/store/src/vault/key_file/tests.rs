use super::*;
use std::fs::Permissions;

fn put(path: &Path, content: &[u8], mode: u32) {
    fs::write(path, content).expect("written");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("mode set");
}

#[test]
fn the_first_start_makes_it_and_the_next_ones_read_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("secret.key");
    let one = MasterKey::load(&path, Absent::Make).expect("made");
    let two = MasterKey::load(&path, Absent::Refuse).expect("read");
    assert_eq!(one.0, two.0);
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let text = fs::read_to_string(&path).expect("text");
    assert_eq!(text.len(), 65, "64 digits and a line break");
    // Nothing else holds the key.
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
    let other = dir.path().join("other.key");
    let other = MasterKey::load(&other, Absent::Make).expect("made");
    assert_ne!(one.0, other.0);
    assert_eq!(format!("{one:?}"), "(master key)");
}

#[test]
fn a_missing_key_is_not_replaced_when_secrets_need_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("secret.key");
    let error = MasterKey::load(&path, Absent::Refuse).expect_err("refused");
    assert!(matches!(error, KeyFileError::Missing { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("secret.key: the key file is missing"),
        "{error}"
    );
    assert!(!path.exists());
}

#[test]
fn both_forms_are_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("k");
    let digits = "0a".repeat(32);
    let padded = format!(" {}\r\n", digits.to_uppercase());
    for content in [digits.as_bytes(), padded.as_bytes(), &[10u8; 32][..]] {
        put(&path, content, 0o600);
        let key = MasterKey::load(&path, Absent::Refuse).expect("read");
        assert_eq!(key.0, [10; 32]);
    }
}

#[test]
fn bad_files_are_named_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("k");
    let digits = "0a".repeat(32);
    for (content, mode, expected) in [
        (
            digits.as_bytes(),
            0o640,
            "other users can read the key file (mode 640)",
        ),
        (digits.as_bytes(), 0o604, "(mode 604)"),
        (&b""[..], 0o600, "not a key"),
        (&b"0a0a"[..], 0o600, "not a key"),
        (&[b'a'; 300][..], 0o600, "not a key"),
        (&[b'z'; 64][..], 0o600, "not a key"),
    ] {
        put(&path, content, mode);
        let error = MasterKey::load(&path, Absent::Make)
            .expect_err(expected)
            .to_string();
        assert!(
            error.contains(expected) && error.starts_with('/'),
            "{error}"
        );
        assert!(!error.contains(&digits), "{error}");
        assert_eq!(fs::read(&path).expect("still there"), content);
    }
    let error = MasterKey::load(dir.path(), Absent::Make).expect_err("a directory");
    assert!(error.to_string().starts_with('/'), "{error}");
    let nowhere = dir.path().join("no/such/k");
    let error = MasterKey::load(&nowhere, Absent::Make).expect_err("no directory");
    assert!(matches!(error, KeyFileError::File { .. }), "{error}");
}

#[test]
fn purposes_have_keys_of_their_own() {
    let key = MasterKey::new([1; 32]);
    assert_ne!(key.derived("links"), key.derived("secrets at rest 1"));
    assert_eq!(
        key.derived("links"),
        MasterKey::new([1; 32]).derived("links")
    );
    assert_ne!(
        key.derived("links"),
        MasterKey::new([2; 32]).derived("links")
    );
}
