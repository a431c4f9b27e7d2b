//! Signatures of tokens, verified by `ring`, on which TLS runs too.
//!
//! `jsonwebtoken` asks for one library of cryptography for the whole process. Owns which algorithms are known: those with a
//! public key. There is nothing here that signs, and nothing for HS256 and its like, so that no public key can be taken for a
//! shared secret. Must not know which key an algorithm is bound to.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::Verifier;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    // Keys are read by their components alone, for which none of these is called.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Lets `jsonwebtoken` verify signatures by `ring`; again is as good as once.
pub(super) fn install() {
    let _already = PROVIDER.install_default();
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let by = SignatureRule::of(*algorithm).filter(|_| key.family() == algorithm.family());
    let by = by.ok_or(ErrorKind::InvalidAlgorithm)?;
    Ok(Box::new(KeyedVerifier { algorithm: *algorithm, by, key: key.clone() }))
}

/// How signatures of one algorithm are verified.
enum SignatureRule {
    Rsa(&'static RsaParameters),
    Curve(&'static dyn VerificationAlgorithm),
}

impl SignatureRule {
    fn of(algorithm: Algorithm) -> Option<Self> {
        Some(match algorithm {
            Algorithm::RS256 => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::ES256 => Self::Curve(&signature::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => Self::Curve(&signature::ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDSA => Self::Curve(&signature::ED25519),
            // Algorithms with a shared secret, and what a later version of the library adds.
            _ => return None,
        })
    }
}

struct KeyedVerifier {
    algorithm: Algorithm,
    by: SignatureRule,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for KeyedVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), jsonwebtoken::signature::Error> {
        let verified = match (&self.by, self.key.kind()) {
            (SignatureRule::Rsa(by), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(by, message, signature)
            }
            (SignatureRule::Curve(by), DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(*by, point).verify(message, signature)
            }
            (SignatureRule::Rsa(_), DecodingKeyKind::SecretOrDer(_))
            | (SignatureRule::Curve(_), DecodingKeyKind::RsaModulusExponent { .. }) => {
                Err(ring::error::Unspecified)
            }
        };
        verified.map_err(|_| jsonwebtoken::signature::Error::new())
    }
}

impl JwtVerifier for KeyedVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// The families that are known.
pub(super) fn is_asymmetric(family: AlgorithmFamily) -> bool {
    family != AlgorithmFamily::Hmac
}
