//! `GET /live`: server-sent events that say only *what* changed; the page fetches itself again.

use crate::people::PeopleState;
use crate::people::auth::session_secret;
use crate::transfers::Transfers;
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
use tokio::time::{Interval, interval};

/// Topics: `machines`, `profiles`, `boots`, `status`, `uploads`, and once a second `transfers` while
/// there are any. However much happens, at most four
/// messages a second leave; a reader that fell behind is told that everything changed.
pub(crate) async fn stream(
    State(state): State<PeopleState>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Message, Infallible>>> {
    let end = futures_util::future::select(
        Box::pin(state.closed()),
        Box::pin(signed_out(state.store.clone(), headers)),
    );
    let transfers = state.transfers.clone();
    let follow = Follow::new(state.live.subscribe(), state.store.watch(), transfers);
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
    transfers: Transfers,
    look: Interval,
    /// There were transfers when we last looked.
    moving: bool,
    greeted: bool,
}

impl Follow {
    fn new(
        events: broadcast::Receiver<Arc<StoredEvent>>,
        catalog: watch::Receiver<Arc<Catalog>>,
        transfers: Transfers,
    ) -> Self {
        Follow {
            events,
            catalog,
            transfers,
            look: interval(LOOK),
            moving: false,
            greeted: false,
        }
    }

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
            () = motion(&self.transfers, &mut self.look, &mut self.moving) => {
                topics.insert("transfers");
            }
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

/// Waits until it is time to show again how far transfers are, or that the last one is over.
async fn motion(transfers: &Transfers, look: &mut Interval, moving: &mut bool) {
    loop {
        look.tick().await;
        let before = std::mem::replace(moving, !transfers.is_idle());
        if before || *moving {
            return;
        }
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

const ALL: [&str; 6] = [
    "boots",
    "machines",
    "profiles",
    "status",
    "transfers",
    "uploads",
];
const COALESCE: Duration = Duration::from_millis(250);
/// How often people see how far a transfer is.
const LOOK: Duration = Duration::from_secs(1);
/// Below every common idle limit of proxies and of our own listener.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A page stays this long after a log-out elsewhere; it shows nothing new to who fetches it.
const SESSION_CHECK: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use bootplan::{Event, Origin, Timestamp};

    #[tokio::test(start_paused = true)]
    async fn transfers_are_told_of_each_second_until_the_last_is_over() {
        use crate::transfers::{Beginning, Direction};
        let (_keep_events, events) = broadcast::channel(1);
        let (_keep, catalog) = watch::channel(Arc::new(Catalog::default()));
        let transfers = Transfers::default();
        let mut follow = Follow {
            greeted: true,
            ..Follow::new(events, catalog, transfers.clone())
        };
        let idle = tokio::time::timeout(Duration::from_secs(60), follow.next());
        assert!(idle.await.is_err(), "nothing moves");
        let running = transfers.begin(Beginning {
            direction: Direction::Read,
            transport: bootplan::Transport::Http,
            peer: ([10, 0, 0, 7], 2070).into(),
            mac: None,
            path: "a".to_owned(),
            total: None,
        });
        let begun = tokio::time::Instant::now();
        for _ in 0..5 {
            assert_eq!(follow.next().await, Some(["transfers"].into()));
        }
        assert_eq!(begun.elapsed().as_secs(), 5);
        drop(running);
        assert_eq!(follow.next().await, Some(["transfers"].into()));
        let over = tokio::time::timeout(Duration::from_secs(60), follow.next());
        assert!(over.await.is_err(), "the last one was told");
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_events_is_four_messages_a_second() {
        let (events, receiver) = broadcast::channel(64);
        let (_keep, catalog) = watch::channel(Arc::new(Catalog::default()));
        let mut follow = Follow::new(receiver, catalog, Transfers::default());
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
