//! The items of a registry's list, and the subject of each: the volume that the item is about.
//!
//! The subject is the volume that the item names. If the item has two members for the name, or two that differ by case
//! alone, readers would disagree, and the subject is unknown. Owns that reading, and the place of each item's bytes. Must
//! not know where a volume is routed.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::check::Malformed;
use crate::domain::members::Members;
use crate::domain::{AdvisoryId, VolumeName};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegistryList {
    /// The number of items of the whole list, if the registry states it. This may be one page of the list.
    pub(crate) total: Option<u64>,
    /// In the registry's order.
    pub(crate) items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// The item's place in the body.
    pub(crate) span: Range<usize>,
    /// The volume that the item is about: `None` if that is unknown, `Some(None)` if it is about no particular volume.
    pub(crate) subject: Option<Option<VolumeName>>,
    /// The registry's identifier of an advisory.
    pub(crate) id: Option<AdvisoryId>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    #[serde(default)]
    total: Option<u64>,
}

/// Reads a page of search results.
pub(crate) fn read_search(body: &str) -> Result<RegistryList, Malformed> {
    read(body, |item| {
        let subject = Members::of(item.get()).and_then(|members| members.text("name")?.parse().ok());
        (subject.map(Some), None)
    })
}

/// Reads a list of advisories.
pub(crate) fn read_advisories(body: &str) -> Result<RegistryList, Malformed> {
    read(body, |item| (subject(item.get()), id(item.get())))
}

fn read(
    body: &str,
    of: impl Fn(&RawValue) -> (Option<Option<VolumeName>>, Option<AdvisoryId>),
) -> Result<RegistryList, Malformed> {
    let page: Page<'_> = serde_json::from_str(body).map_err(|error| Malformed(error.to_string()))?;
    let start = body.as_ptr() as usize;
    let item = |item: &RawValue| {
        let at = (item.get().as_ptr() as usize).wrapping_sub(start);
        let (subject, id) = of(item);
        Item { span: at..at.wrapping_add(item.get().len()), subject, id }
    };
    Ok(RegistryList { total: page.total, items: page.items.into_iter().map(item).collect() })
}

/// The volume that an advisory is about, as for [`Item::subject`].
pub(crate) fn subject(advisory: &str) -> Option<Option<VolumeName>> {
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

    fn subjects(listed: &RegistryList) -> Vec<Option<String>> {
        let name = |item: &Item| {
            item.subject.as_ref().map(|subject| subject.as_ref().map_or("*", VolumeName::as_str).to_owned())
        };
        listed.items.iter().map(name).collect()
    }

    #[test]
    fn the_subject_of_a_search_result_is_the_volume_it_names() {
        let body = r#"{"total":9, "items":[ {"name":"@acme/x","z":1.0} ,{"name":"Bad"},{},7,{"name":"a","name":"b"},
            {"name":"a","Name":"b"},{"name":7}],"limit":20}"#;
        let listed = read_search(body).unwrap();
        assert_eq!(listed.total, Some(9));
        assert_eq!(subjects(&listed)[0].as_deref(), Some("@acme/x"));
        assert!(listed.items[1..].iter().all(|item| item.subject.is_none()), "{listed:?}");
        assert_eq!(&body[listed.items[0].span.clone()], r#"{"name":"@acme/x","z":1.0}"#);
        for bad in ["", "[]", "{}", r#"{"items":{}}"#, r#"{"items":[],"total":-1}"#] {
            assert!(read_search(bad).is_err(), "{bad}");
        }
        assert_eq!(read_search(r#"{"items":[]}"#).unwrap().total, None);
    }

    #[test]
    fn the_subject_of_an_advisory_is_a_volume_or_none() {
        let body = r#"{"items":[{"id":{"local":"A-1"},"affected":{"volume":"x"}},{"id":{"local":"A-2"}},
            {"affected":{"volume":"X"}},{"affected":{}},{"affected":[]},{"id":7,"affected":{"volume":"x","VOLUME":"y"}}]}"#;
        let listed = read_advisories(body).unwrap();
        let expected = [Some("x"), Some("*"), None, None, None, None].map(|name| name.map(str::to_owned));
        assert_eq!(subjects(&listed), expected);
        let ids: Vec<_> =
            listed.items.iter().filter_map(|item| item.id.as_ref()).map(ToString::to_string).collect();
        assert_eq!(ids, ["A-1", "A-2"]);
        assert_eq!(subject(r#"{"affected":{"volume":"x"}}"#), Some(Some("x".parse().unwrap())));
        assert_eq!(subject("[]"), None);
    }
}
