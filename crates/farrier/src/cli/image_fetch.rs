//! `farrier image add URL` and what belongs to it: the server fetches, this looks on.

use super::Global;
use super::client::{Client, ClientError};
use super::image::{PAUSE, RETRIES, may_pass};
use super::machine::escape;
use super::output::{clock, out, outln, table, text};
use super::progress::Progress;
use anyhow::{Context, bail};
use clap::Args;
use data_encoding::BASE64;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// What vouches for a file that the server fetches.
#[derive(Debug, Default, Args)]
pub(crate) struct Proof {
    /// SHA-256 that the file at the URL must have
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// URL of a list of checksums (SHA256SUMS) that has a line for the file at the URL
    #[arg(long, value_name = "URL")]
    sha256sums: Option<String>,
    /// OpenPGP signature of the list, or of the file at the URL when there is no list [default: the list holds its own]
    #[arg(long, value_name = "URL|FILE", requires = "keyring")]
    signature: Option<String>,
    /// Public keys of those who may sign: a file of this host, armoured or not, or the name of a keyring of the server
    #[arg(long, value_name = "FILE")]
    keyring: Option<String>,
    /// Take netboot files from a distribution's mirror, by its signed checksums: a recipe's name ('farrier image mirrors')
    #[arg(long, value_name = "NAME", conflicts_with_all = ["sha256", "sha256sums", "signature"])]
    mirror: Option<String>,
    /// Root of the mirror [default: outgoing.mirrors in the server's configuration]
    #[arg(long, value_name = "URL", requires = "mirror")]
    from: Option<String>,
    /// Take the mirror's release although it has shown a newer one before
    #[arg(long, requires = "mirror")]
    allow_older: bool,
}

impl Proof {
    /// A file of this host is sent with its own checksum.
    pub(super) fn none_for_files(&self) -> anyhow::Result<()> {
        let given = [
            &self.sha256,
            &self.sha256sums,
            &self.signature,
            &self.keyring,
        ];
        if given.into_iter().any(Option::is_some) {
            bail!(
                "checksums and signatures are compared for URLs only; for a file of this host use sha256sum or gpgv first"
            );
        }
        Ok(())
    }
}

pub(super) fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Has the server fetch an image, and waits for it.
pub(super) async fn add(
    global: &Global,
    client: &Client,
    url: Option<&str>,
    name: Option<&str>,
    proof: Proof,
) -> anyhow::Result<()> {
    let mut wanted = json!({
        "url": url.or(proof.from.as_deref()).unwrap_or_default(),
        "name": name.unwrap_or_default(),
        "mirror": proof.mirror,
        "allow_older": proof.allow_older,
        "sha256": proof.sha256,
        "sha256sums": proof.sha256sums,
    });
    match proof.signature {
        Some(url) if is_url(&url) => wanted["signature_url"] = url.into(),
        Some(file) => wanted["signature"] = small_file(&file)?.into(),
        None => {}
    }
    match proof.keyring {
        // Without a directory and not here: the server may have it.
        Some(name) if !name.contains('/') && !Path::new(&name).exists() => {
            wanted["keyring_file"] = name.into();
        }
        Some(file) => wanted["keyring"] = small_file(&file)?.into(),
        None => {}
    }
    let begun = client
        .send(Method::POST, "/images/fetches", Some(&wanted))
        .await?;
    follow(global, client, begun).await
}

fn small_file(path: &str) -> anyhow::Result<String> {
    let unreadable = || format!("cannot read {path}");
    let len = std::fs::metadata(path).with_context(unreadable)?.len();
    if len > SMALL {
        bail!("{path} has {len} bytes; a signature or a keyring has at most {SMALL}");
    }
    Ok(BASE64.encode(&std::fs::read(path).with_context(unreadable)?))
}

/// Everything that can be chosen by name.
pub(super) async fn mirrors(global: &Global, client: &Client) -> anyhow::Result<()> {
    let answer = client.get("/images/fetches/choices").await?;
    if global.json {
        outln!("{answer:#}");
        return Ok(());
    }
    let mirrors = answer["mirrors"].as_array().into_iter().flatten();
    let row = |mirror: &Value| {
        ["name", "title", "from"]
            .map(|key| text(mirror, key))
            .to_vec()
    };
    let rows: Vec<Vec<String>> = mirrors.map(row).collect();
    out!("{}", table(&["MIRROR", "TITLE", "FROM"], &rows));
    outln!("keyrings: {}", text(&answer, "keyrings"));
    Ok(())
}

/// Tries again what failed, and waits for it.
pub(super) async fn retry(global: &Global, client: &Client, id: &str) -> anyhow::Result<()> {
    let path = format!("/images/fetches/{}/retry", escape(id));
    let begun = client.send(Method::POST, &path, None).await?;
    follow(global, client, begun).await
}

/// Looks on until it is an image or has failed. The server goes on without us as well.
async fn follow(global: &Global, client: &Client, mut job: Value) -> anyhow::Result<()> {
    let (id, name) = (text(&job, "id"), text(&job, "name"));
    let path = format!("/images/fetches/{}", escape(&id));
    if !global.json {
        eprintln!(
            "the server fetches {name} from {} (job {id})",
            text(&job, "from")
        );
    }
    let mut progress = Progress::start();
    let (mut failures, mut told) = (0, String::new());
    loop {
        match job["stage"].as_str() {
            Some("done") => break,
            Some("failed") => {
                drop(progress);
                bail!(
                    "{name} was not fetched: {}\nwhat has come of it is kept: farrier image retry {id} goes on, farrier image cancel {id} throws it away",
                    text(&job, "why")
                );
            }
            Some("pausing") if !global.json && told != text(&job, "why") => {
                told = text(&job, "why");
                eprintln!("trying again: {told}");
            }
            _ => {}
        }
        progress.show(job["offset"].as_u64().unwrap_or(0), job["size"].as_u64());
        tokio::time::sleep(LOOK).await;
        job = match client.get(&path).await {
            Ok(state) => {
                failures = 0;
                state
            }
            // Done, and taken off the list by a restart; or cancelled.
            Err(ClientError::Refused { status, .. }) if status == StatusCode::NOT_FOUND => {
                return gone(global, client, &name).await;
            }
            // The server is being restarted: it will go on.
            Err(error) if failures < RETRIES && may_pass(&error) => {
                failures += 1;
                tokio::time::sleep(PAUSE).await;
                job
            }
            Err(error) => return Err(error.into()),
        };
    }
    drop(progress);
    let sum = job["sha256"].as_str();
    let sum = sum.map_or_else(String::new, |sum| format!(", SHA-256 {sum}"));
    match (global.json, job["verified"].as_str()) {
        (true, _) => outln!("{job:#}"),
        (false, Some(by)) => outln!("added {name}{sum}; verified by {by}"),
        (false, None) => outln!(
            "added {name}{sum}; not verified: nothing vouches for it (--sha256, --sha256sums)"
        ),
    }
    Ok(())
}

async fn gone(global: &Global, client: &Client, name: &str) -> anyhow::Result<()> {
    let first = name.split('/').next().unwrap_or(name);
    match client.get(&format!("/images/{}", escape(first))).await {
        Ok(image) if global.json => outln!("{image:#}"),
        Ok(_) => outln!("added {name}"),
        Err(_) => bail!("fetching {name} was cancelled"),
    }
    Ok(())
}

/// Everything that is fetched, or was lately.
pub(super) async fn list(global: &Global, client: &Client) -> anyhow::Result<()> {
    let answer = client.get("/images/fetches").await?;
    if global.json {
        outln!("{answer:#}");
        return Ok(());
    }
    let jobs: Vec<&Value> = answer["fetches"].as_array().into_iter().flatten().collect();
    if jobs.is_empty() {
        outln!("nothing is being fetched; begin with: farrier image add URL");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = jobs.iter().map(|job| row(job)).collect();
    let head = ["ID", "NAME", "STAGE", "BYTES", "OF", "SINCE", "FROM"];
    out!("{}", table(&head, &rows));
    for job in jobs {
        if let Some(why) = job["why"].as_str() {
            outln!("{}: {why}", text(job, "name"));
        }
    }
    Ok(())
}

fn row(job: &Value) -> Vec<String> {
    let since = job["made"].as_i64().map_or_else(|| "-".to_owned(), clock);
    let mut cells: Vec<String> = ["id", "name", "stage", "offset", "size"]
        .map(|key| text(job, key))
        .into();
    cells.extend([since, text(job, "from")]);
    cells
}

/// Of a signature or a keyring; Debian's has 60 kB.
const SMALL: u64 = 1 << 20;
const LOOK: Duration = Duration::from_millis(300);
