//! Which registry is asked: by the volume's name, in the order of the configuration.
//!
//! Owns the routes. A volume has one registry: what that one does not have is not looked for elsewhere, or
//! another registry could supply a private name. Must not know how a registry is asked.

use std::sync::Arc;

use super::Upstream;
use crate::domain::{DocumentKey, VolumeName, VolumePattern};

/// All registries, in the order of the configuration.
#[derive(Debug)]
pub struct Upstreams(Vec<(Arc<Upstream>, Vec<VolumePattern>)>);

impl Upstreams {
    /// Registries with the volumes each is asked for; none given are all.
    #[must_use]
    pub fn new(routes: Vec<(Arc<Upstream>, Vec<VolumePattern>)>) -> Self {
        Self(routes)
    }

    /// The registry that `key` belongs to now: the one that is asked, and the only one whose answer counts.
    #[must_use]
    pub fn of(&self, key: &DocumentKey) -> Option<&Arc<Upstream>> {
        match (key, key.volume()) {
            (DocumentKey::To(posed), _) => self.named(posed.registry()),
            (_, Some(name)) => self.for_volume(name),
            (_, None) => self.only(),
        }
    }

    /// The registry of one volume: the first whose patterns match.
    #[must_use]
    pub fn for_volume(&self, name: &VolumeName) -> Option<&Arc<Upstream>> {
        let takes = |patterns: &[VolumePattern]| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name))
        };
        self.0.iter().find(|(_, patterns)| takes(patterns)).map(|(upstream, _)| upstream)
    }

    /// Whether a question about no volume in particular is one for more than one registry.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// The registry for questions about no volume in particular, where there is only one. Of several none is: such a
    /// question is put to each of them.
    fn only(&self) -> Option<&Arc<Upstream>> {
        match &*self.0 {
            [(upstream, _)] => Some(upstream),
            _ => None,
        }
    }

    /// The registry that the configuration calls `name`.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.iter().find(|upstream| upstream.name() == name)
    }

    /// Every registry that is asked for a volume of `volumes`.
    pub fn concerned_by(&self, volumes: &VolumePattern) -> impl Iterator<Item = &Arc<Upstream>> {
        let only = match volumes {
            VolumePattern::Exact(name) => Some(self.for_volume(name)),
            VolumePattern::All | VolumePattern::Prefix(_) => None,
        };
        let takes = |patterns: &[VolumePattern]| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.meets(volumes))
        };
        self.0.iter().filter_map(move |(upstream, patterns)| match only {
            Some(only) => only.filter(|only| Arc::ptr_eq(only, upstream)),
            None => takes(patterns).then_some(upstream),
        })
    }

    /// Every registry.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.0.iter().map(|(upstream, _)| upstream)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Registry;
    use super::*;

    fn routes(routes: &[(&str, &[&str])]) -> Upstreams {
        let route = |(name, patterns): &(&str, &[&str])| {
            let upstream = Registry::default().upstream_with(|config| config.name = (*name).to_owned());
            (upstream, patterns.iter().map(|pattern| pattern.parse().unwrap()).collect())
        };
        Upstreams::new(routes.iter().map(route).collect())
    }

    fn name(upstream: Option<&Arc<Upstream>>) -> Option<&str> {
        upstream.map(|upstream| upstream.name())
    }

    #[test]
    fn the_first_match_in_file_order_wins() {
        let upstreams = routes(&[("acme", &["@acme/*", "tools-*"]), ("rest", &[]), ("late", &["@late/*"])]);
        let of = |volume: &str| name(upstreams.for_volume(&volume.parse().unwrap()));
        assert_eq!(of("@acme/x"), Some("acme"));
        assert_eq!(of("tools-a"), Some("acme"));
        assert_eq!(of("other"), Some("rest"));
        assert_eq!(of("@late/x"), Some("rest"));
        assert_eq!(name(upstreams.of(&DocumentKey::Index("@acme/x".parse().unwrap()))), Some("acme"));
        assert_eq!(upstreams.iter().count(), 3);
    }

    #[test]
    fn a_pattern_concerns_every_registry_that_it_meets() {
        let upstreams = routes(&[("acme", &["@acme/*", "tools-*"]), ("lamp", &["lamp"]), ("rest", &[])]);
        let concerned = |pattern: &str| -> Vec<&str> {
            upstreams.concerned_by(&pattern.parse().unwrap()).map(|upstream| upstream.name()).collect()
        };
        assert_eq!(concerned("@acme/x"), ["acme"]);
        assert_eq!(concerned("@other/x"), ["rest"]);
        assert_eq!(concerned("@acme/x-*"), ["acme", "rest"]);
        assert_eq!(concerned("la*"), ["lamp", "rest"]);
        assert_eq!(concerned("*"), ["acme", "lamp", "rest"]);
    }

    #[test]
    fn what_no_pattern_matches_has_no_registry() {
        let upstreams = routes(&[("one", &["@one/*"]), ("two", &["@two/*"])]);
        assert!(upstreams.for_volume(&"stray".parse().unwrap()).is_none());
    }

    #[test]
    fn a_question_about_no_volume_is_put_to_each_registry() {
        let several = routes(&[("one", &["@one/*"]), ("two", &[])]);
        assert!(several.are_several());
        assert_eq!(name(several.of(&DocumentKey::Capabilities)), None);
        for registry in ["one", "two"] {
            assert_eq!(name(several.of(&DocumentKey::Capabilities.to(registry))), Some(registry));
        }
        assert_eq!(name(several.of(&DocumentKey::Capabilities.to("three"))), None);
        let one = routes(&[("one", &["@one/*"])]);
        assert!(!one.are_several());
        assert_eq!(name(one.of(&DocumentKey::Capabilities)), Some("one"));
        assert_eq!(name(routes(&[]).of(&DocumentKey::Capabilities)), None);
    }
}
