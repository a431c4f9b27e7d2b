//! The head of an HTTP/1.1 request, before hyper reads it.
//!
//! Owns where it ends. Must not know what it says. hyper takes 18 KiB for a connection, and so is called only once a head
//! is there.

/// Whether `read` holds a whole head, is as long as a head may be, or cannot be the beginning of one. Its first `judged`
/// bytes were found to be none of these.
pub(super) fn is_head(read: &[u8], judged: usize, most: usize) -> bool {
    let Some(first) = read.first() else { return false };
    let begins = first.is_ascii_alphabetic() || matches!(first, b'\r' | b'\n');
    let mut new = read[judged.saturating_sub(2)..].split(|byte| *byte == b'\n');
    // What follows the last line break is not a line yet.
    let _ = new.next_back();
    !begins || read.len() >= most || new.skip(1).any(|line| matches!(line, b"" | b"\r"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_seen_whole_wherever_it_was_cut() {
        for head in
            ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "GET / HTTP/1.0\n\n", "GET / HTTP/1.1\r\nhost: a\n\r\n"]
        {
            let head = head.as_bytes();
            for judged in 0..head.len() {
                assert!(is_head(head, judged, 1 << 15), "cut at {judged}");
                assert!(
                    !is_head(&head[..head.len() - 1], judged.min(head.len() - 1), 1 << 15),
                    "cut at {judged}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_head_or_too_long_is_not_waited_for() {
        assert!(is_head(b"\x16\x03\x01", 0, 1 << 15) && is_head(b"\0", 0, 1 << 15));
        assert!(is_head(b"GET /", 0, 5) && !is_head(b"GET /", 0, 6) && !is_head(b"", 0, 6));
    }
}
