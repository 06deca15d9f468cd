//! What vouches for a file, fetched before the file itself: what cannot be checked is not fetched.

use crate::fetcher::Site;
use crate::job::Job;
use crate::{FetchError, Given, Octets, download, openpgp, sums};
use reach::Request;

/// What a file must be, and who says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Its SHA-256.
    pub(crate) sha256: Option<String>,
    /// Its own signature, and the keys of those who may have made it.
    pub(crate) signature: Option<(Vec<u8>, Octets)>,
    /// For people; who vouches.
    pub(crate) said: Vec<String>,
}

impl Expected {
    /// For people; nothing: nobody vouches for it.
    pub(crate) fn verified(&self) -> Option<String> {
        (!self.said.is_empty()).then(|| self.said.join("; "))
    }
}

/// Fetches what vouches for a job's file.
pub(crate) async fn expected(site: &Site, job: &Job) -> Result<Expected, FetchError> {
    let order = job.order();
    let proof = &order.proof;
    let mut expected = Expected::default();
    if let Some(sum) = &proof.sha256 {
        expected.sha256 = Some(sum.clone());
        expected
            .said
            .push(format!("the SHA-256 that {} gave", order.by));
    }
    let signature = match &proof.signature {
        Some(Given::Url(url)) => Some(download::text(site, url).await?),
        Some(Given::Content(octets)) => Some(octets.0.clone()),
        None => None,
    };
    let Some(list) = &proof.sums else {
        expected.signature = signature.zip(proof.keyring.clone());
        return Ok(expected);
    };
    let octets = download::text(site, list).await?;
    let shown = Request::new(list)?.shown();
    let fault = |why: String| FetchError::Sums {
        sums: shown.clone(),
        why,
    };
    let in_list = |error: FetchError| match error {
        FetchError::Signature(why) => fault(why),
        other => other,
    };
    let (octets, by) = match (&proof.keyring, signature) {
        (None, _) => (octets, "not signed".to_owned()),
        (Some(keys), Some(signature)) => {
            let by = openpgp::detached_of(&keys.0, &signature, &octets).await;
            (octets, format!("signed by {}", by.map_err(in_list)?))
        }
        (Some(keys), None) => {
            let (text, by) = openpgp::inline(&keys.0, &octets).await.map_err(in_list)?;
            (text, format!("signed by {by}"))
        }
    };
    let text = String::from_utf8_lossy(&octets);
    let sum = sums::find(&text, below(list, &order.url)).map_err(fault)?;
    if let Some(given) = expected.sha256.as_ref().filter(|given| **given != sum) {
        let why = format!("it says {sum}, and {} gave {given}", order.by);
        return Err(fault(why));
    }
    expected.sha256 = Some(sum);
    expected.said.push(format!("{shown}, {by}"));
    Ok(expected)
}

/// The file's path below the list's directory; else its last part.
fn below<'a>(list: &str, file: &'a str) -> &'a str {
    let clean = |url: &'a str| url.split(['?', '#']).next().unwrap_or(url);
    let file = clean(file);
    let directory = list.split(['?', '#']).next().unwrap_or(list);
    let directory = directory
        .rsplit_once('/')
        .map_or("", |(directory, _)| directory);
    let inside = file
        .strip_prefix(directory)
        .and_then(|rest| rest.strip_prefix('/'));
    inside.unwrap_or_else(|| file.rsplit('/').next().unwrap_or(file))
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn a_list_calls_files_by_where_they_lie_below_it() {
        for (list, file, expected) in [
            ("http://h/d/SHA256SUMS", "http://h/d/x.iso?k", "x.iso"),
            (
                "http://h/d/SHA256SUMS?k",
                "http://h/d/netboot/linux",
                "netboot/linux",
            ),
            ("http://h/sums/SHA256SUMS", "http://h/d/x.iso", "x.iso"),
            ("http://h/d/SHA256SUMS", "http://h/debian/x.iso", "x.iso"),
        ] {
            assert_eq!(below(list, file), expected, "{list} {file}");
        }
    }
}
