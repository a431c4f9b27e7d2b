//! The proxy that may run beside a command.
//!
//! Owns how it is told that the storage changed. Must not know what changed.

use http::{Method, StatusCode};

use super::admin_port::{ask, refusal};
use crate::config::Config;

/// Most bytes of an answer.
const LONGEST: usize = 64 << 10;

/// Tells the proxy of `config`, if it runs, to take up what was written to its storage.
///
/// # Errors
/// Why it did not.
pub(super) async fn reread(config: &Config) -> Result<(), String> {
    let admin = config.server.admin_listen;
    match ask(admin, Method::POST, "/admin/v1/reread", LONGEST).await {
        Ok(None | Some((StatusCode::OK, _))) => Ok(()),
        Ok(Some((status, body))) => Err(refusal(status, &body)),
        Err(error) => Err(super::with_causes(&*error)),
    }
}
