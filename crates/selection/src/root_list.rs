//! Lists of roots: one a line, `#` begins a comment.
//!
//! Owns the form of such a list. Must not know where it is read from.

use super::root::{InvalidRoot, Root};

/// The first line of a list that is no root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {invalid}")]
pub struct InvalidRootList {
    /// Counted from 1.
    pub line: usize,
    #[source]
    pub invalid: InvalidRoot,
}

/// The roots of a list. White space around a root, blank lines, and everything from a `#` on do not count.
///
/// # Errors
/// [`InvalidRootList`] names the first line that is none of these.
pub fn parse_root_list(text: &str) -> Result<Vec<Root>, InvalidRootList> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let roots = text.lines().enumerate().filter_map(|(at, line)| {
        let root = line.split('#').next().unwrap_or_default().trim();
        (!root.is_empty()).then(|| root.parse().map_err(|invalid| InvalidRootList { line: at + 1, invalid }))
    });
    roots.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_root_a_line_with_comments_and_blank_lines() {
        let text = "# ours\n@acme/*   # all of them\r\n\n  lint@^2.0\t\n#lint\nx@1.2.3#pinned\n";
        let roots: Vec<String> = parse_root_list(text).unwrap().iter().map(Root::to_string).collect();
        assert_eq!(roots, ["@acme/*", "lint@^2.0", "x@1.2.3"]);
        assert_eq!(parse_root_list(""), Ok(Vec::new()));
    }

    #[test]
    fn the_error_names_the_line() {
        let error = parse_root_list("lint\n\n# fine\nlint@latest\nAlso bad\n").unwrap_err();
        assert_eq!(error.line, 4);
        assert!(error.to_string().starts_with("line 4: `lint@latest`: "), "{error}");
    }
}
