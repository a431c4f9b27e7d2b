//! Scriptorium: a caching pull-through proxy for Agent Volumes bibliothecas.
//!
//! The crate is a program: [`cli::run`] is all of it. `ARCHITECTURE.md` is the map, and `pipeline.rs` the first page
//! to read. [`facade`] is for benches and fuzz targets.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod access;
mod admin;
mod admission;
mod advisories;
mod app;
mod audit;
mod audit_record;
mod base;
mod bundles;
mod causes;
pub mod cli;
mod clock;
mod cluster;
mod config;
mod consistency;
mod doctor;
mod domain;
mod explain;
pub mod facade;
mod files;
mod flight;
mod intake;
mod issuer_keys;
mod limit;
mod listen;
mod long_work;
mod mirror;
mod pipeline;
mod policies;
mod private;
mod progress;
mod read;
mod relay;
mod reload;
mod repositories;
mod respond;
mod rights;
mod route;
mod spans;
mod store;
mod telemetry;
mod upstream;
