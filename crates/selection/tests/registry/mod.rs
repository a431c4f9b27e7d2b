//! A registry in a table, and a caller that answers every question from it.
//!
//! Owns the short notation of tests: `"1.0.0 yanked: b ^1.0.0; c ~2.0.0"`. Must not know what is expected of a selection.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // each test file uses a part of it

use std::collections::BTreeMap;

use archive::{LifecycleState, VolumeName};
use selection::{
    BoundExceeded, CatalogueRow, MissingSubject, NextStep, Questions, Selection, SelectionRules, Selector,
};

/// Rows by volume, and what search lists.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    pub(crate) volumes: BTreeMap<VolumeName, Vec<CatalogueRow>>,
    /// Volumes that search does not list.
    pub(crate) hidden: Vec<VolumeName>,
    /// Volumes that cannot be asked for, with the reason.
    pub(crate) silent: BTreeMap<VolumeName, String>,
}

/// A volume or root from its text.
pub(crate) fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

/// `version`, `version state`, and after `:` the dependencies, separated by `;`.
pub(crate) fn row(text: &str) -> CatalogueRow {
    let (head, dependencies) = text.split_once(':').unwrap_or((text, ""));
    let (version, state) = head.trim().split_once(' ').unwrap_or((head.trim(), "available"));
    let state = match state {
        "available" => LifecycleState::Available,
        "yanked" => LifecycleState::Yanked,
        "blocked" => LifecycleState::Blocked,
        "tombstoned" => LifecycleState::Tombstoned,
        "unavailable" => LifecycleState::Unavailable,
        other => panic!("no state: {other}"),
    };
    let dependencies = dependencies.split(';').map(str::trim).filter(|text| !text.is_empty());
    let dependencies = dependencies.map(|text| text.split_once(' ').expect("name and range"));
    CatalogueRow {
        version: version.parse().unwrap(),
        state,
        integrity: None,
        dependencies: dependencies.map(|(name, range)| (name.to_owned(), range.to_owned())).collect(),
    }
}

impl Registry {
    pub(crate) fn of(volumes: &[(&str, &[&str])]) -> Self {
        let rows = |rows: &[&str]| rows.iter().map(|text| row(text)).collect();
        let volumes = volumes.iter().map(|(volume, texts)| (name(volume), rows(texts))).collect();
        Self { volumes, ..Self::default() }
    }

    pub(crate) fn hide(mut self, volume: &str) -> Self {
        self.hidden.push(name(volume));
        self
    }

    pub(crate) fn silence(mut self, volume: &str, reason: &str) -> Self {
        self.silent.insert(name(volume), reason.to_owned());
        self
    }

    pub(crate) fn answer(&self, selector: &mut Selector, questions: &Questions) -> Result<(), BoundExceeded> {
        for pattern in &questions.patterns {
            let names = self.volumes.keys().filter(|name| !self.hidden.contains(name));
            selector.answer_pattern(pattern, Ok(names.cloned().collect()))?;
        }
        for volume in &questions.volumes {
            let answer = match (self.silent.get(volume), self.volumes.get(volume)) {
                (Some(reason), _) => Err(reason.clone()),
                (None, Some(rows)) => Ok(rows.clone()),
                (None, None) => Err("the registry does not have it".to_owned()),
            };
            selector.answer_volume(volume, answer)?;
        }
        Ok(())
    }

    /// Runs a selection to its end; gives also which volumes were asked for in which round.
    pub(crate) fn asked(
        &self,
        roots: &[&str],
        rules: SelectionRules,
    ) -> Result<(Selection, Vec<Vec<String>>), BoundExceeded> {
        let roots = roots.iter().map(|root| root.parse().unwrap()).collect();
        let mut selector = Selector::new(roots, rules);
        let mut rounds = Vec::new();
        loop {
            match selector.advance()? {
                NextStep::Ask(questions) => {
                    rounds.push(questions.volumes.iter().map(ToString::to_string).collect());
                    self.answer(&mut selector, &questions)?;
                }
                NextStep::Done(selection) => return Ok((selection, rounds)),
            }
        }
    }

    pub(crate) fn select(&self, roots: &[&str], rules: SelectionRules) -> Selection {
        self.asked(roots, rules).unwrap().0
    }
}

/// The names of what is selected, `(documents)` behind those without files.
pub(crate) fn names(selection: &Selection) -> Vec<String> {
    let text = |release: &selection::SelectedRelease| {
        format!("{}{}", release.name, if release.wants_files() { "" } else { " (documents)" })
    };
    selection.releases.iter().map(text).collect()
}

/// What is missing, `subject: reason`.
pub(crate) fn missing(selection: &Selection) -> Vec<String> {
    let text = |missing: &selection::Missing| {
        let subject = match &missing.subject {
            MissingSubject::Root(root) => format!("root {root}"),
            MissingSubject::Release(release) => format!("release {release}"),
        };
        format!("{subject}: {}", missing.reason)
    };
    selection.missing.iter().map(text).collect()
}
