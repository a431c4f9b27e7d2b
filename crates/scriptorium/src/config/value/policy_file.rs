//! The file of a policy, as it was when the configuration was read, and the rules in the configuration itself.
//!
//! A changed file is another value, so that a reload notices. Owns reading the file. Must not know what a rule says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Value;

use super::bounded_file::read_text;

/// The longest file that is read, in bytes: some hundred thousand waivers.
const LONGEST: u64 = 32 << 20;

/// The path of a file with rules and waivers, and its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyFile {
    path: PathBuf,
    /// Or why it cannot be used; the check of the configuration reports it.
    text: Result<Arc<str>, String>,
}

impl PolicyFile {
    /// Reads the file at `path`.
    #[must_use]
    pub(crate) fn read(path: PathBuf) -> Self {
        let text = read_text(&path, LONGEST).map(Arc::from);
        Self { path, text }
    }

    /// The path of the file.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The text in the file.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(crate) fn text(&self) -> Result<&str, &str> {
        self.text.as_deref().map_err(String::as_str)
    }
}

/// A list of tables that the crate `policy` reads.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct PolicyTables(pub(crate) Vec<Value>);
