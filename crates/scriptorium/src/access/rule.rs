//! What a client may read of a registry.
//!
//! | `readers` | no token that holds | a token that holds |
//! |---|---|---|
//! | `"anyone"` | all | all, whatever its `volumes` |
//! | `"tokens"` | 401 | its `volumes`, or all without any |
//! | a list with its name, its issuer's name or one of its groups | 401 | its `volumes`, or all without any |
//! | another list | 401 | 403 |
//!
//! A volume outside of the token's `volumes` is 403. Nothing is looked up for this, so a refusal says nothing about what exists.
//! Owns this table. Must not know which volume belongs to which registry.

use super::holder::TokenHolder;
use crate::config::{ListedReader, Readers};
use crate::domain::{VolumeName, VolumePattern};

/// Why a client may not read something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccessRefusal {
    /// It has no token that holds.
    #[error(
        "only clients with a token may use this registry; send yours as `Authorization: Bearer …`, or ask the operator of this proxy for one"
    )]
    NoToken,
    /// Its token does not allow it.
    #[error(
        "your token is not one that may use this; ask the operator of this proxy for the right, or for another token"
    )]
    NotAllowed,
}

/// What a client may read of one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readable {
    /// All that it has.
    All,
    /// The volumes that one of these patterns matches.
    Some(Vec<VolumePattern>),
    Nothing(AccessRefusal),
}

/// What a client may read of each registry, in the order of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadScope(Vec<Readable>);

/// What `holder` may read of a registry with these readers.
pub(crate) fn readable(readers: &Readers, holder: Option<&TokenHolder>) -> Readable {
    let listed = match (readers, holder) {
        (Readers::Anyone, _) => return Readable::All,
        (Readers::Tokens | Readers::Listed(_), None) => return Readable::Nothing(AccessRefusal::NoToken),
        (Readers::Tokens, Some(holder)) => Some(holder),
        (Readers::Listed(listed), Some(holder)) => {
            let is_holder = |reader: &ListedReader| match reader {
                ListedReader::Name(name) => name == holder.listed_as(),
                ListedReader::Group(group) => holder.is_in(group),
            };
            listed.iter().any(is_holder).then_some(holder)
        }
    };
    match listed {
        None => Readable::Nothing(AccessRefusal::NotAllowed),
        Some(holder) if holder.volumes().is_empty() => Readable::All,
        Some(holder) => Readable::Some(holder.volumes().to_vec()),
    }
}

impl Readable {
    /// Whether `volume` may be read.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn admits(&self, volume: &VolumeName) -> Result<(), AccessRefusal> {
        match self {
            Self::All => Ok(()),
            Self::Some(patterns) if patterns.iter().any(|pattern| pattern.matches(volume)) => Ok(()),
            Self::Some(_) => Err(AccessRefusal::NotAllowed),
            Self::Nothing(refusal) => Err(*refusal),
        }
    }
}

impl ReadScope {
    pub(crate) fn new(registries: impl Iterator<Item = Readable>) -> Self {
        Self(registries.collect())
    }

    /// Whether all of every registry may be read.
    pub(crate) fn is_all(&self) -> bool {
        self.0.iter().all(|readable| *readable == Readable::All)
    }

    /// Whether only some volumes of a registry may be read.
    pub(crate) fn is_narrowed(&self) -> bool {
        self.0.iter().any(|readable| matches!(readable, Readable::Some(_)))
    }

    /// The same for what is about no volume: whoever may read some volumes of a registry may read that.
    pub(crate) fn about_no_volume(&self) -> Self {
        let whole = |readable: &Readable| match readable {
            Readable::All | Readable::Some(_) => Readable::All,
            Readable::Nothing(refusal) => Readable::Nothing(*refusal),
        };
        Self(self.0.iter().map(whole).collect())
    }

    /// Whether some of the registry at this position may be read.
    pub(crate) fn reaches(&self, registry: usize) -> bool {
        matches!(self.0.get(registry), Some(Readable::All | Readable::Some(_)))
    }

    /// Whether an item about `volume`, or about none, may be read of the registry at this position.
    pub(crate) fn shows(&self, registry: usize, volume: Option<&VolumeName>) -> bool {
        let readable = self.0.get(registry);
        readable.is_some_and(|readable| match volume {
            Some(volume) => readable.admits(volume).is_ok(),
            None => !matches!(readable, Readable::Nothing(_)),
        })
    }

    /// Why nothing of any registry may be read, if that is so.
    pub(crate) fn refusal(&self) -> Option<AccessRefusal> {
        let mut refusals = self.0.iter().map(|readable| match readable {
            Readable::Nothing(refusal) => Some(*refusal),
            Readable::All | Readable::Some(_) => None,
        });
        let first = refusals.next()??;
        refusals.all(|refusal| refusal.is_some()).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Token, TokenClass};
    use crate::domain::Sha256;

    fn holder(groups: &[&str], volumes: &[&str]) -> TokenHolder {
        TokenHolder::of_token(&Token {
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            volumes: volumes.iter().map(|pattern| pattern.parse().unwrap()).collect(),
            ..Token::with("ci".to_owned(), TokenClass::Ci, Sha256::of(b"t"))
        })
    }

    fn listed(entries: &[&str]) -> Readers {
        Readers::Listed(entries.iter().map(|entry| entry.parse().unwrap()).collect())
    }

    #[test]
    fn the_table_holds() {
        let (plain, grouped, narrowed) =
            (holder(&[], &[]), holder(&["release"], &[]), holder(&["release"], &["@corp/*"]));
        let volume: VolumeName = "@corp/x".parse().unwrap();
        let other: VolumeName = "lamp".parse().unwrap();
        let (no_token, not_allowed) = (Err(AccessRefusal::NoToken), Err(AccessRefusal::NotAllowed));
        for (readers, holder, inside, outside) in [
            (Readers::Anyone, None, Ok(()), Ok(())),
            (Readers::Anyone, Some(&narrowed), Ok(()), Ok(())),
            (Readers::Tokens, None, no_token, no_token),
            (Readers::Tokens, Some(&plain), Ok(()), Ok(())),
            (Readers::Tokens, Some(&narrowed), Ok(()), not_allowed),
            (listed(&["ci"]), None, no_token, no_token),
            (listed(&["ci"]), Some(&plain), Ok(()), Ok(())),
            (listed(&["ci"]), Some(&narrowed), Ok(()), not_allowed),
            (listed(&["group:release"]), Some(&grouped), Ok(()), Ok(())),
            (listed(&["group:release"]), Some(&plain), not_allowed, not_allowed),
            (listed(&["release"]), Some(&grouped), not_allowed, not_allowed),
            (listed(&["group:ci"]), Some(&plain), not_allowed, not_allowed),
            (listed(&[]), Some(&grouped), not_allowed, not_allowed),
            (listed(&[]), None, no_token, no_token),
        ] {
            let readable = readable(&readers, holder);
            assert_eq!(readable.admits(&volume), inside, "{readers:?} {holder:?}");
            assert_eq!(readable.admits(&other), outside, "{readers:?} {holder:?}");
        }
    }

    #[test]
    fn a_scope_is_refused_only_where_nothing_is_left() {
        let nothing = Readable::Nothing(AccessRefusal::NoToken);
        let some = Readable::Some(vec!["@corp/*".parse().unwrap()]);
        let scope = |all: &[&Readable]| ReadScope::new(all.iter().map(|readable| (*readable).clone()));
        assert_eq!(scope(&[&nothing, &nothing]).refusal(), Some(AccessRefusal::NoToken));
        assert_eq!(scope(&[&nothing, &some]).refusal(), None);
        assert_eq!(scope(&[&some, &nothing]).refusal(), None);
        assert_eq!(scope(&[]).refusal(), None);
        let mixed = scope(&[&nothing, &some, &Readable::All]);
        let (inside, outside): (VolumeName, VolumeName) = ("@corp/x".parse().unwrap(), "x".parse().unwrap());
        let shown = |volume: Option<&VolumeName>| [0, 1, 2, 3].map(|at| mixed.shows(at, volume));
        assert_eq!(shown(Some(&inside)), [false, true, true, false]);
        assert_eq!(shown(Some(&outside)), [false, false, true, false]);
        assert_eq!(shown(None), [false, true, true, false]);
        assert!(mixed.is_narrowed() && !mixed.is_all() && !mixed.about_no_volume().is_narrowed());
    }
}
