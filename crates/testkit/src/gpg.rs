//! Keys and signatures as people make them: by GnuPG, in a home of their own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A home with keys in it. Its agent ends with it.
#[derive(Debug)]
pub struct Gpg {
    home: TempDir,
}

impl Default for Gpg {
    fn default() -> Self {
        Gpg::new()
    }
}

impl Gpg {
    /// Without any key.
    ///
    /// # Panics
    /// When the disk does not let us.
    pub fn new() -> Gpg {
        let home = tempfile::tempdir().expect("a directory, for its owner alone");
        Gpg { home }
    }

    /// A home with one key.
    ///
    /// # Panics
    /// When GnuPG is missing (`deploy/setup.sh test` installs it) or fails.
    pub fn with(name: &str) -> Gpg {
        let gpg = Gpg::new();
        gpg.generate(name, "20260101T000000", "never");
        gpg
    }

    /// A home with one key that was good on the first day of 2020, and what it signs then.
    ///
    /// # Panics
    /// As [`Gpg::with`].
    pub fn expired(name: &str, text: &[u8]) -> (Gpg, Vec<u8>) {
        let gpg = Gpg::new();
        gpg.generate(name, "20200101T000000", "1d");
        let then = ["--faked-system-time", "20200101T010000"];
        let signed = gpg.filter(&[&then[..], &["--clearsign"]].concat(), text);
        (gpg, signed)
    }

    fn generate(&self, name: &str, at: &str, lasts: &str) {
        let address = format!("{name} <{}@example.org>", name.to_lowercase());
        self.run(&[
            "--faked-system-time",
            at,
            "--quick-gen-key",
            &address,
            "ed25519",
            "sign",
            lasts,
        ]);
    }

    /// The public keys, armoured or not.
    pub fn keyring(&self, armoured: bool) -> Vec<u8> {
        let armour: &[&str] = if armoured { &["--armor"] } else { &[] };
        self.run(&[armour, &["--export"]].concat()).stdout
    }

    /// A text with its signature around it.
    pub fn clearsigned(&self, text: &[u8]) -> Vec<u8> {
        self.filter(&["--clearsign"], text)
    }

    /// A signature apart from what it signs, armoured or not.
    pub fn signature(&self, octets: &[u8], armoured: bool) -> Vec<u8> {
        let armour: &[&str] = if armoured { &["--armor"] } else { &[] };
        self.filter(&[armour, &["--detach-sign"]].concat(), octets)
    }

    /// Revokes the key, by the certificate that GnuPG made with it.
    ///
    /// # Panics
    /// When there is none.
    pub fn revoke(&self) {
        let certificates = fs::read_dir(self.home.path().join("openpgp-revocs.d"));
        let certificate = certificates.expect("made with the key").flatten().next();
        let text = fs::read_to_string(certificate.expect("one").path()).expect("readable");
        // A colon keeps it from being used by mistake.
        self.filter(&["--import"], text.replace("\n:---", "\n---").as_bytes());
    }

    fn run(&self, args: &[&str]) -> Output {
        let output = self.command(args).output();
        checked(args, output.expect("deploy/setup.sh test installs it"))
    }

    fn filter(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let file = self.home.path().join("input");
        fs::write(&file, input).expect("written");
        let input = fs::File::open(&file).expect("readable");
        let mut command = self.command(args);
        let output = command.stdin(input).output();
        checked(args, output.expect("deploy/setup.sh test installs it")).stdout
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--no-tty", "--passphrase", ""]);
        command.args(["--pinentry-mode", "loopback"]).args(args);
        in_home(&mut command, self.home.path());
        command
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let mut command = Command::new("gpgconf");
        command.args(["--kill", "all"]);
        in_home(&mut command, self.home.path());
        let _ = command.status();
    }
}

fn in_home(command: &mut Command, home: &Path) {
    command.env("GNUPGHOME", home).env("LC_ALL", "C");
    command.stdin(Stdio::null());
}

fn checked(args: &[&str], output: Output) -> Output {
    assert!(output.status.success(), "gpg {args:?}: {output:?}");
    output
}
