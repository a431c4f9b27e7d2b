//! The sample file and the reference page, printed from the declaration of every key.
//!
//! Owns their form and their introductions. Must not know any key.

use std::collections::HashMap;
use std::fmt;

use super::about::{AppliedBy, KeyAbout, Nested};
use super::section;
use super::sections::Config;

const SAMPLE_HEAD: &str = r##"# Scriptorium's configuration: every key with its default and what it is for.
#
# This file is ready to use. A line that starts with "#" and no space is an example of a key that is not set.
# Command-line flags override the environment (SCRIPTORIUM_SECTION__KEY; in a list
# SCRIPTORIUM_UPSTREAMS__0__URL), the environment overrides this file, and this file overrides the defaults.
# An unknown key is an error. Durations are written "90s", "5m" or "7d", sizes "64MiB". Relative paths start
# from the folder of this file. Check your changes with `scriptorium config check`. This file is printed by
# `scriptorium config sample`.
"##;

const REFERENCE_HEAD: &str = r##"# Configuration

<!-- Printed by `scriptorium config reference`. Change crates/scriptorium/src/config/sections instead. -->

Scriptorium reads a TOML file: `scriptorium serve --config FILE`. Every key has a default except where this
page says "required", so a file can be as short as one registry:

```toml
[[upstreams]]
name = "public"
url = "https://registry.example.com"
```

`scriptorium config sample` prints a file with every key.

There are four sources; each overrides those below it:

1. command-line flags: `--upstream`, `--listen`, `--data`;
2. environment variables: `SCRIPTORIUM_CACHE__INDEX_TTL=10s` sets `index_ttl` in `[cache]`, and
   `SCRIPTORIUM_UPSTREAMS__0__URL` sets `url` of the first registry;
3. the file;
4. the defaults on this page.

`scriptorium config check --config FILE` prints the effective configuration, or every error at once. An
unknown key is an error. Secrets do not belong in the file: it names the environment variable that holds a
credential, or contains the SHA-256 of a token (`scriptorium token hash`).

Durations are written `"90s"`, `"5m"` or `"7d"`, sizes `"64MiB"`. A size without a unit is a number of bytes. A
value that is valid and probably not meant, such as `max_size = 50` or `"5M"` (five months), is a note of
`config check` and a warning at the start, which say what was understood. Relative paths in the file start from
its folder.

SIGHUP, or `POST /admin/v1/reload`, reads the configuration again. A valid one is applied at once, except for
keys that need a restart; the log and the response list both. If anything is wrong, nothing changes.
"##;

/// The sample file.
#[must_use]
pub(crate) fn sample() -> String {
    let mut page = ConfigPage { text: SAMPLE_HEAD.to_owned(), explained: HashMap::new() };
    for key in section::about::<Config>() {
        page.text.push('\n');
        page.comment("", &key);
        // A list of tables is commented out unless a configuration needs one, as its example shows; so is a table that there
        // need not be.
        let (head, keys, mark) = match &key.nested {
            Nested::Nothing => continue,
            Nested::Table(keys) => {
                (format!("[{}]", key.name), keys, if key.default.is_some() { "" } else { "#" })
            }
            Nested::Tables(keys) => {
                (format!("[[{}]]", key.name), keys, if key.example.is_some() { "" } else { "#" })
            }
        };
        page.line(format_args!("{mark}{head}"));
        for inner in keys {
            page.comment(key.name, inner);
            page.setting(inner, mark);
        }
    }
    page.text
}

/// A file with these keys only: section, key and value in TOML. Each has the comment of its declaration.
#[must_use]
pub(crate) fn file_of(head: &str, values: &[(&str, &str, String)]) -> String {
    let mut page = ConfigPage { text: head.to_owned(), explained: HashMap::new() };
    for section in section::about::<Config>() {
        let (head, keys) = match &section.nested {
            Nested::Nothing => continue,
            Nested::Table(keys) => (format!("\n[{}]", section.name), keys),
            Nested::Tables(keys) => (format!("\n[[{}]]", section.name), keys),
        };
        let value = |key: &KeyAbout| {
            values
                .iter()
                .find(|(of, name, _)| *of == section.name && *name == key.name)
                .map(|(.., value)| value)
        };
        let mut chosen = keys.iter().filter_map(|key| Some((key, value(key)?))).peekable();
        if chosen.peek().is_some() {
            page.line(format_args!("{head}"));
        }
        for (key, value) in chosen {
            page.comment(section.name, key);
            page.line(format_args!("{} = {value}", key.name));
        }
    }
    page.text
}

/// The reference page, in Markdown.
#[must_use]
pub(crate) fn reference() -> String {
    let mut page = ConfigPage { text: REFERENCE_HEAD.to_owned(), explained: HashMap::new() };
    for key in section::about::<Config>() {
        let (brackets, keys) = match &key.nested {
            Nested::Nothing => continue,
            Nested::Table(keys) => (("[", "]"), keys),
            Nested::Tables(keys) => (("[[", "]]"), keys),
        };
        page.line(format_args!("\n## `{}{}{}`\n", brackets.0, key.name, brackets.1));
        page.explain("", &key);
        page.entries(key.name, keys, key.applied_by);
    }
    page.text
}

/// A page that is being written.
struct ConfigPage {
    text: String,
    /// The key with which each text was written first. Sections may share keys.
    explained: HashMap<&'static [&'static str], String>,
}

impl ConfigPage {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        self.text.push_str(&format!("{line}\n"));
    }

    /// Writes why `key` of `section` is there, as a comment.
    fn comment(&mut self, section: &str, key: &KeyAbout) {
        for line in self.why(section, key) {
            self.line(format_args!("#{line}"));
        }
    }

    /// The same as a paragraph.
    fn explain(&mut self, section: &str, key: &KeyAbout) {
        for line in self.why(section, key) {
            self.line(format_args!("{}", line.trim()));
        }
    }

    fn why(&mut self, section: &str, key: &KeyAbout) -> Vec<String> {
        if let Some(first) = self.explained.get(key.why) {
            return vec![format!(" The same as `{first}`.")];
        }
        self.explained.insert(key.why, format!("{section}.{}", key.name));
        key.why.iter().map(ToString::to_string).collect()
    }

    /// Writes `key` with its example, else with its default. An example is commented out unless the key is
    /// required.
    fn setting(&mut self, key: &KeyAbout, mark: &str) {
        match (key.example, &key.default) {
            (Some(example), _) if key.required => self.line(format_args!("{mark}{} = {example}", key.name)),
            (Some(example), _) => self.line(format_args!("#{} = {example}", key.name)),
            (None, Some(default)) => self.line(format_args!("{mark}{} = {default}", key.name)),
            (None, None) => {}
        }
    }

    fn entries(&mut self, section: &str, keys: &[KeyAbout], applied_by: Option<AppliedBy>) {
        for key in keys {
            self.line(format_args!("\n### `{section}.{}`\n", key.name));
            self.explain(section, key);
            self.line(format_args!("\n- Value: {}", key.expected));
            match (&key.default, key.example) {
                (Some(default), _) => self.line(format_args!("- Default: `{default}`")),
                (None, example) => {
                    let default = if key.required { "none, the key is required" } else { "none" };
                    self.line(format_args!(
                        "- Default: {default}; for example `{}`",
                        example.unwrap_or_default()
                    ));
                }
            }
            let applied_by = key.applied_by.or(applied_by);
            let change = if applied_by == Some(AppliedBy::Restart) {
                "needs a restart"
            } else {
                "applied by a reload"
            };
            self.line(format_args!("- Change: {change}"));
            if let Nested::Table(keys) | Nested::Tables(keys) = &key.nested {
                self.entries(&format!("{section}.{}", key.name), keys, applied_by);
            }
        }
    }
}
