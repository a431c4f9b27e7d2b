//! The test of one archive: the crate judges it, every reader unpacks it, and the trees are compared.
//!
//! Owns the definition of a difference. A reader that fails with an error shows no wrong tree; its message is recorded
//! separately.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::escape::Cell;
use crate::readers::{Readers, Voice};
use crate::tree::Tree;
use crate::verdict::{Verdict, judge};

/// A variant of a reader gets one of so many archives.
const TURNS: usize = 4;

/// The outcome of an archive.
pub(crate) enum Outcome {
    Refused(String),
    /// The readers unpacked it, or the archive that was packed from it.
    Tried(Trial),
    /// The same bytes were tested before.
    Known {
        anew: bool,
    },
}

/// The readers' results for an archive that would be sent.
pub(crate) struct Trial {
    pub(crate) anew: bool,
    pub(crate) sent: Vec<u8>,
    /// The kind of difference, and the readers that show it.
    pub(crate) differences: Vec<(String, String)>,
    /// The readers that were asked, by their index, and the message of each that failed.
    pub(crate) asked: Vec<(usize, Option<String>)>,
}

/// The readers, a folder for them, and the digests of tested archives.
pub(crate) struct Bench {
    pub(crate) readers: Readers,
    archive: PathBuf,
    cell: Cell,
    /// The SHA-256 of archives without a difference.
    seen: HashSet<[u8; 32]>,
    /// The number of tested archives, which selects the variants of readers.
    turn: Option<usize>,
    _place: TempDir,
}

impl Bench {
    /// With every reader of this machine.
    pub(crate) fn new() -> Self {
        // In memory if the machine has such a folder: thousands of small trees are written and removed.
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap();
        Self {
            readers: Readers::start(),
            archive: place.path().join("archive.tar.gz"),
            cell: Cell::new(place.path()),
            seen: HashSet::new(),
            turn: None,
            _place: place,
        }
    }

    /// Judges an archive. Tests the archive that would be sent, unless it was tested before.
    pub(crate) fn put(&mut self, archive: &[u8]) -> Outcome {
        let (anew, digest, sent) = match judge(archive) {
            Verdict::Refused(why) => return Outcome::Refused(why),
            Verdict::AsItCame(digest) => (false, digest, archive.to_vec()),
            Verdict::PackedAnew(digest, bytes) => (true, digest, bytes),
            Verdict::Broken(why) => {
                let differences = vec![("the crate".into(), why)];
                return Outcome::Tried(Trial {
                    anew: true,
                    sent: Vec::new(),
                    differences,
                    asked: Vec::new(),
                });
            }
        };
        let seen = Sha256::digest(&sent).into();
        if self.seen.contains(&seen) {
            return Outcome::Known { anew };
        }
        let trial = self.try_out(anew, &digest, sent);
        if trial.differences.is_empty() {
            self.seen.insert(seen);
        }
        Outcome::Tried(trial)
    }

    /// Selects for later archives: one variant of each kind of reader in turns, or all variants.
    pub(crate) fn take_turns(&mut self, turns: bool) {
        self.turn = turns.then_some(0);
    }

    /// The selected readers.
    fn asked(&mut self) -> Vec<usize> {
        let all = 0..self.readers.readers.len();
        let Some(turn) = &mut self.turn else { return all.collect() };
        *turn += 1;
        let asked = |at: &usize| !self.readers.readers[*at].variant || (at + *turn).is_multiple_of(TURNS);
        all.filter(asked).collect()
    }

    /// The readers' results for bytes whose tree should have `digest`.
    pub(crate) fn try_out(&mut self, anew: bool, digest: &str, sent: Vec<u8>) -> Trial {
        fs::write(&self.archive, &sent).unwrap();
        let mut trial = Trial { anew, sent, differences: Vec::new(), asked: Vec::new() };
        let mut first: Option<(String, Tree)> = None;
        for at in self.asked() {
            if !anew && self.readers.readers[at].voice == Voice::OnlyAnew {
                continue;
            }
            let folder = self.cell.emptied();
            let said = self.readers.unpack(at, &self.archive, folder);
            let reader = &self.readers.readers[at];
            let mut differ = |what: String| {
                let same = trial.differences.iter_mut().find(|(_, other)| *other == what);
                match same {
                    Some((readers, _)) => *readers += &format!(" · {}", reader.name),
                    None => trial.differences.push((reader.name.clone(), what)),
                }
            };
            if let Some(place) = self.cell.escaped() {
                differ(format!("wrote to {place}"));
            }
            trial.asked.push((at, said.as_ref().err().cloned()));
            if let Err(said) = said {
                match reader.voice {
                    Voice::MayRefuse | Voice::OnlyAnew if anew => {
                        differ(format!("fails over what was packed here: {said}"))
                    }
                    Voice::Takes => differ(format!("fails: {said}")),
                    Voice::MayRefuse | Voice::Choosy | Voice::OnlyAnew => {}
                }
                continue;
            }
            let tree = Tree::read(folder);
            let (name, same_folders) = match &first {
                Some((name, first)) => (name.as_str(), first.folders == tree.folders),
                None => ("", true),
            };
            if tree.digest() != digest || !tree.strange.is_empty() {
                differ(format!("sees another tree than {digest}:\n{}", tree.listing()));
            } else if !same_folders {
                differ(format!("sees other folders than {name}:\n{}", tree.listing()));
            } else if first.is_none() {
                first = Some((reader.name.clone(), tree));
            }
        }
        trial
    }

    /// One reader's result for some bytes.
    pub(crate) fn view(&mut self, at: usize, sent: &[u8]) -> Result<Tree, String> {
        fs::write(&self.archive, sent).unwrap();
        let folder = self.cell.emptied();
        self.readers.unpack(at, &self.archive, folder)?;
        Ok(Tree::read(folder))
    }
}

impl Trial {
    /// Its differences, for people.
    pub(crate) fn told(&self) -> String {
        self.differences.iter().map(|(readers, what)| format!("    {readers}: {what}\n")).collect()
    }
}
