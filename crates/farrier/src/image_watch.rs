//! Follows the images directory: what is copied into it is recognised and its checksum taken, and
//! when an image was last served is noted.

use crate::watcher::Watch;
use bootfiles::images::{ImageState, ImageStore};
use bootplan::EventKind;
use std::sync::Arc;
use std::time::Duration;
use store::StoredEvent;
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Never ends.
pub(crate) async fn follow(images: ImageStore, live: Receiver<Arc<StoredEvent>>) {
    tokio::join!(look(&images), note(&images, live));
}

async fn look(images: &ImageStore) {
    let mut watch = Watch::on(&[images.directory()], &[])
        .inspect_err(|error| tracing::warn!(%error, "cannot watch the images directory"))
        .ok();
    loop {
        let unsettled = blocking(images, look_once).await.unwrap_or(true);
        // Also without a word from the system: what lies deeper is not watched, and a directory
        // on a file server tells nobody.
        let pause = if unsettled { SOON } else { RARELY };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = changed(&mut watch), if !unsettled => {}
        }
    }
}

async fn changed(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => drop(watch.changed().await),
        None => std::future::pending().await,
    }
}

/// Whether to look again soon.
fn look_once(images: &ImageStore) -> bool {
    let look = match images.look() {
        Ok(look) => look,
        Err(error) => {
            tracing::warn!(%error, "the images directory cannot be read");
            return false;
        }
    };
    for name in &look.fresh {
        let Some(info) = images.get(name) else {
            continue;
        };
        match (&info.state, info.recognised.first()) {
            (ImageState::Unreadable(why), _) => {
                tracing::warn!(image = name, why, "an image cannot be served from inside");
            }
            (_, Some(found)) => {
                tracing::info!(image = name, holds = found.title, "image recognised")
            }
            (_, None) => tracing::info!(image = name, "image found; nobody knows what it holds"),
        }
    }
    // One at a time, so that what comes meanwhile is seen between two.
    let Some(name) = images.unhashed() else {
        return look.unsettled;
    };
    match images.verify(&name) {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(image = name, %error, "the checksum of an image cannot be taken");
            false
        }
    }
}

async fn note(images: &ImageStore, mut live: Receiver<Arc<StoredEvent>>) {
    loop {
        match live.recv().await {
            Ok(stored) => {
                if let EventKind::FileServed { path, .. } = &stored.event.kind
                    && let Some(path) = path.strip_prefix("images/")
                {
                    images.served(path, stored.event.at.0);
                }
            }
            // Some of a storm are missed: another file of the same image is not.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn blocking<T: Send + 'static>(
    images: &ImageStore,
    work: impl FnOnce(&ImageStore) -> T + Send + 'static,
) -> Option<T> {
    let images = images.clone();
    tokio::task::spawn_blocking(move || work(&images))
        .await
        .ok()
}

const SOON: Duration = Duration::from_secs(1);
const RARELY: Duration = Duration::from_secs(60);
