//! From flags, environment, file and defaults to one validated [`Config`], or to every error at once.
//!
//! `source` lays the sources over one another, each value remembering where it came from; `schema` names every
//! key once and serves both reading and printing; `check` judges what no key can judge alone; `compare` tells two apart. Owns all of that.
//! Must not know what any part of the program does with its settings.

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
mod value;

pub use error::{ConfigError, ConfigErrors, Origin};
pub use kind::{InvalidSize, parse_size};
pub use load::{Loaded, Overrides};
pub use model::*;
pub use value::{Credential, HostPattern, InvalidValue, Location, Rate};

#[cfg(test)]
mod tests;
