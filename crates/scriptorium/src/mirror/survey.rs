//! What a mirror selects now: roots and rules are put to the selector, and its questions to registries.
//!
//! Owns how the selector is answered, and what is said of an index that lost its rows. Must not know files.

use std::collections::{HashMap, HashSet};

use selection::{
    BoundExceeded, CatalogueRow, NextStep, Selection, SelectionBounds, SelectionRules, Selector,
};

use super::desk::MirrorRun;
use super::enumeration::{Enumerated, SearchRemark, enumerate};
use super::patience::{Attempt, Setback, in_passes, refused};
use super::record::{LackSubject, MirrorLack, MirrorRecord, MirroredRelease};
use super::rows::rows;
use crate::config::Mirror;
use crate::domain::{DocumentKey, VolumeName, VolumePattern};

/// Indexes that are asked for at once.
const AT_ONCE: usize = 8;

/// What is selected, and what was learned on the way.
pub(super) struct Survey {
    pub(super) selection: Selection,
    pub(super) indexes: SurveyedIndexes,
    /// What is odd about searches.
    pub(super) remarks: Vec<SearchRemark>,
    /// Patterns of roots that search answered.
    patterns: Vec<VolumePattern>,
}

/// What became of the indexes that were asked for.
#[derive(Default)]
pub(super) struct SurveyedIndexes {
    /// The volumes.
    pub(super) volumes: HashSet<VolumeName>,
    /// Mirrored releases of indexes that list nothing any more.
    pub(super) lost: Vec<MirrorLack>,
    /// Volumes of which nothing is known now: their index was not read, or lists nothing.
    silent: HashSet<VolumeName>,
}

impl SurveyedIndexes {
    /// Takes note of the rows of an index; none if it was not read.
    fn note(&mut self, mirrored: &MirroredVolumes<'_>, name: &VolumeName, rows: Option<&[CatalogueRow]>) {
        if rows.is_none_or(<[CatalogueRow]>::is_empty) {
            self.silent.insert(name.clone());
        }
        if rows.is_some_and(<[CatalogueRow]>::is_empty) {
            let releases = mirrored.get(name).into_iter().flatten();
            self.lost.extend(releases.map(|release| MirrorLack {
                subject: LackSubject::Release(release.id()),
                reason: format!("{LOST}; what was mirrored stays"),
            }));
        }
        self.volumes.insert(name.clone());
    }
}

impl Survey {
    /// Whether a root covers a volume of which nothing is to be taken now, such as one whose releases are all blocked. What is said of
    /// it still belongs to the mirror: a site that has its releases from a bundle learns of the block from nobody else.
    pub(super) fn passes_over(&self, name: &VolumeName) -> bool {
        !self.indexes.silent.contains(name) && self.patterns.iter().any(|pattern| pattern.matches(name))
    }
}

/// Why there is no selection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSurveyed {
    #[error(transparent)]
    Bound(#[from] BoundExceeded),
    /// Its thread died.
    #[error("the selection died; run the command again")]
    Lost,
}

/// How a mirror selects.
pub(super) fn rules(mirror: &Mirror) -> SelectionRules {
    SelectionRules {
        versions: mirror.versions,
        closure: mirror.closure,
        prereleases: mirror.prereleases,
        bounds: SelectionBounds::default(),
    }
}

/// Reads indexes and search until the selection is made.
pub(super) async fn survey(
    run: &MirrorRun<'_>,
    mirror: &Mirror,
    before: Option<&MirrorRecord>,
) -> Result<Survey, NotSurveyed> {
    let mut mirrored: MirroredVolumes<'_> = HashMap::new();
    for release in before.into_iter().flat_map(MirrorRecord::releases) {
        mirrored.entry(&release.volume).or_default().push(release);
    }
    let mut selector = Selector::new(mirror.all_roots(), rules(mirror));
    let (mut indexes, mut remarks, mut patterns) = (SurveyedIndexes::default(), Vec::new(), Vec::new());
    loop {
        let step;
        (selector, step) = advance(selector).await?;
        let questions = match step {
            NextStep::Done(selection) => {
                let mut survey = Survey { selection, indexes, remarks, patterns };
                look_for_unlisted(run, &mirrored, &mut survey).await;
                return Ok(survey);
            }
            NextStep::Ask(questions) => questions,
        };
        let Enumerated { patterns: mut listed, remarks: more } = enumerate(run, &questions.patterns).await;
        remarks.extend(more);
        for pattern in &questions.patterns {
            let names = listed.remove(pattern).unwrap_or_else(|| Ok(Vec::new()));
            patterns.extend(names.is_ok().then(|| pattern.clone()));
            selector.answer_pattern(pattern, names)?;
        }
        let attempt = |name: VolumeName| run.courteously(index(run, name));
        let end = |name: VolumeName, rows: Option<Vec<_>>, why: Option<String>| {
            indexes.note(&mirrored, &name, rows.as_deref());
            let rows = rows.unwrap_or_default();
            let is_lost = why.is_none() && rows.is_empty() && mirrored.contains_key(&name);
            let reason = why.or_else(|| is_lost.then(|| LOST.to_owned()));
            selector.answer_volume(&name, reason.map_or(Ok(rows), Err))
        };
        in_passes(questions.volumes, run.at_once(AT_ONCE), attempt, end).await?;
    }
}

/// Mirrored releases, by their volume.
type MirroredVolumes<'a> = HashMap<&'a VolumeName, Vec<&'a MirroredRelease>>;

/// Reads the indexes of mirrored volumes that search lists no more.
async fn look_for_unlisted(run: &MirrorRun<'_>, mirrored: &MirroredVolumes<'_>, survey: &mut Survey) {
    let is_unlisted = |name: &VolumeName| !survey.indexes.volumes.contains(name) && survey.passes_over(name);
    let unlisted: Vec<VolumeName> =
        mirrored.keys().filter(|name| is_unlisted(name)).map(|name| (*name).clone()).collect();
    let end = |name: VolumeName, rows: Option<Vec<_>>, _: Option<String>| {
        survey.indexes.note(mirrored, &name, rows.as_deref());
        Ok::<(), std::convert::Infallible>(())
    };
    let Ok(()) =
        in_passes(unlisted, run.at_once(AT_ONCE), |name| run.courteously(index(run, name)), end).await;
}

/// Goes on with a selection, on a thread that blocks nobody: a solution may take seconds.
async fn advance(mut selector: Selector) -> Result<(Selector, NextStep), NotSurveyed> {
    let advanced = tokio::task::spawn_blocking(move || {
        let step = selector.advance()?;
        Ok((selector, step))
    });
    advanced.await.map_err(|_| NotSurveyed::Lost)?
}

const LOST: &str = "its index lists no release any more";

/// The rows of an index. A registry that says that there is none gives no rows, with its reason; one that could not be
/// asked gives nothing.
async fn index(run: &MirrorRun<'_>, name: VolumeName) -> Attempt<Option<Vec<CatalogueRow>>> {
    let answer = match run.document_for_now(&DocumentKey::Index(name)).await {
        Ok(answer) => answer,
        Err(failure) => return Attempt::short(None, failure),
    };
    if let Some(problem) = answer.document.content.problem() {
        return Attempt::short(Some(Vec::new()), Setback::Final(refused(problem)));
    }
    match rows(answer.document).await {
        Some(rows) => Attempt::whole(Some(rows)),
        None => Attempt::short(None, Setback::passing("its index cannot be read")),
    }
}
