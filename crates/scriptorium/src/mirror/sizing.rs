//! Whether the storage can hold a set, said before anything is fetched or evicted for it.
//!
//! No document says how long an archive is. What is certain: the lengths that are known, and a page of the disk for every
//! other file. Where that decides nothing, registries are asked for lengths, of a few archives drawn at random first. The rest
//! is asked for if those leave a doubt, so a large set in a large storage costs a few questions and not one for each archive.
//!
//! ```text
//!  certainly more than may be taken ────────────────> too large
//!  not more, were every unknown file the longest ───> fits
//!  the draw says: fits twice into what is free ─────> likely fits; then nothing may be evicted for it
//!  else ask for more lengths; all asked ────────────> fits, as far as anybody says
//! ```
//! Owns that table ([`Burden::weigh`]), and which lengths are asked for. Must not fetch a file.

use futures_util::StreamExt;
use futures_util::stream;

use super::desk::{MirrorDesk, MirrorRun};
use super::outlook::Outlook;
use super::record::{MirrorRecord, MirroredRelease};
use crate::domain::{DocumentKey, FileKey};
use crate::store::{Vacancy, pages};

/// Archives whose lengths are asked for before the rest is estimated by them.
const DRAWN: u64 = 64;
/// The estimate must fit so many times.
const MARGIN: u64 = 2;
/// Lengths that are asked for at once.
const AT_ONCE: usize = 6;

/// Whether a set fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// Nothing speaks against it.
    Fits,
    /// By an estimate, into what is free. If that is not enough, everything has to be asked for before anything is evicted.
    Likely,
    TooLarge {
        /// What it takes at least.
        takes: u64,
        /// What it may take.
        most: u64,
    },
}

/// What a set takes of the storage, in bytes of whole pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Burden {
    /// Documents, and files that are here.
    here: u64,
    /// Files that are not here, each at its known length or else a page, and the pin of each.
    to_come: u64,
    /// How many of those have no known length.
    unknown: u64,
    /// Those whose length was asked for by chance, and their bytes.
    drawn: u64,
    drawn_bytes: u64,
}

impl Burden {
    fn of(outlook: &Outlook) -> Self {
        let mut burden = Self { here: taken_by(&outlook.record), ..Self::default() };
        for (_, release) in outlook.to_fetch() {
            let length = outlook.length(release);
            burden.unknown += u64::from(length.is_none());
            burden.to_come += pages(length.unwrap_or(1)) + pages(1);
        }
        burden
    }

    /// The table of this file's header, where no file is longer than `longest`. `None`: more lengths have to be known.
    fn weigh(&self, vacancy: Vacancy, longest: u64) -> Option<Fit> {
        let Self { here, to_come, unknown, drawn, drawn_bytes } = *self;
        let takes = here.saturating_add(to_come);
        if takes > vacancy.most {
            return Some(Fit::TooLarge { takes, most: vacancy.most });
        }
        if takes.saturating_add(unknown.saturating_mul(longest)) <= vacancy.most {
            return Some(Fit::Fits);
        }
        let each = drawn_bytes.checked_div(drawn).filter(|_| drawn >= DRAWN)?;
        let expected = each.saturating_mul(unknown).saturating_mul(MARGIN).saturating_add(to_come);
        (expected <= vacancy.free).then_some(Fit::Likely)
    }
}

/// Whether the storage can hold what is wanted. Asks for as many lengths as that needs, or for all of them if `wholly`.
pub(super) async fn fit(run: &MirrorRun<'_>, outlook: &mut Outlook, wholly: bool) -> Fit {
    let keys = outlook.record.selected_keys();
    let longest = run.desk.files.bounds().max_archive;
    let mut open: Vec<usize> = outlook.to_fetch().map(|(at, _)| at).collect();
    open.retain(|at| outlook.length(&outlook.record.selected[*at]).is_none());
    fastrand::shuffle(&mut open);
    let (mut drawn, mut drawn_bytes) = (0, 0);
    loop {
        let Some(vacancy) = run.desk.store.vacancy(&keys) else { return Fit::Fits };
        let burden = Burden { drawn, drawn_bytes, ..Burden::of(outlook) };
        match burden.weigh(vacancy, longest) {
            Some(Fit::Likely) if wholly => {}
            Some(fit) => return fit,
            None => {}
        }
        if open.is_empty() {
            return Fit::Fits;
        }
        let few = usize::try_from(DRAWN).unwrap_or(usize::MAX);
        let now = if drawn < DRAWN && !wholly { few.min(open.len()) } else { open.len() };
        for length in ask(run, outlook, open.split_off(open.len() - now)).await {
            drawn += 1;
            drawn_bytes += pages(length.unwrap_or(1));
        }
    }
}

/// The same, as far as it is known without asking anybody.
pub(super) fn fit_by_knowledge(desk: &MirrorDesk, outlook: &Outlook) -> Fit {
    let keys = outlook.record.selected_keys();
    let Some(vacancy) = desk.store.vacancy(&keys) else { return Fit::Fits };
    Burden::of(outlook).weigh(vacancy, desk.files.bounds().max_archive).unwrap_or(Fit::Likely)
}

/// Asks for the lengths of the archives at these places, and notes them.
async fn ask(run: &MirrorRun<'_>, outlook: &mut Outlook, places: Vec<usize>) -> Vec<Option<u64>> {
    let releases = &outlook.record.selected;
    let asked = places.into_iter().map(|at| {
        let release = &releases[at];
        async move { (release.integrity, length_of(run, release).await) }
    });
    let answers: Vec<_> = stream::iter(asked).buffer_unordered(run.at_once(AT_ONCE)).collect().await;
    let note = |(integrity, length)| {
        outlook.lengths.extend(Option::zip(integrity, length));
        length
    };
    answers.into_iter().map(note).collect()
}

/// The length of one archive; none where its registry does not say it. Whatever is wrong with the release shows when it is
/// brought in.
async fn length_of(run: &MirrorRun<'_>, release: &MirroredRelease) -> Option<u64> {
    let (name, version) = (release.volume.clone(), release.version.clone());
    let exact = DocumentKey::Release(name.clone(), version.clone());
    let _exact = run.borrow(exact.clone());
    run.document(&exact).await.ok()?;
    run.length(&FileKey::Archive(name, version)).await.ok().flatten()
}

/// The bytes of the files of `record` that are here, and a page for each index and each exact metadata.
pub(super) fn taken_by(record: &MirrorRecord) -> u64 {
    let volumes = record.selected.chunk_by(|one, other| one.volume == other.volume).count();
    let documents = (volumes + record.selected.len()) as u64;
    record.file_lengths().map(pages).sum::<u64>() + documents * pages(1)
}

impl Fit {
    /// Why the set is not brought in, if it is too large.
    pub(super) fn refusal(self) -> Option<String> {
        let Self::TooLarge { takes, most } = self else { return None };
        Some(too_large(takes, most))
    }
}

/// Why a set is too large that takes at least `takes` bytes and may take `most`.
pub(super) fn too_large(takes: u64, most: u64) -> String {
    format!(
        "this mirror takes {takes} bytes or more, and storage.max_size leaves {most} bytes for it: raise it, or take fewer \
         roots"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const VACANCY: Vacancy = Vacancy { most: 1000, free: 500 };

    fn weigh(burden: Burden) -> Option<Fit> {
        burden.weigh(VACANCY, 100)
    }

    #[test]
    fn what_is_certain_decides_alone() {
        let burden = Burden { here: 600, to_come: 401, ..Burden::default() };
        assert_eq!(weigh(burden), Some(Fit::TooLarge { takes: 1001, most: 1000 }));
        let burden = Burden { here: 600, to_come: 400, ..Burden::default() };
        assert_eq!(weigh(burden), Some(Fit::Fits));
        let burden = Burden { here: 600, to_come: 200, unknown: 2, ..Burden::default() };
        assert_eq!(weigh(burden), Some(Fit::Fits), "were both the longest");
        assert_eq!(weigh(Burden { unknown: 3, ..burden }), None);
        assert_eq!(weigh(Burden { unknown: u64::MAX, ..burden }), None);
    }

    #[test]
    fn a_draw_counts_once_it_is_large_enough_and_only_for_what_is_free() {
        let drawn = |drawn, each: u64| Burden {
            to_come: 100,
            unknown: 20,
            drawn,
            drawn_bytes: drawn * each,
            ..Burden::default()
        };
        assert_eq!(weigh(drawn(DRAWN, 10)), Some(Fit::Likely), "100 + 2 * 20 * 10");
        assert_eq!(weigh(drawn(DRAWN - 1, 10)), None);
        assert_eq!(weigh(drawn(DRAWN, 11)), None, "more than is free");
        assert_eq!(weigh(Burden::default()), Some(Fit::Fits), "nothing");
    }
}
