//! Black-box tests: the real binary, real sockets, and an upstream that lies, stalls and breaks off.
//! Each test is named after the promise it proves. `support` knows nothing of the crate under test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

mod admin;
mod architecture;
mod commands;
mod definite;
mod demo;
mod documents;
mod failure;
mod flight;
mod forgery;
mod freshness;
mod headers;
mod hostile_client;
mod lifecycle;
mod memory;
mod pins;
mod privacy;
mod problems;
mod ranges;
mod refusal;
mod restart;
mod routes;
mod states;
mod stored;
mod tls;
mod tools;
mod trust_artifacts;
