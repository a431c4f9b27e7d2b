//! Bounds on the content of a document, which are checked before any of it is collected.
//!
//! | what | at most |
//! |---|---|
//! | lists and objects within each other | 128 |
//! | members of one object | 10,000 |
//! | rows, items, attachments | 100,000 |
//! | values in all | 4,000,000 |
//!
//! A list of zeros has sixteen million elements in 32 MiB, and each takes many times its two bytes once it is
//! collected. Owns these bounds. Must not know what anything in a document means.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::Malformed;

const NESTING: usize = 128;
const MEMBERS: usize = 10_000;
const ITEMS: usize = 100_000;
const VALUES: usize = 4_000_000;

/// A list or an object that has begun.
#[derive(Clone, Copy)]
struct Open {
    is_object: bool,
    members: usize,
}

/// Counts the content of `text`, whether or not it is JSON.
pub(super) fn measure(text: &str) -> Result<(), Malformed> {
    let bytes = text.as_bytes();
    let mut open = [Open { is_object: false, members: 0 }; NESTING];
    let (mut depth, mut values, mut at) = (0, 1, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_text(bytes, at + 1),
            b'[' | b'{' => {
                let slot =
                    open.get_mut(depth).ok_or_else(|| more_than(NESTING, "levels within each other"))?;
                *slot = Open { is_object: *byte == b'{', members: 1 };
                (depth, values) = (depth + 1, values + 1);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => {
                values += 1;
                if let Some(open) = depth.checked_sub(1).and_then(|innermost| open.get_mut(innermost)) {
                    open.members += 1;
                    if open.is_object && open.members > MEMBERS {
                        return Err(more_than(MEMBERS, "members of one object"));
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    if values > VALUES { Err(more_than(VALUES, "values")) } else { Ok(()) }
}

/// Where the string that begins at `at` ends.
fn end_of_text(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) =
        bytes.get(at..).and_then(|rest| rest.iter().position(|byte| matches!(byte, b'"' | b'\\')))
    {
        at += found;
        if bytes[at] == b'"' {
            return at;
        }
        at += 2;
    }
    bytes.len()
}

fn more_than(most: usize, what: &str) -> Malformed {
    Malformed(format!("more than {most} {what}"))
}

/// Reads a list of a bounded number of items, for `deserialize_with`, and stops at the first item too many.
pub(super) fn few<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Few<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = list.next_element()? {
                if items.len() == ITEMS {
                    return Err(A::Error::custom(more_than(ITEMS, "items").0));
                }
                items.push(item);
            }
            Ok(items)
        }
    }

    deserializer.deserialize_seq(Few(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(of: &str, count: usize) -> String {
        format!("[{}]", vec![of; count].join(","))
    }

    fn object(members: usize) -> String {
        let members: Vec<_> = (0..members).map(|at| format!("\"m{at}\":0")).collect();
        format!("{{{}}}", members.join(","))
    }

    #[test]
    fn what_is_within_the_bounds_passes_and_one_more_does_not() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for (within, beyond, why) in [
            (nested(NESTING), nested(NESTING + 1), "more than 128 levels within each other"),
            (object(MEMBERS), object(MEMBERS + 1), "more than 10000 members of one object"),
            (list("0", VALUES - 2), list("0", VALUES), "more than 4000000 values"),
        ] {
            assert_eq!(measure(&within), Ok(()));
            assert_eq!(measure(&beyond), Err(Malformed(why.to_owned())));
        }
    }

    #[test]
    fn what_stands_in_a_text_is_not_counted() {
        let text = |inner: &str| serde_json::json!({ "a": inner, "b": inner }).to_string();
        for inner in ["[[[{{{", "\\", "\"", "\\\"[", ",,,"] {
            assert_eq!(measure(&text(&inner.repeat(MEMBERS * 2))), Ok(()), "{inner}");
        }
        assert_eq!(measure("\"never ends \\"), Ok(()));
        assert_eq!(measure("]]}}[1,2"), Ok(()), "that it is no JSON is found elsewhere");
    }

    #[test]
    fn a_list_is_given_up_where_it_is_too_long() {
        let read = |count| few::<_, u8>(&mut serde_json::Deserializer::from_str(&list("0", count)));
        assert_eq!(read(ITEMS).unwrap().len(), ITEMS);
        assert!(read(ITEMS + 1).unwrap_err().to_string().starts_with("more than 100000 items"));
    }
}
