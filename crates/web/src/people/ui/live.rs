//! `GET /live`: server-sent events that say only *what* changed; the page fetches itself again.

use crate::people::PeopleState;
use crate::people::auth::session_secret;
use axum::extract::State;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use bootplan::{Catalog, EventKind};
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use store::{Store, StoredEvent};
use tokio::sync::{broadcast, watch};

/// Topics: `machines`, `profiles`, `boots`, `status`, `uploads`. However much happens, at most four
/// messages a second leave; a reader that fell behind is told that everything changed.
pub(crate) async fn stream(
    State(state): State<PeopleState>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Message, Infallible>>> {
    let end = futures_util::future::select(
        Box::pin(state.closed()),
        Box::pin(signed_out(state.store.clone(), headers)),
    );
    let follow = Follow {
        events: state.live.subscribe(),
        catalog: state.store.watch(),
        greeted: false,
    };
    let messages = futures_util::stream::unfold(follow, async |mut follow| {
        let topics = follow.next().await?;
        let text = topics.into_iter().collect::<Vec<_>>().join(" ");
        Some((Ok(Message::default().event("changed").data(text)), follow))
    });
    Sse::new(messages.take_until(end))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here"))
}

/// Waits until the session that this request came with has ended; for ever without one (an API
/// token, the local socket).
async fn signed_out(store: Store, headers: HeaderMap) {
    let Some(secret) = session_secret(&headers).map(str::to_owned) else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(SESSION_CHECK).await;
        if let Ok(None) = store.session(&secret).await {
            return;
        }
    }
}

struct Follow {
    events: broadcast::Receiver<Arc<StoredEvent>>,
    catalog: watch::Receiver<Arc<Catalog>>,
    greeted: bool,
}

impl Follow {
    /// Waits for a change, gathers what else changes within a moment, and names the topics.
    /// `None` when the server is going down.
    async fn next(&mut self) -> Option<BTreeSet<&'static str>> {
        if !self.greeted {
            // A browser that comes back may have missed anything.
            self.greeted = true;
            return Some(ALL.into());
        }
        let mut topics = BTreeSet::new();
        self.one(&mut topics).await?;
        let pause = tokio::time::sleep(COALESCE);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return Some(topics),
                more = self.one(&mut topics) => more?,
            }
        }
    }

    async fn one(&mut self, topics: &mut BTreeSet<&'static str>) -> Option<()> {
        tokio::select! {
            event = self.events.recv() => match event {
                Ok(event) => topics.extend(topics_of(&event.event.kind)),
                Err(broadcast::error::RecvError::Lagged(_)) => topics.extend(ALL),
                Err(broadcast::error::RecvError::Closed) => return None,
            },
            changed = self.catalog.changed() => {
                changed.ok()?;
                topics.extend(["machines", "profiles", "status"]);
            }
        }
        Some(())
    }
}

fn topics_of(kind: &EventKind) -> &'static [&'static str] {
    match kind {
        EventKind::ForeignServer { .. } => &["boots", "status"],
        EventKind::FileStored { .. } => &["boots", "machines", "uploads"],
        // Every other event moves "last seen" and a machine's timeline.
        _ => &["boots", "machines"],
    }
}

const ALL: [&str; 5] = ["boots", "machines", "profiles", "status", "uploads"];
const COALESCE: Duration = Duration::from_millis(250);
/// Below every common idle limit of proxies and of our own listener.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A page stays this long after a log-out elsewhere; it shows nothing new to who fetches it.
const SESSION_CHECK: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use bootplan::{Event, Origin, Timestamp};

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_events_is_four_messages_a_second() {
        let (events, receiver) = broadcast::channel(64);
        let (_keep, catalog) = watch::channel(Arc::new(Catalog::default()));
        let mut follow = Follow {
            events: receiver,
            catalog,
            greeted: false,
        };
        assert_eq!(follow.next().await.map(|t| t.len()), Some(ALL.len()));
        let storm = tokio::spawn(async move {
            for n in 0..1000 {
                let event = Event {
                    at: Timestamp(n),
                    origin: Origin::default(),
                    kind: EventKind::Discovered { platform: None },
                };
                let stored = StoredEvent {
                    id: n,
                    machine: None,
                    event,
                };
                let _ = events.send(Arc::new(stored));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let mut messages = 0;
        while let Some(topics) = follow.next().await {
            assert!(topics.contains("machines"), "{topics:?}");
            messages += 1;
        }
        storm.await.expect("ends");
        assert!((3..=5).contains(&messages), "{messages}");
    }
}
