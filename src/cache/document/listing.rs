//! What an answer says that may become part of one of several registries: read once, when it comes.
//!
//! Owns which answers these are. Must not know what is made of them (`several`).

use crate::domain::several::{Item, Listed, about, advised, found};
use crate::domain::{DocumentKey, VolumeName};

/// What an answer says that may become part of one of several registries.
#[derive(Debug)]
pub(super) enum Listing {
    /// A list, where it can be read as one.
    Items(Option<Listed>),
    /// Which volume an advisory is about, as for [`Item::about`](crate::domain::several::Item::about).
    About(Option<Option<VolumeName>>),
    /// Nothing.
    None,
}

impl Listing {
    /// What `body`, which was read as the answer to `key`, says.
    pub(super) fn of(key: &DocumentKey, body: &[u8]) -> Self {
        let text = || str::from_utf8(body).unwrap_or_default();
        match key {
            DocumentKey::To(posed) => match posed.question() {
                DocumentKey::Search(_) => Self::Items(found(text()).ok()),
                DocumentKey::Advisories(_) => Self::Items(advised(text()).ok()),
                DocumentKey::Advisory(_) => Self::About(about(text())),
                _ => Self::None,
            },
            DocumentKey::Advisories(query) if query.volume.is_some() => Self::Items(advised(text()).ok()),
            _ => Self::None,
        }
    }

    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Items(listed) => listed.as_ref().map_or(0, |listed| listed.items.len() * size_of::<Item>()),
            Self::About(_) | Self::None => 0,
        }
    }
}
