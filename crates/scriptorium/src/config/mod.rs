//! From flags, environment, file and defaults to one valid [`Config`], or to every error at once.
//!
//! | file | owns |
//! |---|---|
//! | `sections` | every key: type, default, bounds, the part that applies a change, and the reason for the key |
//! | `declare`, `section`, `about` | the form of a declaration, and the walks over it |
//! | `format`, `formats`, `value` | how a value is written |
//! | `sources`, `reading` | the sources as one tree, and the state while they are read |
//! | `environment` | defaults from variables that other programs share |
//! | `check`, `notes` | rules between keys; settings that are probably not meant |
//! | `load`, `pages` | the order of loading; the sample file and the reference page |
//! | `address` | kinds of addresses |
//!
//! Must not know what a part of the program does with its settings.

mod about;
pub(crate) mod address;
mod check;
mod declare;
mod environment;
mod error;
mod format;
mod formats;
mod load;
mod notes;
mod pages;
mod reading;
mod section;
mod sections;
mod sources;
mod value;

pub(crate) use about::AppliedBy;
pub(crate) use error::{ConfigError, ConfigErrors, ValueOrigin};
pub(crate) use formats::parse_size;
pub(crate) use load::Loaded;
pub(crate) use pages::{file_of, reference, sample};
pub(crate) use sections::*;
pub(crate) use sources::Overrides;
pub(crate) use value::{
    Credential, ExpectedClaim, HostPattern, JwksFile, LONGEST_JWKS, ListedReader, PemFile, Readers,
};
pub(crate) use value::{Location, Rate};

#[cfg(test)]
mod tests;
