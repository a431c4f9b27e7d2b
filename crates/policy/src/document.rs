//! Rules and waivers as tables of TOML: a file of its own, or the lists of the configuration.
//!
//! Owns the shape of such a file, the places of its tables, and one error for each table that has another shape. Must not
//! know what a value means.

use serde::Serialize;
use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::declaration::{RuleDeclaration, WaiverDeclaration};
use crate::error::{PolicyError, PolicyFault};
use crate::place::Place;

/// Rules and waivers as they are written, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyDocument {
    /// The rules.
    pub rules: Vec<RuleDeclaration>,
    /// The waivers.
    pub waivers: Vec<WaiverDeclaration>,
}

impl PolicyDocument {
    /// A file that has `[[policy.rules]]` and `[[policy.waivers]]`, and nothing else.
    ///
    /// # Errors
    /// One [`PolicyError`] for each table of another shape, or one for a file that is no TOML.
    pub fn parse(source: &str, text: &str) -> Result<Self, Vec<PolicyError>> {
        let (document, errors) = Self::read(source, text);
        if errors.is_empty() { Ok(document) } else { Err(errors) }
    }

    /// The same, with what can be read beside the errors, so that errors in it can be told too.
    #[must_use]
    pub fn read(source: &str, text: &str) -> (Self, Vec<PolicyError>) {
        let lines = Lines::of(text);
        let mut document = Self::default();
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let position = error.span().map(|span| lines.of_byte(span.start));
                let place = Place { source: source.to_owned(), key: "policy".to_owned(), position };
                return (document, vec![shape(place, error.message())]);
            }
        };
        let mut reading = Reading { source, lines, errors: Vec::new() };
        for (key, value) in table.into_inner() {
            if key.get_ref() == "policy" {
                reading.policy(value, &mut document);
            } else {
                reading.unknown(key.get_ref(), &key, "[[policy.rules]] and [[policy.waivers]]");
            }
        }
        (document, reading.errors)
    }

    /// The values of `policy.rules` and `policy.waivers` in a configuration that can be read, and one error for each that
    /// has another shape.
    #[must_use]
    pub fn from_values(
        source: &str,
        rules: Option<&toml::Value>,
        waivers: Option<&toml::Value>,
    ) -> (Self, Vec<PolicyError>) {
        let mut errors = Vec::new();
        let rules = values(source, RULES, rules, &mut errors);
        let waivers = values(source, WAIVERS, waivers, &mut errors);
        (Self { rules, waivers }, errors)
    }

    /// The document as a file that reads back.
    #[must_use]
    pub fn to_toml(&self) -> String {
        #[derive(Serialize)]
        struct File<'a> {
            policy: Tables<'a>,
        }
        #[derive(Serialize)]
        struct Tables<'a> {
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            rules: &'a [RuleDeclaration],
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            waivers: &'a [WaiverDeclaration],
        }
        if self.rules.is_empty() && self.waivers.is_empty() {
            return String::new();
        }
        let file = File { policy: Tables { rules: &self.rules, waivers: &self.waivers } };
        // Tables of texts and lists of texts always have a form in TOML.
        toml::to_string(&file).unwrap_or_default()
    }

    /// Adds what another place declares, after what is here.
    pub fn extend(&mut self, other: Self) {
        self.rules.extend(other.rules);
        self.waivers.extend(other.waivers);
    }
}

const RULES: &str = "policy.rules";
const WAIVERS: &str = "policy.waivers";

/// A table that has a place.
trait Placed {
    fn put(&mut self, place: Place);
}

impl Placed for RuleDeclaration {
    fn put(&mut self, place: Place) {
        self.place = place;
    }
}

impl Placed for WaiverDeclaration {
    fn put(&mut self, place: Place) {
        self.place = place;
    }
}

fn shape(place: Place, message: &str) -> PolicyError {
    PolicyError { place, fault: PolicyFault::Shape(message.trim_end().to_owned()) }
}

fn no_list(key: &str) -> String {
    format!("expected tables, each under [[{key}]]")
}

fn values<T: DeserializeOwned + Placed>(
    source: &str,
    key: &str,
    given: Option<&toml::Value>,
    errors: &mut Vec<PolicyError>,
) -> Vec<T> {
    let list = match given {
        None => return Vec::new(),
        Some(toml::Value::Array(list)) => list,
        Some(_) => {
            errors.push(shape(Place::new(source, key), &no_list(key)));
            return Vec::new();
        }
    };
    let read = |(index, value): (usize, &toml::Value)| {
        let place = Place::new(source, format!("{key}[{index}]"));
        let read = if value.is_table() { T::deserialize(value.clone()) } else { Err(no_table()) };
        match read {
            Ok(mut table) => {
                table.put(place);
                Some(table)
            }
            Err(error) => {
                errors.push(shape(place, error.message()));
                None
            }
        }
    };
    list.iter().enumerate().filter_map(read).collect()
}

fn no_table() -> toml::de::Error {
    serde::de::Error::custom("expected a table")
}

/// A file that is being read.
struct Reading<'a> {
    source: &'a str,
    lines: Lines,
    errors: Vec<PolicyError>,
}

impl Reading<'_> {
    fn policy(&mut self, value: Spanned<DeValue<'_>>, document: &mut PolicyDocument) {
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            let place = self.place("policy", span.start);
            self.errors.push(shape(place, "expected [[policy.rules]] and [[policy.waivers]]"));
            return;
        };
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "rules" => document.rules = self.tables(RULES, value),
                "waivers" => document.waivers = self.tables(WAIVERS, value),
                other => {
                    let name = format!("policy.{other}");
                    self.unknown(&name, &key, "`rules` and `waivers` in a file of rules");
                }
            }
        }
    }

    fn tables<T: DeserializeOwned + Placed>(&mut self, key: &str, value: Spanned<DeValue<'_>>) -> Vec<T> {
        let begins = value.span().start;
        let DeValue::Array(list) = value.into_inner() else {
            let place = self.place(key, begins);
            self.errors.push(shape(place, &no_list(key)));
            return Vec::new();
        };
        list.into_iter()
            .enumerate()
            .filter_map(|(index, value)| self.table(format!("{key}[{index}]"), value))
            .collect()
    }

    fn table<T: DeserializeOwned + Placed>(
        &mut self,
        key: String,
        mut value: Spanned<DeValue<'_>>,
    ) -> Option<T> {
        write_dates_as_text(value.get_mut());
        let mut place = self.place(&key, value.span().start);
        let read = if value.get_ref().is_table() {
            T::deserialize(value.into_deserializer())
        } else {
            Err(no_table())
        };
        match read {
            Ok(mut table) => {
                table.put(place);
                Some(table)
            }
            Err(error) => {
                place.position = error.span().map(|span| self.lines.of_byte(span.start)).or(place.position);
                self.errors.push(shape(place, error.message()));
                None
            }
        }
    }

    fn unknown<T>(&mut self, name: &str, key: &Spanned<T>, expected: &str) {
        let place = self.place(name, key.span().start);
        self.errors.push(shape(place, &format!("unknown key; expected only {expected}")));
    }

    fn place(&self, key: &str, byte: usize) -> Place {
        Place { position: Some(self.lines.of_byte(byte)), ..Place::new(self.source, key) }
    }
}

/// A key that takes a day takes it without quotes too.
fn write_dates_as_text(value: &mut DeValue<'_>) {
    let DeValue::Table(table) = value else { return };
    for (_, value) in table.iter_mut() {
        if let DeValue::Datetime(date) = value.get_ref() {
            *value.get_mut() = DeValue::String(date.to_string().into());
        }
    }
}

/// Where the lines of a text begin.
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    pub(crate) fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1).collect())
    }

    /// Line and column of a byte, counted from 1.
    pub(crate) fn of_byte(&self, byte: usize) -> (usize, usize) {
        let line = self.0.partition_point(|begins| *begins <= byte);
        let begins = line.checked_sub(1).and_then(|before| self.0.get(before)).copied().unwrap_or_default();
        (line + 1, byte - begins + 1)
    }
}

#[cfg(test)]
mod tests;
