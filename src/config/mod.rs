//! From flags, environment, file and defaults to one validated [`Config`], or to every error at once.
//!
//! `source` lays the sources over one another, each value remembering where it came from; `schema` names every
//! key once and serves both reading and printing; `surroundings` fills in what the environment says of
//! the way out; `check` judges what no key can judge alone; `compare` tells two apart. Owns all of that.
//! Must not know what any part of the program does with its settings.

pub mod address;
mod check;
mod compare;
mod error;
mod kind;
mod load;
mod model;
mod print;
mod read;
mod schema;
mod source;
mod surroundings;
mod value;

pub use error::{ConfigError, ConfigErrors, Origin};
pub use kind::{InvalidSize, parse_size};
pub use load::{Loaded, Overrides};
pub use model::*;
pub use value::{Credential, Exempt, HostPattern, InvalidValue, Location, PemFile, Rate};

#[cfg(test)]
mod tests;
