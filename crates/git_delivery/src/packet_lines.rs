//! The lines that the protocol is made of (`pkt-line`).
//!
//! Owns sections of lines, the server's refusal among them, and the bands of a pack. Must not know what a line means.

use std::io::{self, BufReader, Read};
use std::ops::ControlFlow;

use archive::Excerpt;
use gix_packetline::PacketLineRef;
use gix_packetline::blocking_io::{StreamingPeekableIter, encode};

use crate::FetchError;
use crate::error::AnswerError;
use crate::transport::AnswerBody;

/// The lines of an answer.
pub(crate) struct PacketLines<'a>(StreamingPeekableIter<BufReader<AnswerBody<'a>>>);

/// What a section holds next.
pub(crate) enum PacketLine<'a> {
    /// A line, without the line feed at its end.
    Text(&'a [u8]),
    /// The end of a section, after which another follows.
    SectionEnd,
    /// The end of the answer.
    End,
}

impl<'a> PacketLines<'a> {
    pub(crate) fn of(body: AnswerBody<'a>) -> Self {
        Self(StreamingPeekableIter::new(BufReader::new(body), &[PacketLineRef::Flush], false))
    }

    pub(crate) fn next_line(&mut self) -> Result<PacketLine<'_>, FetchError> {
        let line = match self.0.read_line() {
            None => return Ok(PacketLine::End),
            Some(read) => read.map_err(unreadable)?.map_err(|_| MALFORMED)?,
        };
        if let Some(said) = line.check_error() {
            return Err(FetchError::Refused(Excerpt::new(said.0.trim_ascii_end())));
        }
        match line {
            PacketLineRef::Data(text) => Ok(PacketLine::Text(text.strip_suffix(b"\n").unwrap_or(text))),
            PacketLineRef::Delimiter => Ok(PacketLine::SectionEnd),
            PacketLineRef::Flush | PacketLineRef::ResponseEnd => Err(MALFORMED),
        }
    }

    /// Goes on behind an end.
    pub(crate) fn reopen(&mut self) {
        self.0.reset();
    }

    /// Passes on the first band of the lines up to the next end. The second has messages about progress, the third the server's refusal.
    pub(crate) fn pack<T>(
        &mut self,
        read: impl FnOnce(&mut dyn Read) -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let mut said = None;
        let result = {
            let bands = self.0.as_read_with_sidebands(|refused, text: &[u8]| match refused {
                true => {
                    said = Some(Excerpt::new(text.trim_ascii_end()));
                    ControlFlow::Break(())
                }
                false => ControlFlow::Continue(()),
            });
            read(&mut Bands(bands))
        };
        match said {
            Some(said) => Err(FetchError::Refused(said)),
            None => result,
        }
    }
}

const MALFORMED: FetchError = FetchError::Malformed("a line is not in its form");

fn unreadable(error: io::Error) -> FetchError {
    AnswerError::cause(error, |_| FetchError::Malformed("it ends within a line, or before its end"))
}

/// The first band. An error that is not the body's own says that a line is in no band.
struct Bands<R>(R);

impl<R: Read> Read for Bands<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| AnswerError::carry(unreadable(error)))
    }
}

/// Builds a request of lines.
#[derive(Default)]
pub(crate) struct Command(Vec<u8>);

impl Command {
    /// A line. It must not be longer than a line may be.
    pub(crate) fn line(mut self, text: &str) -> Self {
        debug_assert!(text.len() < 1000, "callers bound what they write");
        // Writing into memory does not fail.
        let _ = encode::text_to_write(text.as_bytes(), &mut self.0);
        self
    }

    pub(crate) fn section(mut self) -> Self {
        let _ = encode::delim_to_write(&mut self.0);
        self
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        let _ = encode::flush_to_write(&mut self.0);
        self.0
    }
}
