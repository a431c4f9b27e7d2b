//! This process's place among the proxies on the bucket, as far as this process knows.
//!
//! Owns that knowledge. Must not know how a place is taken or left.

use std::time::Duration;

use ::cluster::Entered;
use tokio::sync::Mutex;

/// What this process knows of its place.
#[derive(Debug, Default)]
pub(super) struct ProcessPlace(pub(super) Mutex<PlaceState>);

#[derive(Debug, Default)]
pub(super) struct PlaceState {
    /// What the last attempt found, whether or not it was written.
    pub(super) found: Option<Entered>,
    /// Whether this process does not know whether its last attempt was written.
    pub(super) is_unsure: bool,
    /// When it entered.
    pub(super) entered: Option<Duration>,
    pub(super) has_left: bool,
}
