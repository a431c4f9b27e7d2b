//! Scriptorium: a caching pull-through proxy for Agent Volumes bibliothecas.
//!
//! `ARCHITECTURE.md` is the map; [`pipeline`] is the first page to read.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod admin;
pub mod app;
pub mod archive;
pub mod audit;
pub mod base;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod consistency;
pub mod demo;
pub mod domain;
pub mod explain;
pub mod intake;
pub mod limit;
pub mod listen;
pub mod pipeline;
pub mod private;
pub mod relay;
pub mod reload;
pub mod respond;
pub mod route;
pub mod store;
pub mod telemetry;
pub mod upstream;
