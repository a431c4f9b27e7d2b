//! The content of a sealed file for work that reads it from its start to where it stops.
//!
//! Owns that it is read in steps. Must not know where steps are read from, nor what is done with them.

use std::io::{self, Read};
use std::ops::Range;

use bytes::{Buf, Bytes};

use super::steps;

/// Content of a length, each step of which `read` gives. It blocks the thread if `read` does.
pub(crate) struct SealedContent<F> {
    left: Range<u64>,
    piece: Bytes,
    read: F,
}

impl<F: FnMut(Range<u64>) -> io::Result<Bytes>> SealedContent<F> {
    pub(crate) fn new(length: u64, read: F) -> Self {
        Self { left: 0..length, piece: Bytes::new(), read }
    }
}

impl<F: FnMut(Range<u64>) -> io::Result<Bytes>> Read for SealedContent<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty()
            && let Some(step) = steps(self.left.clone()).next()
        {
            self.left.start = step.end;
            self.piece = (self.read)(step)?;
        }
        let length = self.piece.len().min(into.len());
        let (into, _) = into.split_at_mut(length);
        self.piece.copy_to_slice(into);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sealed::BLOCK;

    #[test]
    fn it_is_read_in_steps_to_its_end_and_no_further_than_asked() {
        let length = 9 * BLOCK + 7;
        let mut asked = Vec::new();
        let mut content = SealedContent::new(length, |step: Range<u64>| {
            asked.push(step.clone());
            Ok(Bytes::from(vec![1; (step.end - step.start) as usize]))
        });
        let mut first = [0; 10];
        content.read_exact(&mut first).unwrap();
        assert_eq!(content.left, 4 * BLOCK..length, "one step");
        let mut rest = Vec::new();
        content.read_to_end(&mut rest).unwrap();
        assert_eq!(rest.len() as u64, length - 10);
        assert_eq!(asked, steps(0..length).collect::<Vec<_>>());
        let mut broken = SealedContent::new(length, |_| Err(io::ErrorKind::InvalidData.into()));
        assert!(broken.read(&mut first).is_err());
    }
}
