//! Black-box tests: the real binary, real sockets, and an upstream that lies, stalls and breaks off.
//! Each test is named after the promise it proves. `support` knows nothing of the crate under test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

mod admin;
mod architecture;
mod audit;
mod big;
mod budget;
mod commands;
mod crash;
mod definite;
mod demo;
mod divergence;
mod documents;
mod door;
mod encoding;
mod eviction;
mod explain;
mod failure;
mod flight;
mod forgery;
mod freshness;
mod full_disk;
mod ground;
mod headers;
mod healing;
mod hostile_client;
mod invalidate;
mod lifecycle;
mod memory;
mod nullspace_bundles;
mod nullspace_hostile;
mod nullspace_kept;
mod nullspace_limits;
mod nullspace_parts;
mod nullspace_relaying;
mod nullspace_sdk;
mod object_storage;
mod pauses;
mod pins;
mod privacy;
mod problems;
mod publishing;
mod quarantine;
mod questions;
mod ranges;
mod rate_limit;
mod refusal;
mod reload;
mod replaced;
mod restart;
mod routes;
mod settle;
mod shown;
mod soak;
mod startup;
mod states;
mod store_command;
mod stored;
mod tls;
mod tools;
mod trust_artifacts;
mod trust_history;
mod withheld;
