//! What proxies that share a bucket agree on through Redis or Valkey.
//!
//! Truth stays in the bucket. The [`Engine`] makes nodes quicker and fairer, and may fail in every way: then each goes on
//! alone. Pure state machines decide, with the time passed in; one adapter speaks to the server. Dependencies of files
//! point down:
//!
//! ```text
//! redis_engine   double (for tests)
//! │        └─ engine ─┬─ permits ─ pool    requests to a registry: in any 60 s, and at once
//! │                   │  places ─ legacy   what a process that ends in order leaves to the next
//! │                   ├─ share             requests of a client
//! │                   ├─ flight            one fetch for all nodes
//! │                   ├─ follower          what all have to hear
//! │                   │  presence          together or alone
//! │                   └─ fault             why the engine did not do it, and what to do
//! └─ redis_connection ─┬─ address                             one connection for all operations, kept by the library
//!                      ├─ refusal                             what an error of the server means
//!                      └─ last_trial ─ trial ─ first_answer   why there is no connection
//! ```
//!
//! ```
//! use std::num::NonZeroU32;
//! use std::time::Duration;
//! use cluster::{ClientShare, ShareRate, ShareVerdict};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (quota, nodes) = (NonZeroU32::try_from(60)?, NonZeroU32::try_from(3)?);
//! let mut client = ClientShare::new(ShareRate::new(quota, Duration::from_secs(60), nodes));
//! let (now, together) = (Duration::ZERO, true);
//! assert!(matches!(client.take(now, together), ShareVerdict::Admitted(left) if left.remaining == 59));
//! // Behind the response: `engine.settle(&[(bucket, debt)])`, then `client.settled(missing, now)`.
//! assert!(client.debt(now).is_some());
//! # Ok(())
//! # }
//! ```
//!
//! Must not know HTTP, documents, the bucket, or how a proxy is built.

mod address;
#[cfg(any(test, feature = "double"))]
mod double;
mod engine;
mod engine_clock;
mod fault;
mod first_answer;
mod flight;
mod follower;
mod last_trial;
mod legacy;
mod permits;
mod places;
mod pool;
mod presence;
mod redis_connection;
mod redis_engine;
mod refusal;
mod share;
mod trial;

pub use address::EngineAddress;
#[cfg(any(test, feature = "double"))]
pub use double::{EngineDouble, EngineMemory, SharedDouble};
pub use engine::{Beat, Engine, LeaseCall, NODE_SEEN, SharedValue};
pub use fault::{DEADLINE, EngineFault};
pub use flight::{FLIGHT_LEASE, FlightStep, LeaseReply, SharedFlight};
pub use follower::{CURRENT_FOR, Followed, Follower, StreamEvent, StreamPage, StreamPlace};
pub use legacy::{Legacy, PermitLegacy};
pub use permits::{PermitSettings, PermitUse, Permits};
pub use places::{Entered, Places};
pub use pool::{Pool, PoolCall, PoolGrant, PoolReply, PoolRules, decide};
pub use presence::{Presence, PresenceState};
pub use redis_engine::RedisEngine;
pub use share::{ClientShare, ShareDebt, ShareLeft, ShareRate, ShareVerdict, charge};
