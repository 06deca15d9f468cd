//! The task that tells web hooks what stands in their outboxes.

use bootplan::Timestamp;
use futures_util::future::join_all;
use reach::Client;
use reach::hooks::{self, Message};
use std::time::{Duration, SystemTime};
use store::{Delivery, Store, StoreError};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep};
use web::people::Passwords;

/// Tells hooks what happens until it is aborted. What was not told is in the database, and is told
/// after the next start.
pub(crate) async fn run(store: Store, client: Client, secrets: Passwords) {
    let live = store.live();
    let mut happened = live.subscribe();
    loop {
        let pause = match round(&store, &client, &secrets).await {
            Ok(Some(due)) => {
                let wait = u64::try_from(due.0 - now().0).unwrap_or(0);
                Duration::from_millis(wait).clamp(SHORTEST, LONGEST)
            }
            Ok(None) => LONGEST,
            Err(error) => {
                tracing::warn!("cannot tell hooks what happened: {error}");
                Duration::from_secs(10)
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            event = happened.recv() => if let Err(RecvError::Closed) = event {
                return;
            },
        }
    }
}

/// Tells each hook that something is due for; when to come again.
async fn round(
    store: &Store,
    client: &Client,
    secrets: &Passwords,
) -> Result<Option<Timestamp>, StoreError> {
    if store.hooks().is_empty() {
        return Ok(None);
    }
    let began = Instant::now();
    // A hook that is quick is told everything at once; one that is slow keeps the others waiting
    // no longer than one delivery takes.
    loop {
        let (due, next) = store.due_deliveries(now()).await?;
        if due.is_empty() {
            return Ok(next);
        }
        let told = join_all(
            due.iter()
                .map(|delivery| tell(store, client, secrets, delivery)),
        )
        .await;
        told.into_iter().collect::<Result<Vec<()>, _>>()?;
        if began.elapsed() > ROUND {
            return Ok(Some(now()));
        }
    }
}

async fn tell(
    store: &Store,
    client: &Client,
    secrets: &Passwords,
    delivery: &Delivery,
) -> Result<(), StoreError> {
    let at = now();
    let message = Message {
        id: delivery.id,
        body: &delivery.body,
        timestamp: at.0 / 1000,
    };
    let hook = &delivery.hook;
    let told = hooks::deliver(client, hook, message, &|name| secrets(name)).await;
    let Err(error) = told else {
        return store.delivered(delivery).await;
    };
    let why = error.to_string();
    tracing::info!(hook = hook.name, delivery = delivery.id, "not told: {why}");
    let pause = i64::try_from(hooks::pause(delivery.tries).as_millis()).unwrap_or(i64::MAX);
    store
        .not_delivered(delivery, &why, Timestamp(now().0 + pause))
        .await?;
    if at.0 - delivery.made.0 > GIVE_UP {
        store.give_up(hook, Timestamp(at.0 - GIVE_UP), &why).await?;
    }
    Ok(())
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// How long a receiver may be away, in milliseconds: a day.
const GIVE_UP: i64 = 24 * 60 * 60 * 1000;
/// A clock that jumps must not stop the task for long.
const LONGEST: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_millis(20);
/// Then events that came meanwhile are looked for.
const ROUND: Duration = Duration::from_secs(10);
