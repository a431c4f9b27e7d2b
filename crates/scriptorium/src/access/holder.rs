//! The holder of a token: its name, and what the configuration says of it.
//!
//! Owns these. The token itself is neither kept nor printed. Must not know what the holder may read.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::config::{Issuer, Token, TokenClass};
use crate::domain::VolumePattern;

/// The holder of a token that holds. Clones share it. Two holders of one name are the same.
#[derive(Clone)]
pub(crate) struct TokenHolder(Arc<HolderFacts>);

struct HolderFacts {
    /// In logs: a token's name, or `issuer:subject`. No name in the configuration has a colon.
    name: Box<str>,
    /// In `readers`: the name of the token or of the issuer.
    listed_as: Box<str>,
    class: TokenClass,
    groups: Vec<String>,
    /// What it may read of restricted registries; nothing here is everything.
    volumes: Vec<VolumePattern>,
}

impl TokenHolder {
    pub(super) fn of_token(token: &Token) -> Self {
        Self(Arc::new(HolderFacts {
            name: (*token.name).into(),
            listed_as: (*token.name).into(),
            class: token.class,
            groups: token.groups.clone(),
            volumes: token.volumes.clone(),
        }))
    }

    /// The subject of a signed token.
    pub(super) fn of_subject(issuer: &Issuer, subject: &str) -> Self {
        Self(Arc::new(HolderFacts {
            name: format!("{}:{subject}", issuer.name).into(),
            listed_as: (*issuer.name).into(),
            class: issuer.class,
            groups: issuer.groups.clone(),
            volumes: Vec::new(),
        }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn class(&self) -> TokenClass {
        self.0.class
    }

    pub(super) fn listed_as(&self) -> &str {
        &self.0.listed_as
    }

    pub(super) fn is_in(&self, group: &str) -> bool {
        self.0.groups.iter().any(|own| own == group)
    }

    pub(super) fn volumes(&self) -> &[VolumePattern] {
        &self.0.volumes
    }
}

#[cfg(test)]
impl TokenHolder {
    /// Whether nobody else shares it.
    pub(crate) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// A holder of this name, for tests.
#[cfg(test)]
impl From<&str> for TokenHolder {
    fn from(name: &str) -> Self {
        Self::of_token(&Token::with(
            name.to_owned(),
            TokenClass::Ci,
            crate::domain::Sha256::of(name.as_bytes()),
        ))
    }
}

impl PartialEq for TokenHolder {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for TokenHolder {}

impl Hash for TokenHolder {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl fmt::Debug for TokenHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenHolder").field(&self.name()).finish()
    }
}
