//! Removal of members of an object or elements of a list with their commas, so that the rest stays as it was written.
//!
//! Owns which bytes are removed. Must not know why.

use std::ops::Range;

use crate::domain::members::Members;

/// The bytes to remove so that the parts for which `goes` is true vanish. `parts` are all parts of one list or
/// object, in order.
pub(super) fn without(parts: &[Range<usize>], goes: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let (mut cuts, mut some_stay) = (Vec::new(), false);
    for (at, part) in parts.iter().enumerate() {
        if !goes(at) {
            some_stay = true;
            continue;
        }
        // The comma before a part is removed with it; if no part before it stays, the comma after it.
        cuts.push(match (at.checked_sub(1), parts.get(at + 1)) {
            (Some(before), _) if some_stay => parts[before].end..part.end,
            (_, Some(next)) => part.start..next.start,
            (_, None) => part.clone(),
        });
    }
    cuts
}

/// The bytes of `text`, an object, to remove so that its member `name` vanishes.
pub(super) fn without_member(text: &str, name: &str) -> Vec<Range<usize>> {
    let Some(members) = Members::of(text) else { return Vec::new() };
    let parts: Vec<_> = members.iter().map(|member| member.span(text)).collect();
    let goes: Vec<_> = members.iter().map(|member| member.name == name).collect();
    without(&parts, |at| goes[at])
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::domain::members::span;

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
