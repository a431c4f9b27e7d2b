//! A store that is only looked at: what is written to it is taken and forgotten.
//!
//! For what tries something out beside a running proxy, whose records it must not replace by older ones. Owns that. Must not know
//! what is tried.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::{
    Committed, Damage, FileStore, KeyPrefix, ListedValue, Staged, StorageKey, Store, StoreError, Uncommitted,
    ValueStore,
};

/// A store from which only reads come through.
#[derive(Debug)]
pub(crate) struct UnwrittenStore(pub(crate) Arc<dyn Store>);

#[async_trait]
impl ValueStore for UnwrittenStore {
    async fn read(&self, key: &StorageKey) -> Result<Option<Bytes>, StoreError> {
        self.0.read(key).await
    }

    async fn write(&self, _key: &StorageKey, _bytes: Bytes) -> Result<(), StoreError> {
        Ok(())
    }

    async fn write_behind(&self, _key: &StorageKey, _bytes: Bytes) -> Result<(), StoreError> {
        Ok(())
    }

    async fn create(&self, key: &StorageKey, _bytes: Bytes) -> Result<bool, StoreError> {
        Ok(self.0.read(key).await?.is_none())
    }

    async fn remove(&self, _key: &StorageKey) -> Result<(), StoreError> {
        Ok(())
    }

    fn list(&self, prefix: KeyPrefix) -> BoxStream<'static, ListedValue> {
        self.0.list(prefix)
    }

    async fn may_hold(&self, prefixes: &[KeyPrefix]) -> Result<bool, StoreError> {
        self.0.may_hold(prefixes).await
    }
}

#[async_trait]
impl FileStore for UnwrittenStore {
    async fn read_range(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        self.0.read_range(key, range).await
    }

    async fn read_tail(&self, key: &StorageKey, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        self.0.read_tail(key, bytes).await
    }

    fn stage(&self) -> Result<Staged, StoreError> {
        Err(StoreError::Denied)
    }

    async fn commit(&self, _key: &StorageKey, staged: Staged) -> Result<Committed, Uncommitted> {
        Err(Uncommitted { error: StoreError::Denied, staged })
    }

    async fn set_aside(&self, _key: &StorageKey, _damage: &Damage) -> Result<(), StoreError> {
        Ok(())
    }
}
