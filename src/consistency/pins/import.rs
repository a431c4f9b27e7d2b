//! Pins brought from elsewhere: read line by line, then merged, never over what is in force.
//!
//! A line is believed only when nothing contradicts it: neither a pin in force that binds a registry it would bind, nor
//! another line. It decides what is damaged. Owns the form of a line and what a contradiction is. Must not know where
//! lines come from, nor who is told.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read};

use futures_util::{StreamExt, stream};
use serde::Deserialize;

use super::{ANYBODY, Pin, Pins};
use crate::clock::Timestamp;
use crate::domain::{Integrity, Purl, Registry, Version, VolumeName};
use crate::store::StoreError;

/// Longest line that is read, in bytes: the longest names and several times over.
pub const LONGEST: usize = 4096;

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
         where known, \"since\" (milliseconds since 1970), \"upstream\" and \"origin\"; {found}"
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
    #[serde(default)]
    origin: Option<String>,
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
    let Written { volume, version, integrity, since, upstream, origin } = written;
    if upstream.is_none() && origin.is_some() {
        return Err(malformed("found an \"origin\" without its \"upstream\"".to_owned()));
    }
    let (since, upstream) = (since.unwrap_or(now), upstream.unwrap_or_else(|| ANYBODY.to_owned()));
    Ok(Line { number, pin: Pin { volume, version, integrity, since, upstream, origin } })
}

/// The parser counts lines within the line, which would be read as a line of the file.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(&*text, |(reason, _)| reason);
    let visible = reason.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character });
    format!("column {}: {}", error.column(), visible.collect::<String>())
}

/// Lines to be merged, each release of each registry once.
#[derive(Debug, Default)]
pub struct Proposals(BTreeMap<(VolumeName, Version), BTreeMap<Whose, Proposal>>);

/// Whom a line would bind: the name and, where it is known, the URL of a registry.
type Whose = (String, Option<String>);

/// What the lines say of one release of one registry.
#[derive(Debug)]
struct Proposal {
    first: Line,
    further: Vec<(u64, Integrity)>,
}

/// Why a line did not come into force.
#[derive(Debug, thiserror::Error)]
pub enum Conflict {
    /// The pin in force says something else, and stays.
    #[error(
        "line {line}: {release} of {whose} is pinned to {pinned}, and this line says {said}; the pin stays"
    )]
    Pinned {
        /// The line's number.
        line: u64,
        /// The release.
        release: Purl,
        /// Whom the pin binds.
        whose: String,
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
        let whose = (line.pin.upstream.clone(), line.pin.origin.clone());
        match self.0.entry(release).or_default().get_mut(&whose) {
            Some(proposal) => proposal.further.push((line.number, line.pin.integrity)),
            None => {
                let release = (line.pin.volume.clone(), line.pin.version.clone());
                let proposal = Proposal { first: line, further: Vec::new() };
                self.0.entry(release).or_default().insert(whose, proposal);
            }
        }
    }

    /// Brings into force what nothing contradicts; every conflict is told. What is damaged is looked for at the
    /// registries that pins or lines name, and at the `configured` ones.
    ///
    /// # Errors
    /// When the store fails. What was merged until then stays; the same lines can be merged again.
    pub async fn merge(
        self,
        pins: &Pins,
        configured: impl IntoIterator<Item = Registry>,
        mut tell: impl FnMut(Conflict),
    ) -> Result<Merged, StoreError> {
        let mut registries = pins.registries().await?;
        registries.extend(configured);
        let named = self.0.values().flat_map(BTreeMap::keys);
        registries.extend(
            named.map(|(name, origin)| Registry::new(&**name, origin.as_deref().unwrap_or_default())),
        );
        let registries = &registries;
        let mut merged = Merged::default();
        let settling = stream::iter(self.0.into_values()).map(async |of_release| {
            let mut settled = Vec::new();
            for proposal in of_release.into_values() {
                settled.push(proposal.settle(pins, registries).await?);
            }
            Ok::<_, StoreError>(settled)
        });
        let mut settled = std::pin::pin!(settling.buffered(AT_ONCE));
        while let Some(settled) = settled.next().await {
            for (of_one, conflicts) in settled? {
                merged.imported += of_one.imported;
                merged.present += of_one.present;
                merged.conflicts += conflicts.len() as u64;
                conflicts.into_iter().for_each(&mut tell);
            }
        }
        Ok(merged)
    }
}

impl Proposal {
    async fn settle(
        self,
        pins: &Pins,
        registries: &BTreeSet<Registry>,
    ) -> Result<(Merged, Vec<Conflict>), StoreError> {
        let (pin, release) = (&self.first.pin, self.first.pin.release());
        let lines: Vec<_> =
            std::iter::once((self.first.number, pin.integrity)).chain(self.further.iter().copied()).collect();
        let decided = pins.of_release(&release, registries).await?;
        let in_force: Vec<_> =
            decided.pins.iter().map(|(_, held)| held).filter(|held| concern_alike(held, pin)).collect();
        if in_force.is_empty()
            && let Some(other) = lines.iter().find(|(_, also)| *also != pin.integrity).copied()
        {
            return Ok((Merged::default(), dispute(&release, &lines, other)));
        }
        let (mut conflicts, mut agreeing) = (Vec::new(), Vec::new());
        for (line, said) in lines {
            match in_force.iter().find(|held| held.integrity != said) {
                Some(held) => conflicts.push(Conflict::Pinned {
                    line,
                    release: release.clone(),
                    whose: held.whose(),
                    pinned: held.integrity,
                    said,
                }),
                None => agreeing.push(said),
            }
        }
        let mut merged = Merged { present: agreeing.len() as u64, ..Merged::default() };
        if let Some(integrity) = agreeing.first().copied() {
            let kept = in_force.iter().find(|held| held.upstream == ANYBODY || same_registry(held, pin));
            let kept = kept.map_or_else(|| Pin { integrity, ..pin.clone() }, |held| Pin::clone(held));
            if !in_force.contains(&&kept) {
                merged = Merged { imported: 1, present: merged.present - 1, ..merged };
            }
            pins.keep(&kept, &decided).await?;
        }
        Ok((merged, conflicts))
    }
}

fn same_registry(one: &Pin, other: &Pin) -> bool {
    one.upstream == other.upstream && one.origin == other.origin
}

/// Whether some registry is bound by both.
fn concern_alike(one: &Pin, other: &Pin) -> bool {
    let everybody = |pin: &Pin| pin.upstream == ANYBODY && pin.origin.is_none();
    let urls_meet = one.origin.is_none() || other.origin.is_none() || one.origin == other.origin;
    everybody(one) || everybody(other) || (one.upstream == other.upstream && urls_meet)
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
