//! What stands on a registry's list, and which volume each item is about.
//!
//! An item is judged by the volume that it names. One that names it twice, or under a name that differs by case alone,
//! would be read differently by different readers: it is about nothing that can be told. Owns that reading, and where
//! each item's bytes are. Must not know where a volume is routed.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::members::Members;
use crate::domain::check::Malformed;
use crate::domain::{AdvisoryId, VolumeName};

/// A registry's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// How many items the whole list has, of which this may be a page, where the registry says so.
    pub total: Option<u64>,
    /// The items, in the registry's order.
    pub items: Vec<Item>,
}

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it stands in the body.
    pub span: Range<usize>,
    /// The volume it is about: `None` where that cannot be told, and `Some(None)` where it is about none in particular.
    pub about: Option<Option<VolumeName>>,
    /// The registry's name for an advisory.
    pub id: Option<AdvisoryId>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    #[serde(default)]
    total: Option<u64>,
}

/// Reads a page of search results.
///
/// # Errors
/// [`Malformed`] when it is none.
pub fn found(body: &str) -> Result<Listed, Malformed> {
    read(body, |item| {
        let about = Members::of(item.get()).and_then(|members| members.text("name")?.parse().ok());
        (about.map(Some), None)
    })
}

/// Reads a list of advisories.
///
/// # Errors
/// [`Malformed`] when it is none.
pub fn advised(body: &str) -> Result<Listed, Malformed> {
    read(body, |item| (about(item.get()), id(item.get())))
}

fn read(
    body: &str,
    of: impl Fn(&RawValue) -> (Option<Option<VolumeName>>, Option<AdvisoryId>),
) -> Result<Listed, Malformed> {
    let page: Page<'_> = serde_json::from_str(body).map_err(|error| Malformed(error.to_string()))?;
    let start = body.as_ptr() as usize;
    let item = |item: &RawValue| {
        let at = (item.get().as_ptr() as usize).wrapping_sub(start);
        let (about, id) = of(item);
        Item { span: at..at.wrapping_add(item.get().len()), about, id }
    };
    Ok(Listed { total: page.total, items: page.items.into_iter().map(item).collect() })
}

/// The volume that an advisory is about, as for [`Item::about`].
#[must_use]
pub fn about(advisory: &str) -> Option<Option<VolumeName>> {
    match Members::of(advisory)?.get("affected").ok()? {
        Some(affected) => Members::of(affected.get())?.text("volume")?.parse().ok().map(Some),
        None => Some(None),
    }
}

fn id(advisory: &str) -> Option<AdvisoryId> {
    let id = Members::of(advisory)?.get("id").ok()??;
    Members::of(id.get())?.text("local")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abouts(listed: &Listed) -> Vec<Option<String>> {
        let name = |item: &Item| {
            item.about.as_ref().map(|about| about.as_ref().map_or("*", VolumeName::as_str).to_owned())
        };
        listed.items.iter().map(name).collect()
    }

    #[test]
    fn results_are_about_the_volume_they_name() {
        let body = r#"{"total":9, "items":[ {"name":"@acme/x","z":1.0} ,{"name":"Bad"},{},7,{"name":"a","name":"b"},
            {"name":"a","Name":"b"},{"name":7}],"limit":20}"#;
        let listed = found(body).unwrap();
        assert_eq!(listed.total, Some(9));
        assert_eq!(abouts(&listed)[0].as_deref(), Some("@acme/x"));
        assert!(listed.items[1..].iter().all(|item| item.about.is_none()), "{listed:?}");
        assert_eq!(&body[listed.items[0].span.clone()], r#"{"name":"@acme/x","z":1.0}"#);
        for bad in ["", "[]", "{}", r#"{"items":{}}"#, r#"{"items":[],"total":-1}"#] {
            assert!(found(bad).is_err(), "{bad}");
        }
        assert_eq!(found(r#"{"items":[]}"#).unwrap().total, None);
    }

    #[test]
    fn advisories_are_about_a_volume_or_none_in_particular() {
        let body = r#"{"items":[{"id":{"local":"A-1"},"affected":{"volume":"x"}},{"id":{"local":"A-2"}},
            {"affected":{"volume":"X"}},{"affected":{}},{"affected":[]},{"id":7,"affected":{"volume":"x","VOLUME":"y"}}]}"#;
        let listed = advised(body).unwrap();
        let expected = [Some("x"), Some("*"), None, None, None, None].map(|name| name.map(str::to_owned));
        assert_eq!(abouts(&listed), expected);
        let ids: Vec<_> =
            listed.items.iter().filter_map(|item| item.id.as_ref()).map(ToString::to_string).collect();
        assert_eq!(ids, ["A-1", "A-2"]);
        assert_eq!(about(r#"{"affected":{"volume":"x"}}"#), Some(Some("x".parse().unwrap())));
        assert_eq!(about("[]"), None);
    }
}
