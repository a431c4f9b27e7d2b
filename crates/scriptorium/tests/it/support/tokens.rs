//! Tokens of clients: configured ones, and signed ones with the keys of their issuer.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use toml::Table;

use super::Setup;

impl Setup {
    /// Configures the token `secret` with the other keys of its table.
    pub(crate) fn token(self, name: &str, secret: &str, more: Table) -> Self {
        let mut entry = more;
        entry.insert("name".to_owned(), name.into());
        entry.entry("class").or_insert_with(|| "ci".into());
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(secret));
        entry.insert("sha256".to_owned(), digest.into());
        self.table_in("tokens", entry)
    }

    /// Adds a table to a list of tables.
    pub(crate) fn table_in(mut self, list: &str, entry: Table) -> Self {
        let tables = self.table.entry(list).or_insert_with(|| toml::Value::Array(Vec::new()));
        tables.as_array_mut().unwrap().push(entry.into());
        self
    }
}

/// An issuer's key, by which it signs tokens.
pub(crate) struct IssuerKey {
    pair: EcdsaKeyPair,
    kid: &'static str,
}

impl IssuerKey {
    pub(crate) fn new(kid: &'static str) -> Self {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
        Self { pair, kid }
    }

    /// The set of keys that the issuer publishes.
    pub(crate) fn jwks(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let key = json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
            "x": BASE64.encode(x), "y": BASE64.encode(y),
        });
        json!({ "keys": [key] })
    }

    /// The public key as it is encoded.
    pub(crate) fn public(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"alg": "ES256", "kid": self.kid, "typ": "JWT"}), claims)
    }

    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// Signs a header and claims that may be no JSON.
    pub(crate) fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = encoded(header, claims);
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64.encode(signature.as_ref()))
    }
}

/// A token whose algorithm is HS256 with something as its secret that everybody knows.
pub(crate) fn confused(secret: &[u8], claims: &Value) -> String {
    let message = unsigned(&json!({"alg": "HS256", "kid": "one"}), claims);
    let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", BASE64.encode(tag.as_ref()))
}

/// Header and claims of a token, without a signature.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    encoded(&header.to_string(), &claims.to_string())
}

fn encoded(header: &str, claims: &str) -> String {
    let part = |text: &str| BASE64.encode(text.as_bytes());
    format!("{}.{}", part(header), part(claims))
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// An RSA key that openssl made, and a token that it signed.
pub(crate) fn rsa(claims: &Value) -> (Value, String) {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let openssl = |arguments: &[&str]| {
        let done = Command::new("openssl").args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    };
    openssl(&["genrsa", "-out", &at("key"), "2048"]);
    let modulus = String::from_utf8(openssl(&["rsa", "-in", &at("key"), "-noout", "-modulus"])).unwrap();
    let modulus = data_encoding::HEXUPPER.decode(modulus.trim().strip_prefix("Modulus=").unwrap().as_bytes());
    let message = unsigned(&json!({"alg": "RS256", "kid": "rsa"}), claims);
    std::fs::write(at("message"), &message).unwrap();
    openssl(&["dgst", "-sha256", "-sign", &at("key"), "-out", &at("signature"), &at("message")]);
    let signature = std::fs::read(at("signature")).unwrap();
    let key = json!({"kty": "RSA", "kid": "rsa", "n": BASE64.encode(&modulus.unwrap()), "e": "AQAB"});
    (json!({ "keys": [key] }), format!("{message}.{}", BASE64.encode(&signature)))
}
