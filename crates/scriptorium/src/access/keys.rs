//! An issuer's public keys (RFC 7517), each bound to one algorithm.
//!
//! A key says its algorithm in `alg`; otherwise its kind does: RS256 for RSA, ES256 and ES384 for the two curves, EdDSA for
//! Ed25519. So the algorithm that a token names chooses nothing: it must be that of the key. A key that is no public key for
//! signatures is left out. Owns reading a set and finding a key in it. Must not know where a set comes from.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde::Deserialize;
use serde_json::Value;

use super::signature::is_asymmetric;
use crate::domain::Sha256;

/// Keys of a set beyond these are left out.
const MOST_KEYS: usize = 100;

/// Keys that are tried for one token: several may have one name.
const MOST_TRIED: usize = 4;

/// Why a set cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoKeys {
    #[error("expected a set of keys (JWKS): {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("expected a public key for signatures: RSA, EC (P-256, P-384) or OKP (Ed25519)")]
    Empty,
}

/// A set of keys.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<BoundKey>,
    /// Of the text that it was read from.
    digest: Option<Sha256>,
}

/// A key and the one algorithm that it verifies.
pub(super) struct BoundKey {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl std::fmt::Debug for BoundKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct WrittenKeys {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a set.
    ///
    /// # Errors
    /// [`NoKeys`] where it has no key that can be used.
    pub(crate) fn read(json: &[u8]) -> Result<Self, NoKeys> {
        let written: WrittenKeys = serde_json::from_slice(json)?;
        let keys: Vec<_> = written.keys.into_iter().take(MOST_KEYS).filter_map(BoundKey::read).collect();
        if keys.is_empty() { Err(NoKeys::Empty) } else { Ok(Self { keys, digest: Some(Sha256::of(json)) }) }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether both were read from the same text.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// The keys that a token with this header may be signed by. A token that names no key may be signed by the one key of its
    /// algorithm.
    pub(super) fn candidates(&self, header: &Header) -> Vec<&BoundKey> {
        let fits = |key: &&BoundKey| key.algorithm == header.alg;
        let fitting = self.keys.iter().filter(fits);
        match &header.kid {
            Some(named) => fitting.filter(|key| key.id.as_ref() == Some(named)).take(MOST_TRIED).collect(),
            None => {
                let fitting: Vec<_> = fitting.take(2).collect();
                if fitting.len() == 1 { fitting } else { Vec::new() }
            }
        }
    }
}

impl BoundKey {
    fn read(written: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(written).ok()?;
        let common = &jwk.common;
        let signs = common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
        let usual = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => Algorithm::ES256,
                EllipticCurve::P384 => Algorithm::ES384,
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            _ => return None,
        };
        let algorithm = match common.key_algorithm {
            None => usual,
            Some(said) => Algorithm::try_from(said).ok()?,
        };
        // A curve has one algorithm. RSA has several, and the key says which.
        let is_bound =
            algorithm == usual || (usual == Algorithm::RS256 && algorithm.family() == usual.family());
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        (signs && is_bound && is_asymmetric(algorithm.family())).then(|| Self {
            id: common.key_id.clone(),
            algorithm,
            key,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

    fn algorithms(keys: Value) -> Vec<Algorithm> {
        let set = KeySet::read(json!({ "keys": keys }).to_string().as_bytes());
        set.map_or_else(|_| Vec::new(), |set| set.keys.iter().map(|key| key.algorithm).collect())
    }

    #[test]
    fn a_key_has_one_algorithm() {
        let rsa = |alg: Value| json!({"kty": "RSA", "n": X, "e": "AQAB", "alg": alg});
        let curve = |curve: &str, alg: Value| json!({"kty": "EC", "crv": curve, "x": X, "y": Y, "alg": alg});
        for (key, algorithm) in [
            (json!({"kty": "RSA", "n": X, "e": "AQAB"}), Some(Algorithm::RS256)),
            (rsa(json!("PS384")), Some(Algorithm::PS384)),
            (json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "use": "sig"}), Some(Algorithm::ES256)),
            (curve("P-256", json!("ES256")), Some(Algorithm::ES256)),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": X, "key_ops": ["verify"]}), Some(Algorithm::EdDSA)),
            (rsa(json!("HS256")), None),
            (rsa(json!("ES256")), None),
            (rsa(json!("none")), None),
            (rsa(json!("RSA-OAEP")), None),
            (curve("P-256", json!("ES384")), None),
            (curve("secp256k1", Value::Null), None),
            (json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "use": "enc"}), None),
            (json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "key_ops": ["sign"]}), None),
            (json!({"kty": "oct", "k": X, "alg": "HS256"}), None),
            (json!({"kty": "oct", "k": X}), None),
            (json!(7), None),
        ] {
            assert_eq!(algorithms(json!([key])), Vec::from_iter(algorithm), "{key}");
        }
    }

    #[test]
    fn what_is_no_set_of_public_keys_is_refused() {
        for bad in
            ["", "[]", "{}", r#"{"keys":[]}"#, r#"{"keys":{}}"#, r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#]
        {
            assert!(KeySet::read(bad.as_bytes()).is_err(), "{bad}");
        }
        let many: Vec<_> =
            (0..500).map(|kid| json!({"kty": "RSA", "n": X, "e": "AQAB", "kid": kid.to_string()})).collect();
        assert_eq!(algorithms(Value::Array(many)).len(), MOST_KEYS);
    }

    #[test]
    fn a_token_names_its_key_unless_only_one_fits() {
        let keys = json!({"keys": [
            {"kty": "RSA", "n": X, "e": "AQAB", "kid": "a"},
            {"kty": "RSA", "n": X, "e": "AQAB", "kid": "b"},
            {"kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": "a"},
        ]});
        let set = KeySet::read(keys.to_string().as_bytes()).unwrap();
        let found = |alg, kid: Option<&str>| {
            set.candidates(&Header { kid: kid.map(str::to_owned), ..Header::new(alg) }).len()
        };
        assert_eq!((found(Algorithm::RS256, Some("a")), found(Algorithm::RS256, Some("c"))), (1, 0));
        assert_eq!((found(Algorithm::RS256, None), found(Algorithm::ES256, None)), (0, 1));
        assert_eq!((found(Algorithm::HS256, Some("a")), found(Algorithm::PS256, Some("a"))), (0, 0));
    }
}
