//! Trying whether a web hook's receiver listens: what pages and API share.

use super::PeopleState;
use reach::hooks::{Message, deliver};
use serde_json::json;
use std::time::SystemTime;

impl PeopleState {
    /// Posts a test to a hook's receiver, enabled or not; why it was not taken. `None`: there is no
    /// such hook.
    pub(crate) async fn test_hook(&self, name: &str, by: &str) -> Option<Result<(), String>> {
        let hook = self.store.hooks().into_iter().find(|h| h.name == name)?;
        let Some(room) = &self.power else {
            return Some(Err("this server asks nothing of others".to_owned()));
        };
        let at: bootplan::Timestamp = SystemTime::now().into();
        let headline = format!("a test of hook '{name}', by {by}");
        let body = json!({"delivery": TEST, "hook": name, "machine_name": null,
            "headline": headline, "event": {"at": at, "event": "test", "by": by}});
        let message = Message {
            id: TEST,
            body: &body.to_string(),
            timestamp: at.0 / 1000,
        };
        let password = |name: &str| (room.passwords)(name);
        let told = deliver(&room.client, &hook, message, &password).await;
        Some(told.map_err(|error| error.to_string()))
    }
}

/// No delivery of an event has this number.
const TEST: i64 = 0;
