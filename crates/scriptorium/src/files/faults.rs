//! Faults of the store: a store that fails or corrupts data may cost a client an answer, but never gives it a wrong one.
//!
//! `pull` lets every operation of a pull fail in every way, `damage` flips every kind of byte of what is stored,
//! `pieces` counts what a registry is asked for then, `seeded` keeps what a client published, `power` cuts the power
//! after every operation. Owns nothing else. Must not know how files are mended.

mod damage;
mod desk;
mod pieces;
mod power;
mod pull;
mod seeded;
