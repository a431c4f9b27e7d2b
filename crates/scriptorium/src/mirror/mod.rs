//! Mirrors: releases that are brought in ahead of requests, so that they can be installed while their registry is away.
//!
//! ```text
//! runs            one run of a mirror at a time: asked for, or due (`lock`: also among processes)
//! ├─ plan         what a sync would fetch
//! └─ sync         select, bring in, record
//!    ├─ survey    the selector and its questions: indexes (`rows`) and search (`enumeration`)
//!    ├─ outlook   what of it is here, and `sizing`: whether the storage can hold the rest
//!    ├─ inquiry   what registries say about no volume (`notices`): capabilities, and lists of advisories
//!    ├─ bringing  one release: exact metadata, archive, trust
//!    └─ record    what was selected and brought, and the stored values that belong to it
//! withheld        what of it the operator's policy refuses
//! proof           from the store alone: every root resolves, and every file is whole
//! desk, patience, tally   how registries are asked, when again, and what came
//! courtesy        how it steps back for clients
//! ```
//! Registries are asked as they are for clients, through `read` and `files`, as background work. Must not know HTTP, nor
//! the commands.

mod bringing;
mod courtesy;
mod desk;
pub(crate) mod enumeration;
mod inquiry;
mod lock;
#[cfg(test)]
mod memory;
pub(crate) mod notices;
mod outlook;
mod patience;
mod plan;
pub(crate) mod proof;
pub(crate) mod record;
pub(crate) mod report;
mod rows;
mod runs;
mod sizing;
mod survey;
mod sync;
mod tally;
pub(crate) mod withheld;

pub(crate) use desk::MirrorDesk;
pub(crate) use lock::{MirrorLock, MirrorLocks};
pub(crate) use runs::{Mirrors, NotStarted, RunKind};
