//! One upload: taken in, looked at, judged, and only then sent on.
//!
//! Owns that order for every API. What is checked is a [`Description`]'s, where it goes the caller's. Must not know
//! any API.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::body::ClientBody;
use super::shares::Share;
use super::{Ground, Refused, STAGED_UNIT};
use crate::domain::Sha256;
use crate::intake::{self, Arriving, Received};
use crate::limit::Client;
use crate::upstream::{CouldNotAsk, Errand, OutgoingBody, Relayed, Target, Upstream, Write, WriteBody};

/// What an upload must be.
pub(super) trait Description: Send + Sync + 'static {
    /// What looking at the content finds out.
    type Found: Send + 'static;

    /// Most bytes that are taken.
    fn limit(&self) -> u64;

    /// Reads the content while it arrives, on a thread that may block.
    ///
    /// # Errors
    /// [`Refused`] when the content is not what it must be; the rest of it is not waited for.
    fn inspect(&self, content: &mut Arriving<'_>) -> Result<Self::Found, Refused>;

    /// Holds the whole against what was declared of it.
    ///
    /// # Errors
    /// [`Refused`] when it is something else.
    fn judge(&self, found: &Self::Found, received: &Received) -> Result<(), Refused>;

    /// What the content is sealed as: the digest it is known by, and what it is. Of what is kept nowhere, nothing.
    fn seal(&self, _found: &Self::Found) -> (Sha256, String) {
        (Sha256::of(b""), String::new())
    }
}

/// Where something goes once it passed.
#[derive(Debug)]
pub(super) struct Destination<'a> {
    /// The registry.
    pub upstream: &'a Upstream,
    /// The name in metrics and logs.
    pub resource: &'static str,
    /// The method.
    pub method: Method,
    /// Where to.
    pub target: Target<'a>,
    /// Complete but for the length.
    pub headers: HeaderMap,
    /// Whether the same may be sent again when its answer was lost.
    pub repeatable: bool,
    /// On whose behalf.
    pub errand: Errand<'a>,
}

/// What was taken in, and passed.
pub(super) struct Taken<F> {
    pub(super) received: Received,
    pub(super) found: F,
    /// Held as long as the bytes lie here, so that no client fills the disk with what a registry is slow to take.
    pub(super) share: Share,
}

/// Takes the `body` of a `client` in and judges it by `description`; nobody else has seen a byte of it.
///
/// # Errors
/// [`Refused`] when it did not come whole, is not what it must be, or cannot be taken in.
pub(super) async fn take_in<D: Description>(
    ground: &Ground,
    client: &Client,
    description: Arc<D>,
    body: ClientBody,
) -> Result<Taken<D::Found>, Refused> {
    let limit = description.limit();
    body.fits(limit)?;
    let turn = ground.uploads.take(client, 1).await?;
    let inspector = Arc::clone(&description);
    let inspect = move |content: &mut Arriving<'_>| inspector.inspect(content);
    let (sealing, found) = intake::take_in(&ground.store, body.pieces(limit), limit, inspect).await?;
    let (known_by, identity) = description.seal(&found);
    let received = Received::new(sealing, known_by, &identity).await?;
    description.judge(&found, &received)?;
    drop(turn);
    // One upload takes no more than its client's share, so that a longest one fits whatever the share is.
    let units = usize::try_from(received.length().div_ceil(STAGED_UNIT)).unwrap_or(usize::MAX);
    let share = ground.staged.take(client, units.min(ground.staged.of_one())).await?;
    Ok(Taken { received, found, share })
}

/// Sends on what was taken in.
///
/// # Errors
/// [`Refused::CouldNotAsk`] when there is no answer.
pub(super) async fn send_on(to: Destination<'_>, received: &Received) -> Result<Relayed, Refused> {
    let content = || OutgoingBody::Stream { length: Some(received.length()), pieces: received.pieces() };
    Ok(send(to, &content).await?)
}

/// Sends on a document that was read.
///
/// # Errors
/// [`CouldNotAsk`] when there is no answer.
pub(super) async fn send_document(to: Destination<'_>, document: &Bytes) -> Result<Relayed, CouldNotAsk> {
    let content = || match document.is_empty() {
        true => OutgoingBody::Empty,
        false => OutgoingBody::Whole(document.clone()),
    };
    send(to, &content).await
}

async fn send(
    to: Destination<'_>,
    content: &(dyn Fn() -> OutgoingBody + Send + Sync),
) -> Result<Relayed, CouldNotAsk> {
    let Destination { upstream, resource, method, target, headers, repeatable, errand } = to;
    let body = if repeatable { WriteBody::Again(content) } else { WriteBody::Once(content()) };
    upstream.relay(Write { resource, method, target, headers, body, errand }).await
}
