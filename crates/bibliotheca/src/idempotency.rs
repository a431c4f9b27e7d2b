//! What an API remembers under idempotency keys: the first success, for a client that repeats its request.

use std::collections::HashMap;

use crate::reply::ScriptedReply;
use crate::request::{ReceivedRequest, hex_digest};

/// The first successes, by token and key.
#[derive(Default)]
pub struct KeyedReplies(HashMap<(String, String), KeyedReply>);

struct KeyedReply {
    fingerprint: String,
    reply: ScriptedReply,
}

/// How a key was used before.
pub enum KeyUse {
    /// It was not used, or only for requests that failed.
    New,
    /// The same request succeeded with this reply.
    Same(ScriptedReply),
    /// Another request succeeded under it.
    Other,
}

impl KeyedReplies {
    /// How the key of a request was used before.
    pub fn look_up(&self, request: &ReceivedRequest, key: Option<&str>) -> KeyUse {
        match key.and_then(|key| self.0.get(&slot(request, key))) {
            None => KeyUse::New,
            Some(known) if known.fingerprint == fingerprint(request) => KeyUse::Same(known.reply.clone()),
            Some(_) => KeyUse::Other,
        }
    }

    /// Keeps a success under the key of its request.
    pub fn keep(&mut self, request: &ReceivedRequest, key: Option<&str>, reply: &ScriptedReply) {
        if let Some(key) = key.filter(|_| reply.is_success()) {
            let kept = KeyedReply { fingerprint: fingerprint(request), reply: reply.clone() };
            self.0.insert(slot(request, key), kept);
        }
    }
}

fn slot(request: &ReceivedRequest, key: &str) -> (String, String) {
    (request.bearer().unwrap_or_default().to_owned(), key.to_owned())
}

/// Two requests are the same when this is equal.
fn fingerprint(request: &ReceivedRequest) -> String {
    hex_digest(format!("{} {} {}", request.method, request.target, request.sha256()).as_bytes())
}
