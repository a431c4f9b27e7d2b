//! One upload: received and checked as a whole before any of it is sent.
//!
//! Owns that order for every API. A [`Description`] says what is checked. The caller sends the checked upload. Must not know
//! any API.

use std::sync::Arc;

use tracing::Instrument;

use super::body::ClientBody;
use super::{PATIENCE, RelayServices, STAGED_UNIT, WriteRefusal};
use crate::admission::Slot;
use crate::domain::Sha256;
use crate::intake::{self, Arriving, Received};
use crate::limit::Client;
use crate::spans::span;
use crate::upstream::OutgoingBody;

/// The checks of an upload.
pub(super) trait Description: Send + Sync + 'static {
    /// The result of the inspection.
    type Found: Send + 'static;

    /// Reads the content while it arrives, on a thread that may block.
    ///
    /// # Errors
    /// [`WriteRefusal`] when the content is not what it must be. The rest of the content is then not received.
    fn inspect(&self, content: &mut Arriving<'_>) -> Result<Self::Found, WriteRefusal>;

    /// Compares the whole with what was declared.
    ///
    /// # Errors
    /// [`WriteRefusal`] when they differ.
    fn judge(&self, found: &Self::Found, received: &Received) -> Result<(), WriteRefusal>;

    /// The digest and the identity that the content is sealed with. Empty for content that is not kept.
    fn seal(&self, _found: &Self::Found) -> (Sha256, String) {
        (Sha256::of(b""), String::new())
    }

    /// What was found in the content, as its seal keeps it.
    fn facts(&self, _found: &Self::Found) -> Vec<u8> {
        Vec::new()
    }
}

/// An upload that was received and passed the check.
pub(super) struct CheckedUpload<F> {
    pub(super) received: Received,
    pub(super) found: F,
    /// Held as long as the bytes are staged, so that no client fills the disk while a registry is slow.
    pub(super) slot: Slot<Client>,
}

/// The body that sends `received` to a registry.
pub(super) fn outgoing(received: &Received) -> OutgoingBody {
    OutgoingBody::Stream { length: Some(received.length()), pieces: received.pieces() }
}

/// Receives the `body` of a `client`, at most `limit` bytes, and checks it with `description`.
///
/// # Errors
/// [`WriteRefusal`] when it is incomplete, is not what it must be, or cannot be staged.
pub(super) async fn take_in<D: Description>(
    services: &RelayServices,
    client: &Client,
    description: Arc<D>,
    limit: u64,
    body: ClientBody,
) -> Result<CheckedUpload<D::Found>, WriteRefusal> {
    body.fits(limit)?;
    let slot = services.uploads.take(client, 1, PATIENCE).await?;
    let inspector = Arc::clone(&description);
    let inspect = move |content: &mut Arriving<'_>| inspector.inspect(content);
    let taken_in = intake::take_in(&services.store, body.pieces(limit), limit, inspect);
    let (sealing, found) = taken_in.instrument(span!("verification")).await?;
    let (known_by, identity) = description.seal(&found);
    let sealing = sealing.with_facts(description.facts(&found));
    let received = Received::new(sealing, known_by, &identity).await?;
    description.judge(&found, &received)?;
    drop(slot);
    // One upload takes at most its client's share, so that the longest upload fits whatever the share is.
    let units = usize::try_from(received.length().div_ceil(STAGED_UNIT)).unwrap_or(usize::MAX);
    let slot = services.staged.take(client, units.min(services.staged.share()), PATIENCE).await?;
    Ok(CheckedUpload { received, found, slot })
}
