//! Following the pages of a registry's list of advisories.
//!
//! A page is asked for by the number of advisories before it. The list ends where that number reaches `total`, or with a page that
//! brings nothing new: a registry may state any `total`, or ignore which page is asked for. Owns that rule and its bounds. Must
//! not know how a page is asked for.

use std::collections::HashSet;

use super::several::RegistryList;
use super::{AdvisoryId, AdvisoryQuery};

/// Pages of one list that are followed.
pub(crate) const MOST_ADVISORY_PAGES: usize = 1_000;
/// Advisories of one list that are followed.
const MOST_ADVISORIES: usize = 1_000_000;

/// A list of advisories that is being read.
#[derive(Debug, Default)]
pub(crate) struct AdvisoryPages {
    read: usize,
    /// Advisories that came, repeated ones included.
    items: usize,
    seen: HashSet<AdvisoryId>,
}

impl AdvisoryPages {
    /// The question for the next page; none once too much was read.
    pub(crate) fn question(&self) -> Option<AdvisoryQuery> {
        if self.read >= MOST_ADVISORY_PAGES || self.items >= MOST_ADVISORIES {
            return None;
        }
        if self.items == 0 {
            return Some(AdvisoryQuery::default());
        }
        AdvisoryQuery::parse(&format!("offset={}", self.items)).ok()
    }

    /// Takes note of a page, and says whether another one follows.
    pub(crate) fn is_followed(&mut self, page: Option<&RegistryList>) -> bool {
        let Some(page) = page else { return false };
        let known = self.seen.len();
        self.seen.extend(page.items.iter().filter_map(|item| item.id.clone()));
        (self.read, self.items) = (self.read + 1, self.items + page.items.len());
        // One whose identifier cannot be read may be new.
        let is_news = self.seen.len() > known || page.items.iter().any(|item| item.id.is_none());
        is_news && page.total.is_some_and(|total| (self.items as u64) < total)
    }

    /// How many different advisories came.
    pub(crate) fn advisories(&self) -> usize {
        self.seen.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::several::Item;

    fn page(ids: std::ops::Range<usize>, total: Option<u64>) -> RegistryList {
        let item = |id| Item { span: 0..0, subject: None, id: format!("AV-{id}").parse().ok() };
        RegistryList { total, items: ids.map(item).collect() }
    }

    #[test]
    fn a_list_is_followed_as_far_as_pages_bring_something_new() {
        let mut pages = AdvisoryPages::default();
        assert_eq!(pages.question(), Some(AdvisoryQuery::default()));
        assert!(pages.is_followed(Some(&page(0..2, Some(3)))));
        assert_eq!(pages.question().unwrap().to_string(), "?offset=2");
        assert!(!pages.is_followed(Some(&page(2..3, Some(3)))));
        assert_eq!(pages.advisories(), 3);
        for last in [page(0..2, None), page(0..0, Some(9)), page(0..2, Some(2))] {
            assert!(!AdvisoryPages::default().is_followed(Some(&last)), "{last:?}");
        }
        assert!(!AdvisoryPages::default().is_followed(None), "a refusal");
    }

    #[test]
    fn a_page_that_comes_again_ends_the_list_whatever_total_says() {
        let (mut pages, endless) = (AdvisoryPages::default(), page(0..100, Some(u64::MAX)));
        assert!(pages.is_followed(Some(&endless)));
        assert!(!pages.is_followed(Some(&endless)));
        assert_eq!(pages.advisories(), 100);
    }

    #[test]
    fn a_list_without_an_end_is_not_followed_for_ever() {
        let mut pages = AdvisoryPages::default();
        let mut asked = 0;
        while pages.question().is_some() {
            assert!(pages.is_followed(Some(&page(asked..asked + 1, Some(u64::MAX)))));
            asked += 1;
        }
        assert_eq!(asked, MOST_ADVISORY_PAGES);
    }
}
