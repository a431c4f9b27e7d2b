//! The sample bibliotheca that `scriptorium demo` puts behind the real proxy.
//!
//! Owns a small catalogue in which every lifecycle state occurs, and a server that speaks the whole read
//! protocol over a socket of its own. Must not know the proxy: to it this is one more upstream.

mod answer;
mod archive;
mod bibliotheca;
mod catalogue;
mod documents;
mod query;
mod sample;
mod trust;

pub use bibliotheca::serve;
pub use catalogue::Catalogue;

/// Why the sample bibliotheca cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The sample catalogue does not have its shape.
    #[error("the embedded sample catalogue is invalid: {0}")]
    Sample(#[from] toml::de::Error),
    /// A manifest has no TOML form.
    #[error("a manifest of the sample catalogue could not be written: {0}")]
    Manifest(#[from] toml::ser::Error),
    /// An archive could not be packed.
    #[error("an archive of the sample catalogue could not be packed: {0}")]
    Pack(#[from] std::io::Error),
    /// The listener has no address to derive links from.
    #[error("the demo's listener has no local address, expected a bound TCP socket: {0}")]
    Listener(#[source] std::io::Error),
}

#[cfg(test)]
mod tests;
