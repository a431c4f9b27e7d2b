//! What is told to other proxies of an answer that is in no bucket.
//!
//! An absence, a 404 or what a gateway said, is told with its time, and is for each of them what it would be here: fresh for
//! `negative_ttl` from when it was asked for. A failure of the registry's is told to those who wait for it, as all who wait
//! here share it. That this proxy could not ask is no word of the registry's, and not told. Nothing else is believed of a note:
//! documents and refusals come from the bucket. Owns the form of both. Must not know how they pass.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cluster::FlightTrace;
use crate::domain::{DocumentKey, Problem, Registry};
use crate::read::document::Document;
use crate::read::envelope::{Envelope, Meta};
use crate::read::failure::ReadFailure;

/// For how long a failure is told: those who wait look each second.
const AWAITED: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ToldAnswer {
    /// There is no such document.
    Absent { meta: Meta, body: String },
    /// There is no answer.
    Failed(ToldFailure),
}

/// A failure that is the registry's, whoever asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ToldFailure {
    /// It refused, with a status that is not kept: the problem document.
    Refused { status: u16, problem: String },
    /// Its answer is not the document that was asked for.
    Malformed,
}

impl ToldAnswer {
    /// An absence that is in memory only.
    pub(super) fn of_absent(document: &Document) -> Option<Self> {
        let Envelope { meta, body } = document.envelope();
        if document.outlives_process() || !document.is_absence() || meta.keeping.withheld {
            return None;
        }
        // The page of a gateway says no more than its status.
        let body = if document.is_from_between() { Vec::new() } else { body.into() };
        Some(Self::Absent { meta, body: String::from_utf8(body).ok()? })
    }

    pub(super) fn trace(&self, lasting: Duration) -> FlightTrace {
        serde_json::to_string(self).map_or(FlightTrace::Nothing, |text| FlightTrace::note(text, lasting))
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The absence that was told, if it is one, and the answer of `registry` to `key`.
    pub(super) fn absence(
        key: &DocumentKey,
        registry: &Registry,
        meta: Meta,
        body: String,
    ) -> Option<Document> {
        let is_ours = meta.key == key.to_string() && meta.is_of(registry);
        let document = Document::new(key, Envelope { meta, body: body.into() }).ok()?;
        (is_ours && document.is_absence()).then_some(document)
    }
}

impl ToldFailure {
    pub(super) fn of(failure: &ReadFailure) -> Option<Self> {
        if let ReadFailure::Refused(problem) = failure {
            let json = String::from_utf8(problem.to_json("")).ok()?;
            return Some(Self::Refused { status: problem.status, problem: json });
        }
        matches!(failure, ReadFailure::Malformed).then_some(Self::Malformed)
    }

    pub(super) fn failure(&self) -> Option<ReadFailure> {
        match self {
            Self::Refused { status, problem } => {
                let problem = Problem::parse(*status, problem.as_bytes())?;
                Some(ReadFailure::Refused(Box::new(problem)))
            }
            Self::Malformed => Some(ReadFailure::Malformed),
        }
    }

    pub(super) fn trace(self) -> FlightTrace {
        ToldAnswer::Failed(self).trace(AWAITED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::read::content::refusal;
    use crate::read::keeping::Keeping;

    const PROBLEM: &str =
        r#"{"type":"https://agentvolumes.org/problems/not-found","title":"Not found","status":404}"#;

    fn key() -> DocumentKey {
        DocumentKey::Index("lamp".parse().unwrap())
    }

    fn answer(status: u16, body: &str) -> Document {
        let meta = Meta {
            key: key().to_string(),
            status,
            fetched_at: Timestamp(7),
            upstream_age: 0,
            upstream: "public".into(),
            origin: "https://up".into(),
            etag: None,
            at: None,
            keeping: Keeping::default(),
            turn: None,
        };
        Document::new(&key(), Envelope { meta, body: body.to_owned().into() }).unwrap()
    }

    fn told(document: &Document) -> Option<Document> {
        let text = serde_json::to_string(&ToldAnswer::of_absent(document)?).unwrap();
        let ToldAnswer::Absent { meta, body } = ToldAnswer::read(&text)? else { panic!("{text}") };
        ToldAnswer::absence(&key(), &Registry::new("public", "https://up"), meta, body)
    }

    #[test]
    fn an_absence_is_told_with_its_time_and_nothing_else_is() {
        for (status, body, kept) in [(404, PROBLEM, PROBLEM), (404, "<html>", ""), (403, "<html>", "")] {
            let absent = answer(status, body);
            let told = told(&absent).unwrap();
            assert_eq!(told.meta, absent.meta);
            assert_eq!(
                (&**told.content.body(), told.is_absence()),
                (kept.as_bytes(), true),
                "{status} {body}"
            );
        }
        let blocked = r#"{"type":"about:blank","title":"Blocked","status":403}"#;
        for (status, body) in [(200, r#"{"items":[]}"#), (403, blocked)] {
            assert!(ToldAnswer::of_absent(&answer(status, body)).is_none(), "{status} is in the bucket");
        }
    }

    #[test]
    fn a_note_makes_no_document_no_refusal_and_no_answer_to_another_question() {
        let registry = Registry::new("public", "https://up");
        let read = |document: &Document, registry: &Registry, key: &DocumentKey| {
            let Envelope { meta, body } = document.envelope();
            ToldAnswer::absence(key, registry, meta, String::from_utf8(body.into()).unwrap())
        };
        let absent = answer(404, PROBLEM);
        assert!(read(&absent, &registry, &key()).is_some());
        assert!(read(&absent, &Registry::new("other", "https://up"), &key()).is_none());
        assert!(read(&absent, &registry, &DocumentKey::Capabilities).is_none());
        assert!(read(&answer(200, r#"{"items":[]}"#), &registry, &key()).is_none());
        let blocked = r#"{"type":"about:blank","title":"Blocked","status":403}"#;
        assert!(read(&answer(403, blocked), &registry, &key()).is_none());
        assert!(ToldAnswer::read("garbage").is_none());
    }

    #[test]
    fn a_failure_is_told_if_it_is_the_registrys() {
        let refused = ReadFailure::Refused(Box::new(refusal(422)));
        for failure in [refused, ReadFailure::Malformed] {
            let told = ToldFailure::of(&failure).unwrap();
            assert_eq!(told.failure().unwrap().to_string(), failure.to_string());
            assert!(matches!(told.trace(), FlightTrace::Noted(_)));
        }
        let ReadFailure::Refused(problem) =
            ToldFailure::of(&ReadFailure::Refused(Box::new(refusal(422)))).unwrap().failure().unwrap()
        else {
            panic!()
        };
        assert_eq!(*problem, refusal(422));
        assert!(ToldFailure::of(&ReadFailure::Lost).is_none());
        let unreachable = crate::upstream::CouldNotAsk::TimedOut;
        assert!(ToldFailure::of(&unreachable.into()).is_none());
    }
}
