//! The table `match` of a rule: each key becomes a matcher.
//!
//! Owns the form of every value. Must not know the rule around it.

use archive::{DeclaredPermissions, VolumeName, VolumePattern};
use selection::VersionRange;

use super::{Errors, MOST_ELEMENTS};
use crate::advisory::{AdvisorySeverity, is_id};
use crate::declaration::{MatchDeclaration, PermissionsDeclaration};
use crate::error::PolicyFault;
use crate::facts::Delivery;
use crate::instant::span;
use crate::licence::{AllowedLicences, licence};
use crate::matcher::Matcher;
use crate::patterns::PatternSet;
use crate::permission::{LEVELS, LeastPermissions, SHELL};
use crate::place::Place;
use crate::resemblance::ProtectedNames;

/// What a rule matches.
pub(super) struct Matching {
    pub(super) volumes: Option<PatternSet>,
    /// The cheapest first.
    pub(super) matchers: Vec<Matcher>,
}

const PATTERN: &str =
    "`*`, a volume name, or the start of one and a `*` (`@scope/*`, `@scope/tools-*`, `tools-*`)";
const NAME: &str = "a volume name, `name` or `@scope/name`";
const LICENCE: &str = "one SPDX licence such as `MIT` or `Apache-2.0 WITH LLVM-exception`";
const WORD: &str = "1 to 256 bytes of text on one line";

/// Reads the table at `place`; `None` if it has errors.
pub(super) fn read(written: &MatchDeclaration, place: &Place, errors: &mut Errors) -> Option<Matching> {
    let before = errors.0.len();
    let mut reading = Reading { place, errors };
    let mut matchers = reading.values(written);
    matchers.extend(reading.lists(written));
    let volumes = reading.list("volumes", written.volumes.as_ref(), PATTERN, pattern).map(PatternSet::new);
    if *written == MatchDeclaration::default() {
        reading.errors.add(place.clone(), PolicyFault::EmptyMatch);
    }
    matchers.sort_by_key(Matcher::cost);
    (errors.0.len() == before).then_some(Matching { volumes, matchers })
}

struct Reading<'a> {
    place: &'a Place,
    errors: &'a mut Errors,
}

impl Reading<'_> {
    /// The matchers with one value.
    fn values(&mut self, written: &MatchDeclaration) -> Vec<Matcher> {
        let range = "whole versions without build metadata, each after one of ^ ~ < <= > >= = or nothing";
        let matchers = [
            self.value("versions", written.versions.as_ref(), range, |text| {
                VersionRange::of_dependency(text).ok().map(Matcher::Versions)
            }),
            self.value(
                "younger_than",
                written.younger_than.as_ref(),
                "a span of time such as `7d` or `36h`",
                |text| span(text).filter(|span| *span > 0).map(Matcher::YoungerThan),
            ),
            self.value(
                "advisory",
                written.advisory.as_ref(),
                "`low`, `medium`, `high` or `critical`",
                |text| text.parse::<AdvisorySeverity>().ok().map(Matcher::Advisory),
            ),
            self.value("delivery", written.delivery.as_ref(), "`git` or `cdn`", |text| {
                [Delivery::Git, Delivery::Cdn]
                    .into_iter()
                    .find(|way| way.as_str() == text)
                    .map(Matcher::Delivery)
            }),
            written.permissions.as_ref().and_then(|permissions| self.permissions(permissions)),
        ];
        matchers.into_iter().flatten().collect()
    }

    /// The matchers with lists.
    fn lists(&mut self, written: &MatchDeclaration) -> Vec<Matcher> {
        let MatchDeclaration { not_volumes, advisories, resembles, components, trust_missing, .. } = written;
        let id = "the id or an alias of an advisory";
        let matchers = [
            self.list("not_volumes", not_volumes.as_ref(), PATTERN, pattern)
                .map(|list| Matcher::NotVolumes(PatternSet::new(list))),
            self.list("advisories", advisories.as_ref(), id, |text| is_id(text).then(|| text.to_owned()))
                .map(Matcher::Advisories),
            self.list("resembles", resembles.as_ref(), NAME, |text| text.parse::<VolumeName>().ok())
                .map(|list| Matcher::Resembles(ProtectedNames::new(list))),
            self.list("licenses_not_in", written.licenses_not_in.as_ref(), LICENCE, licence)
                .map(|list| Matcher::LicencesNotIn(AllowedLicences::new(list))),
            self.list("publishers_not_in", written.publishers_not_in.as_ref(), WORD, word)
                .map(|list| Matcher::PublishersNotIn(list.into_iter().collect())),
            self.list("components", components.as_ref(), WORD, word).map(Matcher::Components),
            self.list("trust_missing", trust_missing.as_ref(), WORD, word).map(Matcher::TrustMissing),
        ];
        matchers.into_iter().flatten().collect()
    }

    fn value<T>(
        &mut self,
        key: &str,
        given: Option<&String>,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.errors.read(self.place.below(key), given?, expected, read)
    }

    fn list<T>(
        &mut self,
        key: &str,
        given: Option<&Vec<String>>,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let (given, place) = (given?, self.place.below(key));
        if given.is_empty() {
            self.errors.add(place, PolicyFault::EmptyList);
            return None;
        }
        self.errors.at_most(MOST_ELEMENTS, given.len(), || place.clone());
        let element = |(index, text): (usize, &String)| {
            let place = Place { key: format!("{}[{index}]", place.key), ..place.clone() };
            self.errors.read(place, text, expected, &read)
        };
        Some(given.iter().take(MOST_ELEMENTS).enumerate().filter_map(element).collect())
    }

    fn permissions(&mut self, written: &PermissionsDeclaration) -> Option<Matcher> {
        let PermissionsDeclaration { filesystem, network, browser, shell } = written;
        if *written == PermissionsDeclaration::default() {
            self.errors.add(self.place.below("permissions"), PolicyFault::EmptyList);
            return None;
        }
        let level = "`read`, `write`, `read-write` or `deny`";
        let mut access = |key: &str, given: &Option<String>| {
            self.value(key, given.as_ref(), level, |text| find(&LEVELS, text)).unwrap_or_default()
        };
        let filesystem = access("permissions.filesystem", filesystem);
        let network = access("permissions.network", network);
        let browser = access("permissions.browser", browser);
        let shell =
            self.value("permissions.shell", shell.as_ref(), "`allow` or `deny`", |text| find(&SHELL, text));
        let shell = shell.unwrap_or_default();
        Some(Matcher::Permissions(LeastPermissions(DeclaredPermissions {
            filesystem,
            network,
            browser,
            shell,
        })))
    }
}

fn pattern(text: &str) -> Option<VolumePattern> {
    text.parse().ok()
}

fn word(text: &str) -> Option<String> {
    let fine = !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control);
    fine.then(|| text.to_owned())
}

fn find<T: Copy>(words: &[(&str, T)], text: &str) -> Option<T> {
    words.iter().find(|(word, _)| *word == text).map(|(_, level)| *level)
}
