//! The pages of the admin port for people.
//!
//! ```text
//! overview   attention first, then what was looked up, upstreams, storage, clients, mirrors
//! release    the life of a release as a line, and what `explain` says of it
//! search     what is in the store under a name
//! ```
//! A page is made on the server and needs no script. `frame` has what all of them share, `picture` draws, `words` says
//! numbers and times. Owns what pages show. Must not change anything.

use http::StatusCode;

use super::Admin;
use super::route::AdminPage;
use super::token::AdminCaller;
use crate::domain::{Version, VolumeName};
use frame::Visit;

mod attention;
mod clients;
#[cfg(test)]
mod contrast;
mod frame;
mod life;
mod lookups;
mod mirrors;
mod overview;
mod picture;
mod release;
mod search;
mod storage;
mod upstreams;
mod words;

pub(super) use frame::{login, refused};
pub(crate) use words::minute;

/// The sheet of all pages.
pub(super) const STYLE: &str = include_str!("style.css");
/// What a browser shows beside the title.
pub(super) const ICON: &str = include_str!("icon.svg");

impl Admin {
    /// A page, and the status that it comes with.
    pub(super) async fn page(
        &self,
        page: &AdminPage,
        caller: &AdminCaller,
        query: &str,
    ) -> (StatusCode, String) {
        let visit = Visit::new(caller, query, |number| self.notices.get(number));
        match page {
            AdminPage::Overview => (StatusCode::OK, self.overview(&visit).await),
            AdminPage::Search => (StatusCode::OK, self.found(&visit).await),
            AdminPage::Release(release) => self.release(&visit, release).await,
            AdminPage::NoRelease => {
                let why = "The address names no release. It ends with a name and a version, such as /release/@acme/lamp/1.0.0.";
                (StatusCode::NOT_FOUND, frame::message(&visit, "No such page", why))
            }
        }
    }
}

/// Where the page of a release is. Names and versions need no escapes in a path.
pub(super) fn release_path(name: &VolumeName, version: &Version) -> String {
    format!("/release/{name}/{version}")
}
