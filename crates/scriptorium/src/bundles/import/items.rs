//! The items of a manifest as a stream: a bounded number of them is in memory.
//!
//! Owns that. Must not know what is done with them.

use std::sync::Arc;

use bundle::{ManifestItem, ManifestReadError, OpenBundle};
use futures_util::Stream;
use futures_util::stream;
use tokio::sync::mpsc;

/// Items that wait.
const QUEUE: usize = 64;

/// Why the reading of items ended.
enum ItemsEnd {
    Unreadable(ManifestReadError),
    /// Nobody wants more.
    Dropped,
}

impl From<ManifestReadError> for ItemsEnd {
    fn from(error: ManifestReadError) -> Self {
        Self::Unreadable(error)
    }
}

/// What `pick` takes of the items of a bundle, in their order.
pub(super) fn items<T: Send + 'static, P>(
    bundle: &Arc<OpenBundle>,
    pick: P,
) -> impl Stream<Item = Result<T, ManifestReadError>> + use<T, P>
where
    P: Fn(ManifestItem<'_>) -> Option<T> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(QUEUE);
    let bundle = Arc::clone(bundle);
    tokio::task::spawn_blocking(move || {
        let read = bundle.items(|item| match pick(item) {
            Some(picked) => sender.blocking_send(Ok(picked)).map_err(|_| ItemsEnd::Dropped),
            None => Ok(()),
        });
        if let Err(ItemsEnd::Unreadable(error)) = read {
            // If nobody wants it, nobody is misled.
            let _ = sender.blocking_send(Err(error));
        }
    });
    stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
}
