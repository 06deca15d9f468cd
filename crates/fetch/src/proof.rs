//! What vouches for a file, fetched before the file itself: what cannot be checked is not fetched.

use crate::fetcher::Site;
use crate::job::Job;
use crate::{FetchError, Proof, download, sums};
use reach::Request;

/// What a file must be, and who says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Its SHA-256.
    pub(crate) sha256: Option<String>,
    /// For people; nothing: nobody says anything.
    pub(crate) verified: Option<String>,
}

/// Fetches what vouches for a job's file.
pub(crate) async fn expected(site: &Site, job: &Job) -> Result<Expected, FetchError> {
    let order = job.order();
    let Proof { sha256, sums } = &order.proof;
    let mut expected = Expected::default();
    let mut said = Vec::new();
    if let Some(sum) = sha256 {
        expected.sha256 = Some(sum.clone());
        said.push(format!("the SHA-256 that {} gave", order.by));
    }
    if let Some(list) = sums {
        let octets = download::text(site, list).await?;
        let shown = Request::new(list)?.shown();
        let fault = |why: String| FetchError::Sums {
            sums: shown.clone(),
            why,
        };
        let text = String::from_utf8_lossy(&octets);
        let sum = sums::find(&text, below(list, &order.url)).map_err(fault)?;
        if let Some(given) = expected.sha256.as_ref().filter(|given| **given != sum) {
            let why = format!("it says {sum}, and {} gave {given}", order.by);
            return Err(fault(why));
        }
        expected.sha256 = Some(sum);
        said.push(format!("{shown} (not signed)"));
    }
    expected.verified = (!said.is_empty()).then(|| said.join("; "));
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
