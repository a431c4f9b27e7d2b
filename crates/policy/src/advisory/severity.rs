//! How severe an advisory is.
//!
//! Owns the four levels and how the words and CVSS vectors of sources become one of them. What nobody can read counts as
//! critical: a rule on severe advisories must not miss one because its source forgot to say. Must not know documents.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A level, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdvisorySeverity {
    /// Also for a score of zero.
    Low,
    /// Called moderate by some.
    Medium,
    /// High.
    High,
    /// Also for what has no readable severity.
    Critical,
}

impl AdvisorySeverity {
    /// Every level, the least first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The level of an advisory whose source does not say.
    pub(crate) const UNKNOWN: Self = Self::Critical;

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// What a source calls it in a word, in whichever case.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        if word.eq_ignore_ascii_case("moderate") {
            return Some(Self::Medium);
        }
        Self::ALL.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(word))
    }

    /// What a CVSS vector of version 2, 3 or 4 amounts to.
    pub(crate) fn of_vector(vector: &str) -> Option<Self> {
        const MAX_VECTOR: usize = 512;
        if vector.len() > MAX_VECTOR {
            return None;
        }
        let vector: cvss::Cvss = vector.parse().ok().filter(is_whole)?;
        Some(match vector.severity() {
            cvss::Severity::None | cvss::Severity::Low => Self::Low,
            cvss::Severity::Medium => Self::Medium,
            cvss::Severity::High => Self::High,
            cvss::Severity::Critical => Self::Critical,
        })
    }
}

/// Whether a vector has what a score is made of. Of version 3 the library also scores a part, as if the rest were harmless.
fn is_whole(vector: &cvss::Cvss) -> bool {
    match vector {
        cvss::Cvss::CvssV30(base) | cvss::Cvss::CvssV31(base) => {
            let exploitability =
                base.av.is_some() && base.ac.is_some() && base.pr.is_some() && base.ui.is_some();
            exploitability && base.s.is_some() && base.c.is_some() && base.i.is_some() && base.a.is_some()
        }
        _ => true,
    }
}

impl fmt::Display for AdvisorySeverity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`low`, `medium`, `high` or `critical`")]
pub struct InvalidAdvisorySeverity;

impl FromStr for AdvisorySeverity {
    type Err = InvalidAdvisorySeverity;

    fn from_str(text: &str) -> Result<Self, InvalidAdvisorySeverity> {
        Self::ALL.into_iter().find(|level| level.as_str() == text).ok_or(InvalidAdvisorySeverity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_and_vectors_become_levels() {
        for (word, level) in [
            ("CRITICAL", Some(AdvisorySeverity::Critical)),
            ("High", Some(AdvisorySeverity::High)),
            ("MODERATE", Some(AdvisorySeverity::Medium)),
            ("medium", Some(AdvisorySeverity::Medium)),
            ("low", Some(AdvisorySeverity::Low)),
            ("severe", None),
            ("", None),
        ] {
            assert_eq!(AdvisorySeverity::of_word(word), level, "{word}");
        }
        for (vector, level) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Some(AdvisorySeverity::Critical)),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", Some(AdvisorySeverity::High)),
            ("CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", Some(AdvisorySeverity::Low)),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", Some(AdvisorySeverity::Low)),
            (
                "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                Some(AdvisorySeverity::Critical),
            ),
            ("AV:N/AC:L/Au:N/C:P/I:P/A:P", Some(AdvisorySeverity::High)),
            ("CVSS:3.1/AV:N", None),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H", None),
            ("CVSS:4.0/AV:N", None),
            ("AV:N/AC:L/Au:N", None),
            ("9.8", None),
            ("", None),
        ] {
            assert_eq!(AdvisorySeverity::of_vector(vector), level, "{vector}");
        }
    }

    proptest! {
        #[test]
        fn no_vector_panics(vector in "(CVSS:[2345]\\.[01])?(/(AV|AC|AT|PR|UI|VC|VI|S|C|I|A|E|Au|\\PC):[NLHPRUACS]?){0,14}|\\PC{0,40}") {
            let _ = AdvisorySeverity::of_vector(&vector);
        }
    }
}
