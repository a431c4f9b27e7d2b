//! The parts of an answer that may go into an answer of several registries; parsed once, when the answer comes.
//!
//! Owns which answers have such parts. Must not know what is composed of them (`several`).

use crate::domain::several::{Item, RegistryList, read_advisories, read_search, subject};
use crate::domain::{DocumentKey, VolumeName};

#[derive(Debug)]
pub(super) enum Listing {
    /// A list, if it can be parsed.
    Items(Option<RegistryList>),
    /// The volume that an advisory is about, as for [`Item::subject`](crate::domain::several::Item::subject).
    Subject(Option<Option<VolumeName>>),
    None,
}

impl Listing {
    pub(super) fn of(key: &DocumentKey, body: &[u8]) -> Self {
        let text = || str::from_utf8(body).unwrap_or_default();
        match key {
            DocumentKey::AtRegistry(at_registry) => match at_registry.question() {
                DocumentKey::Search(_) => Self::Items(read_search(text()).ok()),
                DocumentKey::Advisories(_) => Self::Items(read_advisories(text()).ok()),
                DocumentKey::Advisory(_) => Self::Subject(subject(text())),
                _ => Self::None,
            },
            DocumentKey::Advisories(query) if query.volume.is_some() => {
                Self::Items(read_advisories(text()).ok())
            }
            _ => Self::None,
        }
    }

    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Items(listed) => listed.as_ref().map_or(0, |listed| listed.items.len() * size_of::<Item>()),
            Self::Subject(_) | Self::None => 0,
        }
    }
}
