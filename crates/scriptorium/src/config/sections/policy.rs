//! The section `[policy]`.
//!
//! Owns its keys, and how the rules of the section and its file become one policy. Must not know what a rule says, nor where a value
//! came from.

use std::path::PathBuf;
use std::time::Duration;

use policy::{
    OnOldAdvisories, Policy, PolicyDocument, PolicyError, PolicyMode, PolicySettings, PolicyWarning, locate,
};
use toml::Value;

use super::super::declare::section;
use super::super::formats::{Choice, choice, folder, period, policy_file, policy_tables};
use super::super::value::{PolicyFile, PolicyTables};

const RULES: &str =
    r#"[{ id = "too-new", action = "hold", match = { volumes = ["*"], younger_than = "7d" } }]"#;
const WAIVERS: &str = r#"[{ rule = "too-new", release = "@acme/x@1.2.3", until = "2099-12-31" }]"#;

section! {
    pub(crate) struct PolicyKeys {
        /// "enforce", or "audit": rules change no answer, what they would do is logged and counted. Required as
        /// soon as there is a rule.
        mode: Option<PolicyMode> = None, choice().optional().example(r#""audit""#), Policy;
        /// File with more rules and waivers: [[policy.rules]] and [[policy.waivers]]. It is read again with the
        /// configuration.
        file: Option<PolicyFile> = None, policy_file().optional().example(r#""policy.toml""#), Policy;
        /// Rules on releases, each under [[policy.rules]]; docs/policy.md explains them.
        rules: PolicyTables = PolicyTables::default(), policy_tables("[[policy.rules]]").example(RULES), Policy;
        /// Waivers: releases that a rule spares until a day, each under [[policy.waivers]].
        waivers: PolicyTables = PolicyTables::default(), policy_tables("[[policy.waivers]]").example(WAIVERS), Policy;
        /// What a rule on advisories says while the advisories are older than `advisories_max_age`: "closed", it
        /// holds; "open", the known advisories decide.
        advisories: OnOldAdvisories = OnOldAdvisories::Closed, choice(), Policy;
        /// Age from which advisories are old: since their registry last confirmed its list; offline also since
        /// a file in `osv` changed.
        advisories_max_age: Duration = Duration::from_secs(86_400), period(), Policy;
        /// Folders with advisories in OSV format, one or several in a file. They are read again with the
        /// configuration.
        osv: Vec<PathBuf> = Vec::new(), folder().list().example(r#"["/var/lib/advisories"]"#), Policy;
    }
}

impl PolicyKeys {
    /// The policy at the second `now` since 1970. Rules of the section come before those of the file.
    ///
    /// # Errors
    /// Everything that is wrong with a rule or a waiver.
    pub(crate) fn compile(&self, now: u64) -> Result<(Policy, Vec<PolicyWarning>), Vec<PolicyError>> {
        let list = |tables: &PolicyTables| (!tables.0.is_empty()).then(|| Value::Array(tables.0.clone()));
        let (rules, waivers) = (list(&self.rules), list(&self.waivers));
        let (mut document, mut errors) = PolicyDocument::from_values("", rules.as_ref(), waivers.as_ref());
        if let Some(file) = &self.file {
            let (more, wrong) = PolicyDocument::read(&file.path().display().to_string(), file.text());
            document.extend(more);
            errors.extend(wrong);
        }
        let settings = PolicySettings {
            mode: self.mode,
            on_old_advisories: self.advisories,
            advisories_max_age: self.advisories_max_age,
        };
        let compiled = match Policy::compile(document, settings, now) {
            Ok(compiled) if errors.is_empty() => return Ok(compiled),
            Ok(_) => Vec::new(),
            Err(more) => more,
        };
        let mut errors = PolicyError::all(errors, compiled);
        if let Some(file) = &self.file {
            locate(&file.path().display().to_string(), file.text(), &mut errors);
        }
        Err(errors)
    }

    /// Puts the file at `path` in the place of `file`.
    ///
    /// # Errors
    /// Why that file cannot be read.
    pub(crate) fn replace_file(&mut self, path: PathBuf) -> Result<(), String> {
        self.file = Some(PolicyFile::read(path)?);
        Ok(())
    }
}

impl Choice for PolicyMode {
    const WORDS: &'static [(&'static str, Self)] = &[("enforce", Self::Enforce), ("audit", Self::Audit)];
}

impl Choice for OnOldAdvisories {
    const WORDS: &'static [(&'static str, Self)] = &[("closed", Self::Closed), ("open", Self::Open)];
}
