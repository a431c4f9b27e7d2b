//! Which registry is asked for a volume: the first that matches, in the order of the configuration.
//!
//! A volume has one registry. What that registry does not have is not looked for elsewhere, since another registry
//! could then supply a private name. Owns the routes. Must not know how a registry is asked.

use std::sync::Arc;

use super::RegistryClient;
use crate::domain::{DocumentKey, VolumeName, VolumePattern};

/// All registries, in the order of the configuration.
#[derive(Debug)]
pub(crate) struct RegistryClients {
    routes: Vec<(Arc<RegistryClient>, Vec<VolumePattern>)>,
    /// Whether some clients may not read all of them.
    are_restricted: bool,
}

impl RegistryClients {
    /// Registries with the volumes that each is asked for. No patterns mean all volumes.
    pub(crate) fn new(routes: Vec<(Arc<RegistryClient>, Vec<VolumePattern>)>) -> Self {
        let are_restricted = routes.iter().any(|(upstream, _)| upstream.readers().are_restricted());
        Self { routes, are_restricted }
    }

    /// Whether some clients may not read all of them.
    pub(crate) fn are_restricted(&self) -> bool {
        self.are_restricted
    }

    /// The registry that `key` belongs to: the only one that is asked, and whose answer counts.
    pub(crate) fn of(&self, key: &DocumentKey) -> Option<&Arc<RegistryClient>> {
        match (key, key.volume()) {
            (DocumentKey::AtRegistry(at_registry), _) => self.named(at_registry.registry()),
            (_, Some(name)) => self.for_volume(name),
            (_, None) => self.only(),
        }
    }

    /// The registry of one volume: the first whose patterns match.
    pub(crate) fn for_volume(&self, name: &VolumeName) -> Option<&Arc<RegistryClient>> {
        let takes = |patterns: &[VolumePattern]| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name))
        };
        self.routes.iter().find(|(_, patterns)| takes(patterns)).map(|(upstream, _)| upstream)
    }

    /// Whether a request that names no volume goes to several registries.
    pub(crate) fn are_several(&self) -> bool {
        self.routes.len() > 1
    }

    /// The registry for requests that name no volume, if there is only one. With several registries, each is asked
    /// under its own key.
    fn only(&self) -> Option<&Arc<RegistryClient>> {
        match &*self.routes {
            [(upstream, _)] => Some(upstream),
            _ => None,
        }
    }

    /// The registry that the configuration calls `name`.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<RegistryClient>> {
        self.iter().find(|upstream| upstream.name() == name)
    }

    /// Every registry that is asked for a volume of `volumes`.
    pub(crate) fn concerned_by(&self, volumes: &VolumePattern) -> impl Iterator<Item = &Arc<RegistryClient>> {
        let only = match volumes {
            VolumePattern::Exact(name) => Some(self.for_volume(name)),
            VolumePattern::All | VolumePattern::Prefix(_) => None,
        };
        let takes = |patterns: &[VolumePattern]| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.meets(volumes))
        };
        self.routes.iter().filter_map(move |(upstream, patterns)| match only {
            Some(only) => only.filter(|only| Arc::ptr_eq(only, upstream)),
            None => takes(patterns).then_some(upstream),
        })
    }

    /// Every registry.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<RegistryClient>> {
        self.routes.iter().map(|(upstream, _)| upstream)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Registry;
    use super::*;

    fn routes(routes: &[(&str, &[&str])]) -> RegistryClients {
        let route = |(name, patterns): &(&str, &[&str])| {
            let upstream = Registry::default().upstream_with(|config| config.name = (*name).to_owned());
            (upstream, patterns.iter().map(|pattern| pattern.parse().unwrap()).collect())
        };
        RegistryClients::new(routes.iter().map(route).collect())
    }

    fn name(upstream: Option<&Arc<RegistryClient>>) -> Option<&str> {
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
            assert_eq!(name(several.of(&DocumentKey::Capabilities.at_registry(registry))), Some(registry));
        }
        assert_eq!(name(several.of(&DocumentKey::Capabilities.at_registry("three"))), None);
        let one = routes(&[("one", &["@one/*"])]);
        assert!(!one.are_several());
        assert_eq!(name(one.of(&DocumentKey::Capabilities)), Some("one"));
        assert_eq!(name(routes(&[]).of(&DocumentKey::Capabilities)), None);
    }
}
