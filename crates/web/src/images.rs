//! Images as people see and change them, for pages and API alike. Everything here waits for the file system: on threads
//! that may.

use crate::people::PeopleState;
use axum::body::Body;
use bootfiles::images::{ImageError, ImageInfo, ImageStore, Staging};
use bootplan::{Catalog, Profile, ProfileName};
use http_body_util::BodyExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::{Refused, Step};

/// Why something cannot be done with an image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImagesError {
    /// The program was started without the directory.
    #[error("this server has no images directory")]
    Off,
    /// What the directory says.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Machines would boot into nothing.
    #[error("image {name} is used by {by}; delete or change what uses it first")]
    Used {
        /// The image.
        name: String,
        /// The first of those that use it, listed.
        by: String,
    },
    /// Machines would lose their disk.
    #[error("machines read {0} by NBD now; switch them off first")]
    Read(String),
    /// Not offered.
    #[error("{name} offers {wanted}")]
    NotOffered {
        /// The image.
        name: String,
        /// What was wanted of it.
        wanted: String,
    },
    /// There are such profiles, perhaps changed by people since.
    #[error("there is a profile {0} already; it was left as it is")]
    Taken(String),
    /// The store said no.
    #[error(transparent)]
    Store(#[from] Refused),
    /// The client went away, or sent nonsense.
    #[error("the upload was cut off after {0} bytes; it can go on from there")]
    CutOff(u64),
    /// A bug, or the server is stopping.
    #[error("the work on the image was not finished")]
    Unfinished,
}

/// Looks at the directory; every image, by name.
pub(crate) async fn list(state: &PeopleState) -> Result<Vec<Arc<ImageInfo>>, ImagesError> {
    blocking(state, |store| {
        store.look().map_err(ImageError::from)?;
        Ok(store.list())
    })
    .await
}

/// One of them.
pub(crate) async fn get(state: &PeopleState, name: &str) -> Result<Arc<ImageInfo>, ImagesError> {
    let all = list(state).await?;
    let found = all.into_iter().find(|image| image.name == name);
    found.ok_or_else(|| ImageError::NotFound(name.chars().take(80).collect()).into())
}

/// The profiles that boot from an image, or name a file of it in their texts.
pub(crate) fn used_by(catalog: &Catalog, image: &ImageInfo) -> Vec<Arc<Profile>> {
    let using = |profile: &&Arc<Profile>| {
        image.is_used_by(profile) || image.is_named_by(&profile.variables)
    };
    catalog.profiles().filter(using).cloned().collect()
}

/// What else names files of an image, for people: templates, snippets, and variables that hold the name of a file.
pub(crate) fn named_by(catalog: &Catalog, image: &ImageInfo) -> Vec<String> {
    let objects = catalog.objects();
    let texts = |kind: &'static str, texts: &BTreeMap<String, String>| {
        let naming = texts.iter().filter(|(_, text)| image.is_named_in(text));
        let named = naming.map(|(name, _)| format!("{kind} {name}"));
        named.collect::<Vec<_>>()
    };
    let mut all = texts("template", &objects.templates);
    all.extend(texts("snippet", &objects.snippets));
    let groups = objects.groups.iter();
    let groups = groups.filter(|group| image.is_named_by(&group.variables));
    all.extend(groups.map(|group| format!("group {}", group.name)));
    let site = image.is_named_by(&catalog.site.variables);
    all.extend(site.then(|| "site".to_owned()));
    let machines = catalog.machines();
    let machines = machines.filter(|machine| image.is_named_by(&machine.variables));
    all.extend(machines.map(|machine| format!("machine {}", machine.name)));
    all
}

/// Makes profiles that an image offers, all or none: the named ones; if none is named, those that there are no profiles
/// of yet.
pub(crate) async fn make_profiles(
    state: &PeopleState,
    name: &str,
    wanted: &[ProfileName],
    by: &str,
) -> Result<Vec<Profile>, ImagesError> {
    let image = get(state, name).await?;
    let catalog = state.store.catalog();
    let nothing = |wanted: String| ImagesError::NotOffered {
        name: image.name.clone(),
        wanted,
    };
    let offer = |wanted: &ProfileName| {
        let mut offers = image.offers();
        let found = offers.find(|profile| profile.name == *wanted).cloned();
        found.ok_or_else(|| nothing(format!("no profile '{wanted}'")))
    };
    let mut profiles: Vec<Profile> = match wanted {
        [] => image.offers().cloned().collect(),
        wanted => wanted.iter().map(offer).collect::<Result<_, _>>()?,
    };
    if profiles.is_empty() {
        return Err(nothing("no profiles".to_owned()));
    }
    let taken = |profile: &Profile| catalog.profile(&profile.name).is_some();
    let first_taken = profiles.iter().find(|profile| taken(profile));
    let first_taken = first_taken.map(|profile| profile.name.to_string());
    if wanted.is_empty() {
        profiles.retain(|profile| !taken(profile));
    }
    if let Some(first) = first_taken
        && (!wanted.is_empty() || profiles.is_empty())
    {
        return Err(ImagesError::Taken(first));
    }
    let steps = profiles.iter().cloned().map(Step::PutProfile).collect();
    state.store.apply(steps, by).await?;
    Ok(profiles)
}

/// Deletes an image that no profile boots from, and, unless `force`, that no machine reads by NBD at this moment.
pub(crate) async fn delete(
    state: &PeopleState,
    name: &str,
    force: bool,
) -> Result<(), ImagesError> {
    let image = get(state, name).await?;
    let catalog = state.store.catalog();
    let users = used_by(&catalog, &image);
    let mut users: Vec<String> = users
        .iter()
        .map(|p| format!("profile {}", p.name))
        .collect();
    users.extend(named_by(&catalog, &image));
    if !users.is_empty() {
        users.truncate(SHOWN);
        return Err(ImagesError::Used {
            name: image.name.clone(),
            by: users.join(", "),
        });
    }
    blocking(state, move |store| match store.is_read(&image.name) {
        true if !force => Err(ImagesError::Read(image.name.clone())),
        _ => Ok(store.delete(&image.name)?),
    })
    .await
}

/// Adds what comes to an upload, from `offset` on; how many bytes there are then. What came before a failure stays.
pub(crate) async fn append(
    state: &PeopleState,
    staging: Staging,
    mut offset: u64,
    mut body: Body,
) -> Result<u64, ImagesError> {
    let mut held: Vec<u8> = Vec::with_capacity(PIECE);
    let mut whole = true;
    loop {
        let frame = body.frame().await;
        let ended = !matches!(frame, Some(Ok(_)));
        match frame {
            Some(Ok(frame)) => held.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Some(Err(_)) => whole = false,
            None => {}
        }
        // Also an empty one is tried: it may begin at the wrong place.
        if held.len() >= PIECE || ended {
            let (staging, piece) = (staging.clone(), std::mem::take(&mut held));
            offset = blocking(state, move |_| Ok(staging.append(offset, &piece)?)).await?;
        }
        match (ended, whole) {
            (true, true) => return Ok(offset),
            (true, false) => return Err(ImagesError::CutOff(offset)),
            _ => {}
        }
    }
}

/// Does something with the directory on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    state: &PeopleState,
    work: impl FnOnce(ImageStore) -> Result<T, ImagesError> + Send + 'static,
) -> Result<T, ImagesError> {
    let store = state.image_store.clone().ok_or(ImagesError::Off)?;
    let done = tokio::task::spawn_blocking(move || work(store)).await;
    done.map_err(|_| ImagesError::Unfinished)?
}

/// The same for what may take minutes: `None` when it goes on after the answer, which the listener does not wait for
/// without end.
pub(crate) async fn long<T: Send + 'static>(
    state: &PeopleState,
    work: impl FnOnce(ImageStore) -> Result<T, ImagesError> + Send + 'static,
) -> Result<Option<T>, ImagesError> {
    let store = state.image_store.clone().ok_or(ImagesError::Off)?;
    let working = tokio::task::spawn_blocking(move || {
        let done = work(store);
        if let Err(error) = &done {
            tracing::warn!(%error, "an image was not taken, or could not be checked");
        }
        done
    });
    match tokio::time::timeout(PATIENCE, working).await {
        Ok(done) => done.map_err(|_| ImagesError::Unfinished)?.map(Some),
        Err(_) => Ok(None),
    }
}

/// Users of an image that a refusal names.
const SHOWN: usize = 5;
/// Less than the listener's patience with an answer (`Budget::people`).
const PATIENCE: Duration = Duration::from_secs(40);
/// Written at once.
const PIECE: usize = 1 << 20;
