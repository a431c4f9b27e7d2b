//! Leaving out members of an object or elements of a list, with their commas, so that the rest stays as it was written.
//!
//! Owns which bytes go. Must not know why.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Where `value`, borrowed from `text`, stands in it.
pub(super) fn span(text: &str, value: &RawValue) -> Range<usize> {
    let start = (value.get().as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    start..start.wrapping_add(value.get().len())
}

/// The bytes to leave out so that the parts for which `goes` says so vanish. `parts` are all that one list or object
/// has, in order.
pub(super) fn without(parts: &[Range<usize>], goes: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let (mut cuts, mut some_stay) = (Vec::new(), false);
    for (at, part) in parts.iter().enumerate() {
        if !goes(at) {
            some_stay = true;
            continue;
        }
        // The comma before it goes too; where nothing stays before it, the one after it.
        cuts.push(match (at.checked_sub(1), parts.get(at + 1)) {
            (Some(before), _) if some_stay => parts[before].end..part.end,
            (_, Some(next)) => part.start..next.start,
            (_, None) => part.clone(),
        });
    }
    cuts
}

/// The bytes of `text`, an object, to leave out so that its member `name` vanishes.
pub(super) fn without_member(text: &str, name: &str) -> Vec<Range<usize>> {
    let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(text) else { return Vec::new() };
    let parts: Vec<_> =
        members.iter().map(|(name, value)| span(text, name).start..span(text, value).end).collect();
    without(&parts, |at| resolved(members[at].0).is_some_and(|written| written == name))
}

/// The members of `text` with their names, all of them; `None` where it is no object.
pub(super) fn members(text: &str) -> Option<Vec<(String, &RawValue)>> {
    let Members(members) = serde_json::from_str(text).ok()?;
    members.into_iter().map(|(name, value)| Some((resolved(name)?, value))).collect()
}

/// A name, its escapes resolved.
fn resolved(name: &RawValue) -> Option<String> {
    serde_json::from_str(name.get()).ok()
}

/// The members of an object as they are written.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Members<'de>, A::Error> {
                let mut written = Vec::new();
                while let Some(member) = members.next_entry()? {
                    written.push(member);
                }
                Ok(Members(written))
            }
        }
        deserializer.deserialize_map(Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, cuts: &[Range<usize>]) -> String {
        let mut kept = text.to_owned();
        for cut in cuts.iter().rev() {
            kept.replace_range(cut.clone(), "");
        }
        kept
    }

    #[test]
    fn a_member_goes_with_its_comma_and_nothing_else_changes() {
        for (text, kept) in [
            (r#"{ "dist" : {"a":[1,2]} }"#, r#"{  }"#),
            (r#"{ "dist":{}, "z":1.10 }"#, r#"{ "z":1.10 }"#),
            (r#"{"z":1.10 , "dist":null}"#, r#"{"z":1.10}"#),
            (
                "{\"a\":\"dist\",\n \"d\\u0069st\":7,\n \"z\":{\"dist\":1}}",
                "{\"a\":\"dist\",\n \"z\":{\"dist\":1}}",
            ),
            (r#"{"a":1}"#, r#"{"a":1}"#),
        ] {
            assert_eq!(cut(text, &without_member(text, "dist")), kept);
        }
    }

    #[test]
    fn whatever_elements_go_the_list_stays_one() {
        let text = "[ 10,  11 ,12,\n13 ]";
        let items: Vec<&RawValue> = serde_json::from_str(text).unwrap();
        let parts: Vec<_> = items.iter().map(|item| span(text, item)).collect();
        for going in 0..16_usize {
            let goes = |at: usize| going >> at & 1 == 1;
            let kept = cut(text, &without(&parts, goes));
            let expected: Vec<usize> = (0..4).filter(|at| !goes(*at)).map(|at| 10 + at).collect();
            assert_eq!(serde_json::from_str::<Vec<usize>>(&kept).unwrap(), expected, "{kept}");
            assert!(kept.starts_with("[ ") && kept.ends_with(" ]"), "{kept}");
        }
    }
}
