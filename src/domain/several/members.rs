//! An object's members, in their order and each as it was written.
//!
//! A name that stands there twice, or beside one that differs by case alone, is read differently by different readers.
//! Owns that a value is found only under a name that is read in one way. Must not know what any member means.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of one object.
#[derive(Debug, Default)]
pub(super) struct Members<'a>(Vec<(String, &'a RawValue)>);

/// A name that stands there in more than one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ambiguous;

impl<'a> Members<'a> {
    /// The members of the object that `text` is, if it is one.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The value of `name`, if it has one.
    pub(super) fn get(&self, name: &str) -> Result<Option<&'a RawValue>, Ambiguous> {
        let mut readings = self.0.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        match (readings.next(), readings.next()) {
            (None, _) => Ok(None),
            (Some((key, value)), None) if key == name => Ok(Some(value)),
            (Some(_), _) => Err(Ambiguous),
        }
    }

    /// The text that `name` has, if that is all it can be read as.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name).ok()??.get()).ok()
    }

    /// The names, in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reader).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_under_a_name_that_is_read_in_one_way() {
        let members = Members::of(r#"{ "a":1.10, "b":"x","c":1,"c":2,"d":1,"D":1,"E":1 }"#).unwrap();
        assert_eq!(members.get("a").map(|value| value.map(RawValue::get)), Ok(Some("1.10")));
        assert_eq!(members.text("b").as_deref(), Some("x"));
        assert_eq!(members.get("f").map(|value| value.map(RawValue::get)), Ok(None));
        for ambiguous in ["c", "d", "e"] {
            assert_eq!(members.get(ambiguous).err(), Some(Ambiguous), "{ambiguous}");
        }
        assert_eq!(members.names().collect::<String>(), "abccdDE");
        assert!(Members::of("[]").is_none());
    }
}
