//! The claims of a signed token, each of which stands there once (RFC 7519, section 4).
//!
//! Of two claims with one name different readers take different ones, so such a token says nothing. Owns that. Must not know what
//! a claim means.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Claims by name.
#[derive(Debug, Default)]
pub(super) struct DistinctClaims(pub(super) Map<String, Value>);

impl<'de> Deserialize<'de> for DistinctClaims {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ClaimsVisitor)
    }
}

struct ClaimsVisitor;

impl<'de> Visitor<'de> for ClaimsVisitor {
    type Value = DistinctClaims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<DistinctClaims, A::Error> {
        let mut claims = Map::new();
        while let Some((name, value)) = from.next_entry()? {
            if claims.insert(name, value).is_some() {
                return Err(A::Error::custom("a claim stands there twice"));
            }
        }
        Ok(DistinctClaims(claims))
    }
}
