//! What the cluster asks of whoever does as news says.
//!
//! Owns that. Must not know what follows from news.

use async_trait::async_trait;

use super::news::News;
use crate::clock::Timestamp;
use crate::store::StoreError;

/// What does as news says.
#[async_trait]
pub(crate) trait Hearing: Send + Sync + std::fmt::Debug {
    /// Does what follows from `news`.
    ///
    /// # Errors
    /// When the store cannot say what is true now; the same news is then heard again.
    async fn hear(&self, news: &[News]) -> Result<(), StoreError>;

    /// Everything that others changed before was heard; what they change later is heard by then.
    fn is_current_until(&self, until: Timestamp);
}
