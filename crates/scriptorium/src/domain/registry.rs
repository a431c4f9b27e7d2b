//! The identity of a registry: its name in the configuration and its base URL.
//!
//! An answer of one registry counts for no other, nor for the same name at another URL. Owns that identity. Must not
//! know which volumes are routed where.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Sha256;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registry {
    name: String,
    origin: String,
}

impl Registry {
    /// The registry with this `name` in the configuration, at the base URL `origin` without a slash at its end.
    pub(crate) fn new(name: impl Into<String>, origin: impl Into<String>) -> Self {
        Self { name: name.into(), origin: origin.into() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its base URL without a slash at the end.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// A digest of `what` that differs between registries.
    pub(crate) fn digest_of(&self, what: &str) -> Sha256 {
        let Self { name, origin } = self;
        // Neither a name nor a URL has a line feed.
        Sha256::of(format!("{name}\n{origin}\n{what}").as_bytes())
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_name_or_url_is_another_registry() {
        let registries = [
            Registry::new("public", "https://one"),
            Registry::new("public", "https://two"),
            Registry::new("internal", "https://one"),
        ];
        for (at, registry) in registries.iter().enumerate() {
            for other in &registries[at + 1..] {
                assert_ne!(registry, other);
                assert_ne!(registry.digest_of("x"), other.digest_of("x"));
            }
            assert_ne!(registry.digest_of("x"), registry.digest_of("y"));
        }
    }
}
