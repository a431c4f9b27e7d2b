//! The list that is sent: items of several registries' lists, each with its own bytes and links.
//!
//! What stands around the items is this proxy's: `items`, and for search `total`, `limit` and `offset`. Owns that form.
//! Must not know why an item was picked.

use std::ops::Range;

use crate::domain::SearchQuery;
use crate::domain::link::{Piece, Template};

/// An item that is shown.
#[derive(Debug, Clone)]
pub struct Picked<'a> {
    /// The document it stands in.
    pub from: &'a Template,
    /// Where it stands there.
    pub span: Range<usize>,
}

/// A page of search results, of `total` in all.
#[must_use]
pub fn search(items: Vec<Picked<'_>>, total: u64, query: &SearchQuery) -> Template {
    let (limit, offset) = (query.limit(), query.offset());
    joined(items, format!(r#"],"total":{total},"limit":{limit},"offset":{offset}}}"#))
}

/// A list of advisories.
#[must_use]
pub fn advisories(items: Vec<Picked<'_>>) -> Template {
    joined(items, "]}".to_owned())
}

fn joined(items: Vec<Picked<'_>>, end: String) -> Template {
    let mut pieces = vec![Piece::Text(r#"{"items":["#.into())];
    // What its own document leaves out is left out here.
    let items = items.into_iter().filter(|item| item.from.keeps(&item.span));
    for (number, Picked { from, span }) in items.enumerate() {
        if number > 0 {
            pieces.push(Piece::Text(",".into()));
        }
        pieces.push(Piece::Of(from, span));
    }
    pieces.push(Piece::Text(end.into()));
    Template::joined(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DocumentKey;
    use crate::domain::check::check;
    use crate::domain::several::found;

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
            found(std::str::from_utf8(template.original()).unwrap()).unwrap().items[item].span.clone()
        };
        let picked = |from, item| Picked { from, span: span(from, item) };
        let page =
            search(vec![picked(&two, 0), picked(&one, 2), picked(&one, 1), picked(&one, 0)], 13, &query);
        let expected = concat!(
            r#"{"items":[{ "name":"c","latestVersion":"1.0.0", "release":{"url":"http://me/api/v1/volumes/c/1.0.0" } ,"e":1e400},"#,
            r#"{"name":"b","latestVersion":"1.0.0","release":{"url":"http://me/api/v1/volumes/b/1.0.0"}},"#,
            r#"{"name":"a","latestVersion":"1.0.0","n":1.10}],"#,
            r#""total":13,"limit":5,"offset":10}"#
        );
        assert_eq!(page.render("http://me"), expected);
        let alone = read("https://one", r#"{"items":[{"name":"No"}]}"#.into());
        assert_eq!(advisories(vec![picked(&alone, 0)]).render(""), r#"{"items":[]}"#, "left out there too");
        assert_eq!(advisories(Vec::new()).render(""), r#"{"items":[]}"#);
    }
}
