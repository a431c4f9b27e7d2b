//! Pins brought from elsewhere: read line by line, then merged, never over what is in force.
//!
//! A line is believed only when nothing contradicts it: neither the pin in force nor another line. Owns the form
//! of a line and what a contradiction is. Must not know where lines come from, nor who is told.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use futures_util::{StreamExt, stream};
use serde::Deserialize;

use super::{Pin, Pins};
use crate::clock::Timestamp;
use crate::domain::{Integrity, Purl, Version, VolumeName};
use crate::store::StoreError;

/// Longest line that is read, in bytes: the longest names and several times over.
pub const LONGEST: usize = 4096;

/// Whom a line names as its source that names none.
const SOURCE: &str = "import";

/// Releases merged at once.
const AT_ONCE: usize = 8;

/// Why a line is not taken.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// No more lines can be read.
    #[error("cannot read on: {0}")]
    Unreadable(#[from] io::Error),
    /// A line that is no pin.
    #[error(
        "line {line}: expected {{\"volume\":\"@acme/x\",\"version\":\"1.0.0\",\"integrity\":\"sha256:…\"}} and, \
         where known, \"since\" (milliseconds since 1970) and \"upstream\"; {found}"
    )]
    Malformed {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        found: String,
    },
}

/// A line that is a pin, not yet in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// What it says.
    pub pin: Pin,
}

/// A line as written: what a team writes by hand may leave out what only a proxy knows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    volume: VolumeName,
    version: Version,
    integrity: Integrity,
    #[serde(default)]
    since: Option<Timestamp>,
    #[serde(default)]
    upstream: Option<String>,
}

/// The lines of `input`, empty ones left out. A pin without a date is of `now`. Ends when `input` cannot be read.
pub fn lines(mut input: impl BufRead, now: Timestamp) -> impl Iterator<Item = Result<Line, LineError>> {
    let (mut number, mut ended) = (0, false);
    std::iter::from_fn(move || {
        while !ended {
            number += 1;
            match next_line(&mut input) {
                Ok(None) => ended = true,
                Ok(Some(text)) if text.trim_ascii().is_empty() => {}
                Ok(Some(text)) => return Some(parse(number, &text, now)),
                Err(error) => {
                    ended = true;
                    return Some(Err(error.into()));
                }
            }
        }
        None
    })
}

/// The next line without its end, cut one byte past [`LONGEST`]; the rest of a longer one is skipped.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if input.by_ref().take(LONGEST as u64 + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_none() && line.len() > LONGEST {
        input.skip_until(b'\n')?;
    }
    Ok(Some(line))
}

fn parse(number: u64, text: &[u8], now: Timestamp) -> Result<Line, LineError> {
    let malformed = |found| LineError::Malformed { line: number, found };
    if text.len() > LONGEST {
        return Err(malformed(format!("found more than {LONGEST} bytes")));
    }
    let written: Written = serde_json::from_slice(text).map_err(|error| malformed(told(&error)))?;
    let Written { volume, version, integrity, since, upstream } = written;
    let (since, upstream) = (since.unwrap_or(now), upstream.unwrap_or_else(|| SOURCE.to_owned()));
    Ok(Line { number, pin: Pin { volume, version, integrity, since, upstream } })
}

/// The parser counts lines within the line, which would be read as a line of the file.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(&*text, |(reason, _)| reason);
    let visible = reason.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character });
    format!("column {}: {}", error.column(), visible.collect::<String>())
}

/// Lines to be merged, each release once.
#[derive(Debug, Default)]
pub struct Proposals(BTreeMap<(VolumeName, Version), Proposal>);

/// What the lines say of one release.
#[derive(Debug)]
struct Proposal {
    first: Line,
    further: Vec<(u64, Integrity)>,
}

/// Why a line did not come into force.
#[derive(Debug, thiserror::Error)]
pub enum Conflict {
    /// The pin in force says something else, and stays.
    #[error("line {line}: {release} is pinned to {pinned}, and this line says {said}; the pin stays")]
    Pinned {
        /// The line's number.
        line: u64,
        /// The release.
        release: Purl,
        /// The integrity in force.
        pinned: Integrity,
        /// The line's integrity.
        said: Integrity,
    },
    /// Another line says something else; which is right is for a person to say.
    #[error("line {line}: {release} is {said}, and line {other} says {also}; neither is imported")]
    Disputed {
        /// The line's number.
        line: u64,
        /// The release.
        release: Purl,
        /// The line's integrity.
        said: Integrity,
        /// The other line's number.
        other: u64,
        /// The other line's integrity.
        also: Integrity,
    },
    /// The pin in force cannot be read, so that nothing can be held against it.
    #[error("line {line}: {release}: {what}")]
    Damaged {
        /// The line's number.
        line: u64,
        /// The release.
        release: Purl,
        /// What is wrong with the pin.
        what: String,
    },
}

/// What became of the lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Lines that are in force now.
    pub imported: u64,
    /// Lines that were in force already.
    pub present: u64,
    /// Lines that contradict, or cannot be compared.
    pub conflicts: u64,
}

impl Proposals {
    /// Adds a line.
    pub fn add(&mut self, line: Line) {
        let release = (line.pin.volume.clone(), line.pin.version.clone());
        match self.0.get_mut(&release) {
            Some(proposal) => proposal.further.push((line.number, line.pin.integrity)),
            None => drop(self.0.insert(release, Proposal { first: line, further: Vec::new() })),
        }
    }

    /// Brings into force what nothing contradicts; every conflict is told.
    ///
    /// # Errors
    /// When the store fails. What was merged until then stays; the same lines can be merged again.
    pub async fn merge(self, pins: &Pins, mut tell: impl FnMut(Conflict)) -> Result<Merged, StoreError> {
        let mut merged = Merged::default();
        let settling = stream::iter(self.0.into_values()).map(|proposal| proposal.settle(pins));
        let mut settled = settling.buffered(AT_ONCE);
        while let Some(settled) = settled.next().await {
            let (of_one, conflicts) = settled?;
            merged.imported += of_one.imported;
            merged.present += of_one.present;
            merged.conflicts += conflicts.len() as u64;
            conflicts.into_iter().for_each(&mut tell);
        }
        Ok(merged)
    }
}

impl Proposal {
    async fn settle(self, pins: &Pins) -> Result<(Merged, Vec<Conflict>), StoreError> {
        let release = self.first.pin.release();
        let said = self.first.pin.integrity;
        let lines: Vec<_> = std::iter::once((self.first.number, said)).chain(self.further).collect();
        let disputed = lines.iter().find(|(_, also)| *also != said).copied();
        let in_force = match pins.of(&release).await {
            Ok(Some(pin)) => pin,
            Ok(None) => match disputed {
                Some(other) => return Ok((Merged::default(), dispute(&release, &lines, other))),
                None => {
                    let pinned = pins.admit(self.first.pin).await?;
                    if pinned.integrity == said {
                        let present = lines.len() as u64 - 1;
                        return Ok((Merged { imported: 1, present, conflicts: 0 }, Vec::new()));
                    }
                    pinned
                }
            },
            Err(StoreError::Corrupt(damage)) => {
                let damaged = |(line, _)| Conflict::Damaged {
                    line,
                    release: release.clone(),
                    what: damage.to_string(),
                };
                return Ok((Merged::default(), lines.into_iter().map(damaged).collect()));
            }
            Err(error) => return Err(error),
        };
        let pinned = in_force.integrity;
        let (same, other): (Vec<_>, Vec<_>) = lines.into_iter().partition(|(_, said)| *said == pinned);
        let refused = |(line, said)| Conflict::Pinned { line, release: release.clone(), pinned, said };
        let merged = Merged { present: same.len() as u64, ..Merged::default() };
        Ok((merged, other.into_iter().map(refused).collect()))
    }
}

/// Each line with one that says something else: the first that does, or the first of all.
fn dispute(release: &Purl, lines: &[(u64, Integrity)], different: (u64, Integrity)) -> Vec<Conflict> {
    let conflict = |&(line, said): &(u64, Integrity)| {
        let (other, also) = if said == different.1 { lines[0] } else { different };
        Conflict::Disputed { line, release: release.clone(), said, other, also }
    };
    lines.iter().map(conflict).collect()
}

#[cfg(test)]
mod tests;
