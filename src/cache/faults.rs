//! What a store that fails or rots does to those who are served from it: it costs them bytes, never the truth.
//!
//! `pull` lets every operation of a pull fail in every way, `damage` flips every kind of byte of what is stored,
//! `pieces` counts what a registry is asked for then, `seeded` keeps what a client published. Owns nothing else. Must not know how files are mended.

mod damage;
mod desk;
mod pieces;
mod pull;
mod seeded;
