//! The commit that delivered a release by Git, beside its pin.
//!
//! The first commit stays. A reference that names another commit with the same tree later gives the same archive: that is noted beside the
//! first, for people. One that names another tree gives an archive that is refused like any other, so it is never noted. Owns that. Must not
//! know how a commit is fetched.

use serde::{Deserialize, Deserializer, Serialize, de};

/// What a reference named when an archive was made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinnedCommit {
    #[serde(deserialize_with = "name")]
    pub(crate) commit: String,
    #[serde(deserialize_with = "name")]
    pub(crate) tree: String,
    /// The commit that the reference was last seen to name instead.
    #[serde(default, deserialize_with = "further_name", skip_serializing_if = "Option::is_none")]
    pub(crate) moved_to: Option<String>,
}

/// A name as Git writes it. People are shown it, so no other text is taken from a file or a store.
fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    check(String::deserialize(from)?)
}

fn further_name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(from)?.map(check).transpose()
}

fn check<E: de::Error>(text: String) -> Result<String, E> {
    let is_name = text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_name { Ok(text) } else { Err(E::custom("expected 40 lowercase hexadecimal digits")) }
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
    fn nothing_but_the_digits_of_a_name_is_read() {
        let (good, long) = ("0f".repeat(20), "0".repeat(41));
        let read = |commit: &str, tree: &str, moved: Option<&str>| {
            let text = serde_json::json!({ "commit": commit, "tree": tree, "moved_to": moved }).to_string();
            serde_json::from_str::<PinnedCommit>(&text)
        };
        assert!(read(&good, &good, None).is_ok() && read(&good, &good, Some(&good)).is_ok());
        for bad in ["", "\u{1b}[2J", "main", &long, &good[1..], &good.to_uppercase()] {
            for texts in [(bad, &*good, None), (&*good, bad, None), (&*good, &*good, Some(bad))] {
                assert!(read(texts.0, texts.1, texts.2).is_err(), "{texts:?}");
            }
        }
    }

    #[test]
    fn the_first_commit_stays_and_the_last_one_is_noted() {
        let first = PinnedCommit::of("a".into(), "t".into());
        let moved = first.after(PinnedCommit::of("b".into(), "t".into()));
        assert_eq!((moved.commit.as_str(), moved.moved_to.as_deref()), ("a", Some("b")));
        assert_eq!(moved.after(PinnedCommit::of("c".into(), "t".into())).moved_to.as_deref(), Some("c"));
        assert_eq!(moved.after(PinnedCommit::of("a".into(), "t".into())), first, "it came back");
    }
}
