//! Where the engine is, and what the library makes of it.
//!
//! Owns the password's way into the library. Must not know how a connection is made.

use redis::{ConnectionInfo, IntoConnectionInfo};
use secrecy::{ExposeSecret, SecretString};

use crate::fault::EngineFault;

/// Where the engine is.
#[derive(Debug, Clone)]
pub struct EngineAddress {
    /// `redis://host:port/number` or `rediss://…`, without a password.
    pub url: String,
    /// The password.
    pub password: Option<SecretString>,
    /// What every key begins with.
    pub prefix: String,
}

impl EngineAddress {
    pub(crate) fn connection_info(&self) -> Result<ConnectionInfo, EngineFault> {
        let info = self.url.as_str().into_connection_info().map_err(|_| EngineFault::Address)?;
        let Some(password) = &self.password else { return Ok(info) };
        let settings = info.redis_settings().clone().set_password(password.expose_secret());
        Ok(info.set_redis_settings(settings))
    }
}
