//! The members of every document, so that no two readers see different ones.
//!
//! | what is written | what follows |
//! |---|---|
//! | an array, a text or a number where an object belongs | refused |
//! | a name twice, also where escapes spell one of them | refused |
//! | a name that is one of ours to a parser that folds case (`URL`, `ſtatus`) | refused |
//! | a name that is not ours, in an object whose members are a closed set | refused |
//! | any other name | its value is never looked at |
//! | null | as good as not there |
//!
//! Owns this table and the member names of every document ([`INDEX`] and the others). Must not know what a member
//! means, nor which members are required; that is in the other files.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Malformed;
use crate::domain::members::folds_to;

/// What a value of a document may be.
#[derive(Debug)]
pub(super) enum Shape {
    /// Not looked at.
    Any,
    Text,
    /// A list of values of one shape.
    List(&'static Shape),
    /// An object in which members with these names are ours.
    Object(&'static [Member]),
    /// An object that has no other members.
    Closed(&'static [Member]),
}

/// A known member.
type Member = (&'static str, Shape);

use Shape::{Any, Closed, List, Object, Text};

const TEXTS: Shape = List(&Text);
const STATUS: Shape = Object(&[("state", Text), ("reason", Text)]);
const LINK: Shape = Object(&[("url", Text)]);

/// A version index; its rows are read one by one.
pub(super) const INDEX: Shape = Object(&[("items", List(&Any))]);
pub(super) const ROW: Shape = Object(&[
    ("version", Text),
    ("status", STATUS),
    ("release", LINK),
    ("integrity", Text),
    ("dependencies", Object(&[])),
]);
pub(super) const RELEASE: Shape = Object(&[
    ("name", Text),
    ("version", Text),
    ("purl", Text),
    ("integrity", Text),
    ("status", STATUS),
    ("dist", DIST),
    ("externalDependencies", List(&EXTERNAL)),
]);
const DIST: Shape =
    Object(&[("source", Text), ("mediaType", Text), ("url", Text), ("repository", Text), ("ref", Text)]);
const EXTERNAL: Shape = Closed(&[
    ("declarationKey", Text),
    ("purl", Text),
    ("constraint", Text),
    ("purpose", Text),
    ("components", TEXTS),
]);
pub(super) const SUMMARY: Shape = Object(&[
    ("subject", SUBJECT),
    ("artifacts", List(&Object(&[("category", Text), ("formatsPresent", TEXTS), ("present", Any)]))),
    ("detailAvailable", Any),
    ("revision", REVISION),
    ("judgments", Object(&[])),
]);
pub(super) const DETAIL: Shape =
    Object(&[("subject", SUBJECT), ("revision", REVISION), ("attachments", List(&ATTACHMENT))]);
const SUBJECT: Shape = Object(&[("purl", Text), ("integrity", Text)]);
const REVISION: Shape = Object(&[("revision", Text), ("updatedAt", Text)]);
const ATTACHMENT: Shape = Object(&[
    ("id", Text),
    ("category", Text),
    ("format", FORMAT),
    ("artifactDigest", Text),
    ("artifactSize", Any),
    ("locator", Object(&[("url", Text), ("embedded", Any)])),
    ("status", STATUS),
    ("verification", VERIFICATION),
]);
const FORMAT: Shape = Object(&[
    ("family", Text),
    ("mediaType", Text),
    ("predicateType", Text),
    ("profile", Text),
    ("version", Text),
]);
const VERIFICATION: Shape = Object(&[
    ("subjectDigest", Text),
    ("signatureFormat", Text),
    ("transparencyLog", Text),
    ("verifiedAt", Text),
]);
/// Search results; each is read on its own.
pub(super) const RESULTS: Shape =
    Object(&[("items", List(&Any)), ("total", Any), ("limit", Any), ("offset", Any)]);
pub(super) const RESULT: Shape = Object(&[
    ("name", Text),
    ("latestVersion", Text),
    ("description", Text),
    ("role", Text),
    ("providers", TEXTS),
    ("components", List(&Object(&[("type", Text), ("name", Text)]))),
    ("release", LINK),
]);
/// A list of advisories; each is read on its own.
pub(super) const ADVISORIES: Shape = Object(&[("items", List(&Any))]);
pub(super) const ADVISORY: Shape = Object(&[
    ("id", Object(&[("local", Text), ("preferredExternal", Text), ("aliases", TEXTS)])),
    ("source", Object(&[("ecosystem", Text), ("url", Text)])),
    ("severity", Text),
    ("published", Text),
    ("updated", Text),
    ("withdrawn", Object(&[("at", Text), ("reason", Text)])),
    ("relationships", List(&Object(&[("type", Text), ("target", Text)]))),
    ("affected", AFFECTED),
    ("summary", Text),
    ("details", Text),
]);
const AFFECTED: Shape = Object(&[
    ("volume", Text),
    ("purl", Text),
    ("ranges", List(&Object(&[("type", Text), ("events", List(&EVENT))]))),
    ("componentImpact", List(&Object(&[("component", Text), ("note", Text)]))),
]);
const EVENT: Shape =
    Object(&[("introduced", Text), ("fixed", Text), ("lastAffected", Text), ("limit", Text)]);
pub(super) const CAPABILITIES: Shape = Object(&[
    ("schemaVersion", Text),
    ("specVersion", Text),
    ("compatibleSpecVersions", TEXTS),
    ("apiVersion", Text),
    ("scopePolicy", SCOPES),
    ("deliveryModes", TEXTS),
    ("apis", APIS),
    ("uploadProfiles", Object(&[("releaseUploads", Any), ("trustUploads", Any)])),
    ("extensions", Object(&[])),
    ("cache", Object(&[("maxAgeSeconds", Any), ("revalidate", Any)])),
]);
const SCOPES: Shape = Object(&[
    ("scopesSupported", Any),
    ("scopelessSupported", Any),
    ("scopesRequired", Any),
    ("curatedScopelessModel", Any),
]);
const APIS: Shape = Object(&[
    ("trustMetadata", Any),
    ("versionIndex", Any),
    ("releaseUploads", Any),
    ("trustUploads", Any),
    ("advisories", Any),
]);

impl Shape {
    /// Whether `text` is JSON of this shape.
    pub(super) fn check(&self, text: &str) -> Result<(), Malformed> {
        let mut reader = serde_json::Deserializer::from_str(text);
        self.deserialize(&mut reader).and_then(|()| reader.end()).map_err(Malformed::from)
    }
}

impl<'de> DeserializeSeed<'de> for &Shape {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self {
            Any => deserializer.deserialize_ignored_any(IgnoredAny).map(drop),
            Text | List(_) | Object(_) | Closed(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for &Shape {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Any => "anything",
            Text => "a text",
            List(_) => "a list",
            Object(_) | Closed(_) => "an object",
        })
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self {
            Text => Ok(()),
            Any | List(_) | Object(_) | Closed(_) => {
                Err(E::invalid_type(serde::de::Unexpected::Str(text), &self))
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let List(shape) = self else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        };
        while items.next_element_seed(*shape)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let (Object(ours) | Closed(ours)) = self else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self));
        };
        let mut seen: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(Name(name)) = members.next_key::<Name<'de>>()? {
            match ours.iter().find(|(known, _)| *known == name) {
                Some((_, shape)) => members.next_value_seed(shape)?,
                None => {
                    if let Some((known, _)) = ours.iter().find(|(known, _)| folds_to(&name, known)) {
                        let told = format!("a member reads as `{known}` to whoever folds case");
                        return Err(A::Error::custom(told));
                    }
                    if matches!(self, Closed(_)) {
                        return Err(A::Error::custom("a member that does not belong here"));
                    }
                    members.next_value::<IgnoredAny>()?;
                }
            }
            if !seen.insert(name) {
                return Err(A::Error::custom("a member stands there twice"));
            }
        }
        Ok(())
    }
}

/// A member's name, its escapes resolved.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    /// Every document's shape, in a document that has every member of ours once.
    const ALL: [&Shape; 10] =
        [&INDEX, &ROW, &RELEASE, &SUMMARY, &DETAIL, &RESULTS, &RESULT, &ADVISORIES, &ADVISORY, &CAPABILITIES];

    fn full(shape: &Shape) -> String {
        match shape {
            Any | Text => r#""x""#.to_owned(),
            List(shape) => format!("[{}]", full(shape)),
            Object(ours) | Closed(ours) => {
                let members = ours.iter().map(|(name, shape)| format!("\"{name}\":{}", full(shape)));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }
        }
    }

    /// The document with `change` done to each of its members in turn, however deep it stands.
    fn changed(shape: &Shape, change: fn(&str, &Shape) -> String) -> Vec<String> {
        match shape {
            Any | Text => Vec::new(),
            List(shape) => changed(shape, change).into_iter().map(|inner| format!("[{inner}]")).collect(),
            Object(ours) | Closed(ours) => {
                let with = |at: usize, text: String| {
                    let members = ours.iter().enumerate().map(|(other, (name, shape))| match other == at {
                        true => text.clone(),
                        false => format!("\"{name}\":{}", full(shape)),
                    });
                    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
                };
                let each = ours.iter().enumerate().flat_map(|(at, (name, shape))| {
                    let deeper =
                        changed(shape, change).into_iter().map(move |inner| format!("\"{name}\":{inner}"));
                    std::iter::once(change(name, shape)).chain(deeper).map(move |text| (at, text))
                });
                each.map(|(at, text)| with(at, text)).collect()
            }
        }
    }

    #[test]
    fn every_name_of_every_document_is_told_from_its_doubles() {
        let changes: [fn(&str, &Shape) -> String; 5] = [
            |name, shape| format!("\"{}\":{}", name.to_uppercase(), full(shape)),
            |name, shape| format!("\"{name}\":{0},\"{1}\":{0}", full(shape), name.to_uppercase()),
            |name, shape| format!("\"{name}\":{0},\"{name}\":{0}", full(shape)),
            |name, shape| {
                let escaped = format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..]);
                format!("\"{name}\":{0},\"{escaped}\":{0}", full(shape))
            },
            |name, shape| match shape {
                Any => format!("\"{name}\":0,\"x\":1,\"x\":2"),
                Text | Object(_) | Closed(_) => format!("\"{name}\":[{}]", full(shape)),
                List(_) => format!("\"{name}\":{{\"0\":\"x\"}}"),
            },
        ];
        for shape in ALL {
            shape.check(&full(shape)).unwrap();
            for change in changes {
                let documents = changed(shape, change);
                assert!(!documents.is_empty());
                for document in documents {
                    assert!(shape.check(&document).is_err(), "{document}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_ours_passes_and_null_is_as_good_as_absent() {
        for good in [
            r#"{"version":null,"later":{"Status":[1.0],"a":1,"a":2},"dependencies":{"Version":"1.0.0"}}"#,
            r#"{"verzion":1,"urls":2,"\u0073tatus":{"state":"x"}}"#,
        ] {
            assert_eq!(ROW.check(good), Ok(()), "{good}");
        }
        for bad in ["[]", "7", "\"x\"", "", "{", "{} {}", r#"{"\u017ftatus":{}}"#, r#"{"x":1,"\u0078":2}"#] {
            assert!(ROW.check(bad).is_err(), "{bad}");
        }
        let unknown = r#"{"externalDependencies":[{"purl":"pkg:npm/x","later":1}]}"#;
        assert!(RELEASE.check(unknown).is_err());
        assert!(INDEX.check(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))).is_err());
    }
}
