//! A folder: may this user write there, how fast is its disk, and how much is free.
//!
//! Owns the measurement, which leaves nothing behind. Must not know what the folder is for.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::statvfs;

use super::Diagnosis;
use crate::rights;

/// What is written to measure the speed, in pieces.
const PIECE: usize = 1 << 20;
const PIECES: usize = 32;
/// How often a flush is measured.
const FLUSHES: usize = 8;
/// A slow disk is not measured for longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Below this a cold archive waits for the disk, not for the registry.
const SLOW: u64 = 20 << 20;
/// Above this every cold pull is felt: a pin is on the disk before its client is told.
const SLOW_FLUSH: Duration = Duration::from_millis(50);
/// Less than this is soon full.
const LITTLE: u64 = 1 << 30;

/// The findings on `folder`, which `key` names and which may take up to `most` bytes.
pub(super) fn examine(key: &'static str, folder: &Path, most: u64) -> Vec<Diagnosis> {
    let about = folder.display().to_string();
    if let Some(obstacle) = rights::obstacle(folder) {
        let found = format!("{} is no folder, nor a link to one", obstacle.display());
        return vec![Diagnosis::bad(key, about, found).advise("remove it, or name another folder")];
    }
    let Some(existing) = folder.ancestors().find(|above| above.is_dir()) else {
        return vec![
            Diagnosis::bad(key, about, "no folder on its path exists").advise("name another folder"),
        ];
    };
    if let Some(missing) = rights::missing(folder) {
        return vec![Diagnosis::bad(key, about, missing.to_string())];
    }
    match measure(existing) {
        Ok(speed) => vec![speed.finding(key, about.clone()), space(key, about, existing, most)],
        Err(error) => {
            let advice = "mount it writable, and see the log of the system";
            vec![Diagnosis::bad(key, about, format!("nothing can be written there: {error}")).advise(advice)]
        }
    }
}

struct DiskSpeed {
    bytes_per_second: u64,
    flush: Duration,
}

impl DiskSpeed {
    fn finding(&self, key: &'static str, about: String) -> Diagnosis {
        let found = format!(
            "writes {} MB/s, a flush takes {:.1} ms",
            self.bytes_per_second / 1_000_000,
            self.flush.as_secs_f64() * 1000.0
        );
        if self.bytes_per_second < SLOW || self.flush > SLOW_FLUSH {
            let advice = "use a faster disk; for the flushes alone, storage.durability = \"relaxed\"";
            Diagnosis::doubtful(key, about, found).advise(advice)
        } else {
            Diagnosis::good(key, about, found)
        }
    }
}

/// Writes to an unnamed file, which is gone with its handle.
fn measure(folder: &Path) -> io::Result<DiskSpeed> {
    let mut file = tempfile::tempfile_in(folder)?;
    let (piece, began) = (vec![0x5a; PIECE], Instant::now());
    let mut written = 0;
    while written < PIECES && began.elapsed() < PATIENCE {
        file.write_all(&piece)?;
        written += 1;
    }
    file.sync_data()?;
    let nanos = began.elapsed().as_nanos().max(1);
    let bytes = (written * PIECE) as u128;
    let bytes_per_second = u64::try_from(bytes * 1_000_000_000 / nanos).unwrap_or(u64::MAX);
    Ok(DiskSpeed { bytes_per_second, flush: flush(&mut file)? })
}

/// The median time of a small write with its flush.
fn flush(file: &mut File) -> io::Result<Duration> {
    let (began, mut taken) = (Instant::now(), Vec::with_capacity(FLUSHES));
    while taken.len() < FLUSHES && (taken.is_empty() || began.elapsed() < PATIENCE) {
        let one = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        taken.push(one.elapsed());
    }
    taken.sort_unstable();
    Ok(taken.get(taken.len() / 2).copied().unwrap_or_default())
}

fn space(key: &'static str, about: String, folder: &Path, most: u64) -> Diagnosis {
    let disk = match statvfs(folder) {
        Ok(disk) => disk,
        Err(error) => return Diagnosis::doubtful(key, about, format!("its free space is unknown: {error}")),
    };
    let (free, all) =
        (disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize));
    let found = format!("{} GB free of {} GB", free / 1_000_000_000, all / 1_000_000_000);
    if free < LITTLE {
        Diagnosis::bad(key, about, found).advise("free space, or use another disk")
    } else if most > all {
        let found = format!("{found}; storage.max_size is more than the whole disk");
        Diagnosis::doubtful(key, about, found)
            .advise("lower storage.max_size, so that old values are evicted first")
    } else {
        Diagnosis::good(key, about, found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::CheckOutcome;
    use super::*;

    #[test]
    fn a_folder_is_measured_and_left_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let missing = home.path().join("a/b");
        let found = examine("storage", &missing, 1);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|finding| finding.outcome != CheckOutcome::Bad), "{found:?}");
        assert_eq!(home.path().read_dir().unwrap().count(), 0);
        let [_, space] = &examine("storage", &missing, u64::MAX)[..] else { panic!("two findings") };
        assert_eq!(space.outcome, CheckOutcome::Doubtful);
    }

    #[test]
    fn what_is_no_folder_is_told() {
        let home = tempfile::tempdir().unwrap();
        let (file, link) = (home.path().join("file"), home.path().join("link"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(home.path().join("nothing"), &link).unwrap();
        for folder in [file.clone(), link.clone(), file.join("below"), link.join("below"), "/dev/null".into()]
        {
            let [found] = &examine("storage", &folder, 1)[..] else { panic!("one finding on {folder:?}") };
            assert_eq!(found.outcome, CheckOutcome::Bad, "{found:?}");
            assert!(found.found.contains("is no folder"), "{found:?}");
        }
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(home.path(), &link).unwrap();
        assert_eq!(examine("storage", &link, 1).len(), 2);
    }

    #[test]
    fn a_slow_disk_is_doubtful() {
        let speed =
            |bytes_per_second, millis| DiskSpeed { bytes_per_second, flush: Duration::from_millis(millis) };
        let outcome = |speed: DiskSpeed| speed.finding("storage", String::new()).outcome;
        assert_eq!(outcome(speed(SLOW, 50)), CheckOutcome::Good);
        assert_eq!(outcome(speed(SLOW - 1, 50)), CheckOutcome::Doubtful);
        assert_eq!(outcome(speed(SLOW, 51)), CheckOutcome::Doubtful);
    }
}
