//! The directory that a store's files lie in.
//!
//! Owns that it is there, also after a power cut. Must not know what lies in it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tracing::warn;

/// Makes the directory `root` where it is missing. Those below it are made durable with what comes to lie in them; of
/// it and those above it nothing would outlive a power cut without this.
pub(super) fn make(root: &Path, durable: bool) -> io::Result<()> {
    let missing: Vec<&Path> = root.ancestors().take_while(|directory| !directory.exists()).collect();
    fs::create_dir_all(root)?;
    for parent in missing.into_iter().filter_map(Path::parent).filter(|_| durable) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        // A process may add to a directory that it may not open; that is no reason not to start.
        if let Err(error) = File::open(parent).and_then(|directory| directory.sync_all()) {
            warn!(directory = %parent.display(), %error, "a power cut now may take the new storage with it");
        }
    }
    Ok(())
}
