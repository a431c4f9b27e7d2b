//! Rules and waivers as tables of TOML: a file of its own, or the lists of the configuration.
//!
//! Owns the shape of such a file, the places of its tables, and one error for each key that has another shape. Must not
//! know what a value means.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::declaration::{RuleDeclaration, WaiverDeclaration};
use crate::error::{PolicyError, PolicyFault};
use crate::locate::{Lines, WrittenFile};
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
    /// One [`PolicyError`] for each key of another shape, or one for a file that is no TOML.
    pub fn parse(source: &str, text: &str) -> Result<Self, Vec<PolicyError>> {
        let (document, errors) = Self::read(source, text);
        if errors.is_empty() { Ok(document) } else { Err(errors) }
    }

    /// The same, with what can be read beside the errors, so that errors in it can be told too.
    #[must_use]
    pub fn read(source: &str, text: &str) -> (Self, Vec<PolicyError>) {
        let mut document = Self::default();
        let mut errors = Vec::new();
        match text.parse::<Table>() {
            Ok(table) => read_file(source, table, &mut document, &mut errors),
            Err(error) => {
                let position = error.span().map(|span| Lines::of(text).of_byte(span.start));
                let place = Place { source: source.to_owned(), key: "policy".to_owned(), position };
                return (document, vec![shape(place, error.message())]);
            }
        }
        if let Some(written) = WrittenFile::parse(text) {
            let rules = document.rules.iter_mut().map(|rule| &mut rule.place);
            let waivers = document.waivers.iter_mut().map(|waiver| &mut waiver.place);
            rules.chain(waivers).for_each(|place| written.locate(place));
            errors.iter_mut().for_each(|error| written.locate(&mut error.place));
        }
        (document, errors)
    }

    /// The values of `policy.rules` and `policy.waivers` in a configuration that can be read, and one error for each that
    /// has another shape.
    #[must_use]
    pub fn from_values(
        source: &str,
        rules: Option<&Value>,
        waivers: Option<&Value>,
    ) -> (Self, Vec<PolicyError>) {
        let mut errors = Vec::new();
        let place = |key| Place::new(source, key);
        let rules = rules.map(|given| tables(&place(RULES), given.clone(), &mut errors)).unwrap_or_default();
        let waivers =
            waivers.map(|given| tables(&place(WAIVERS), given.clone(), &mut errors)).unwrap_or_default();
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

/// Reads a file of rules. What else it has is an error.
fn read_file(source: &str, file: Table, document: &mut PolicyDocument, errors: &mut Vec<PolicyError>) {
    let unknown = |key: String, expected: &str| {
        shape(Place::new(source, key), &format!("unknown key; expected only {expected}"))
    };
    for (key, value) in file {
        let policy = match (key.as_str(), value) {
            ("policy", Value::Table(policy)) => policy,
            ("policy", _) => {
                errors
                    .push(shape(Place::new(source, key), "expected [[policy.rules]] and [[policy.waivers]]"));
                continue;
            }
            (_, _) => {
                errors.push(unknown(key, "[[policy.rules]] and [[policy.waivers]]"));
                continue;
            }
        };
        for (key, value) in policy {
            let place = Place::new(source, format!("policy.{key}"));
            match key.as_str() {
                "rules" => document.rules = tables(&place, value, errors),
                "waivers" => document.waivers = tables(&place, value, errors),
                _ => errors.push(unknown(place.key, "`rules` and `waivers` in a file of rules")),
            }
        }
    }
}

/// The tables of a list.
fn tables<T: DeserializeOwned + Placed>(
    place: &Place,
    given: Value,
    errors: &mut Vec<PolicyError>,
) -> Vec<T> {
    let Value::Array(list) = given else {
        errors.push(shape(place.clone(), &format!("expected tables, each under [[{}]]", place.key)));
        return Vec::new();
    };
    let element = |(index, value): (usize, Value)| {
        let place = Place { key: format!("{}[{index}]", place.key), ..place.clone() };
        table(place, value, errors)
    };
    list.into_iter().enumerate().filter_map(element).collect()
}

fn table<T: DeserializeOwned + Placed>(
    place: Place,
    given: Value,
    errors: &mut Vec<PolicyError>,
) -> Option<T> {
    let Value::Table(mut given) = given else {
        errors.push(shape(place, "expected a table"));
        return None;
    };
    write_dates_as_text(&mut given);
    let read = T::deserialize(given.clone()).or_else(|_| {
        sift(&place, &mut given, &|table| T::deserialize(table).map(drop), errors);
        T::deserialize(given)
    });
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
}

/// Takes every key out of a table that does not `fit`, not even alone, and tells of each.
fn sift(
    place: &Place,
    given: &mut Table,
    fit: &dyn Fn(Table) -> Result<(), toml::de::Error>,
    errors: &mut Vec<PolicyError>,
) {
    for (key, mut value) in std::mem::take(given) {
        let alone = |value: Value| fit(Table::from_iter([(key.clone(), value)]));
        if let Err(error) = alone(value.clone()) {
            let has_table = alone(Value::Table(Table::new())).is_ok();
            let Some(inner) = value.as_table_mut().filter(|_| has_table) else {
                errors.push(shape(place.below(&key), error.message()));
                continue;
            };
            sift(&place.below(&key), inner, &|inner| alone(Value::Table(inner)), errors);
        }
        given.insert(key, value);
    }
}

/// A key that takes a day takes it without quotes too.
fn write_dates_as_text(table: &mut Table) {
    for (_, value) in table.iter_mut() {
        if let Value::Datetime(date) = value {
            *value = Value::String(date.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
