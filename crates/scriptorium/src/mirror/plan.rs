//! A plan: what a sync would fetch, from documents alone.
//!
//! Owns how requests and their time are estimated. Must not fetch a file, nor change what is recorded.

use std::collections::{HashMap, HashSet};

use selection::Selection;

use super::desk::{MirrorDesk, MirrorRun};
use super::notices::RegistryNotices;
use super::outlook::Outlook;
use super::record::{self, MirrorRecord};
use super::report::{PatternNames, PlanReport};
use super::sizing::fit_by_knowledge;
use super::survey::{Survey, SurveyedIndexes, survey};
use super::sync::{everything, lack};
use super::tally::RunTally;
use crate::config::Mirror;
use crate::domain::{DocumentKey, VolumeName};

/// Makes the plan of one mirror.
pub(crate) async fn plan(desk: &MirrorDesk, mirror: &Mirror, tally: &RunTally) -> PlanReport {
    let before = record::load(&*desk.store, &mirror.name).await.ok().flatten();
    let mut report = PlanReport { mirror: mirror.name.clone(), ..PlanReport::default() };
    if desk.documents.live().policy.offline {
        let why = "cache.offline is true: no registry may be asked";
        return PlanReport::not_run(&mirror.name, everything(mirror, why));
    }
    let run = MirrorRun::begin(desk, tally, &mirror.name).await;
    let surveyed = match survey(&run, mirror, before.as_ref()).await {
        Ok(surveyed) => surveyed,
        Err(bound) => return PlanReport::not_run(&mirror.name, everything(mirror, &bound.to_string())),
    };
    let outlook = Outlook::of(desk, mirror, before.as_ref(), &surveyed).await;
    let Survey { selection, indexes, remarks, .. } = surveyed;
    let SurveyedIndexes { volumes, lost, .. } = indexes;
    report.search = remarks;
    let Selection { missing, untold, patterns, unlisted, .. } = selection;
    let too_large = fit_by_knowledge(desk, &outlook).refusal();
    let too_large = too_large.into_iter().flat_map(|why| everything(mirror, &why));
    report.missing = missing.into_iter().map(lack).chain(lost).chain(too_large).collect();
    report.untold = untold;
    report.patterns = patterns.iter().map(PatternNames::from).collect();
    report.unlisted = unlisted.iter().map(ToString::to_string).collect();
    report.weigh(&outlook);
    let listing = tally.counts().requests.saturating_sub(volumes.len() as u64);
    estimate(&mut report, desk, mirror, (listing, &volumes), &outlook.record);
    report
}

/// How many requests a sync puts, of which search took `listing`, and how long the budgets make them take.
fn estimate(
    report: &mut PlanReport,
    desk: &MirrorDesk,
    mirror: &Mirror,
    (listing, volumes): (u64, &HashSet<VolumeName>),
    record: &MirrorRecord,
) {
    let asked = requests(mirror, record);
    report.volumes = volumes.len();
    report.requests = listing + volumes.len() as u64 + asked.values().sum::<u64>();
    for volume in volumes {
        let upstream = desk.documents.upstream_of(&DocumentKey::Index(volume.clone()));
        report.count(upstream.ok().map(|upstream| upstream.name().to_owned()), 1);
    }
    asked.into_iter().for_each(|(registry, requests)| report.count(Some(registry), requests));
    let live = desk.documents.live();
    let budgets = live.upstreams.iter().map(|upstream| (upstream.name(), upstream.requests_per_minute()));
    report.seconds = report.time(listing, budgets);
}

/// The requests by registry: for exact metadata, trust views, archives that are not here, and notices.
fn requests(mirror: &Mirror, record: &MirrorRecord) -> HashMap<String, u64> {
    let mut requests = HashMap::new();
    for release in &record.selected {
        let Some(registry) = record.registry_of(release) else { continue };
        let views = if mirror.trust && release.wants_files { 2 } else { 0 };
        let archive = u64::from(release.wants_files && release.archive.is_none());
        let of_registry = requests.entry(registry.name().to_owned()).or_insert_with(|| {
            let known = record.notices.iter().find(|notices| notices.registry == release.registry);
            known.map_or_else(|| RegistryNotices::default().requests(), RegistryNotices::requests)
        });
        *of_registry += 1 + views + archive;
    }
    requests
}
