//! "At least such permissions", as a rule asks for them.
//!
//! Owns the words of levels in rules, and the comparison of all that are given. Must not know manifests.

use std::fmt;

use archive::{AccessLevel, DeclaredPermissions, ShellAccess};

/// The levels of the file system, the network and the browser, with their words.
pub(crate) const LEVELS: [(&str, AccessLevel); 4] = [
    ("deny", AccessLevel::Deny),
    ("read", AccessLevel::Read),
    ("write", AccessLevel::Write),
    ("read-write", AccessLevel::ReadWrite),
];

/// The levels of the shell, with their words.
pub(crate) const SHELL: [(&str, ShellAccess); 2] =
    [("deny", ShellAccess::Deny), ("allow", ShellAccess::Allow)];

/// The least permissions that a rule is about. What it does not name is denied here, which everything includes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LeastPermissions(pub(crate) DeclaredPermissions);

impl LeastPermissions {
    /// Whether a volume declares at least these.
    pub(crate) fn within(&self, declared: &DeclaredPermissions) -> bool {
        let Self(least) = self;
        least.filesystem.within(declared.filesystem)
            && least.network.within(declared.network)
            && least.browser.within(declared.browser)
            && least.shell <= declared.shell
    }

    /// Whether every volume declares them.
    pub(crate) fn are_none(&self) -> bool {
        self.within(&DeclaredPermissions::default())
    }
}

/// The permissions that are not denied.
impl fmt::Display for LeastPermissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeclaredPermissions { filesystem, network, browser, shell } = self.0;
        let named = [
            ("filesystem", word(&LEVELS, filesystem)),
            ("network", word(&LEVELS, network)),
            ("browser", word(&LEVELS, browser)),
            ("shell", word(&SHELL, shell)),
        ];
        let words: Vec<String> = named
            .into_iter()
            .filter(|(_, word)| *word != "deny")
            .map(|(name, word)| format!("{name} = \"{word}\""))
            .collect();
        if words.is_empty() { f.write_str("no permission") } else { f.write_str(&words.join(", ")) }
    }
}

fn word<T: PartialEq>(words: &[(&'static str, T)], level: T) -> &'static str {
    words.iter().find(|(_, other)| *other == level).map_or("deny", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_are_given_must_be_declared() {
        let declared = DeclaredPermissions {
            network: AccessLevel::Write,
            shell: ShellAccess::Allow,
            ..DeclaredPermissions::default()
        };
        let least = LeastPermissions(declared);
        for (network, shell, within) in [
            (AccessLevel::Write, ShellAccess::Allow, true),
            (AccessLevel::ReadWrite, ShellAccess::Allow, true),
            (AccessLevel::Read, ShellAccess::Allow, false),
            (AccessLevel::ReadWrite, ShellAccess::Deny, false),
        ] {
            let declared = DeclaredPermissions { network, shell, ..declared };
            assert_eq!(least.within(&declared), within, "{declared:?}");
        }
        assert_eq!(least.to_string(), "network = \"write\", shell = \"allow\"");
        assert!(!least.are_none() && LeastPermissions::default().are_none());
    }
}
