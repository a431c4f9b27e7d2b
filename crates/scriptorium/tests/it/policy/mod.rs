//! The operator's policy: each rule lowers a release on all sides alike, at once, and no further than it says.

mod awaited;
mod commands;
mod facts;
mod first_sight;
mod held_before;
mod hostile;
mod kept_facts;
mod matrix;
mod mirrored;
mod old_advisories;
mod sides;
mod trust_outage;
mod under_load;
mod unread;
