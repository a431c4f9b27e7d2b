//! Clients that share an address: what one of them sends costs the others nothing that they had proved before.

use super::signed::{claims, with_keys};
use super::{Ground, READER, get, secret};
use crate::support::tokens::IssuerKey;

/// Tokens of one address that may fail in a minute.
const FAILURES: usize = 60;

#[test]
fn a_proved_token_and_a_configured_one_outlive_a_neighbours_failures_and_a_reload() {
    let ground = Ground::start();
    let (key, stranger) = (IssuerKey::new("one"), IssuerKey::new("one"));
    let (_folder, setup) = with_keys(&ground, &key.jwks());
    let proxy = setup.set_readers(vec!["reader", "group:builds"]).start();
    let [proved, new] = ["repo:acme/tools", "repo:acme/new"].map(|subject| key.sign(&claims(subject)));
    get(&proxy, &secret().index(), &proved).ok();
    for number in 0..=FAILURES {
        let forged = stranger.sign(&claims(&format!("repo:acme/{number}")));
        get(&proxy, &secret().index(), &forged).problem(401, "authentication-required");
    }
    get(&proxy, &secret().index(), &new).problem(401, "authentication-required");
    for _ in 0..2 {
        get(&proxy, &secret().index(), &proved).ok();
        get(&proxy, &secret().index(), READER).ok();
        proxy.reload().ok();
    }
    get(&proxy, &secret().index(), &new).problem(401, "authentication-required");
}
