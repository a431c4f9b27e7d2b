//! Waivers: releases for which a rule does not count, until a day.
//!
//! Owns when a waiver applies, and how the waivers of a release are found. Must not know what a rule matches.

use std::sync::Arc;

use ahash::HashMap;
use archive::{Integrity, Version, VolumeName};

use crate::facts::PolicyFacts;
use crate::place::Place;

/// A release for which a rule does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// The id of the rule.
    pub rule: Arc<str>,
    /// The volume.
    pub name: VolumeName,
    /// The version.
    pub version: Version,
    /// The content, if the waiver is for certain bytes only.
    pub integrity: Option<Integrity>,
    /// The first second in which it does not count any more.
    pub until: u64,
    /// Who decided it.
    pub by: Option<String>,
    /// The reason.
    pub why: Option<String>,
    pub(crate) place: Place,
}

/// Why a waiver for a rule and a release does not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inapplicable {
    Ended,
    OtherBytes,
    BytesUnknown,
}

impl Waiver {
    /// Whether it applies to a release of its name and version.
    pub(crate) fn applies(&self, facts: &PolicyFacts<'_>, now: u64) -> Result<(), Inapplicable> {
        if self.until <= now {
            return Err(Inapplicable::Ended);
        }
        match (&self.integrity, facts.integrity) {
            (None, _) => Ok(()),
            (Some(waived), Some(known)) if waived == known => Ok(()),
            (Some(_), Some(_)) => Err(Inapplicable::OtherBytes),
            (Some(_), None) => Err(Inapplicable::BytesUnknown),
        }
    }
}

/// All waivers, by release.
#[derive(Debug, Default)]
pub(crate) struct Waivers {
    by_release: HashMap<VolumeName, HashMap<Version, Vec<Arc<Waiver>>>>,
    all: Vec<Arc<Waiver>>,
}

impl Waivers {
    pub(crate) fn new(all: Vec<Arc<Waiver>>) -> Self {
        let mut by_release: HashMap<VolumeName, HashMap<Version, Vec<_>>> = HashMap::default();
        for waiver in &all {
            let versions = by_release.entry(waiver.name.clone()).or_default();
            versions.entry(waiver.version.clone()).or_default().push(Arc::clone(waiver));
        }
        Self { by_release, all }
    }

    pub(crate) fn all(&self) -> &[Arc<Waiver>] {
        &self.all
    }

    /// The waivers for a rule and a release, whether they apply or not.
    pub(crate) fn of<'a>(
        &'a self,
        rule: &'a str,
        name: &VolumeName,
        version: &Version,
    ) -> impl Iterator<Item = &'a Arc<Waiver>> + use<'a> {
        let of_release = self.by_release.get(name).and_then(|versions| versions.get(version));
        of_release.into_iter().flatten().filter(move |waiver| *waiver.rule == *rule)
    }

    /// The one that applies; of several the one that lasts longest.
    pub(crate) fn applying(&self, rule: &str, facts: &PolicyFacts<'_>, now: u64) -> Option<&Arc<Waiver>> {
        if self.all.is_empty() {
            return None;
        }
        let of_release = self.by_release.get(facts.name)?.get(facts.version)?;
        let applying =
            of_release.iter().filter(|waiver| *waiver.rule == *rule && waiver.applies(facts, now).is_ok());
        applying.max_by_key(|waiver| waiver.until)
    }
}
