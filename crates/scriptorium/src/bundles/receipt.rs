//! The receipt of a store: what it holds, by digest.
//!
//! Owns what counts: documents of the registries in force that can be read, and files with an intact seal. Must not know what
//! a receipt is for.

use bundle::Receipt;
use futures_util::StreamExt;

use crate::domain::Sha256;
use crate::read::envelope::Envelope;
use crate::store::{KeyPrefix, Store, StoreError, sealed};
use crate::upstream::RegistryClients;

/// The receipt of what `store` holds of `upstreams`.
///
/// # Errors
/// When the store cannot be listed or read.
pub(crate) async fn receipt(store: &dyn Store, upstreams: &RegistryClients) -> Result<Receipt, StoreError> {
    let mut documents = Vec::new();
    let mut listed = store.list(KeyPrefix::Documents);
    while let Some(value) = listed.next().await {
        let (key, _) = value?;
        let Some(stored) = store.read(&key).await? else { continue };
        // One that is damaged is a miss, and is wanted again.
        let Ok(Envelope { meta, body }) = Envelope::decode(&stored) else { continue };
        if upstreams.iter().any(|upstream| meta.is_of(upstream.registry())) {
            documents.push(Sha256::of(&body));
        }
    }
    let mut files = Vec::new();
    let mut listed = store.list(KeyPrefix::Archives).chain(store.list(KeyPrefix::TrustArtifacts));
    while let Some(value) = listed.next().await {
        let (key, _) = value?;
        match sealed::open(store, &key).await {
            Ok(seal) => files.extend(seal.map(|seal| seal.raw)),
            Err(StoreError::Corrupt(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Receipt::new(documents, files))
}
