//! One answer made of several registries' answers to the same question about no volume.
//!
//! Owns what such an answer says, as pure functions of what the registries said: whose turn it is (`turns`), what is on
//! a list and about which volume (`listed`), the list that is sent (`joined`), and what may be claimed for all of them
//! (`capabilities`). Must not know who was asked, when, nor where a volume is routed.

mod capabilities;
mod joined;
mod listed;
mod members;
mod turns;

pub use capabilities::for_all;
pub use joined::{Picked, advisories, search};
pub use listed::{Item, Listed, about, advised, found};
pub use turns::{Place, page, taken};
