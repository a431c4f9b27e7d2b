//! The members of a JSON object, in their order and each as it was written.
//!
//! A name that occurs twice, or beside one that differs by case alone, is read differently by different readers. Owns
//! where members are, and that a value is found only under a name that all readers read alike. Must not know what a
//! member means.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

#[derive(Debug, Default)]
pub(super) struct Members<'a>(Vec<JsonMember<'a>>);

#[derive(Debug)]
pub(super) struct JsonMember<'a> {
    written: &'a RawValue,
    /// The name, its escapes resolved.
    pub(super) name: String,
    pub(super) value: &'a RawValue,
}

/// A name that readers may read differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// Whether a reader that folds case takes `name` for `ours`, which is ASCII. Two letters beyond ASCII fold into
/// ASCII.
pub(super) fn folds_to(name: &str, ours: &str) -> bool {
    let folded = name.chars().map(|letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    });
    folded.eq(ours.chars().map(|letter| letter.to_ascii_lowercase()))
}

/// Where `value`, borrowed from `text`, is in it.
pub(super) fn span(text: &str, value: &RawValue) -> Range<usize> {
    let start = (value.get().as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    start..start.wrapping_add(value.get().len())
}

impl JsonMember<'_> {
    /// Where the member, borrowed from `text`, stands in it.
    pub(super) fn span(&self, text: &str) -> Range<usize> {
        span(text, self.written).start..span(text, self.value).end
    }
}

impl<'a> Members<'a> {
    /// The members of the object that `text` is, if it is one.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &JsonMember<'a>> {
        self.0.iter()
    }

    /// The value of `name`, if it has one.
    pub(super) fn get(&self, name: &str) -> Result<Option<&'a RawValue>, Ambiguous> {
        let mut readings = self.iter().filter(|member| folds_to(&member.name, name));
        match (readings.next(), readings.next()) {
            (None, _) => Ok(None),
            (Some(member), None) if member.name == name => Ok(Some(member.value)),
            (Some(_), _) => Err(Ambiguous),
        }
    }

    /// The text that `name` has, if that is all it can be read as.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name).ok()??.get()).ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<JsonMember<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((written, value)) = map.next_entry::<&RawValue, _>()? {
                    let name = serde_json::from_str(written.get()).map_err(serde::de::Error::custom)?;
                    members.push(JsonMember { written, name, value });
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
        let members =
            Members::of(r#"{ "a":1.10, "b":"x","c":1,"c":2,"d":1,"D":1,"E":1,"\u017f":1 }"#).unwrap();
        assert_eq!(members.get("a").map(|value| value.map(RawValue::get)), Ok(Some("1.10")));
        assert_eq!(members.text("b").as_deref(), Some("x"));
        assert_eq!(members.get("f").map(|value| value.map(RawValue::get)), Ok(None));
        for ambiguous in ["c", "d", "e", "s"] {
            assert_eq!(members.get(ambiguous).err(), Some(Ambiguous), "{ambiguous}");
        }
        assert_eq!(members.iter().map(|member| &*member.name).collect::<String>(), "abccdDE\u{17f}");
        assert!(Members::of("[]").is_none());
    }
}
