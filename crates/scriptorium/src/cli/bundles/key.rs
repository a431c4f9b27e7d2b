//! `mirror key`.
//!
//! Owns what is printed of a new key. Must not know the formats of its files.

use std::path::Path;
use std::process::ExitCode;

use bundle::{KeyFileError, SigningKey};

use crate::cli::CommandFailure;

pub(super) fn run(out: &Path, with_password: bool) -> Result<ExitCode, CommandFailure> {
    let password = with_password.then(super::new_password).transpose()?;
    let key = SigningKey::make_files(out, password.as_deref()).map_err(|error| match error {
        KeyFileError::InvalidPassword => crate::cli::usage(&error.to_string()),
        error => crate::cli::fail(&error),
    })?;
    let name = out.display();
    Ok(crate::cli::answer(&format!(
        "{name}.key signs bundles; keep it secret\n{name}.pub is the key {}; at the receiver:\n\n[bundles]\ntrusted_keys = [\"{key}\"]\n",
        key.id()
    )))
}
