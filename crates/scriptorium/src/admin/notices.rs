//! What the last forms came to, for the page that is shown next.
//!
//! A form is answered with a page that the browser loads anew, and that page names a notice by its number: no text comes
//! back from the browser. Owns how many notices are kept. Must not know what they say.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Beyond that the oldest is forgotten.
const MOST: usize = 32;
/// Most bytes of one.
const LONGEST: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Notices(Mutex<NoticeList>);

#[derive(Debug, Default)]
struct NoticeList {
    /// The number of the first.
    first: u64,
    texts: VecDeque<String>,
}

impl Notices {
    /// Keeps `text` and answers with its number.
    pub(super) fn add(&self, mut text: String) -> u64 {
        text.truncate(text.floor_char_boundary(LONGEST));
        let mut list = self.0.lock();
        if list.texts.len() == MOST {
            list.texts.pop_front();
            list.first += 1;
        }
        list.texts.push_back(text);
        list.first + list.texts.len() as u64 - 1
    }

    pub(super) fn get(&self, number: u64) -> Option<String> {
        let list = self.0.lock();
        let place = usize::try_from(number.checked_sub(list.first)?).ok()?;
        list.texts.get(place).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_notices_are_kept_under_their_numbers() {
        let notices = Notices::default();
        let numbers: Vec<u64> = (0..100).map(|text| notices.add(format!("notice {text}"))).collect();
        assert_eq!(notices.get(numbers[99]).as_deref(), Some("notice 99"));
        assert_eq!(notices.get(numbers[68]).as_deref(), Some("notice 68"));
        assert_eq!((notices.get(numbers[67]), notices.get(100)), (None, None));
        let long = notices.add("ä".repeat(LONGEST));
        assert_eq!(notices.get(long).unwrap().len(), LONGEST);
    }
}
