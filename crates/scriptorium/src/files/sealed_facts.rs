//! The form in which the facts of a manifest are kept with the seal of its archive.
//!
//! ```text
//! <1: the set of facts> <JSON>
//! ```
//! Another set of facts gets another number: a seal that was written before a fact was known must not say that it is absent. Facts that
//! are longer than a seal keeps (`store::sealed::MAX_FACTS`) are read again from the archive when a rule asks for them. Owns that form.
//! Must not know rules, nor when facts are needed.

use archive::ManifestFacts;

use crate::store::sealed::Seal;

/// The facts that are kept today.
const SET: u8 = 1;

/// The stored form of `facts`.
pub(crate) fn sealed_facts(facts: &ManifestFacts) -> Vec<u8> {
    let mut stored = vec![SET];
    match serde_json::to_writer(&mut stored, facts) {
        Ok(()) => stored,
        Err(_) => Vec::new(),
    }
}

/// What the manifest in a sealed archive says; none if the seal does not say it.
pub(super) fn facts_in(seal: &Seal) -> Option<ManifestFacts> {
    let (set, facts) = seal.facts.split_first()?;
    serde_json::from_slice(facts).ok().filter(|_| *set == SET)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Sha256;
    use crate::store::sealed::{MAX_FACTS, SealWriter};

    fn seal(facts: Vec<u8>) -> Seal {
        let writer = SealWriter::new(Vec::new()).with_facts(facts);
        writer.finish(Sha256::of(b""), "pkg:volume/lamp@1.0.0").unwrap().1
    }

    #[test]
    fn facts_come_back_as_they_were_and_those_of_another_set_do_not_count() {
        let facts = ManifestFacts {
            licence: Some("MIT".into()),
            publisher: Some("acme".into()),
            component_types: vec!["hook".into(), "skill".into()],
            ..ManifestFacts::default()
        };
        let stored = sealed_facts(&facts);
        assert!(stored.len() < 256, "{}", stored.len());
        assert_eq!(facts_in(&seal(stored.clone())), Some(facts));
        assert_eq!(facts_in(&seal(Vec::new())), None, "sealed before facts were kept");
        let later = [&[SET + 1], &stored[1..]].concat();
        assert_eq!(facts_in(&seal(later)), None);
        assert_eq!(facts_in(&seal(b"\x01{".to_vec())), None);
    }

    #[test]
    fn what_a_hostile_manifest_says_does_not_grow_a_seal() {
        let component_types = (0..64).map(|number| format!("{number:0>256}")).collect();
        let facts = ManifestFacts { component_types, ..ManifestFacts::default() };
        let seal = seal(sealed_facts(&facts));
        assert!(seal.facts.len() <= MAX_FACTS);
        assert_eq!(facts_in(&seal), None, "a part is not taken for the whole");
    }
}
