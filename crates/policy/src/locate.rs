//! The line of each key that is wrong in a file of rules.
//!
//! What was read of a file has no lines. So the file is read once more, down to the key that each error names: a
//! rule of twenty lines has one faulty line. Owns that way down. Must not know what is wrong.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::PolicyError;
use crate::place::Place;

/// Gives errors about `source`, whose text is `text`, the line of their key. A key that is missing keeps the line of its table.
pub fn locate(source: &str, text: &str, errors: &mut [PolicyError]) {
    let Some(written) = WrittenFile::parse(text) else { return };
    errors
        .iter_mut()
        .filter(|error| error.place.source == source)
        .for_each(|error| written.locate(&mut error.place));
}

/// A file as it is written.
pub(crate) struct WrittenFile<'a> {
    table: DeTable<'a>,
    lines: Lines,
}

impl<'a> WrittenFile<'a> {
    /// The file with this text, if it is TOML.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        Some(Self { table: DeTable::parse(text).ok()?.into_inner(), lines: Lines::of(text) })
    }

    /// Gives a place the line of its key, if the key is there.
    pub(crate) fn locate(&self, place: &mut Place) {
        if let Some(begins) = begins(&self.table, &place.key) {
            place.position = Some(self.lines.of_byte(begins));
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

/// Where a key begins, or an element of a list.
fn begins(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let mut steps = key.split(['.', '[']).map(|step| step.strip_suffix(']').unwrap_or(step));
    let (mut begins, mut value) = member(table, steps.next()?)?;
    for step in steps {
        (begins, value) = match value.get_ref() {
            DeValue::Table(table) => member(table, step)?,
            DeValue::Array(list) => {
                let element = list.get(step.parse::<usize>().ok()?)?;
                (element.span().start, element)
            }
            _ => return None,
        };
    }
    Some(begins)
}

fn member<'a, 'i>(table: &'a DeTable<'i>, key: &str) -> Option<(usize, &'a Spanned<DeValue<'i>>)> {
    let found = table.iter().find(|(name, _)| name.get_ref() == key)?;
    Some((found.0.span().start, found.1))
}

#[cfg(test)]
mod tests {
    use crate::{Policy, PolicyDocument, PolicyMode, PolicySettings, locate};

    const TEXT: &str = r#"[[policy.rules]]
id = "r"
action = "deny"
message = """
"""

[policy.rules.match]
younger_than = "week"
volumes = [
    "lamp",
    "A*",
]
permissions = { shell = "allow",
    network = "all" }

[[policy.waivers]]
rule = "r"
release = "lamp@1.0.0"
until = "2020-01-01"

[[policy.rules]]
id = "r"
action = "hold"
match = { volumes = ["*"] }

[[policy.rules]]
id = "r"
action = "hold"
match = { volumes = ["*"] }
"#;

    #[test]
    fn every_error_names_the_line_of_its_key() {
        let (document, _) = PolicyDocument::read("p", TEXT);
        let settings = PolicySettings { mode: Some(PolicyMode::Enforce), ..PolicySettings::default() };
        let mut errors = Policy::compile(document, settings, 1_796_000_000).unwrap_err();
        locate("p", TEXT, &mut errors);
        let mut found: Vec<_> =
            errors.iter().map(|error| (error.place.position.unwrap().0, error.place.key.as_str())).collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                (4, "policy.rules[0].message"),
                (8, "policy.rules[0].match.younger_than"),
                (11, "policy.rules[0].match.volumes[1]"),
                (14, "policy.rules[0].match.permissions.network"),
                (19, "policy.waivers[0].until"),
                (27, "policy.rules[2].id"),
            ]
        );
    }

    #[test]
    fn what_is_missing_has_the_line_of_its_table_and_another_file_none_of_this() {
        let text = "\n[[policy.rules]]\naction = \"deny\"\nmatch = { volumes = [\"*\"] }\n";
        let (document, _) = PolicyDocument::read("p", text);
        let mut errors = Policy::compile(document, PolicySettings::default(), 0).unwrap_err();
        let before = errors.clone();
        locate("q", text, &mut errors);
        assert_eq!(errors, before);
        locate("p", text, &mut errors);
        let missing = errors.iter().find(|error| error.place.key.ends_with(".id")).unwrap();
        assert_eq!(missing.place.position, Some((2, 1)));
    }
}
