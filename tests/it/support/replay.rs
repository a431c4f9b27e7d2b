//! What a registry remembers under idempotency keys: the first success, for whoever asks the same again.

use std::collections::HashMap;

use super::{Reply, Seen, hex_digest};

/// The first successes by token and key.
#[derive(Default)]
pub(super) struct Replays(HashMap<(String, String), (String, Reply)>);

/// What a key says of a request.
pub(super) enum Replay {
    /// It was not used before, or only for what failed.
    New,
    /// The same request succeeded with this reply.
    Same(Reply),
    /// Another request succeeded under it.
    Other,
}

impl Replays {
    pub(super) fn look_up(&self, seen: &Seen, key: Option<&str>) -> Replay {
        match key.and_then(|key| self.0.get(&place(seen, key))) {
            None => Replay::New,
            Some((print, reply)) if *print == fingerprint(seen) => Replay::Same(reply.clone()),
            Some(_) => Replay::Other,
        }
    }

    /// Keeps a success under the key it came with.
    pub(super) fn keep(&mut self, seen: &Seen, key: Option<&str>, reply: &Reply) {
        if let Some(key) = key.filter(|_| reply.is_success()) {
            self.0.insert(place(seen, key), (fingerprint(seen), reply.clone()));
        }
    }
}

fn place(seen: &Seen, key: &str) -> (String, String) {
    (seen.bearer().unwrap_or_default().to_owned(), key.to_owned())
}

/// What must be equal for two requests to be the same.
fn fingerprint(seen: &Seen) -> String {
    hex_digest(format!("{} {} {}", seen.method, seen.target, seen.sha256()).as_bytes())
}
