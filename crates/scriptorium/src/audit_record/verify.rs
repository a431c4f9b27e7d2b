//! Whether the lines of an audit record fit one another.
//!
//! | a line | fits |
//! |---|---|
//! | the first of all | with zeros, or if it says that it continues another file |
//! | whole | with the digest of the line before |
//! | `continued` | if it goes on after the line before, or after the last line of the file before |
//! | the first of a further file, with zeros | if a line of that file says that it continues after the last line of the file before |
//! | broken | if a seal follows that has the digest of all broken lines and of the last whole one before them |
//! | the last, without a newline | always: a crash cut it, or it is being written; the next start seals it |
//!
//! Owns these rules; a line is read at a time, and a longer one than any that is written does not fit. Must not know files.

use std::io::{self, BufRead, Read};

use super::chain::{BrokenLines, ChainedLine, ZEROS, digest};
use super::entry::AuditAction;

/// Longer than any line that is written.
const LONGEST_LINE: u64 = 64 << 10;

const CHANGED: &str =
    "its `previous` is not the digest of the line before: that line was changed, or lines are missing";

const ELSEWHERE: &str = "it goes on after a line that does not stand before it: lines were cut off, or they stand in an older file; \
    name that file first";

/// The first line that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub(crate) struct Misfit {
    /// From 1 on, in its file.
    pub(crate) line: u64,
    pub(crate) why: &'static str,
}

/// What was read so far.
#[derive(Debug, Default)]
pub(crate) struct ChainVerifier {
    /// The digest of the line before; none before the first.
    previous: Option<String>,
    /// The digest of the last whole line.
    whole: Option<String>,
    broken: BrokenLines,
    /// The first broken line that no seal followed yet.
    broken_at: u64,
    pub(crate) lines: u64,
    pub(crate) seals: u64,
    /// Lines that the record says it lost.
    pub(crate) lost: u64,
    /// Whether the first file continues one that was not read.
    pub(crate) continues: bool,
    /// Whether the last line has no newline.
    pub(crate) is_torn: bool,
    /// The last line of the file before, until a line says that this file, which began anew, continues after it.
    unclaimed: Option<String>,
}

impl ChainVerifier {
    /// Reads one file, which goes on where the file before ended.
    ///
    /// # Errors
    /// The inner one is the first line that does not fit.
    pub(crate) fn read(&mut self, mut file: impl BufRead) -> io::Result<Result<(), Misfit>> {
        let mut number = 0;
        loop {
            let mut line = Vec::new();
            (&mut file).take(LONGEST_LINE).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                break;
            }
            number += 1;
            let is_whole = line.ends_with(b"\n");
            if !is_whole && line.len() as u64 == LONGEST_LINE {
                return Ok(Err(Misfit {
                    line: number,
                    why: "it is longer than any line of an audit record",
                }));
            }
            if is_whole {
                line.pop();
            }
            self.is_torn = !is_whole;
            if let Err(misfit) = self.line(&line, number) {
                return Ok(Err(misfit));
            }
        }
        let unsealed = self.broken.count > 0 && !self.is_torn;
        Ok(if unsealed {
            Err(Misfit { line: self.broken_at, why: "it is no line of an audit record, and no seal follows" })
        } else if self.unclaimed.take().is_some() {
            Err(Misfit { line: 1, why: CHANGED })
        } else {
            Ok(())
        })
    }

    fn line(&mut self, line: &[u8], number: u64) -> Result<(), Misfit> {
        let own = digest(line);
        let Some(read) = ChainedLine::read(line) else {
            if self.broken.count == 0 {
                self.broken_at = number;
            }
            self.broken.add(line);
            self.previous = Some(own);
            return Ok(());
        };
        let misfit = |line, why| Err(Misfit { line, why });
        if self.broken.count > 0 {
            let seal = (
                read.lines == Some(self.broken.count),
                read.sha256.as_deref() == Some(&*self.broken.digest()),
                read.after.as_deref() == Some(self.whole.as_deref().unwrap_or(ZEROS)),
            );
            if !read.is(AuditAction::Sealed) || seal != (true, true, true) {
                return misfit(self.broken_at, "it is no line of an audit record, and no seal follows");
            }
            self.broken = BrokenLines::default();
            self.seals += 1;
        } else if read.is(AuditAction::Sealed) {
            return misfit(number, "it is a seal, and no broken line stands before it");
        }
        match &self.previous {
            // Somebody else began the file before the proxy knew that it was renamed.
            Some(previous) if number == 1 && self.lines > 0 && read.previous == ZEROS => {
                self.unclaimed = Some(previous.clone());
            }
            Some(previous) if *previous != read.previous => return misfit(number, CHANGED),
            None if read.previous != ZEROS && read.is(AuditAction::Continued) => self.continues = true,
            None if read.previous != ZEROS => {
                return misfit(number, "its `previous` is not zeros: lines before it are missing");
            }
            Some(_) | None => {}
        }
        if read.is(AuditAction::Continued)
            && read.after.as_ref().is_some_and(|after| *after != read.previous)
            && self.unclaimed.take() != read.after
        {
            return misfit(number, ELSEWHERE);
        }
        if read.is(AuditAction::Lost) {
            self.lost += read.lines.unwrap_or(0);
        }
        self.lines += 1;
        self.whole = Some(own.clone());
        self.previous = Some(own);
        Ok(())
    }
}
