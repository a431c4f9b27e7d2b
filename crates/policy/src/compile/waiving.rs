//! The table of a waiver.
//!
//! Owns the form of every value, and that a waiver ends. Must not know rules.

use archive::{Version, VolumeName};

use super::Errors;
use crate::declaration::WaiverDeclaration;
use crate::error::PolicyFault;
use crate::instant::{day_of, end_of_day};
use crate::waiver::Waiver;

/// A valid waiver that has not ended at `now`.
pub(super) fn waiver(written: &WaiverDeclaration, now: u64, errors: &mut Errors) -> Option<Waiver> {
    let place = &written.place;
    let before = errors.0.len();
    let rule = errors.required(place.below("rule"), written.rule.as_ref(), "the id of a rule", |id| {
        super::is_id(id).then_some(id)
    });
    let expected = "a release, `name@version` or `@scope/name@version`";
    let release = errors.required(place.below("release"), written.release.as_ref(), expected, release);
    let integrity = written.integrity.as_ref().and_then(|text| {
        let expected = "`sha256:` and 64 lowercase hexadecimal digits";
        errors.read(place.below("integrity"), text, expected, |text| text.parse().ok())
    });
    let expected = "the last day of the waiver, as in \"2026-12-31\": every waiver ends";
    let until = errors.required(place.below("until"), written.until.as_ref(), expected, end_of_day);
    if let Some(until) = until.filter(|until| *until <= now) {
        errors.add(place.below("until"), PolicyFault::Expired { until: day_of(until.saturating_sub(1)) });
    }
    let by = errors.shown(place.below("by"), written.by.as_ref());
    let why = errors.shown(place.below("why"), written.why.as_ref());
    if errors.0.len() > before {
        return None;
    }
    let (name, version) = release?;
    Some(Waiver {
        rule: rule?.into(),
        name,
        version,
        integrity,
        until: until?,
        by,
        why,
        place: place.clone(),
    })
}

fn release(text: &str) -> Option<(VolumeName, Version)> {
    let (name, version) = text.rsplit_once('@')?;
    Some((name.parse().ok()?, version.parse().ok()?))
}
