//! Comparing trust metadata with the release it should be about, and with itself.
//!
//! | what it says | kind |
//! |---|---|
//! | a subject with another name, version or content identity than the release | `trust-subject` |
//! | an active attachment, verified against another content identity | `trust-subject` |
//! | an attachment whose embedded bytes are not those of its digest | `trust-artifact` |
//!
//! Each is a false claim in a document that can be read. A client that believed the rest would not notice it, so the view is
//! refused as a whole, and an operator sees which attachment it is. An attachment that was revoked, superseded or found
//! invalid may name another release; that may be the reason. Owns this table, a pure function of the view. Must not know
//! earlier views; `history` does.

use super::reconcile::{ClaimSource, Difference, DifferenceKind};
use crate::domain::{Integrity, Trust};

/// Compares trust metadata with the integrity of its release, if that is known, and with itself.
#[must_use]
pub(crate) fn reconcile_trust(
    trust: &Trust,
    release: Option<(ClaimSource, Integrity)>,
) -> Option<Difference> {
    if let Some(mismatch) = &trust.mismatch {
        let expected = format!("{} {}", mismatch.field, mismatch.expected);
        return Some(Difference::of(
            DifferenceKind::TrustSubject,
            (ClaimSource::Trust, mismatch),
            (ClaimSource::Route, expected),
        ));
    }
    let other = release.filter(|(_, integrity)| *integrity != trust.integrity);
    if let Some(release) = other {
        return Some(Difference::of(
            DifferenceKind::TrustSubject,
            (ClaimSource::Trust, trust.integrity),
            release,
        ));
    }
    let (source, integrity) = release.unwrap_or((ClaimSource::Trust, trust.integrity));
    trust.attachments.iter().find_map(|attachment| {
        let id = shortened(&attachment.id);
        if let Some(subject) =
            attachment.subject.filter(|subject| attachment.is_active && *subject != integrity)
        {
            let says = format!("attachment {id} was verified against {subject}");
            return Some(Difference::of(
                DifferenceKind::TrustSubject,
                (ClaimSource::Trust, says),
                (source, integrity),
            ));
        }
        let embeds = attachment.embeds.as_ref()?;
        let embeds = format!("attachment {id} embeds {embeds}");
        let named = format!("attachment {id} is {}", attachment.digest);
        Some(Difference::of(
            DifferenceKind::TrustArtifact,
            (ClaimSource::Trust, embeds),
            (ClaimSource::Trust, named),
        ))
    })
}

/// A registry's name for an attachment, escaped and shortened for a sentence.
pub(super) fn shortened(id: &str) -> String {
    id.escape_debug().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::{Facts, check};
    use crate::domain::{DocumentKey, Sha256};
    use serde_json::{Value, json};

    const TEXT: &str = "안녕\u{0}\"";

    fn integrity(content: &str) -> Integrity {
        Integrity::new(Sha256::of(content.as_bytes()))
    }

    fn attachment(change: impl FnOnce(&mut Value)) -> Value {
        let mut attachment = json!({
            "id": "a", "category": "bom", "format": {"family": "f", "mediaType": "a/b"},
            "artifactDigest": Sha256::of(TEXT.as_bytes()), "artifactSize": TEXT.len(),
            "locator": {"url": "https://up/a", "embedded": TEXT}, "status": {"state": "active"},
            "verification": {"subjectDigest": integrity("x")},
        });
        change(&mut attachment);
        attachment
    }

    fn kind(attachment: &Value, release: Option<(ClaimSource, Integrity)>) -> Option<DifferenceKind> {
        let key = DocumentKey::TrustDetail("x".parse().unwrap(), "1.0.0".parse().unwrap());
        let subject = json!({"purl": "pkg:volume/x@1.0.0", "integrity": integrity("x")});
        let body = json!({"subject": subject, "attachments": [attachment]}).to_string();
        match check(&key, &body.into(), "").unwrap().facts {
            Facts::Trust(trust) => reconcile_trust(&trust, release).map(|difference| difference.kind),
            facts => panic!("expected trust, got {facts:?}"),
        }
    }

    #[test]
    fn every_line_of_the_table() {
        let release = || Some((ClaimSource::Exact, integrity("x")));
        assert_eq!(kind(&attachment(|_| {}), release()), None);
        assert_eq!(kind(&attachment(|_| {}), None), None);
        assert_eq!(
            kind(&attachment(|_| {}), Some((ClaimSource::Exact, integrity("y")))),
            Some(DifferenceKind::TrustSubject)
        );
        for release in [release(), None] {
            let other = attachment(|it| it["verification"]["subjectDigest"] = json!(integrity("y")));
            assert_eq!(kind(&other, release), Some(DifferenceKind::TrustSubject));
            for state in ["revoked", "superseded", "invalid"] {
                let was = attachment(|it| {
                    it["verification"]["subjectDigest"] = json!(integrity("y"));
                    it["status"]["state"] = state.into();
                });
                assert_eq!(kind(&was, release), None, "{state}");
            }
            let changes: [fn(&mut Value); 5] = [
                |it| it["locator"]["embedded"] = "안녕".into(),
                |it| it["locator"] = json!({"embedded": ""}),
                |it| it["locator"]["embedded"] = json!({"value": TEXT}),
                |it| it["artifactSize"] = (TEXT.len() + 1).into(),
                |it| it["artifactDigest"] = Sha256::of(b"other").to_string().into(),
            ];
            for change in changes {
                assert_eq!(kind(&attachment(change), release), Some(DifferenceKind::TrustArtifact));
            }
        }
    }

    #[test]
    fn a_locator_may_have_either_or_both() {
        let release = Some((ClaimSource::Exact, integrity("x")));
        for locator in [
            json!({"url": "https://up/a"}),
            json!({"embedded": TEXT}),
            json!({"url": "/a", "embedded": null}),
        ] {
            assert_eq!(kind(&attachment(|it| it["locator"] = locator.clone()), release), None, "{locator}");
        }
    }
}
