//! Nullspace: an API that is relayed whole, and of which uploads are understood.

use std::sync::Arc;

use super::{Answer, AnyBody, ClientBody, Ground, Request};
use crate::upstream::Upstream;

/// Why a Nullspace request is answered here.
#[derive(Debug, thiserror::Error)]
pub enum Refused {}

/// Relays one Nullspace.
#[derive(Debug)]
pub struct Nullspace {
    ground: Arc<Ground>,
    mount: String,
    upstream: Arc<Upstream>,
}

impl Nullspace {
    /// The API at `upstream`, mounted below the path `mount`.
    #[must_use]
    pub fn new(ground: Arc<Ground>, mount: String, upstream: Arc<Upstream>) -> Self {
        Self { ground, mount, upstream }
    }

    /// The rest of a path below the mount, beginning with a slash.
    #[must_use]
    pub fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&*self.mount).filter(|rest| rest.starts_with('/'))
    }

    /// Answers one request; its path is that below the mount.
    ///
    /// # Errors
    /// Why the registry's answer is not the client's.
    pub async fn answer(
        &self,
        _request: Request<'_>,
        _body: ClientBody<AnyBody>,
    ) -> Result<Answer, super::Refused> {
        let _ = (&self.ground, &self.upstream);
        Err(super::Refused::Lost)
    }
}
