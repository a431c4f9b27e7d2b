//! What an import has noted so far: what was left out, which releases contradict their pins, and how new it is.
//!
//! Owns that each subject is told once, and the bound on what is remembered. Must not know why something is left out.

use std::collections::HashSet;

use super::report::MOST_TOLD;
use super::{ImportReport, LeftOutSubject};
use crate::clock::Timestamp;
use crate::domain::Purl;

pub(super) struct ImportNotes {
    pub(super) report: ImportReport,
    told: HashSet<LeftOutSubject>,
    pub(super) contradictions: HashSet<Purl>,
    /// When a registry last confirmed a document.
    pub(super) newest: Option<Timestamp>,
}

impl ImportNotes {
    /// With what `report` says already.
    pub(super) fn of(report: ImportReport) -> Self {
        let told = report.left_out.iter().map(|left_out| left_out.subject.clone()).collect();
        Self { report, told, contradictions: HashSet::new(), newest: None }
    }

    pub(super) fn leave_out(&mut self, subject: LeftOutSubject, reason: String) {
        // Beyond what is told anyway, one that comes twice is counted twice.
        if self.told.len() >= MOST_TOLD || self.told.insert(subject.clone()) {
            self.report.leave_out(subject, reason);
        }
    }
}
