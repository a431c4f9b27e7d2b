//! The writes of Agent Volumes (specification, section "Write routes").

use std::sync::Arc;

use super::{Answer, AnyBody, ClientBody, Ground, Request};
use crate::domain::Change;

/// Why a write of Agent Volumes is answered here.
#[derive(Debug, thiserror::Error)]
pub enum Refused {}

/// Relays writes to the registries that take them.
#[derive(Debug)]
pub struct Volumes {
    ground: Arc<Ground>,
}

impl Volumes {
    /// Writes on `ground`.
    #[must_use]
    pub fn new(ground: Arc<Ground>) -> Self {
        Self { ground }
    }

    /// Answers one write.
    ///
    /// # Errors
    /// Why the registry's answer is not the client's.
    pub async fn answer(
        &self,
        _change: &Change,
        _request: Request<'_>,
        _body: ClientBody<AnyBody>,
    ) -> Result<Answer, super::Refused> {
        let _ = &self.ground;
        Err(super::Refused::Lost)
    }
}
