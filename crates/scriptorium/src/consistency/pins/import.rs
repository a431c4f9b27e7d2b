//! Importing pins: lines are read one by one and merged; no pin in force is overwritten.
//!
//! A line is taken only if nothing contradicts it: neither a pin in force that binds one of the same registries, nor another
//! line. It replaces damaged pins. Owns the format of a line and what a contradiction is. Must not know where lines come
//! from, nor how conflicts are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read};

use futures_util::{StreamExt, stream};
use serde::Deserialize;

use super::{ANYBODY, Pin, PinnedCommit, Pins};
use crate::clock::Timestamp;
use crate::domain::{Integrity, Purl, Registry, Version, VolumeName};
use crate::store::StoreError;

/// The longest line that is read, in bytes; several times what the longest names need.
pub(crate) const LONGEST: usize = 4096;

/// Releases merged at once.
const AT_ONCE: usize = 8;

/// Why a line is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// The input cannot be read.
    #[error("cannot read on: {0}")]
    Unreadable(#[from] io::Error),
    /// The line is not a pin.
    #[error(
        "line {line}: expected {{\"volume\":\"@acme/x\",\"version\":\"1.0.0\",\"integrity\":\"sha256:…\"}} and, \
         where known, \"since\" (milliseconds since 1970), \"upstream\" and \"origin\"; {found}"
    )]
    Malformed {
        /// Its number, from 1.
        line: u64,
        /// The fault.
        found: String,
    },
}

/// A parsed line that is not in force yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// The content of the line.
    pub(crate) pin: Pin,
}

/// A line as written. Lines that are written by hand may omit what only a proxy knows.
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
    #[serde(default)]
    commit: Option<Box<PinnedCommit>>,
}

/// The lines of `input` without empty ones. A pin without a date gets `now`. Ends when `input` cannot be read.
pub(crate) fn lines(
    mut input: impl BufRead,
    now: Timestamp,
) -> impl Iterator<Item = Result<Line, LineError>> {
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
    let Written { volume, version, integrity, since, upstream, origin, commit } = written;
    if upstream.is_none() && origin.is_some() {
        return Err(malformed("found an \"origin\" without its \"upstream\"".to_owned()));
    }
    let (since, upstream) = (since.unwrap_or(now), upstream.unwrap_or_else(|| ANYBODY.to_owned()));
    Ok(Line { number, pin: Pin { volume, version, integrity, since, upstream, origin, commit } })
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
pub(crate) struct Proposals(BTreeMap<(VolumeName, Version), BTreeMap<Whose, Proposal>>);

/// The registry that a line would bind: its name and, if known, its URL.
type Whose = (String, Option<String>);

/// The lines about one release of one registry.
#[derive(Debug)]
struct Proposal {
    first: Line,
    further: Vec<(u64, Integrity)>,
}

/// Why a line did not come into force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Conflict {
    /// The pin in force has another integrity, and stays.
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
    /// Another line has another integrity; an operator has to decide.
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

/// The outcome of the lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Merged {
    /// Lines that are in force now.
    pub(crate) imported: u64,
    /// Lines that were in force already.
    pub(crate) present: u64,
    /// Lines that contradict, or cannot be compared.
    pub(crate) conflicts: u64,
}

impl Proposals {
    /// Adds a line.
    pub(crate) fn add(&mut self, line: Line) {
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

    /// Stores the lines that nothing contradicts and reports every conflict. Damaged pins are looked for at the registries
    /// that pins or lines name, and at the `configured` ones.
    ///
    /// # Errors
    /// When the store fails. Lines merged before stay; the same lines can be merged again.
    pub(crate) async fn merge(
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
            // Of two dates the earlier counts: since then the release is known.
            let earlier = |held: &&Pin| Pin { since: held.since.min(pin.since), ..Pin::clone(held) };
            let kept = kept.map_or_else(|| Pin { integrity, ..pin.clone() }, earlier);
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

/// Whether both bind a common registry.
fn concern_alike(one: &Pin, other: &Pin) -> bool {
    let everybody = |pin: &Pin| pin.upstream == ANYBODY && pin.origin.is_none();
    let urls_meet = one.origin.is_none() || other.origin.is_none() || one.origin == other.origin;
    everybody(one) || everybody(other) || (one.upstream == other.upstream && urls_meet)
}

/// Each line with another line that contradicts it.
fn dispute(release: &Purl, lines: &[(u64, Integrity)], different: (u64, Integrity)) -> Vec<Conflict> {
    let conflict = |&(line, said): &(u64, Integrity)| {
        let (other, also) = if said == different.1 { lines[0] } else { different };
        Conflict::Disputed { line, release: release.clone(), said, other, also }
    };
    lines.iter().map(conflict).collect()
}

#[cfg(test)]
mod tests;
