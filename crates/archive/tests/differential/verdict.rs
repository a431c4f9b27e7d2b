//! The crate's verdict on an archive: the only call of the code under test.

use std::io;

use archive::{ArchiveError, ArchiveLimits, Examined, Framing, Scratch, examine, pack};

/// The archive that would be sent.
pub(crate) enum Verdict {
    /// The same bytes; the digest of their tree.
    AsItCame(String),
    /// Other bytes, and the digest of their tree.
    PackedAnew(String, Vec<u8>),
    /// None, for this reason.
    Refused(String),
    /// The archive was accepted, but packing it anew failed.
    Broken(String),
}

const LIMITS: ArchiveLimits = ArchiveLimits { max_unpacked: 4 << 20, max_entries: 1000 };

/// Judges as for a download.
pub(crate) fn judge(archive: &[u8]) -> Verdict {
    let Examined { integrity, framing, .. } = match examined(archive) {
        Ok(examined) => examined,
        Err(refused) => return Verdict::Refused(refused.to_string()),
    };
    let digest = integrity.digest().hex();
    match framing {
        Framing::Canonical => Verdict::AsItCame(digest),
        Framing::Readable(_) => {
            let packed = pack(|| Ok(archive), scratch, &LIMITS, Vec::new());
            let again = packed.and_then(|(sent, packed)| Ok((examined(&sent)?, sent, packed)));
            match again {
                Err(error) => {
                    Verdict::Broken(format!("was accepted, and what was packed of it was not: {error}"))
                }
                Ok((again, ..)) if again.framing != Framing::Canonical => {
                    Verdict::Broken(format!("was packed anew as {:?}", again.framing))
                }
                Ok((again, _, packed)) if packed != integrity || again.integrity != integrity => {
                    Verdict::Broken("was packed anew as another tree".into())
                }
                Ok((_, sent, _)) => Verdict::PackedAnew(digest, sent),
            }
        }
    }
}

fn examined(archive: &[u8]) -> Result<Examined, ArchiveError> {
    examine(|| Ok(archive), scratch, &LIMITS)
}

fn scratch() -> io::Result<Box<dyn Scratch>> {
    Ok(Box::new(tempfile::tempfile()?))
}
