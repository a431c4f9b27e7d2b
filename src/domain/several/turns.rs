//! Whose turn it is: several ranked lists read as one.
//!
//! ```text
//!  first registry    a0 a1 a2 a3        one list:  a0 b0 c0 | a1 b1 | a2 b2 | a3
//!  second registry   b0 b1 b2           place:      0  1  2    3  4    5  6    7
//!  third registry    c0
//! ```
//! The lists take turns in the order of the configuration, and one that is at its end is left out. Which item stands at a
//! place follows from the lengths alone, so every page is found by arithmetic, however far down it begins, and each item
//! stands on one page. Owns that order. Must not know what is on the lists.

/// A place of the one list: the item `at` of one of the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which list.
    pub list: usize,
    /// The item's place there.
    pub at: u64,
}

/// How many items each list has among the first `places`, given how many each list `has`.
#[must_use]
pub fn taken(has: &[u64], places: u64) -> Vec<u64> {
    let within = |rounds: u64| has.iter().fold(0_u64, |sum, has| sum.saturating_add(*has.min(&rounds)));
    // The most rounds that are over by then: none too many, `end` is one.
    let (mut rounds, mut end) = (0, has.iter().max().map_or(1, |longest| longest.saturating_add(1)));
    while end - rounds > 1 {
        let middle = rounds + (end - rounds) / 2;
        if within(middle) <= places { rounds = middle } else { end = middle }
    }
    let mut left = places.saturating_sub(within(rounds));
    let share = |has: &u64| {
        let next = u64::from(left > 0 && *has > rounds);
        left -= next;
        has.min(&rounds) + next
    };
    has.iter().map(share).collect()
}

/// The `limit` places from `offset` on, fewer where the lists end.
#[must_use]
pub fn page(has: &[u64], offset: u64, limit: usize) -> Vec<Place> {
    let mut taken = taken(has, offset);
    let mut places = Vec::with_capacity(limit);
    while places.len() < limit {
        let waiting = (0..has.len()).filter(|list| taken[*list] < has[*list]);
        let Some(list) = waiting.min_by_key(|list| taken[*list]) else { break };
        places.push(Place { list, at: taken[list] });
        taken[list] += 1;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drawn(has: &[u64], offset: u64, limit: usize) -> String {
        let draw = |place: Place| format!("{}{} ", ["a", "b", "c"][place.list], place.at);
        page(has, offset, limit).into_iter().map(draw).collect::<String>().trim_end().to_owned()
    }

    #[test]
    fn the_picture_of_the_header() {
        assert_eq!(drawn(&[4, 3, 1], 0, 100), "a0 b0 c0 a1 b1 a2 b2 a3");
        assert_eq!(drawn(&[4, 3, 1], 2, 3), "c0 a1 b1");
        assert_eq!(drawn(&[0, 2], 0, 100), "b0 b1");
        assert_eq!(drawn(&[0, 0], 0, 100), "");
        assert_eq!(drawn(&[], 5, 100), "");
        assert_eq!(drawn(&[4, 3, 1], 8, 100), "");
        assert_eq!(drawn(&[4, 3, 1], u64::MAX, 100), "");
    }

    #[test]
    fn the_end_of_long_lists_is_found_at_once() {
        let has = [u64::from(u32::MAX), 7, u64::from(u32::MAX)];
        let total: u64 = has.iter().sum();
        assert_eq!(drawn(&has, total - 2, 100), "a4294967294 c4294967294");
        assert_eq!(taken(&has, total), has);
        assert_eq!(taken(&[u64::MAX, u64::MAX], 3), [2, 1]);
    }

    proptest! {
        #[test]
        fn pages_of_any_size_show_each_item_once_and_in_one_order(
            has in prop::collection::vec(0..40_u64, 0..5),
            limit in 1..100_usize,
        ) {
            let total: u64 = has.iter().sum();
            let pages: Vec<Place> =
                (0..=total).step_by(limit).flat_map(|offset| page(&has, offset, limit)).collect();
            prop_assert_eq!(&pages, &page(&has, 0, 1000), "pages are cut out of one list");
            for (list, has) in has.iter().enumerate() {
                let items: Vec<u64> =
                    pages.iter().filter(|place| place.list == list).map(|place| place.at).collect();
                prop_assert_eq!(items, (0..*has).collect::<Vec<_>>());
            }
        }

        #[test]
        fn what_was_taken_is_what_earlier_pages_showed(
            has in prop::collection::vec(0..30_u64, 1..5),
            places in 0..200_u64,
        ) {
            let shown = page(&has, 0, places as usize);
            let counted: Vec<u64> = (0..has.len())
                .map(|list| shown.iter().filter(|place| place.list == list).count() as u64)
                .collect();
            prop_assert_eq!(taken(&has, places), counted);
        }

        #[test]
        fn a_page_takes_from_each_list_what_lies_side_by_side(
            has in prop::collection::vec(0..u64::from(u32::MAX), 1..5),
            offset in 0..u64::from(u32::MAX),
            limit in 1..=100_usize,
        ) {
            let places = page(&has, offset, limit);
            for list in 0..has.len() {
                let at: Vec<u64> =
                    places.iter().filter(|place| place.list == list).map(|place| place.at).collect();
                prop_assert!(at.windows(2).all(|pair| pair[0] + 1 == pair[1]));
            }
        }
    }
}
