//! Several ranked lists interleaved into one, in turns.
//!
//! ```text
//!  first registry    a0 a1 a2 a3        merged list:  a0 b0 c0 | a1 b1 | a2 b2 | a3
//!  second registry   b0 b1 b2           offset:        0  1  2    3  4    5  6    7
//!  third registry    c0
//! ```
//! The lists take turns in the order of the configuration. A list that has ended takes no further turn. The item at an
//! offset follows from the lengths of the lists alone, so any page is found by arithmetic, and each item is on one page. Owns
//! that order. Must not know the items.

/// The origin of an item of the merged list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListPosition {
    pub(crate) list: usize,
    /// The item's position in that list.
    pub(crate) at: u64,
}

/// How many items of each list are among the first `offset` items of the merged list.
pub(crate) fn counts_before(lengths: &[u64], offset: u64) -> Vec<u64> {
    let within =
        |rounds: u64| lengths.iter().fold(0_u64, |sum, length| sum.saturating_add(*length.min(&rounds)));
    // The most rounds that are complete within `offset` items; `end` rounds are too many.
    let (mut rounds, mut end) = (0, lengths.iter().max().map_or(1, |longest| longest.saturating_add(1)));
    while end - rounds > 1 {
        let middle = rounds + (end - rounds) / 2;
        if within(middle) <= offset { rounds = middle } else { end = middle }
    }
    let mut left = offset.saturating_sub(within(rounds));
    let count = |length: &u64| {
        let next = u64::from(left > 0 && *length > rounds);
        left -= next;
        length.min(&rounds) + next
    };
    lengths.iter().map(count).collect()
}

/// The `limit` items from `offset` on, or fewer if the lists end.
pub(crate) fn page(lengths: &[u64], offset: u64, limit: usize) -> Vec<ListPosition> {
    let mut counts = counts_before(lengths, offset);
    let mut positions = Vec::with_capacity(limit);
    while positions.len() < limit {
        let unfinished = (0..lengths.len()).filter(|list| counts[*list] < lengths[*list]);
        let Some(list) = unfinished.min_by_key(|list| counts[*list]) else { break };
        positions.push(ListPosition { list, at: counts[list] });
        counts[list] += 1;
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drawn(has: &[u64], offset: u64, limit: usize) -> String {
        let draw = |place: ListPosition| format!("{}{} ", ["a", "b", "c"][place.list], place.at);
        page(has, offset, limit).into_iter().map(draw).collect::<String>().trim_end().to_owned()
    }

    #[test]
    fn pages_are_as_the_header_draws_them() {
        assert_eq!(drawn(&[4, 3, 1], 0, 100), "a0 b0 c0 a1 b1 a2 b2 a3");
        assert_eq!(drawn(&[4, 3, 1], 2, 3), "c0 a1 b1");
        assert_eq!(drawn(&[0, 2], 0, 100), "b0 b1");
        assert_eq!(drawn(&[0, 0], 0, 100), "");
        assert_eq!(drawn(&[], 5, 100), "");
        assert_eq!(drawn(&[4, 3, 1], 8, 100), "");
        assert_eq!(drawn(&[4, 3, 1], u64::MAX, 100), "");
    }

    #[test]
    fn the_last_page_of_long_lists() {
        let has = [u64::from(u32::MAX), 7, u64::from(u32::MAX)];
        let total: u64 = has.iter().sum();
        assert_eq!(drawn(&has, total - 2, 100), "a4294967294 c4294967294");
        assert_eq!(counts_before(&has, total), has);
        assert_eq!(counts_before(&[u64::MAX, u64::MAX], 3), [2, 1]);
    }

    proptest! {
        #[test]
        fn pages_of_any_size_show_each_item_once_and_in_one_order(
            has in prop::collection::vec(0..40_u64, 0..5),
            limit in 1..100_usize,
        ) {
            let total: u64 = has.iter().sum();
            let pages: Vec<ListPosition> =
                (0..=total).step_by(limit).flat_map(|offset| page(&has, offset, limit)).collect();
            prop_assert_eq!(&pages, &page(&has, 0, 1000), "pages are slices of one list");
            for (list, has) in has.iter().enumerate() {
                let items: Vec<u64> =
                    pages.iter().filter(|place| place.list == list).map(|place| place.at).collect();
                prop_assert_eq!(items, (0..*has).collect::<Vec<_>>());
            }
        }

        #[test]
        fn counts_before_an_offset_are_the_items_of_earlier_pages(
            has in prop::collection::vec(0..30_u64, 1..5),
            places in 0..200_u64,
        ) {
            let shown = page(&has, 0, places as usize);
            let counted: Vec<u64> = (0..has.len())
                .map(|list| shown.iter().filter(|place| place.list == list).count() as u64)
                .collect();
            prop_assert_eq!(counts_before(&has, places), counted);
        }

        #[test]
        fn a_page_has_adjacent_items_of_each_list(
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
