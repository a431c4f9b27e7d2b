//! Signed tokens as hostile clients and real issuers send them, against keys that are made here.

use std::net::IpAddr;

use data_encoding::BASE64URL_NOPAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::super::failures::MOST;
use super::*;
use crate::config::TokenClass;

const NOW: Timestamp = Timestamp(1_000_000_000);

/// A key pair of an issuer.
struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        let rng = SystemRandom::new();
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.as_ref(), &rng).unwrap())
    }

    fn jwk(&self, kid: &str) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "x": BASE64.encode(x), "y": BASE64.encode(y), "kid": kid})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64.encode(signature.as_ref()))
    }
}

fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64.encode(value.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

fn header() -> Value {
    json!({"alg": "ES256", "kid": "one", "typ": "JWT"})
}

fn claims() -> Value {
    json!({"iss": "https://issuer", "aud": "scriptorium", "sub": "repo:acme/x", "exp": NOW.0 / 1000 + 600})
}

fn issuer(name: &str) -> Issuer {
    Issuer {
        jwks_url: Some("https://issuer/keys".parse().unwrap()),
        ..Issuer::with(name.into(), "https://issuer".into(), "scriptorium".into(), TokenClass::Ci)
    }
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// An issuer with one key.
fn table() -> (IssuerTable, Signer) {
    let (table, signer) = (IssuerTable::new(&[issuer("ci")], None), Signer::new());
    table.issuers[0].renew(set(&[signer.jwk("one")]));
    (table, signer)
}

fn from(address: [u8; 4]) -> impl FnOnce() -> Option<IpAddr> {
    move || Some(address.into())
}

fn name(table: &IssuerTable, token: &str, now: Timestamp) -> Option<String> {
    table.presented(token.as_bytes(), || None, now).map(|holder| holder.name().to_owned())
}

#[test]
fn a_token_holds_until_it_ends_and_is_verified_once() {
    let (table, signer) = table();
    let token = signer.sign(&header(), &claims());
    assert_eq!(name(&table, &token, NOW).as_deref(), Some("ci:repo:acme/x"));
    // From memory, for which no address is looked up.
    let again = table.presented(token.as_bytes(), || panic!("it was verified again"), NOW);
    assert!(again.is_some());
    let end = Timestamp(NOW.0 + 660_000);
    assert_eq!(name(&table, &token, Timestamp(end.0 - 1)).as_deref(), Some("ci:repo:acme/x"));
    assert_eq!(name(&table, &token, end), None);
}

#[test]
fn a_key_that_is_gone_ends_the_tokens_that_it_signed() {
    let (table, signer) = table();
    let token = signer.sign(&header(), &claims());
    assert!(name(&table, &token, NOW).is_some());
    table.issuers[0].renew(set(&[Signer::new().jwk("one")]));
    assert_eq!(name(&table, &token, NOW), None);
    assert!(!table.issuers[0].wants_keys(), "the key that it names is known");
    table.issuers[0].renew(set(&[Signer::new().jwk("two")]));
    assert_eq!(name(&table, &token, NOW), None);
    assert!(table.issuers[0].wants_keys());
}

#[test]
fn hostile_tokens_hold_for_nobody() {
    let (table, signer) = table();
    let good = signer.sign(&header(), &claims());
    let (message_of_good, signature) = good.rsplit_once('.').unwrap();
    let with = |name: &str, value: Value| {
        let mut header = header();
        header[name] = value;
        header
    };
    let hmac = |alg: &str| {
        // Key confusion: the public key as a shared secret.
        let message = message(&with("alg", json!(alg)), &claims());
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, signer.0.public_key().as_ref());
        let tag = ring::hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", BASE64.encode(tag.as_ref()))
    };
    let none = |alg: &str| format!("{}.", message(&with("alg", json!(alg)), &claims()));
    let other = Signer::new();
    let embedded = {
        let mut header = with("jwk", other.jwk("one"));
        header["jku"] = json!("https://evil/keys");
        other.sign(&header, &claims())
    };
    let mut flipped = BASE64.decode(signature.as_bytes()).unwrap();
    flipped[10] ^= 1;
    for (what, token) in [
        ("none", none("none")),
        ("None", none("None")),
        ("no signature", format!("{message_of_good}.")),
        ("two parts", message_of_good.to_owned()),
        ("HS256 with the public key", hmac("HS256")),
        ("HS512 with the public key", hmac("HS512")),
        ("RS256 over an EC key", signer.sign(&with("alg", json!("RS256")), &claims())),
        ("ES384 over a P-256 key", signer.sign(&with("alg", json!("ES384")), &claims())),
        ("EdDSA over a P-256 key", signer.sign(&with("alg", json!("EdDSA")), &claims())),
        ("another key", other.sign(&header(), &claims())),
        ("a key in the header", embedded),
        ("an unknown kid", signer.sign(&with("kid", json!("two")), &claims())),
        ("a kid that is a path", signer.sign(&with("kid", json!("../../one")), &claims())),
        ("critical", signer.sign(&with("crit", json!(["exp"])), &claims())),
        ("unencoded", signer.sign(&with("b64", json!(false)), &claims())),
        ("a flipped bit", format!("{message_of_good}.{}", BASE64.encode(&flipped))),
        ("a zero signature", format!("{message_of_good}.{}", BASE64.encode(&[0; 64]))),
        ("a longer signature", format!("{good}AA")),
        ("padding", format!("{good}==")),
        ("claims of a list", signer.sign(&header(), &json!([claims()]))),
        ("no claims", signer.sign(&header(), &json!({}))),
        ("a header of a list", signer.sign(&json!([header()]), &claims())),
        ("dots", "ey..".to_owned()),
        ("noise", "eyJ.eyJ.eyJ".to_owned()),
    ] {
        assert_eq!(name(&table, &token, NOW), None, "{what}");
    }
    assert!(name(&table, &good, NOW).is_some());
}

#[test]
fn expired_early_and_foreign_tokens_hold_for_nobody() {
    let (table, signer) = table();
    for (member, value) in [
        ("exp", json!(NOW.0 / 1000 - 60)),
        ("exp", Value::Null),
        ("nbf", json!(NOW.0 / 1000 + 61)),
        ("aud", json!("other")),
        ("iss", json!("https://other")),
        ("sub", json!("")),
    ] {
        let mut claims = claims();
        claims[member] = value.clone();
        assert_eq!(name(&table, &signer.sign(&header(), &claims), NOW), None, "{member}: {value}");
    }
}

#[test]
fn the_first_issuer_whose_claims_the_token_has_counts() {
    let release = Issuer {
        claims: vec![crate::config::ExpectedClaim {
            name: "ref".into(),
            pattern: "refs/tags/*".parse().unwrap(),
        }],
        ..issuer("release")
    };
    let table = IssuerTable::new(&[release, issuer("ci")], None);
    let signer = Signer::new();
    table.iter().for_each(|issuer| issuer.renew(set(&[signer.jwk("one")])));
    let mut tagged = claims();
    tagged["ref"] = json!("refs/tags/v1");
    assert_eq!(name(&table, &signer.sign(&header(), &tagged), NOW).as_deref(), Some("release:repo:acme/x"));
    assert_eq!(name(&table, &signer.sign(&header(), &claims()), NOW).as_deref(), Some("ci:repo:acme/x"));
}

#[test]
fn an_address_that_guesses_has_no_further_token_verified() {
    let (table, signer) = table();
    let other = Signer::new();
    for number in 0..MOST {
        let mut claims = claims();
        claims["sub"] = json!(number.to_string());
        let token = other.sign(&header(), &claims);
        assert!(table.presented(token.as_bytes(), from([192, 0, 2, 1]), NOW).is_none());
    }
    let good = signer.sign(&header(), &claims());
    assert!(table.presented(good.as_bytes(), from([192, 0, 2, 1]), NOW).is_none());
    assert!(table.presented(good.as_bytes(), from([192, 0, 2, 2]), NOW).is_some());
    // What was verified is remembered for all addresses.
    assert!(table.presented(good.as_bytes(), from([192, 0, 2, 1]), NOW).is_some());
}

#[test]
fn a_reload_keeps_fetched_keys_and_forgets_what_was_verified() {
    let (table, signer) = table();
    let token = signer.sign(&header(), &claims());
    assert!(name(&table, &token, NOW).is_some());
    let stricter = Issuer {
        claims: vec![crate::config::ExpectedClaim {
            name: "repository".into(),
            pattern: "acme/*".parse().unwrap(),
        }],
        ..issuer("ci")
    };
    let next = IssuerTable::new(&[stricter], Some(&table));
    assert_eq!(next.issuers[0].keys_in_force(), 1);
    assert_eq!(name(&next, &token, NOW), None);
    let elsewhere = Issuer { jwks_url: Some("https://other/keys".parse().unwrap()), ..issuer("ci") };
    assert_eq!(IssuerTable::new(&[elsewhere], Some(&table)).issuers[0].keys_in_force(), 0);
}

#[test]
fn ed25519_keys_sign_too() {
    let rng = SystemRandom::new();
    let pair = Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&rng).unwrap().as_ref()).unwrap();
    let table = IssuerTable::new(&[issuer("ci")], None);
    let x = BASE64.encode(pair.public_key().as_ref());
    table.issuers[0].renew(set(&[json!({"kty": "OKP", "crv": "Ed25519", "x": x})]));
    let message = message(&json!({"alg": "EdDSA"}), &claims());
    let token = format!("{message}.{}", BASE64.encode(pair.sign(message.as_bytes()).as_ref()));
    assert!(name(&table, &token, NOW).is_some());
}

#[test]
fn nothing_of_a_token_is_printed() {
    let (table, signer) = table();
    let token = signer.sign(&header(), &claims());
    let holder = table.presented(token.as_bytes(), || None, NOW).unwrap();
    assert_eq!(format!("{holder:?}"), "TokenHolder(\"ci:repo:acme/x\")");
    assert!(!format!("{table:?}").contains("issuer:"));
}

#[test]
fn what_was_verified_is_bounded() {
    let (table, signer) = table();
    for number in 0..MOST_VERIFIED + 500 {
        let mut claims = claims();
        claims["sub"] = json!(number.to_string());
        assert!(name(&table, &signer.sign(&header(), &claims), NOW).is_some());
    }
    table.verified.run_pending_tasks();
    assert!(table.verified.entry_count() <= MOST_VERIFIED);
}

#[test]
fn a_token_that_was_proved_is_not_refused_for_what_a_neighbour_sends() {
    let (table, signer) = table();
    let sign = |subject: &str| {
        let mut claims = claims();
        claims["sub"] = json!(subject);
        signer.sign(&header(), &claims)
    };
    let [proved, new] = ["proved", "new"].map(sign);
    let neighbours = [192, 0, 2, 1];
    let holds =
        |table: &IssuerTable, token: &str| table.presented(token.as_bytes(), from(neighbours), NOW).is_some();
    assert!(holds(&table, &proved));
    for number in 0..=MOST {
        let stranger = Signer::new();
        let mut claims = claims();
        claims["sub"] = json!(number.to_string());
        assert!(!holds(&table, &stranger.sign(&header(), &claims)));
    }
    assert!(!holds(&table, &new), "whoever was not proved waits");
    // Its keys change, and a reload forgets what was verified.
    table.issuers[0].renew(set(&[signer.jwk("one"), Signer::new().jwk("two")]));
    assert!(holds(&table, &proved));
    let next = IssuerTable::new(&[issuer("ci")], Some(&table));
    assert!(holds(&next, &proved) && !holds(&next, &new));
    // It holds no more, and was tried once.
    next.issuers[0].renew(set(&[Signer::new().jwk("one")]));
    assert!(!holds(&next, &proved));
    next.issuers[0].renew(set(&[signer.jwk("one")]));
    assert!(!holds(&next, &proved));
}
