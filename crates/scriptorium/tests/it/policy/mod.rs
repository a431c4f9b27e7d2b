//! The operator's policy: each rule lowers a release on all sides alike, at once, and no further than it says.

mod commands;
mod facts;
mod first_sight;
mod hostile;
mod matrix;
mod sides;
mod under_load;
