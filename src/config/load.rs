//! Loading: sources → tree → settings → checks, in that order and on one page.
//!
//! Owns the precedence of sources and the notes for the operator. Must not know how any one value is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::check;
use super::error::ConfigErrors;
use super::model::{Config, Upstream};
use super::read::Reader;
use super::schema;
use super::source::Node;
use crate::domain::pattern::VolumePattern;

/// What the command line says; it has the last word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--upstream`: the only upstream, for everything.
    pub upstream: Option<String>,
    /// `--listen`
    pub listen: Option<String>,
    /// `--data`: the folder that storage is kept in.
    pub data: Option<PathBuf>,
    /// The command works beside a proxy and asks no registry, so that none need be named.
    pub beside: bool,
}

/// A configuration that holds, and what its operator should know.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The effective configuration.
    pub config: Config,
    /// What is legal and probably not meant, one sentence each.
    pub notes: Vec<String>,
}

impl Config {
    /// Reads flags over environment over file over defaults.
    ///
    /// `env` holds the settings (`SCRIPTORIUM_SECTION__KEY`) as well as the variables that `token_env` names.
    ///
    /// # Errors
    /// Every error of every source at once; a file that is no TOML is told about alone.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        overrides: Overrides,
    ) -> Result<Loaded, ConfigErrors> {
        let env: BTreeMap<String, String> = env.collect();
        let mut tree = file.map_or_else(|| Ok(Node::default()), Node::from_file).map_err(ConfigErrors)?;
        let mut errors = tree.overlay_environment(&env);
        let asks = !overrides.beside;
        tree.overlay_flags(overrides);
        let mut reader = Reader::new(&env, file);
        let config = reader.read_root(tree, |reader| schema::config(reader, &Config::default()));
        check::check(&config, asks, &mut reader);
        errors.append(&mut reader.errors);
        if errors.is_empty() {
            let notes = notes(&config);
            Ok(Loaded { config, notes })
        } else {
            Err(ConfigErrors(errors))
        }
    }
}

fn notes(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    let greedy = config.upstreams.iter().position(takes_everything);
    for (index, upstream) in config.upstreams.iter().enumerate().skip(greedy.map_or(usize::MAX, |at| at + 1))
    {
        notes.push(format!(
            "upstreams[{index}] ({}) is never asked: one listed before it takes every volume",
            upstream.name
        ));
    }
    notes
}

fn takes_everything(upstream: &Upstream) -> bool {
    upstream.volumes.is_empty() || upstream.volumes.contains(&VolumePattern::All)
}
