//! The netboot files of a distribution: the signed release says the checksum of the list, the list
//! says those of the files, and they become an image together or not at all.

use crate::fetcher::Site;
use crate::job::{Job, Part, Stage};
use crate::recipe::Mirror;
use crate::release::Release;
use crate::{FetchError, download, openpgp, sums};
use bootfiles::images::{Bundle, ImageError, Origin};
use reach::{Limits, Request, Resume};
use sha2::{Digest, Sha256};

/// Works on a job that names a mirror.
pub(crate) async fn run(site: &Site, job: &Job, name: &str) -> Result<(), FetchError> {
    job.enter(Stage::Asking);
    let mirror = site.mirror(name)?;
    let below = |path: &str| format!("{}/{path}", job.order().url.trim_end_matches('/'));
    let (list_url, list, by) = chain(site, job, &mirror, &below).await?;
    let verified = format!("{by}, by way of {}", mirror.sums.as_str());
    job.verified(Some(verified.clone()));
    job.enter(Stage::Fetching);
    let (image, id) = (job.order().name.clone(), job.id().to_owned());
    let bundle = site
        .blocking(move |images| images.bundle(&image, &id))
        .await?;
    let directory = list_url
        .rsplit_once('/')
        .map_or("", |(directory, _)| directory);
    let mut files = Vec::new();
    for (name, path) in &mirror.files {
        let fault = |why| FetchError::Sums {
            sums: list_url.clone(),
            why,
        };
        let sum = sums::find(&list, path.as_str()).map_err(fault)?;
        file(
            site,
            job,
            &bundle,
            name,
            &format!("{directory}/{}", path.as_str()),
            &sum,
        )
        .await?;
        files.push((name.clone(), sum));
    }
    job.enter(Stage::Checking);
    let origin = Origin {
        from: Some(job.from()),
        verified: Some(verified),
        sha256: None,
    };
    let source = format!("fetched by {}", job.order().by);
    site.blocking(move |images| images.publish_bundle(&bundle, &files, &source, &origin))
        .await
}

/// From the signed release to the list of checksums: its URL, its text, and who signed.
async fn chain(
    site: &Site,
    job: &Job,
    mirror: &Mirror,
    below: &impl Fn(&str) -> String,
) -> Result<(String, String, String), FetchError> {
    let keys = match &job.order().proof.keyring {
        Some(keys) => keys.clone(),
        None => site.keyring(&mirror.keyring.file).map_err(|error| {
            let package = &mirror.keyring.package;
            FetchError::Order(format!("{error}; the package {package} brings it"))
        })?,
    };
    let url = below(mirror.release.as_str());
    let shown = Request::new(&url)?.shown();
    let fault = |why: String| FetchError::Sums {
        sums: shown.clone(),
        why,
    };
    let signed = download::text(site, &url).await?;
    let (release, by) = openpgp::inline(&keys.0, &signed)
        .await
        .map_err(|error| match error {
            FetchError::Signature(why) => fault(why),
            other => other,
        })?;
    let release = String::from_utf8_lossy(&release);
    let release = Release::parse(&release);
    release
        .check(&mirror.is, jiff::Timestamp::now())
        .map_err(fault)?;
    let releases = site.releases.clone();
    let (named, date, meant) = (shown.clone(), release.date(), job.order().allow_older);
    let noted = move || releases.believe(&named, date, meant);
    let noted = tokio::task::spawn_blocking(noted).await;
    noted.map_err(std::io::Error::other)?.map_err(fault)?;
    let sums = mirror.sums.as_str();
    let expected = release.sha256(sums);
    let expected = expected.ok_or_else(|| fault(format!("it lists no {sums}")))?;
    let directory = mirror.release.as_str().rsplit_once('/');
    let directory = directory.map_or(String::new(), |(directory, _)| format!("{directory}/"));
    let list_url = below(&format!("{directory}{sums}"));
    let list = match release.by_hash() {
        true => by_hash(site, &list_url, expected).await?,
        false => None,
    };
    let list = match list {
        Some(list) => list,
        None => download::text(site, &list_url).await?,
    };
    let found = data_encoding::HEXLOWER.encode(&Sha256::digest(&list));
    if found != expected {
        return Err(FetchError::Sums {
            sums: Request::new(&list_url)?.shown(),
            why: format!(
                "its SHA-256 is {found}, and the signed release says {expected}: the mirror is being updated (try again later), or somebody changed it"
            ),
        });
    }
    let list = String::from_utf8_lossy(&list).into_owned();
    Ok((list_url, list, format!("{shown}, signed by {by}")))
}

/// A file that the release lists, by its checksum: still the right one while the mirror is being
/// updated. `None`: this mirror does not have it so, whatever its release says.
async fn by_hash(site: &Site, url: &str, sum: &str) -> Result<Option<Vec<u8>>, FetchError> {
    let directory = url.rsplit_once('/').map_or("", |(directory, _)| directory);
    let named = format!("{directory}/by-hash/SHA256/{sum}");
    match download::text(site, &named).await {
        Ok(list) => Ok(Some(list)),
        Err(FetchError::Reach(error)) if download::is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// One file, going on where it stopped.
async fn file(
    site: &Site,
    job: &Job,
    bundle: &Bundle,
    name: &str,
    url: &str,
    sum: &str,
) -> Result<(), FetchError> {
    let at = |work: fn(&Bundle, &str) -> Result<u64, ImageError>| {
        let (bundle, name) = (bundle.clone(), name.to_owned());
        site.blocking(move |_| work(&bundle, &name))
    };
    let have = at(Bundle::len_of).await?;
    if have > 0 && digest(site, bundle, name).await? == sum {
        job.has(at(|bundle, _| bundle.bytes()).await?);
        return Ok(());
    }
    let before = job.part().filter(|part| part.file == name && have > 0);
    let resume = before.and_then(|part| {
        Some(Resume {
            offset: have,
            validator: part.validator?,
        })
    });
    let request = Request::new(url)?.limits(Limits::file(LARGEST));
    let answer = match site.client.get(&request.resume(resume.clone())).await {
        Err(error) if resume.is_some() && download::is_beyond(&error) => {
            at(Bundle::reset).await?;
            let what = "the file is shorter than what has come of it".to_owned();
            let asked = error.asked;
            return Err(FetchError::Changed { asked, what });
        }
        answer => answer?,
    };
    if answer.begins == 0 {
        at(Bundle::reset).await?;
        let part = Part {
            file: name.to_owned(),
            validator: answer.validator.clone(),
            size: None,
        };
        job.begins(part).await?;
    }
    let rest = at(|bundle, _| bundle.bytes())
        .await?
        .saturating_sub(answer.begins);
    let (bundle_, name_) = (bundle.clone(), name.to_owned());
    let append = move |offset, piece: &[u8]| bundle_.append(&name_, offset, piece);
    download::pour(site, job, append, answer, rest).await?;
    let found = digest(site, bundle, name).await?;
    if found != sum {
        at(Bundle::reset).await?;
        let asked = Request::new(url)?.shown();
        let told = format!(
            "{asked}: SHA-256 is {found}, the signed list says {sum}: the mirror is being updated (try again later), or somebody changed it"
        );
        return Err(FetchError::Signature(told));
    }
    Ok(())
}

async fn digest(site: &Site, bundle: &Bundle, name: &str) -> Result<String, FetchError> {
    let (bundle, name) = (bundle.clone(), name.to_owned());
    site.blocking(move |images| images.digest_of(&bundle, &name))
        .await
}

/// Kernels and their initial RAM disks are smaller.
const LARGEST: u64 = 8 << 30;
