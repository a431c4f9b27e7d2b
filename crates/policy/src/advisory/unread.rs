//! Advisories that cannot be read, and which volumes they may be about.
//!
//! A source said something about a volume, and which versions it meant is not known. Owns what can still be told: its id, and
//! every volume that it names anywhere, in a member `volume`, by a purl `pkg:volume/…`, or as a package of the ecosystem Agent
//! Volumes. If it names none, it may be about any. Must not know what follows from that.

use std::fmt;

use archive::VolumeName;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::is_id;
use super::naming::{is_ours, volume_of_purl};

/// The longest reason that is kept, in characters.
const MAX_WHY: usize = 200;

/// An advisory that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadAdvisory {
    id: Option<Box<str>>,
    place: Box<str>,
    volumes: Vec<VolumeName>,
    why: Box<str>,
}

impl UnreadAdvisory {
    /// The advisory `text` at `place` in its document, which cannot be read because of `why`.
    #[must_use]
    pub fn new(text: &str, place: String, why: impl fmt::Display) -> Self {
        let why: String = why.to_string().escape_debug().take(MAX_WHY).collect();
        let (id, mut volumes) = match serde_json::from_str::<Loose>(text) {
            Ok(said) => (said.id(), said.volumes()),
            Err(_) => (None, Vec::new()),
        };
        volumes.sort_unstable();
        volumes.dedup();
        Self { id, place: place.into(), volumes, why: why.into() }
    }

    /// Its id, or else its place in the document.
    #[must_use]
    pub fn name(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.place)
    }

    /// The place in its document.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Why it cannot be read.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// The volumes that it may be about, each once; if there is none, it may be about any.
    #[must_use]
    pub fn volumes(&self) -> &[VolumeName] {
        &self.volumes
    }
}

/// Any JSON, with every member of an object, also of those with the same name.
enum Loose {
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
    Other,
}

impl Loose {
    fn members(&self) -> impl Iterator<Item = (&str, &Self)> {
        let members = if let Self::Object(members) = self { members.as_slice() } else { &[] };
        members.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The texts under a name, whatever its case.
    fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.members().filter(move |(own, _)| own.eq_ignore_ascii_case(name));
        named.filter_map(|(_, value)| if let Self::Text(text) = value { Some(text.as_str()) } else { None })
    }

    fn id(&self) -> Option<Box<str>> {
        let ids = self.members().filter(|(name, _)| *name == "id").map(|(_, id)| id);
        let mut texts = self.texts("id").chain(ids.flat_map(|id| id.texts("local")));
        texts.find(|id| is_id(id)).map(Into::into)
    }

    fn volumes(&self) -> Vec<VolumeName> {
        let mut found: Vec<VolumeName> = self.texts("volume").filter_map(|name| name.parse().ok()).collect();
        found.extend(self.texts("purl").filter_map(volume_of_purl));
        if self.texts("ecosystem").any(is_ours) {
            found.extend(self.texts("name").filter_map(|name| name.parse().ok()));
        }
        let within = if let Self::List(items) = self { items.as_slice() } else { &[] };
        found.extend(within.iter().chain(self.members().map(|(_, value)| value)).flat_map(Self::volumes));
        found
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Loose, E> {
        Ok(Loose::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Loose, E> {
        Ok(Loose::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Loose, E> {
        Ok(Loose::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Loose, E> {
        Ok(Loose::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
        Ok(Loose::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Loose, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Loose::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Loose::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes(text: &str) -> Vec<String> {
        let unread = UnreadAdvisory::new(text, "items[0]".to_owned(), "because");
        unread.volumes().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_volume_that_is_named_anywhere_may_be_meant() {
        for (text, named) in [
            (r#"{"id":1,"affected":{"volume":"lamp","ranges":7}}"#, vec!["lamp"]),
            (
                r#"{"affected":{"volume":"lamp"},"affected":{"Volume":"@acme/x","purl":7}}"#,
                vec!["@acme/x", "lamp"],
            ),
            (
                r#"{"affected":[[{"purl":"pkg:volume/%40acme/x@1.0.0"}],{"volume":"No Name"}]}"#,
                vec!["@acme/x"],
            ),
            (
                r#"{"affected":[{"package":{"ecosystem":"Agent Volumes","name":"lamp"},"versions":{}}]}"#,
                vec!["lamp"],
            ),
            (r#"{"affected":[{"package":{"ecosystem":"npm","name":"lamp"}}]}"#, vec![]),
            (r#"{"summary":"lamp","name":"lamp","purl":"pkg:npm/lamp"}"#, vec![]),
            ("7", vec![]),
            ("[1.5,null,true,-1]", vec![]),
            ("{", vec![]),
        ] {
            assert_eq!(volumes(text), named, "{text}");
        }
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(volumes(&deep), Vec::<String>::new());
    }

    #[test]
    fn it_is_named_by_its_id_or_its_place_and_says_why_in_a_few_words() {
        let named = |text: &str| UnreadAdvisory::new(text, "items[3]".to_owned(), "x").name().to_owned();
        for (text, name) in [
            (r#"{"id":{"local":"AV-1"}}"#, "AV-1"),
            (r#"{"id":"OSV-1"}"#, "OSV-1"),
            (r#"{"id":{"local":"A V"}}"#, "items[3]"),
            (r#"{"id":7}"#, "items[3]"),
            ("[]", "items[3]"),
        ] {
            assert_eq!(named(text), name, "{text}");
        }
        let unread = UnreadAdvisory::new("7", "[0]".to_owned(), "\u{1b}[31m".repeat(1000));
        assert!(unread.why().len() <= MAX_WHY && !unread.why().contains('\u{1b}'));
    }
}
