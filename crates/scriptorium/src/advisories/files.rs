//! Advisories in files, in OSV format.
//!
//! Owns which files of a folder are read, their bounds, and that what cannot be read any more counts as it was read last: a share
//! that is away denies no less. Must not know what an advisory says. Blocks.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::faults::FoundFaults;
use crate::clock::Timestamp;
use crate::policies::BookSource;
use policy::{Advisory, UnreadAdvisory, read_osv};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 64 << 20;
/// Files that are read, of all folders.
const MOST: usize = 200_000;
/// Levels of folders below a folder.
const DEEPEST: usize = 8;

/// What was read of files, by their paths.
#[derive(Debug, Default)]
pub(super) struct ReadFiles(BTreeMap<PathBuf, FileContent>);

impl ReadFiles {
    /// The advisories in the `.json` files below `folders`. They are confirmed as of the file that changed last. A file that cannot
    /// be read counts as it was read last, or is left out, with a warning; and then they are not confirmed: it may be about anything.
    /// So may a folder. Of a file that can be read, an advisory that cannot goes with the others as such.
    pub(super) fn read(&mut self, folders: &[PathBuf], now: Timestamp) -> BookSource {
        let (mut earlier, mut faults) = (std::mem::take(&mut self.0), FoundFaults::default());
        let mut files = Vec::new();
        for folder in folders {
            if let Err(error) = gather(folder, DEEPEST, &mut files) {
                faults.whole(folder.display(), error);
                let (kept, others): (BTreeMap<_, _>, _) =
                    earlier.into_iter().partition(|(path, _)| path.starts_with(folder));
                self.0.extend(kept.into_iter().take(MOST));
                earlier = others;
            }
        }
        for path in files {
            let content = advisories(&path).map_err(|why| faults.whole(path.display(), why)).ok();
            let content = content.or_else(|| earlier.remove(&path));
            self.0.extend(content.map(|content| (path, content)));
        }
        let is_whole = faults.count() == 0;
        let mut source = BookSource::default();
        for (path, FileContent { advisories, unread, changed }) in &self.0 {
            source.advisories.extend(advisories.iter().cloned());
            source.confirmed = source.confirmed.max(Some(*changed.min(&now))).filter(|_| is_whole);
            faults.single(path.display(), unread.iter().map(|unread| &**unread));
            source.unread.extend(unread.iter().cloned());
        }
        BookSource { fault_count: faults.count(), faults: faults.told(), ..source }
    }
}

fn gather(folder: &Path, deep: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            let deeper =
                deep.checked_sub(1).ok_or_else(|| io::Error::other("it has more levels than are read"))?;
            gather(&path, deeper, files)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            if files.len() >= MOST {
                return Err(io::Error::other("there are more files than are read"));
            }
            files.push(path);
        }
    }
    Ok(())
}

/// What a file says.
#[derive(Debug)]
struct FileContent {
    advisories: Vec<Arc<Advisory>>,
    unread: Vec<Arc<UnreadAdvisory>>,
    changed: Timestamp,
}

fn advisories(path: &Path) -> Result<FileContent, String> {
    let about = fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() || about.len() > LONGEST {
        return Err(format!("expected a file of at most {LONGEST} bytes"));
    }
    let body = fs::read(path).map_err(|error| error.to_string())?;
    let (advisories, unread) = read_osv(&body).map_err(|fault| fault.to_string())?;
    let changed = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let changed = Timestamp(u64::try_from(changed.as_millis()).unwrap_or(u64::MAX));
    let advisories = advisories.into_iter().map(Arc::new).collect();
    Ok(FileContent { advisories, unread: unread.into_iter().map(Arc::new).collect(), changed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folders: &[PathBuf], now: Timestamp) -> BookSource {
        ReadFiles::default().read(folders, now)
    }

    #[test]
    fn what_cannot_be_read_any_more_counts_as_it_was_read_last() {
        let root = tempfile::tempdir().unwrap();
        let (share, away) = (root.path().join("share"), root.path().join("away"));
        let osv = |id: &str| {
            format!(
                r#"{{"id":"{id}","modified":"2026-01-01T00:00:00Z","affected":[{{"package":{{"purl":"pkg:volume/lamp"}},
                "ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}}]}}]}}]}}"#
            )
        };
        fs::create_dir(&share).unwrap();
        for id in ["OSV-1", "OSV-2", "OSV-3"] {
            fs::write(share.join(format!("{id}.json")), osv(id)).unwrap();
        }
        let (mut files, now) = (ReadFiles::default(), Timestamp(u64::MAX));
        let mut told = || {
            let source = files.read(std::slice::from_ref(&share), now);
            let ids: Vec<_> = source.advisories.iter().map(|advisory| advisory.id().to_owned()).collect();
            (ids, source.confirmed.is_some(), source.fault_count)
        };
        let all: Vec<_> = ["OSV-1", "OSV-2", "OSV-3"].map(str::to_owned).into();
        assert_eq!(told(), (all.clone(), true, 0));
        fs::rename(&share, &away).unwrap();
        let (ids, is_confirmed, faults) = told();
        assert_eq!((ids, is_confirmed), (all.clone(), false), "the share is away");
        assert!(faults > 0);
        fs::rename(&away, &share).unwrap();
        fs::write(share.join("OSV-2.json"), "{").unwrap();
        assert_eq!(told(), (all, false, 1), "a file is cut off");
        fs::remove_file(share.join("OSV-2.json")).unwrap();
        assert_eq!(told(), (["OSV-1", "OSV-3"].map(str::to_owned).into(), true, 0), "it was removed");
    }

    #[test]
    fn files_are_read_and_one_that_cannot_be_costs_the_others_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let osv = r#"{"id":"OSV-1","modified":"2026-01-01T00:00:00Z","affected":[{"package":{"purl":"pkg:volume/lamp"},
            "ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}"#;
        fs::create_dir(folder.path().join("deep")).unwrap();
        fs::write(folder.path().join("deep/one.json"), osv).unwrap();
        fs::write(folder.path().join("bad.json"), "{").unwrap();
        fs::write(folder.path().join("notes.txt"), "not an advisory").unwrap();
        let now = Timestamp(u64::MAX);
        let source = read(&[folder.path().to_owned(), folder.path().join("missing")], now);
        assert_eq!(
            source.advisories.iter().map(|advisory| advisory.id().to_owned()).collect::<Vec<_>>(),
            ["OSV-1"]
        );
        assert_eq!(source.confirmed, None, "a file that cannot be read may be about anything");
        fs::remove_file(folder.path().join("bad.json")).unwrap();
        let whole = [folder.path().to_owned()];
        assert!(read(&whole, now).confirmed.is_some());
        let with_missing = [folder.path().to_owned(), folder.path().join("missing")];
        let source = read(&with_missing, now);
        assert_eq!((source.advisories.len(), source.confirmed), (1, None), "so may a folder");
        let levels = "deep/".repeat(DEEPEST + 1);
        fs::create_dir_all(folder.path().join(&levels)).unwrap();
        assert_eq!(read(&whole, now).confirmed, None, "and one that is too deep");
        fs::remove_dir_all(folder.path().join("deep/deep")).unwrap();
        assert_eq!(read(&whole, Timestamp(7)).confirmed, Some(Timestamp(7)), "not later than now");
        assert_eq!(read(&[], now).confirmed, None, "no file confirms nothing");
    }
}
