//! OpenPGP signatures, checked by Debian's `gpgv`: a keyring, a signature, and nothing else of GnuPG.
//!
//! What it says is read from its status lines (GnuPG's doc/DETAILS), never from its words or its exit
//! status: a list signed by several keys is good when one of them is in the keyring.

use crate::FetchError;
use data_encoding::{BASE64_MIME_PERMISSIVE, DecodeError};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use std::{fs, io};
use tokio::process::Command;

/// Who signed a file that lies on the disk, by a signature of its own; armoured or binary.
pub(crate) async fn detached(
    keyring: &[u8],
    signature: &[u8],
    file: &Path,
) -> Result<String, FetchError> {
    let desk = tempfile::tempdir()?;
    fs::write(desk.path().join("signature"), signature)?;
    let status = gpgv(desk.path(), keyring, &[file]).await?;
    verdict(&status).map_err(|why| bad(&why))
}

/// The same of octets in memory.
pub(crate) async fn detached_of(
    keyring: &[u8],
    signature: &[u8],
    octets: &[u8],
) -> Result<String, FetchError> {
    let desk = tempfile::tempdir()?;
    let file = desk.path().join("file");
    fs::write(&file, octets)?;
    detached(keyring, signature, &file).await
}

/// What stands in a text that holds its own signature, as `gpgv` read it, and who signed it. Nothing
/// that stands around the signed part is in it.
pub(crate) async fn inline(keyring: &[u8], signed: &[u8]) -> Result<(Vec<u8>, String), FetchError> {
    let desk = tempfile::tempdir()?;
    fs::write(desk.path().join("signature"), signed)?;
    let status = gpgv(desk.path(), keyring, &[]).await?;
    let by = verdict(&status).map_err(|why| bad(&why))?;
    // Of several texts in one file, some might not be signed.
    if status.matches("[GNUPG:] PLAINTEXT ").count() != 1 {
        return Err(bad(
            "there is more than one signed text in it, or something around it",
        ));
    }
    let text = fs::read(desk.path().join("text"));
    Ok((text.map_err(|_| bad("there is no signed text in it"))?, by))
}

/// The status lines of one run.
async fn gpgv(desk: &Path, keyring: &[u8], files: &[&Path]) -> Result<String, FetchError> {
    fs::write(
        desk.join("keys.gpg"),
        binary(keyring).map_err(FetchError::Order)?,
    )?;
    let mut command = Command::new("gpgv");
    command.args(["--status-fd", "1", "--weak-digest", "SHA1", "--homedir"]);
    command
        .arg(desk)
        .arg("--keyring")
        .arg(desk.join("keys.gpg"));
    command.arg("--output").arg(desk.join("text"));
    command.arg("--").arg(desk.join("signature")).args(files);
    command.env_clear().env("LC_ALL", "C");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.map_err(|_| bad("gpgv did not end in time"))?;
    let output = output.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => FetchError::Order(
            "signatures are checked by gpgv, which this server has not: install the package gpgv"
                .to_owned(),
        ),
        _ => error.into(),
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Who signed; else why nobody did whom we know.
fn verdict(status: &str) -> Result<String, String> {
    let mut good: Option<String> = None;
    let mut signer = None;
    let mut faults: Vec<String> = Vec::new();
    for line in status.lines() {
        let Some(line) = line.strip_prefix("[GNUPG:] ") else {
            continue;
        };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (key, name) = rest.split_once(' ').unwrap_or((rest, ""));
        let of = |what: &str| format!("{what}: {} ({key})", plain(name));
        match word {
            "NEWSIG" => good = None,
            "GOODSIG" => good = Some(plain(name)),
            // Also said of what is not good for another reason, so only together with the line above.
            "VALIDSIG" => {
                if let Some(name) = good.take() {
                    let primary = rest.rsplit(' ').next().unwrap_or(key);
                    signer = Some(format!("{name} ({})", plain(primary)));
                }
            }
            // One that does not fit makes all of it suspect.
            "BADSIG" => {
                let told = "the signature does not fit what it should sign: one of them was changed, or they do not belong together";
                return Err(of(told));
            }
            "EXPSIG" => faults.push(of("the signature has expired")),
            "EXPKEYSIG" => faults.push(of("it was signed by a key that has expired")),
            "REVKEYSIG" => faults.push(of("it was signed by a key that was revoked")),
            "ERRSIG" => {
                let code = rest.split(' ').nth(5).unwrap_or_default();
                faults.push(match code {
                    "9" => format!("it was signed by key {key}, which is not in the keyring"),
                    _ => format!("the signature of key {key} cannot be checked (too weak, or unknown to gpgv)"),
                });
            }
            "NODATA" => faults.push("there is no signature in it".to_owned()),
            _ => {}
        }
    }
    match (signer, faults.is_empty()) {
        (Some(signer), _) => Ok(signer),
        (None, true) => Err("gpgv found no good signature".to_owned()),
        (None, false) => Err(faults.join("; ")),
    }
}

/// A keyring as gpgv reads it: public keys, without armour.
///
/// # Errors
/// For people: none, or a private one.
pub(crate) fn binary(keyring: &[u8]) -> Result<Vec<u8>, String> {
    let is_armoured = keyring.trim_ascii_start().starts_with(b"-----BEGIN");
    let octets = match is_armoured {
        false => keyring.to_vec(),
        true => {
            let text = String::from_utf8_lossy(keyring);
            let broken = |_| "the keyring's armour is damaged".to_owned();
            dearmoured(&text).map_err(broken)?
        }
    };
    let tag = match octets.first() {
        Some(first) if first & 0xc0 == 0xc0 => first & 0x3f,
        Some(first) if first & 0x80 != 0 => (first & 0x3c) >> 2,
        _ => 0,
    };
    match tag {
        PUBLIC => Ok(octets),
        SECRET => Err("the keyring holds a private key; give the public ones".to_owned()),
        _ if octets.get(8..12) == Some(b"KBXf") => Ok(octets),
        _ => Err("the keyring holds no OpenPGP key".to_owned()),
    }
}

/// The octets of all armoured blocks, one after the other.
fn dearmoured(text: &str) -> Result<Vec<u8>, DecodeError> {
    let mut octets = Vec::new();
    let mut block: Option<String> = None;
    let mut headers = false;
    for line in text.lines().map(str::trim) {
        match &mut block {
            _ if line.starts_with("-----BEGIN PGP") => {
                (block, headers) = (Some(String::new()), true);
            }
            Some(base64) if line.starts_with("-----END") => {
                octets.extend(BASE64_MIME_PERMISSIVE.decode(base64.as_bytes())?);
                block = None;
            }
            Some(_) if headers && line.is_empty() => headers = false,
            Some(_) if headers && line.contains(": ") => {}
            // A checksum; it protects from accidents only.
            Some(_) if line.starts_with('=') => {}
            Some(base64) => {
                headers = false;
                base64.push_str(line);
            }
            None => {}
        }
    }
    Ok(octets)
}

fn bad(why: &str) -> FetchError {
    FetchError::Signature(why.to_owned())
}

fn plain(text: &str) -> String {
    let text = text.chars().filter(|c| !c.is_control());
    text.take(200).collect()
}

/// Packet tags of RFC 9580, 5.
const PUBLIC: u8 = 6;
const SECRET: u8 = 5;
/// For an image of some GB on a slow disk.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn status(lines: &[&str]) -> Result<String, String> {
        let lines: Vec<String> = lines.iter().map(|l| format!("[GNUPG:] {l}")).collect();
        verdict(&lines.join("\n"))
    }

    const VALID: &str = "VALIDSIG AAAA 2026-11-23 1 0 4 0 1 10 00 BBBB";

    #[test]
    fn only_a_good_and_valid_signature_counts() {
        let good = "GOODSIG A1 Ann <ann@example.org>";
        assert_eq!(
            status(&["NEWSIG", good, VALID]).as_deref(),
            Ok("Ann <ann@example.org> (BBBB)")
        );
        let unknown = "ERRSIG C1 1 10 00 1 9 CCCC";
        assert!(status(&["NEWSIG", unknown, "NO_PUBKEY C1", "NEWSIG", good, VALID]).is_ok());
        let refused: [(&[&str], &str); 9] = [
            (&[], "no good signature"),
            (
                &["NEWSIG", unknown, "NO_PUBKEY C1"],
                "key C1, which is not in the keyring",
            ),
            (
                &["NEWSIG", "BADSIG A1 Ann", "NEWSIG", good, VALID],
                "does not fit",
            ),
            (
                &["NEWSIG", good, VALID, "NEWSIG", "BADSIG A1 Ann"],
                "does not fit",
            ),
            (
                &["NEWSIG", "EXPKEYSIG A1 Ann", VALID],
                "key that has expired",
            ),
            (
                &["NEWSIG", "REVKEYSIG A1 Ann", VALID],
                "key that was revoked",
            ),
            (
                &["NEWSIG", "EXPSIG A1 Ann", VALID],
                "the signature has expired",
            ),
            (
                &["NEWSIG", good, "NEWSIG", "EXPKEYSIG A1 Ann", VALID],
                "has expired",
            ),
            (&["NODATA 4"], "no signature in it"),
        ];
        for (lines, expected) in refused {
            let told = status(lines).expect_err(expected);
            assert!(told.contains(expected), "{told}");
        }
        // A name that looks like a status line is a name.
        assert!(verdict("GOODSIG A1 Ann\n[GNUPG:] NEWSIG x").is_err());
    }

    #[test]
    fn keyrings_hold_public_keys() {
        let armour = |kind: &str, base64: &str| {
            format!(
                "Notes.\n-----BEGIN PGP {kind} KEY BLOCK-----\nVersion: 1\n\n{base64}\n=AAAA\n-----END PGP {kind} KEY BLOCK-----\n"
            )
        };
        // Two blocks of two octets each: tag 6 in the old format.
        let two = format!("{}{}", armour("PUBLIC", "mQE="), armour("PUBLIC", "mQE="));
        let two = two.trim_start_matches("Notes.\n").as_bytes().to_vec();
        assert_eq!(binary(&two), Ok(vec![0x99, 1, 0x99, 1]));
        assert_eq!(binary(&[0xc6, 1]), Ok(vec![0xc6, 1]));
        for (octets, expected) in [
            (&b""[..], "no OpenPGP key"),
            (b"hello", "no OpenPGP key"),
            (&[0x95, 1], "private key"),
            (
                b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!\n-----END PGP PUBLIC KEY BLOCK-----",
                "damaged",
            ),
        ] {
            let told = binary(octets).expect_err(expected);
            assert!(told.contains(expected), "{told}");
        }
    }
}
