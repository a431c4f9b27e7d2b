//! The section `[cluster]`.
//!
//! Owns its keys. Must not know where a value came from, nor how proxies agree.

use url::Url;

use super::super::declare::section;
use super::super::formats::{engine_url, key_prefix, number, password_variable};
use super::super::value::Credential;

section! {
    pub(crate) struct Cluster requires {
        /// The Redis or Valkey through which the proxies of one bucket agree; rediss:// is TLS. A password comes
        /// from `password_env`, never from here.
        url: Url, engine_url().example(r#""redis://127.0.0.1:6379/0""#);
    } with {
        /// Environment variable with the password of the engine.
        password_env: Option<Credential> = None, password_variable().optional().example(r#""REDIS_PASSWORD""#);
        /// What the names of all keys begin with, so that others may share the engine.
        prefix: String = "scriptorium:".to_owned(), key_prefix();
        /// How many proxies there are meant to be. While the engine is away, each uses only its part of what
        /// they share, so more of them than this could exceed a budget.
        nodes: u32 = 3, number("proxies", 1..=1000);
    }
}
