//! Requests with bodies, well-behaved or not: sent at once, or piece by piece in the test's own time, with
//! a length that need not be true, to be ended, left hanging or broken off.

use std::io;
use std::net::Shutdown;

use super::{Answer, Client, Conversation};

/// What the head says of the body's length.
#[derive(Clone, Copy)]
pub(crate) enum Announced {
    /// So many bytes, whatever is then sent.
    Length(u64),
    Chunked,
    /// Nothing, so no body is expected.
    Nothing,
}

impl Client {
    /// Sends a request with this body and its length, and reads the answer, even one that comes before
    /// all of the body was taken.
    pub(crate) fn send_body(
        self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.try_send_body(method, target, fields, body)
            .unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    pub(crate) fn try_send_body(
        self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let announced = Announced::Length(body.len() as u64);
        let mut upload = self.upload(method, target, fields, announced)?;
        // Who refuses early may close before all is sent; what it said counts.
        let written = upload.piece(body);
        match upload.finish() {
            Ok(answer) => Ok(answer),
            Err(error) => written.and(Err(error)),
        }
    }

    /// Sends the head of a request and leaves its body to the test.
    pub(crate) fn upload(
        self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        announced: Announced,
    ) -> io::Result<Upload> {
        let mut conversation = Conversation::open(self.0)?;
        let mut fields = fields.to_vec();
        let length = match announced {
            Announced::Length(length) => length.to_string(),
            _ => String::new(),
        };
        match announced {
            Announced::Length(_) => fields.push(("content-length", &length)),
            Announced::Chunked => fields.push(("transfer-encoding", "chunked")),
            Announced::Nothing => {}
        }
        conversation.ask(method, target, &fields)?;
        let chunked = matches!(announced, Announced::Chunked);
        Ok(Upload { conversation, method: method.to_owned(), chunked })
    }
}

/// A request whose head was sent. Held and not used, it is a client that stalls.
pub(crate) struct Upload {
    conversation: Conversation,
    method: String,
    chunked: bool,
}

impl Upload {
    /// Sends the next piece of the body, in a chunk of its own where there are chunks.
    pub(crate) fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.chunked {
            return self.conversation.write(bytes);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.conversation.write(format!("{:x}\r\n", bytes.len()).as_bytes())?;
        self.conversation.write(bytes)?;
        self.conversation.write(b"\r\n")
    }

    /// Sends bytes as they are, also where there are chunks.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.conversation.write(bytes)
    }

    /// Ends the body where the framing has an end of its own, and reads the answer.
    pub(crate) fn finish(mut self) -> io::Result<Answer> {
        if self.chunked {
            self.conversation.write(b"0\r\n\r\n").ok();
        }
        self.answer()
    }

    /// Reads the answer, the body ended or not.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        self.conversation.answer_to(&self.method)
    }

    /// Says that nothing more will be sent, in the middle of the body, and reads what is answered.
    pub(crate) fn stop_short(mut self) -> io::Result<Answer> {
        self.conversation.shut(Shutdown::Write)?;
        self.answer()
    }

    /// Hangs up in the middle of the body.
    pub(crate) fn leave(self) {
        self.conversation.hang_up();
    }

    /// Whether the peer has closed, having said nothing more.
    pub(crate) fn is_over(&mut self) -> bool {
        self.conversation.is_over()
    }
}
