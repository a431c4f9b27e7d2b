//! Keys in minisign's formats: the one that signs, and those that are trusted.
//!
//! Owns key files, key identifiers and the texts of public keys; Debian's `minisign` reads and writes the same. Must not know
//! what is signed, nor ask anybody for a password.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use data_encoding::BASE64;
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};
use ring::signature::Ed25519KeyPair;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Most bytes of a key file.
const MAX_KEY_FILE: u64 = 4096;
/// Longest password that minisign takes.
const MAX_PASSWORD: usize = 1024;
/// How minisign's formats name Ed25519.
const ED25519: &[u8] = b"Ed";
/// Where a secret key lies in the bytes of its file: algorithms, salt and costs of the password, the key's number, the key, a checksum.
const KEY_FILE: usize = 158;
const KDF: Range<usize> = 2..4;
const CHECKSUM_KIND: Range<usize> = 4..6;
const SEED: Range<usize> = 62..94;
const PUBLIC: Range<usize> = 94..126;
const CHECKSUM: Range<usize> = 126..KEY_FILE;

/// Why a key cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("the key file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A key file of that name is there, and keys are never overwritten.
    #[error("{path} exists, and a key is never overwritten; choose another name")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The key is protected, and no password was given.
    #[error("the key file {path} is protected by a password; give it")]
    NeedsPassword {
        /// The file.
        path: PathBuf,
    },
    /// The password does not open the key.
    #[error("the key file {path} does not open with this password")]
    WrongPassword {
        /// The file.
        path: PathBuf,
    },
    /// The password cannot protect a key.
    #[error("a password has 1 to 1024 bytes")]
    InvalidPassword,
    /// The file holds no secret key, or a damaged one.
    #[error("{path} is not a secret key of minisign, or it is damaged: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system gives no randomness.
    #[error("no key can be made: {0}")]
    NotMade(String),
}

/// Why a text is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a public key of minisign: 56 characters that begin with `RW`, as the second line of a `.pub` file"
)]
pub struct InvalidPublicKey;

/// Why a text is no key identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a key identifier as minisign prints it: up to 16 uppercase hexadecimal digits")]
pub struct InvalidKeyId;

/// The identifier of a pair of keys. Chosen by chance and proves nothing: two keys may share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    pub(crate) fn from_file_order(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes in the order in which files hold them, which is the reverse of that in which they are printed.
    pub(crate) fn file_order(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}", u64::from_le_bytes(self.0))
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, InvalidKeyId> {
        let is_digit = |one: u8| one.is_ascii_digit() || (b'A'..=b'F').contains(&one);
        if !text.bytes().all(is_digit) || text.len() > 16 {
            return Err(InvalidKeyId);
        }
        u64::from_str_radix(text, 16).map(|id| Self(id.to_le_bytes())).map_err(|_| InvalidKeyId)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A public key whose signatures are believed.
#[derive(Clone)]
pub struct TrustedKey {
    id: KeyId,
    key: PublicKey,
}

impl TrustedKey {
    /// The key's identifier.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The text of its file, as minisign writes it.
    #[must_use]
    pub fn file(&self) -> String {
        // The library puts zeros in front of the identifier.
        format!("untrusted comment: minisign public key: {}\n{self}\n", self.id)
    }

    pub(crate) fn key(&self) -> &PublicKey {
        &self.key
    }
}

impl PartialEq for TrustedKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.key.to_base64() == other.key.to_base64()
    }
}

impl FromStr for TrustedKey {
    type Err = InvalidPublicKey;

    fn from_str(text: &str) -> Result<Self, InvalidPublicKey> {
        let bytes = BASE64.decode(text.as_bytes()).map_err(|_| InvalidPublicKey)?;
        if bytes.len() != 42 || !bytes.starts_with(ED25519) {
            return Err(InvalidPublicKey);
        }
        let key = PublicKey::from_bytes(&bytes).map_err(|_| InvalidPublicKey)?;
        let id = KeyId::from_file_order(key.keynum()).ok_or(InvalidPublicKey)?;
        Ok(Self { id, key })
    }
}

impl fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key.to_base64())
    }
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A secret key, opened.
pub struct SigningKey {
    id: KeyId,
    public: TrustedKey,
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

impl SigningKey {
    /// Makes a pair of keys: `NAME.key` for the owner's eyes alone, and `NAME.pub`.
    ///
    /// # Errors
    /// [`KeyFileError`]; then neither file was made.
    pub fn make_files(name: &Path, password: Option<&str>) -> Result<TrustedKey, KeyFileError> {
        if password.is_some_and(|password| password.is_empty() || password.len() > MAX_PASSWORD) {
            return Err(KeyFileError::InvalidPassword);
        }
        let pair = match password {
            None => KeyPair::generate_unencrypted_keypair(),
            Some(password) => KeyPair::generate_encrypted_keypair(Some(password.to_owned())),
        };
        let not_made = |error: minisign::PError| KeyFileError::NotMade(error.to_string());
        let pair = pair.map_err(not_made)?;
        let comment = match password {
            None => "minisign secret key",
            Some(_) => "minisign encrypted secret key",
        };
        let secret = pair.sk.to_box(Some(comment)).map_err(not_made)?;
        let public = pair.pk.to_base64().parse::<TrustedKey>();
        let public = public.map_err(|error| KeyFileError::NotMade(error.to_string()))?;
        let key_path = with_suffix(name, ".key");
        write_new(&key_path, 0o600, &secret.to_string())?;
        if let Err(error) = write_new(&with_suffix(name, ".pub"), 0o644, &public.file()) {
            // It is the file that was made just now, and worth nothing without the other.
            let _ = fs::remove_file(&key_path);
            return Err(error);
        }
        Ok(public)
    }

    /// Reads a secret key.
    ///
    /// # Errors
    /// [`KeyFileError`], also where the key needs a password and none is given.
    pub fn load(path: &Path, password: Option<&str>) -> Result<Self, KeyFileError> {
        let io = |source| KeyFileError::Io { path: path.to_owned(), source };
        let invalid = |reason: String| KeyFileError::Invalid { path: path.to_owned(), reason };
        let mut text = String::new();
        File::open(path).map_err(io)?.take(MAX_KEY_FILE).read_to_string(&mut text).map_err(io)?;
        let Some(raw) = raw_key(&text) else {
            return Err(invalid("expected a comment and a line with a key".to_owned()));
        };
        let is_open = raw[KDF] == [0, 0];
        // minisign leaves the checksum of a key without a password empty; that the halves fit is checked below.
        let is_summed = raw[CHECKSUM] != [0; 32];
        let boxed = SecretKeyBox::from(text);
        let opened = match (is_open, password) {
            (true, _) if is_summed => boxed.into_unencrypted_secret_key(),
            (true, _) => SecretKey::from_bytes(&raw),
            (false, None) => return Err(KeyFileError::NeedsPassword { path: path.to_owned() }),
            (false, Some(password)) => {
                let opened = boxed.into_secret_key(Some(password.to_owned()));
                Ok(opened.map_err(|_| KeyFileError::WrongPassword { path: path.to_owned() })?)
            }
        };
        let opened = opened.map_err(|error| invalid(error.to_string()))?;
        Self::of(&opened).ok_or_else(|| invalid("its two halves do not belong together".to_owned()))
    }

    fn of(secret: &SecretKey) -> Option<Self> {
        let bytes = secret.to_bytes();
        let (seed, public) = (bytes.get(SEED)?, bytes.get(PUBLIC)?);
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()?;
        let id = KeyId::from_file_order(secret.keynum())?;
        let public = PublicKey::from_secret_key(secret).ok()?.to_base64().parse().ok()?;
        Some(Self { id, public, pair })
    }

    /// The key's identifier.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The half that others may know.
    #[must_use]
    pub fn public(&self) -> &TrustedKey {
        &self.public
    }

    /// Ed25519 as RFC 8032 has it: the same message gives the same signature.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// The bytes of a secret key's file, if it is one.
fn raw_key(text: &str) -> Option<Vec<u8>> {
    let raw = BASE64.decode(text.lines().nth(1)?.trim_end().as_bytes()).ok()?;
    let fits = raw.len() == KEY_FILE && raw.starts_with(ED25519) && raw[CHECKSUM_KIND] == *b"B2";
    fits.then_some(raw)
}

fn with_suffix(name: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(name);
    path.push(suffix);
    path.into()
}

fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KeyFileError::Exists { path: path.to_owned() });
        }
        Err(error) => return Err(io(error)),
    };
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        let _ = fs::remove_file(path);
        io(error)
    })
}
