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
    text: Arc<str>,
}

impl PolicyFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub(crate) fn read(path: PathBuf) -> Result<Self, String> {
        let text = read_text(&path, LONGEST)?.into();
        Ok(Self { path, text })
    }

    /// The path of the file.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The text in the file.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// A list of tables that the crate `policy` reads.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct PolicyTables(pub(crate) Vec<Value>);
