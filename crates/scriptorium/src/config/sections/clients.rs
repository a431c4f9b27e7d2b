//! The sections `[[tokens]]` and `[[issuers]]`.
//!
//! Owns their keys. Must not know where a value came from, nor how a token is judged.

use url::Url;

use super::super::declare::{choice, section};
use super::super::formats::{
    choice, expected_claims, group, key_file, keys_url, last_day, name, pattern, phrase, token_digest,
};
use super::super::value::{ExpectedClaim, JwksFile, LastDay};
use super::Egress;
use crate::domain::Sha256;
use crate::domain::VolumePattern;

section! {
    pub(crate) struct Token requires {
        /// Name of the client in logs, and in `readers`.
        name: String, name().example(r#""ci-main""#);
        /// Rate class: "authenticated" (a person) or "ci" (a build machine).
        class: TokenClass, choice().example(r#""ci""#);
        /// SHA-256 of the token, as `scriptorium token hash` prints it. The token itself stays out of this
        /// file.
        sha256: Sha256, token_digest().example(
            r#""9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08""#);
    } with {
        /// Groups of the token: `readers` of a registry may name "group:release".
        groups: Vec<String> = Vec::new(), group().list().example(r#"["release"]"#);
        /// What the token may read of registries that not everybody may read: exact names, or "@corp/*" and
        /// "tools-*". An empty list is all that these registries have.
        volumes: Vec<VolumePattern> = Vec::new(), pattern().list().example(r#"["@corp/*"]"#);
        /// The last day of the token, in UTC. From then on it counts as no token.
        expires: Option<LastDay> = None, last_day().optional().example(r#""2027-01-31""#);
    }
}

choice! { pub(crate) enum TokenClass { Authenticated = "authenticated", Ci = "ci" } }

section! {
    pub(crate) struct Issuer requires {
        /// Name of the issuer in logs, and in `readers`, where it stands for each of its tokens.
        name: String, name().example(r#""actions""#);
        /// The `iss` that its tokens must have, to the letter.
        issuer: String, phrase().example(r#""https://token.actions.example.com""#);
        /// The `aud` that its tokens must have.
        audience: String, phrase().example(r#""scriptorium""#);
        /// Rate class of its tokens: "authenticated" or "ci". Each `sub` has a rate of its own.
        class: TokenClass, choice().example(r#""ci""#);
    } with {
        /// File with the issuer's public keys (JWKS). A reload reads it again. With `jwks_url` too, its keys are in force
        /// until the first answer from there.
        jwks_file: Option<JwksFile> = None, key_file().optional().example(r#""jwks.json""#);
        /// Where the issuer publishes its keys: https, or http on this machine. They are
        /// asked for at the start, every five minutes, and when a token names a key that is not known; never while a
        /// client waits. While they cannot be had, the last ones stay in force.
        jwks_url: Option<Url> = None, keys_url().optional().example(
            r#""https://token.actions.example.com/.well-known/jwks""#);
        /// Groups of its tokens, for `readers`.
        groups: Vec<String> = Vec::new(), group().list().example(r#"["release"]"#);
        /// Claims that its tokens must have, with the text of each; a star stands for any characters. Of a claim that
        /// is a list, one element must match.
        claims: Vec<ExpectedClaim> = Vec::new(), expected_claims().example(r#"{ repository = "acme/*" }"#);
        ..egress: Egress;
    }
}
