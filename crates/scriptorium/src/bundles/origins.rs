//! Which registries a bundle is about: names stand at the documents, base URLs in the head, in the order of the names.
//!
//! Owns that form. Must not know which registries this proxy has.

use std::collections::BTreeSet;

use bundle::{ManifestItem, ManifestReadError, OpenBundle};

use crate::domain::Registry;

/// Why a bundle does not say which registries it is about.
#[derive(Debug, thiserror::Error)]
pub(super) enum OriginsError {
    #[error(transparent)]
    Manifest(#[from] ManifestReadError),
    #[error(
        "`origin` is expected to have one base URL for each upstream that documents name, with blanks between them"
    )]
    Count,
}

/// The registries of a bundle.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct BundledRegistries {
    named: Vec<Registry>,
    urls: Vec<String>,
}

impl BundledRegistries {
    /// Reads all of the manifest.
    ///
    /// # Errors
    /// [`OriginsError`]
    pub(super) fn of(bundle: &OpenBundle, origin: &str) -> Result<Self, OriginsError> {
        let urls: Vec<&str> = origin.split(' ').collect();
        let mut names = BTreeSet::new();
        bundle.items(|item| match item {
            ManifestItem::Document(document) if !names.contains(&document.upstream) => {
                names.insert(document.upstream.clone());
                // A bound on what a bundle makes us remember.
                if names.len() > urls.len() { Err(OriginsError::Count) } else { Ok(()) }
            }
            _ => Ok(()),
        })?;
        Self::pair(names, &urls)
    }

    fn pair(names: BTreeSet<String>, urls: &[&str]) -> Result<Self, OriginsError> {
        // A bundle without documents may name the registry of its pins all the same.
        if !names.is_empty() && names.len() != urls.len() {
            return Err(OriginsError::Count);
        }
        let named = names.into_iter().zip(urls).map(|(name, url)| Registry::new(name, *url)).collect();
        Ok(Self { named, urls: urls.iter().map(|url| (*url).to_owned()).collect() })
    }

    /// The registry that documents call `name`.
    pub(super) fn named(&self, name: &str) -> Option<&Registry> {
        self.named.iter().find(|registry| registry.name() == name)
    }

    /// Whether pins and files may be about `registry`. Where no document names a registry, its URL counts.
    pub(super) fn speaks_of(&self, registry: &Registry) -> bool {
        match &*self.named {
            [] => self.urls.iter().any(|url| url == registry.origin()),
            named => named.contains(registry),
        }
    }
}

/// The `origin` of a bundle about `registries`.
pub(super) fn origin(registries: &BTreeSet<Registry>) -> String {
    registries.iter().map(Registry::origin).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_urls_are_paired_in_the_order_of_the_names() {
        let registries =
            BTreeSet::from([Registry::new("b", "https://one"), Registry::new("a", "https://two")]);
        assert_eq!(origin(&registries), "https://two https://one");
        let names = || BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let read = BundledRegistries::pair(names(), &["https://two", "https://one"]).unwrap();
        assert_eq!(read.named("b"), Some(&Registry::new("b", "https://one")));
        assert_eq!(read.named("c"), None);
        assert!(BundledRegistries::pair(names(), &["https://two"]).is_err());
        assert!(read.speaks_of(&Registry::new("a", "https://two")));
        assert!(!read.speaks_of(&Registry::new("b", "https://two")));
        let nameless = BundledRegistries::pair(BTreeSet::new(), &["https://two"]).unwrap();
        assert!(nameless.speaks_of(&Registry::new("b", "https://two")));
    }
}
