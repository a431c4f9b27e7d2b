//! A reader that stops at a string of JSON longer than any has to be.
//!
//! Owns that bound, without which one string could be as long as the file, in memory. Must not know JSON beyond where a string
//! begins and ends.

use std::io::{self, Read};

use crate::layout::MAX_STRING;

/// Passes JSON on, and fails where a string is too long.
pub(crate) struct BoundedStrings<R> {
    inner: R,
    /// Bytes of the string that is open.
    open: Option<usize>,
    escaped: bool,
}

impl<R: Read> BoundedStrings<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, open: None, escaped: false }
    }

    fn pass(&mut self, byte: u8) -> io::Result<()> {
        let Some(length) = self.open else {
            self.open = (byte == b'"').then_some(0);
            return Ok(());
        };
        let ends = byte == b'"' && !self.escaped;
        if length >= MAX_STRING && !ends {
            let told = format!("a string has more than {MAX_STRING} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, told));
        }
        self.escaped = byte == b'\\' && !self.escaped;
        self.open = (!ends).then_some(length + 1);
        Ok(())
    }
}

impl<R: Read> Read for BoundedStrings<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        buffer[..read].iter().try_for_each(|byte| self.pass(*byte))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_string_stops_it() {
        let read = |text: String| io::copy(&mut BoundedStrings::new(text.as_bytes()), &mut io::sink());
        let long = "x".repeat(MAX_STRING);
        assert!(read(format!("[\"{long}\", \"{long}\"]")).is_ok());
        assert!(read(format!("[{long}{long}]")).is_ok(), "outside of a string");
        assert!(read(format!("[\"{long}x\"]")).is_err());
        assert!(read(format!("[\"\\\"{long}\"]")).is_err(), "an escaped quote ended the string");
        assert!(
            read(format!("[\"\\\\\"{long}{long}\"\"]")).is_ok(),
            "an escaped backslash escaped the quote"
        );
    }
}
