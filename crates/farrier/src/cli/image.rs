//! `farrier image …`

use super::Global;
use super::client::{Client, ClientError};
use super::image_fetch;
use super::machine::escape;
use super::output::{clock, out, outln, table, text};
use super::progress::Progress;
use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Subcommand;
use data_encoding::HEXLOWER;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// `farrier image …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List images, and what they hold
    List,
    /// Bring an image to the server, or have it fetch one; what was cut off goes on where it stopped
    Add {
        /// An ISO file, or a kernel or initial RAM disk; or its http or https URL, which the server fetches
        #[arg(
            value_name = "FILE|URL",
            required_unless_present = "mirror",
            conflicts_with = "mirror"
        )]
        file: Option<String>,
        /// What it will be called, e.g. debian.iso or rescue/vmlinuz [default: the file's name]
        #[arg(long, short)]
        name: Option<String>,
        #[command(flatten)]
        proof: image_fetch::Proof,
    },
    /// List netboot files that can be taken from a mirror, and keyrings of the server
    Mirrors,
    /// List what the server fetches by URL
    Fetches,
    /// Try again to fetch what failed; what has come of it is kept
    Retry {
        /// As the list of fetches calls it
        id: String,
    },
    /// Give up fetching; what has come of it is thrown away
    Cancel {
        /// As the list of fetches calls it
        id: String,
    },
    /// Delete an image that no profile boots from and no machine reads
    Remove {
        /// As the list calls it
        image: String,
        /// Also while machines read it by NBD; they go on until they lose the connection
        #[arg(long)]
        force: bool,
    },
    /// Show the profiles that an image offers, or make them
    Offer {
        /// As the list calls it
        image: String,
        /// Make these, or with no name all that there are no profiles of yet
        #[arg(long, short, num_args = 0.., value_name = "PROFILE")]
        make: Option<Vec<String>>,
    },
    /// Make a bootable Debian for machines without a disk, by a sample script (root, mmdebstrap, squashfs-tools)
    BuildLive(super::build_live::BuildLive),
    /// Read a whole image, and compare its checksum with the one on record
    Check {
        /// As the list calls it
        image: String,
    },
}

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    if let Command::BuildLive(wanted) = &command {
        return super::build_live::run(wanted);
    }
    let client = global.client()?;
    match command {
        Command::BuildLive(_) => Ok(()),
        Command::List => list(global, &client).await,
        Command::Add { file, name, proof } => {
            let file = match file {
                Some(file) if !image_fetch::is_url(&file) => PathBuf::from(file),
                url => {
                    return image_fetch::add(
                        global,
                        &client,
                        url.as_deref(),
                        name.as_deref(),
                        proof,
                    )
                    .await;
                }
            };
            let name = match name {
                Some(name) => name,
                None => own_name(&file)?,
            };
            proof.none_for_files()?;
            let sum = add(&client, &file, &name).await?;
            match global.json {
                true => outln!("{:#}", json!({"name": name, "sha256": sum})),
                false => outln!("added {name}, SHA-256 {sum}"),
            }
            Ok(())
        }
        Command::Mirrors => image_fetch::mirrors(global, &client).await,
        Command::Fetches => image_fetch::list(global, &client).await,
        Command::Retry { id } => image_fetch::retry(global, &client, &id).await,
        Command::Cancel { id } => {
            let path = format!("/images/fetches/{}", escape(&id));
            client.send(Method::DELETE, &path, None).await?;
            outln!("cancelled {id}");
            Ok(())
        }
        Command::Remove { image, force } => {
            let path = format!("/images/{}?force={force}", escape(&image));
            client.send(Method::DELETE, &path, None).await?;
            outln!("removed {image}");
            Ok(())
        }
        Command::Offer { image, make } => {
            let path = format!("/images/{}", escape(&image));
            match make {
                None => offer(global, &client.get(&path).await?),
                Some(profiles) => {
                    let body = json!({ "profiles": profiles });
                    let path = format!("{path}/profiles");
                    let made = client.send(Method::POST, &path, Some(&body)).await?;
                    if global.json {
                        outln!("{made:#}");
                        return Ok(());
                    }
                    for profile in made["profiles"].as_array().into_iter().flatten() {
                        outln!("made {}: {}", text(profile, "name"), text(profile, "title"));
                    }
                }
            }
            Ok(())
        }
        Command::Check { image } => {
            let path = format!("/images/{}/check", escape(&image));
            let checked = client.send(Method::POST, &path, None).await?;
            if global.json {
                outln!("{checked:#}");
            }
            match checked["sound"].as_bool() {
                Some(true) if global.json => Ok(()),
                Some(true) => {
                    outln!("{image} is what it was: {}", text(&checked, "sha256"));
                    Ok(())
                }
                None => {
                    outln!(
                        "{image} is still being read; 'farrier image list' says when it is damaged"
                    );
                    Ok(())
                }
                _ => bail!(
                    "{image} is not what it was: SHA-256 is now {}; look at the disk, and add the image again",
                    text(&checked, "sha256")
                ),
            }
        }
    }
}

async fn list(global: &Global, client: &Client) -> anyhow::Result<()> {
    let answer = client.get("/images").await?;
    if global.json {
        outln!("{answer:#}");
        return Ok(());
    }
    let images = answer["images"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = images.map(row).collect();
    match rows.is_empty() {
        true => outln!(
            "no images; copy an ISO file into {} or run: farrier image add FILE",
            text(&answer, "directory")
        ),
        false => out!(
            "{}",
            table(
                &["NAME", "HOLDS", "BYTES", "ADDED", "LAST SERVED", "USED BY"],
                &rows
            )
        ),
    }
    Ok(())
}

fn row(image: &Value) -> Vec<String> {
    let at = |key: &str| image[key].as_i64().map_or_else(|| "-".to_owned(), clock);
    let holds = match image["state"].as_str() {
        Some("ready") => text(&image["recognised"][0], "title"),
        Some(state) => format!("({state}: {})", text(image, "detail")),
        None => "-".to_owned(),
    };
    vec![
        text(image, "name"),
        holds,
        text(image, "bytes"),
        at("added"),
        at("last_served"),
        text(image, "used_by"),
    ]
}

fn offer(global: &Global, image: &Value) {
    let recognised = image["recognised"].as_array().into_iter().flatten();
    let offers: Vec<&Value> = recognised
        .clone()
        .flat_map(|found| found["offers"].as_array().into_iter().flatten())
        .collect();
    if global.json {
        outln!("{:#}", json!({ "offers": offers }));
        return;
    }
    let rows: Vec<Vec<String>> = offers
        .iter()
        .map(|profile| {
            vec![
                text(profile, "name"),
                text(profile, "title"),
                text(&profile["boot"], "args"),
            ]
        })
        .collect();
    match rows.is_empty() {
        true => outln!("{} offers no profiles", text(image, "name")),
        false => out!("{}", table(&["PROFILE", "TITLE", "ARGUMENTS"], &rows)),
    }
    for found in recognised {
        for why in found["withheld"].as_array().into_iter().flatten() {
            outln!("not offered: {}", why.as_str().unwrap_or_default());
        }
    }
}

fn own_name(file: &Path) -> anyhow::Result<String> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name =
        name.with_context(|| format!("{} has no name; give one with --name", file.display()))?;
    Ok(name.to_owned())
}

/// Sends a file; its checksum.
async fn add(client: &Client, path: &Path, name: &str) -> anyhow::Result<String> {
    let unreadable = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(unreadable)?;
    let metadata = file.metadata().with_context(unreadable)?;
    if !metadata.is_file() {
        bail!("{} is no regular file", path.display());
    }
    let len = metadata.len();
    let sum = checksum(&mut file).with_context(unreadable)?;
    let modified = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH);
    let mark = format!("file {}", modified.unwrap_or_default().as_nanos());
    let wanted = json!({"name": name, "size": len, "sha256": sum, "mark": mark});
    let begun = client
        .send(Method::POST, "/images/uploads", Some(&wanted))
        .await?;
    let upload = format!("/images/uploads/{}", escape(&text(&begun, "id")));
    let mut offset = begun["offset"].as_u64().unwrap_or(0);
    let mut progress = Progress::start();
    let mut failures = 0;
    while offset < len {
        progress.show(offset, Some(len));
        let piece = read_piece(&file, offset, len).with_context(unreadable)?;
        let at = format!("{upload}?offset={offset}");
        match client.put_octets(&at, piece).await {
            Ok(state) => {
                offset = state["offset"].as_u64().unwrap_or(offset);
                failures = 0;
            }
            Err(error) if failures < RETRIES && may_pass(&error) => {
                failures += 1;
                tokio::time::sleep(PAUSE).await;
                if let Ok(state) = client.get(&upload).await {
                    offset = state["offset"].as_u64().unwrap_or(offset);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    drop(progress);
    client
        .send(Method::POST, &format!("{upload}/finish"), None)
        .await?;
    // Where reading takes long the answer comes before the end.
    while client.get(&upload).await.is_ok() {
        tokio::time::sleep(PAUSE).await;
    }
    let first = name.split('/').next().unwrap_or(name);
    client.get(&format!("/images/{}", escape(first))).await?;
    Ok(sum)
}

/// Whether trying again can help: the server is being restarted, or a piece was lost.
pub(super) fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Connect { .. } | ClientError::Broken { .. } => true,
        ClientError::Refused { status, .. } => [
            StatusCode::CONFLICT,
            StatusCode::BAD_REQUEST,
            StatusCode::SERVICE_UNAVAILABLE,
        ]
        .contains(status),
        _ => false,
    }
}

fn checksum(file: &mut File) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(HEXLOWER.encode(&hash.finalize())),
            read => hash.update(&piece[..read]),
        }
    }
}

fn read_piece(file: &File, offset: u64, len: u64) -> std::io::Result<Bytes> {
    let size = usize::try_from((len - offset).min(PIECE)).unwrap_or(0);
    let mut piece = vec![0; size];
    file.read_exact_at(&mut piece, offset)?;
    Ok(piece.into())
}

/// Sent at once; what is lost when a connection breaks.
const PIECE: u64 = 4 << 20;
/// A server that is restarted is back by then.
pub(super) const RETRIES: u32 = 30;
pub(super) const PAUSE: Duration = Duration::from_secs(1);
