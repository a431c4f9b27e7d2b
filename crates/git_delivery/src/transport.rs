//! The exchange with a server: Git's smart HTTP protocol, version 2.
//!
//! Owns what a request is made of, and how an answer's body is bounded. Whoever implements [`GitTransport`] owns hosts, addresses, credentials,
//! redirects, retries and the time between two bytes. Must not know the lines of the protocol.

use std::io::{self, Read};

use crate::error::AnswerError;
use crate::{FetchError, GitAllowance, GitExcess};

/// Carries requests to one repository.
pub trait GitTransport {
    /// Sends a request and gives the answer, once its head has arrived with status 200. The body is read once, from start to end, and
    /// dropped where it is not needed further.
    ///
    /// A read of the body must end in bounded time. Reads are blocking.
    ///
    /// # Errors
    /// Whatever failed. It comes back inside of [`FetchError::Transport`].
    fn exchange(&mut self, request: &GitRequest<'_>) -> io::Result<GitAnswer<'_>>;
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitRequest<'a> {
    /// A GET: what the server can do.
    Abilities,
    /// A POST with this body: a command.
    Command(&'a [u8]),
}

impl<'a> GitRequest<'a> {
    /// What follows the repository's address.
    #[must_use]
    pub fn path(&self) -> &'static str {
        match self {
            Self::Abilities => "/info/refs?service=git-upload-pack",
            Self::Command(_) => "/git-upload-pack",
        }
    }

    /// The body of a POST; none for a GET.
    #[must_use]
    pub fn body(&self) -> Option<&'a [u8]> {
        match self {
            Self::Abilities => None,
            Self::Command(body) => Some(body),
        }
    }

    /// The headers that the protocol asks for.
    #[must_use]
    pub fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Abilities => &[("git-protocol", "version=2")],
            Self::Command(_) => &[
                ("git-protocol", "version=2"),
                ("content-type", "application/x-git-upload-pack-request"),
                ("accept", "application/x-git-upload-pack-result"),
            ],
        }
    }

    /// The media type of an answer.
    #[must_use]
    pub fn answer_type(&self) -> &'static str {
        match self {
            Self::Abilities => "application/x-git-upload-pack-advertisement",
            Self::Command(_) => "application/x-git-upload-pack-result",
        }
    }
}

/// The answer to a request.
pub struct GitAnswer<'a> {
    /// Its `Content-Type`; empty if there is none.
    pub content_type: String,
    /// Its body, without content coding.
    pub body: Box<dyn Read + 'a>,
}

/// Sends a request. The body of the answer ends with an error beyond `limit`, or when the time is over.
pub(crate) fn ask<'a>(
    transport: &'a mut dyn GitTransport,
    request: &GitRequest<'_>,
    allowance: &'a GitAllowance<'a>,
    limit: (u64, GitExcess),
) -> Result<AnswerBody<'a>, FetchError> {
    allowance.check_time()?;
    let GitAnswer { content_type, body } = transport.exchange(request).map_err(FetchError::Transport)?;
    // Parameters say nothing here.
    let media_type = content_type.split(';').next().unwrap_or_default().trim_ascii();
    if !media_type.eq_ignore_ascii_case(request.answer_type()) {
        return Err(FetchError::Unsupported("it does not answer as a Git server; check the address"));
    }
    let (left, excess) = limit;
    Ok(AnswerBody { body, allowance, left, excess })
}

/// The bounded body of an answer.
pub(crate) struct AnswerBody<'a> {
    body: Box<dyn Read + 'a>,
    allowance: &'a GitAllowance<'a>,
    left: u64,
    excess: GitExcess,
}

impl Read for AnswerBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.allowance.check_time().map_err(AnswerError::carry)?;
        let read =
            self.body.read(buffer).map_err(|error| AnswerError::carry(FetchError::Transport(error)))?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| AnswerError::carry(self.excess))?;
        Ok(read)
    }
}
