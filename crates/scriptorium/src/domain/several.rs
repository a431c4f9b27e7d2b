//! One answer composed of several registries' answers to a question about no volume.
//!
//! Owns the content of such an answer, as pure functions of the registries' answers: the order of items (`turns`), the
//! items of a registry's list and their subjects (`listed`), the list that a client gets (`joined`), and the merged
//! capabilities (`capabilities`). Must not know which registries are asked, nor where a volume is routed.

mod capabilities;
mod joined;
mod listed;
mod turns;

pub(crate) use capabilities::merge_capabilities;
pub(crate) use joined::{SelectedItem, advisory_document, search_document};
pub(crate) use listed::{Item, RegistryList, read_advisories, read_search, subject};
pub(crate) use turns::{ListPosition, page};
