//! The list that a client gets: items of several registries' lists, each with its own bytes and links.
//!
//! The object around the items is new: `items`, and for search `total`, `limit` and `offset`. Owns that form. Must not
//! know why an item was selected.

use std::ops::Range;

use crate::domain::SearchQuery;
use crate::domain::link::{Template, TemplatePiece};

/// A selected item.
#[derive(Debug, Clone)]
pub(crate) struct SelectedItem<'a> {
    /// The document that has the item.
    pub(crate) from: &'a Template,
    /// The item's place in that document.
    pub(crate) span: Range<usize>,
}

/// A page of search results, out of `total`.
pub(crate) fn search_document(items: Vec<SelectedItem<'_>>, total: u64, query: &SearchQuery) -> Template {
    let (limit, offset) = (query.limit(), query.offset());
    joined(items, format!(r#"],"total":{total},"limit":{limit},"offset":{offset}}}"#))
}

/// A list of advisories.
pub(crate) fn advisory_document(items: Vec<SelectedItem<'_>>) -> Template {
    joined(items, "]}".to_owned())
}

fn joined(items: Vec<SelectedItem<'_>>, end: String) -> Template {
    let mut pieces = vec![TemplatePiece::Text(r#"{"items":["#.into())];
    // An item that its own document leaves out is left out here.
    let items = items.into_iter().filter(|item| item.from.keeps(&item.span));
    for (number, SelectedItem { from, span }) in items.enumerate() {
        if number > 0 {
            pieces.push(TemplatePiece::Text(",".into()));
        }
        pieces.push(TemplatePiece::Of(from, span));
    }
    pieces.push(TemplatePiece::Text(end.into()));
    Template::joined(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DocumentKey;
    use crate::domain::check::check;
    use crate::domain::several::read_search;

    #[test]
    fn items_keep_their_bytes_and_their_own_links() {
        let query = SearchQuery::parse("limit=5&offset=10").unwrap();
        let read = |origin: &str, body: String| {
            let body = body.into();
            check(&DocumentKey::Search(query.clone()), &body, origin).unwrap().template
        };
        let one = read("https://one", r#"{"items":[{"name":"a","latestVersion":"1.0.0","n":1.10},{"name":"No"},{"name":"b","latestVersion":"1.0.0","release":{"url":"https://one/api/v1/volumes/b/1.0.0"}}]}"#.into());
        let two = read("https://two", r#"{ "items" : [ { "name":"c","latestVersion":"1.0.0", "release":{"url":"https://two/api/v1/volumes/c/1.0.0" } ,"e":1e400} ] }"#.into());
        let span = |template: &Template, item: usize| {
            read_search(std::str::from_utf8(template.original()).unwrap()).unwrap().items[item].span.clone()
        };
        let selected = |from, item| SelectedItem { from, span: span(from, item) };
        let page = search_document(
            vec![selected(&two, 0), selected(&one, 2), selected(&one, 1), selected(&one, 0)],
            13,
            &query,
        );
        let expected = concat!(
            r#"{"items":[{ "name":"c","latestVersion":"1.0.0", "release":{"url":"http://me/api/v1/volumes/c/1.0.0" } ,"e":1e400},"#,
            r#"{"name":"b","latestVersion":"1.0.0","release":{"url":"http://me/api/v1/volumes/b/1.0.0"}},"#,
            r#"{"name":"a","latestVersion":"1.0.0","n":1.10}],"#,
            r#""total":13,"limit":5,"offset":10}"#
        );
        assert_eq!(page.render("http://me"), expected);
        let alone = read("https://one", r#"{"items":[{"name":"No"}]}"#.into());
        assert_eq!(
            advisory_document(vec![selected(&alone, 0)]).render(""),
            r#"{"items":[]}"#,
            "its own document leaves it out too"
        );
        assert_eq!(advisory_document(Vec::new()).render(""), r#"{"items":[]}"#);
    }
}
