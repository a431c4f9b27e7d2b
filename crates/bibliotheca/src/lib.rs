//! A programmable Agent Volumes registry, for the demo, the tests and the benchmarks.
//!
//! A [`PublishedRelease`] writes its documents and its archive. A [`ScriptedRegistry`] holds the script: the reply to
//! each request and the faults on its way; it records every request. A [`RegistryServer`] serves that script over a
//! socket. A [`PublishingRegistry`] also accepts uploads. [`sample`] is the catalogue of the demo.
//!
//! The crate uses no code of the proxy. It computes digests and parses HTTP itself, so that a test compares two
//! implementations. The server writes HTTP by hand, because a test needs replies that no HTTP library sends: a wrong
//! length, a body that breaks off, bytes that are not HTTP.

pub mod archive;
mod catalogue;
pub mod idempotency;
mod publishing;
mod ranging;
mod registry;
pub mod release;
mod reply;
mod repository;
mod request;
pub mod sample;
mod script;
mod search;
mod server;
mod sized;
pub mod wire;

pub use publishing::{FalseIntegrity, PublishingRegistry};
pub use ranging::RangeSupport;
pub use registry::ScriptedRegistry;
pub use release::{PublishedArtifact, PublishedRelease};
pub use reply::{ReplyHold, ScriptedReply};
pub use request::{BodyEnding, ReceivedRequest, hex_digest};
pub use script::Accident;
pub use server::RegistryServer;
