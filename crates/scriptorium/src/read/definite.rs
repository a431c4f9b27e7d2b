//! Which refusals come from the registry itself, and how the others are treated.
//!
//! A gateway or a firewall answers with the same statuses as the registry behind it, but with a page of its own. Only a
//! problem document is taken for the registry's. Down: what is held. Across: what came.
//!
//! | held     | 403, 404, 409, 410 with a problem document | without one | another 4xx |
//! |----------|--------------------------------------------|-------------|-------------|
//! | nothing  | definite                                   | passing     | refused     |
//! | no word  | definite                                   | passing     | refused     |
//! | document | definite                                   | no answer   | no answer   |
//! | refusal  | definite                                   | no answer   | no answer   |
//!
//! `definite`: it replaces the held document and is stored, so that an outage does not bring the old answer back.
//! `passing`: it is given to clients and kept in memory for `negative_ttl`; it is never stored, served stale, or compared
//! with other answers. `refused`: only the clients that wait for it get it. `no answer`: treated as if the registry could
//! not be asked, so the held document is served within stale-if-error. In the first column, `no word` is a 404 or a
//! passing answer, which are never served once they are old; `refusal` is any other definite refusal.
//!
//! Owns this table. Must not know how anything is asked for or stored.

use super::document::Document;

/// What a refusal counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusalWeight {
    /// The registry itself refused.
    Definite,
    /// It is given to the clients of the next `negative_ttl`.
    Passing,
    /// Only the clients that wait get it.
    Refused,
    /// It does not come from the registry.
    NoAnswer,
}

/// What a refusal with `status` counts for, with or without a problem document, while `held` is held.
pub(super) fn weigh(held: Option<&Document>, status: u16, is_problem: bool) -> RefusalWeight {
    let is_held = held.is_some_and(|held| !held.is_absence());
    match status {
        403 | 404 | 409 | 410 if is_problem => RefusalWeight::Definite,
        _ if is_held => RefusalWeight::NoAnswer,
        403 | 404 | 409 | 410 => RefusalWeight::Passing,
        _ => RefusalWeight::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::DocumentKey;
    use crate::read::envelope::{Envelope, Meta};
    use crate::read::keeping::Keeping;

    const CAPABILITIES: &str = r#"{"schemaVersion":"1","apiVersion":"v1","apis":{}}"#;
    const PROBLEM: &str = r#"{"type":"about:blank","title":"No","status":STATUS}"#;

    fn held(status: u16, body: &str) -> Document {
        let meta = Meta {
            key: String::new(),
            status,
            fetched_at: Timestamp(0),
            upstream_age: 0,
            upstream: String::new(),
            origin: String::new(),
            etag: None,
            at: None,
            keeping: Keeping::default(),
            turn: None,
        };
        let body = body.replace("STATUS", &status.to_string()).into();
        Document::new(&DocumentKey::Capabilities, Envelope { meta, body }).unwrap()
    }

    /// What the table's rows are about.
    fn all_held(row: &str) -> Vec<Option<Document>> {
        match row {
            "nothing" => vec![None],
            "no word" => vec![Some(held(404, PROBLEM)), Some(held(403, "<html>")), Some(held(404, "gone"))],
            "document" => vec![Some(held(200, CAPABILITIES))],
            "refusal" => [403, 409, 410].map(|status| Some(held(status, PROBLEM))).into(),
            other => panic!("the table says {other}"),
        }
    }

    #[test]
    fn every_cell_of_the_table_holds() {
        let lines = include_str!("definite.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
        let rows: Vec<Vec<_>> = lines
            .skip(1)
            .map(|line| line.trim_end_matches('|').split('|').map(str::trim).collect())
            .collect();
        assert_eq!(rows.len(), 4);
        for cells in rows {
            for held in all_held(cells[0]) {
                let asked = [(&[403, 404, 409, 410][..], true), (&[403, 404, 409, 410], false)];
                let others = [400, 401, 402, 405, 412, 422, 431, 451];
                let asked = asked.into_iter().chain([(&others[..], false)]);
                for ((statuses, is_problem), cell) in asked.zip(&cells[1..]) {
                    let expected = match *cell {
                        "definite" => RefusalWeight::Definite,
                        "passing" => RefusalWeight::Passing,
                        "refused" => RefusalWeight::Refused,
                        "no answer" => RefusalWeight::NoAnswer,
                        other => panic!("the table says {other}"),
                    };
                    for status in statuses {
                        let weight = weigh(held.as_ref(), *status, is_problem);
                        assert_eq!(weight, expected, "{cells:?} {status}");
                    }
                }
            }
        }
    }
}
