//! Which refusals are a registry's own word, and what becomes of those that are not.
//!
//! A gateway, an edge or a firewall answers with the same statuses as the registry behind it, but in a page of its
//! own; only a problem document is the registry speaking. Down: what is held of the question. Across: what came.
//!
//! | held     | 403, 404, 409, 410 with a problem document | without one | another 4xx |
//! |----------|--------------------------------------------|-------------|-------------|
//! | nothing  | definite                                   | passing     | refused     |
//! | no word  | definite                                   | passing     | refused     |
//! | document | definite                                   | no answer   | no answer   |
//! | refusal  | definite                                   | no answer   | no answer   |
//!
//! `definite`: it replaces what is held and is stored, so that an outage does not bring the old answer back.
//! `passing`: it is handed on and remembered for `negative_ttl`; it is never stored, served stale, or held against
//! other answers. `refused`: it is handed on to those who asked. `no answer`: nobody could be asked, so what is held is
//! served as long as stale-if-error lets it. `no word` is a 404, which is never repeated when it is old, or a passing
//! answer: neither can stand in for an answer. `refusal` is any other that was definite; a bare 403 neither confirms
//! nor ends it.
//!
//! Owns this table. Must not know how anything is asked for or stored.

use super::document::Document;

/// What became of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The registry's own word.
    Definite,
    /// Good for those who ask now, and soon.
    Passing,
    /// An answer to this question only.
    Refused,
    /// Whoever said it does not speak for the registry.
    NoAnswer,
}

/// What an answer with `status`, a problem document or not, comes to where so much is `held`.
pub(super) fn judge(held: Option<&Document>, status: u16, is_problem: bool) -> Verdict {
    let is_held = held.is_some_and(|held| !held.is_absence());
    match status {
        403 | 404 | 409 | 410 if is_problem => Verdict::Definite,
        _ if is_held => Verdict::NoAnswer,
        403 | 404 | 409 | 410 => Verdict::Passing,
        _ => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::envelope::{Envelope, Meta};
    use crate::cache::keeping::Keeping;
    use crate::clock::Timestamp;
    use crate::domain::DocumentKey;

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
                        "definite" => Verdict::Definite,
                        "passing" => Verdict::Passing,
                        "refused" => Verdict::Refused,
                        "no answer" => Verdict::NoAnswer,
                        other => panic!("the table says {other}"),
                    };
                    for status in statuses {
                        let verdict = judge(held.as_ref(), *status, is_problem);
                        assert_eq!(verdict, expected, "{cells:?} {status}");
                    }
                }
            }
        }
    }
}
