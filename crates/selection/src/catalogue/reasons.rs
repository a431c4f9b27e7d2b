//! Why nothing of a volume matches, in words for an operator.
//!
//! Owns these words. Must not know whether a root or a dependency asked.

use archive::LifecycleState;

use super::{Catalogue, KnownRelease, VolumeId};
use crate::range::VersionRange;

/// How many versions a reason lists.
const LISTED: usize = 5;

impl Catalogue {
    /// Why no release of an answered volume matches `range`, or why none can be taken where there is no range.
    pub(crate) fn why_nothing(&self, volume: VolumeId, range: Option<&VersionRange>) -> String {
        self.noted(volume, self.nothing_among_rows(volume, range))
    }

    /// `text`, with why further releases are not among the rows.
    pub(crate) fn noted(&self, volume: VolumeId, text: String) -> String {
        match self.notes.get(&volume) {
            Some(note) => format!("{text}; {note}"),
            None => text,
        }
    }

    fn nothing_among_rows(&self, volume: VolumeId, range: Option<&VersionRange>) -> String {
        let name = self.name(volume);
        if let Some(why) = self.missing(volume) {
            return why.to_owned();
        }
        let releases = self.releases(volume);
        if releases.is_empty() {
            return format!("the index of `{name}` lists no releases");
        }
        let wanted = range.map_or_else(|| format!("`{name}`"), |range| format!("`{name}` {range}"));
        let matching =
            || releases.iter().rev().filter(|known| range.is_none_or(|range| range.contains(&known.version)));
        let available = listed(matching().filter(|known| known.state == LifecycleState::Available), false);
        if !available.is_empty() {
            return format!("only prereleases match {wanted}, and they are left out: {available}");
        }
        let withheld = listed(matching(), true);
        if !withheld.is_empty() {
            return format!("no available release matches {wanted}: {withheld}");
        }
        match self.candidates(volume).next_back() {
            Some(highest) => {
                format!("no release matches {wanted}; the highest available one is {}", self.version(highest))
            }
            None => format!("no release matches {wanted}, and none of the volume is available"),
        }
    }
}

fn listed<'a>(mut releases: impl Iterator<Item = &'a KnownRelease>, with_state: bool) -> String {
    let words = |known: &KnownRelease| {
        if with_state { format!("{} is {}", known.version, known.state) } else { known.version.to_string() }
    };
    let mut text = releases.by_ref().take(LISTED).map(words).collect::<Vec<_>>().join(", ");
    let more = releases.count();
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
