//! Text from an archive, made safe for a log line or an answer.
//!
//! Owns escaping and shortening. Must not know what the text means.

use std::fmt;

/// Longest excerpt, in characters of the original.
const LONGEST: usize = 160;

/// The beginning of a hostile text, with everything unprintable escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    /// Shows bytes that may be no text.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        let start = &text[..text.len().min(4 * (LONGEST + 1))];
        let start = String::from_utf8_lossy(start);
        let mut shown: String = start.chars().take(LONGEST).flat_map(char::escape_debug).collect();
        if start.chars().nth(LONGEST).is_some() {
            shown.push('…');
        }
        Self(shown.into())
    }
}

impl From<&str> for Excerpt {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes())
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_unprintable_characters_and_cuts_long_text() {
        assert_eq!(Excerpt::from("docs/안녕 b").to_string(), "docs/안녕 b");
        assert_eq!(Excerpt::new(b"a\r\n\x1b[2J\0\xff").to_string(), "a\\r\\n\\u{1b}[2J\\0\u{fffd}");
        assert_eq!(Excerpt::from("\u{202e}txt").to_string(), "\\u{202e}txt");
        assert_eq!(Excerpt::from(&*"é".repeat(LONGEST)).to_string(), "é".repeat(LONGEST));
        assert_eq!(Excerpt::from(&*"é".repeat(5000)).to_string(), format!("{}…", "é".repeat(LONGEST)));
        assert_eq!(Excerpt::from(&*"🦀".repeat(5000)).to_string(), format!("{}…", "🦀".repeat(LONGEST)));
        assert_eq!(Excerpt::from(&*"안".repeat(5000)).to_string(), format!("{}…", "안".repeat(LONGEST)));
    }
}
