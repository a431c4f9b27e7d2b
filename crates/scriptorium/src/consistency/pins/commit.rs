//! The commit that delivered a release by Git, beside its pin.
//!
//! The first commit stays. A reference that names another commit with the same tree later gives the same archive: that is noted beside the
//! first, for people. One that names another tree gives an archive that is refused like any other, so it is never noted. Owns that. Must not
//! know how a commit is fetched.

use serde::{Deserialize, Serialize};

/// What a reference named when an archive was made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinnedCommit {
    pub(crate) commit: String,
    pub(crate) tree: String,
    /// The commit that the reference was last seen to name instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) moved_to: Option<String>,
}

impl PinnedCommit {
    pub(crate) fn of(commit: String, tree: String) -> Self {
        Self { commit, tree, moved_to: None }
    }

    /// The same after `now` delivered the same archive.
    pub(super) fn after(&self, now: Self) -> Self {
        let moved_to = (now.commit != self.commit).then_some(now.commit);
        Self { moved_to, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_commit_stays_and_the_last_one_is_noted() {
        let first = PinnedCommit::of("a".into(), "t".into());
        let moved = first.after(PinnedCommit::of("b".into(), "t".into()));
        assert_eq!((moved.commit.as_str(), moved.moved_to.as_deref()), ("a", Some("b")));
        assert_eq!(moved.after(PinnedCommit::of("c".into(), "t".into())).moved_to.as_deref(), Some("c"));
        assert_eq!(moved.after(PinnedCommit::of("a".into(), "t".into())), first, "it came back");
    }
}
