//! Mirrors on the admin port: how they stand.
//!
//! Owns this answer. Must not know what a run does.

use serde_json::json;

use super::document;
use crate::mirror::Mirrors;
use crate::respond::{Response, ResponseContext};

/// How every mirror stands.
pub(super) async fn list(mirrors: &Mirrors, asked: ResponseContext<'_>) -> Response {
    document(&json!({ "mirrors": mirrors.statuses().await }), asked)
}
