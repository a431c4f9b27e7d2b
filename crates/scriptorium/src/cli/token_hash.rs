//! `token hash`: reads a token on standard input and prints its `sha256` line for `[[tokens]]`.
//!
//! Owns the grammar of a token. Never prints the token.

use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;

use crate::domain::Sha256;

/// Longer than any header field.
const LONGEST: u64 = 16 * 1024;

#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error("standard input: {0}")]
    Unreadable(#[from] io::Error),
    #[error("expected a token on standard input, such as: printf %s \"$TOKEN\" | scriptorium token hash")]
    Empty,
    #[error(
        "expected one token of at most 16384 visible ASCII characters, without spaces or line breaks in it"
    )]
    NotAToken,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  printf %s \"$TOKEN\" | scriptorium token hash
  openssl rand -hex 32 | tee ci.token | scriptorium token hash >> tokens.toml

Only the digest goes into the configuration, so that reading it reveals no token.";

pub(super) fn run() -> ExitCode {
    let input = io::stdin().lock();
    if input.is_terminal() {
        super::complain("Paste the token, then press Enter and Ctrl-D:");
    }
    match hash(input) {
        Ok(digest) => super::answer(&format!("sha256 = \"{}\"\n", digest.hex())),
        Err(error) => {
            super::complain(&error.to_string());
            match error {
                TokenError::Unreadable(_) => ExitCode::FAILURE,
                TokenError::Empty | TokenError::NotAToken => ExitCode::from(2),
            }
        }
    }
}

fn hash(input: impl Read) -> Result<Sha256, TokenError> {
    let mut text = Vec::new();
    // One byte more than is allowed, and space for a line break around it.
    input.take(LONGEST + 3).read_to_end(&mut text)?;
    let token = text.trim_ascii();
    if token.is_empty() {
        return Err(TokenError::Empty);
    }
    if token.len() as u64 > LONGEST || !token.iter().all(u8::is_ascii_graphic) {
        return Err(TokenError::NotAToken);
    }
    Ok(Sha256::of(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_break_of_echo_is_not_part_of_the_token() {
        let expected = Sha256::of(b"secret-token");
        for input in ["secret-token", "secret-token\n", "secret-token\r\n", " secret-token "] {
            assert_eq!(hash(input.as_bytes()).unwrap(), expected, "{input:?}");
        }
    }

    #[test]
    fn refuses_what_no_client_could_send() {
        for empty in ["", "\n", "  \r\n"] {
            assert!(matches!(hash(empty.as_bytes()), Err(TokenError::Empty)), "{empty:?}");
        }
        let long = "x".repeat(16 * 1024 + 1);
        for bad in ["a b", "a\nb", "a\tb", "é", "a\0b", &long] {
            assert!(matches!(hash(bad.as_bytes()), Err(TokenError::NotAToken)), "{bad:?}");
        }
        assert!(hash(&long.as_bytes()[1..]).is_ok());
    }
}
