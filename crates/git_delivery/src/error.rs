//! Why a fetch failed.
//!
//! Owns the difference between a failed exchange, a definite answer, a server that breaks the protocol, a limit, and the disk. Must not
//! know HTTP, or what a client is told.

use std::io;

use archive::Excerpt;

use crate::{GitExcess, ObjectError};

/// Why a fetch failed. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The exchange failed, or broke off. The error of the transport is the source.
    #[error("the exchange with the Git server failed; try again")]
    Transport(#[source] io::Error),
    /// The server said in Git's form that it does not give what it was asked for. Its words are not for clients.
    #[error("the Git server refused the request; check the repository and the reference")]
    Refused(Excerpt),
    /// The server is one, but speaks another form.
    #[error("the Git server is not supported: {0}")]
    Unsupported(&'static str),
    /// The answer is not in the form of the protocol.
    #[error("the answer of the Git server is malformed: {0}")]
    Malformed(&'static str),
    /// The pack is not in its form.
    #[error("the pack of the Git server is refused: {0}")]
    Pack(#[from] PackFault),
    /// A limit was reached.
    #[error("the repository exceeds a limit: {0}")]
    Exceeded(#[from] GitExcess),
    /// The disk failed.
    #[error("the repository cannot be stored; look at the disk")]
    Storage(#[source] io::Error),
}

/// What is wrong with a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackFault {
    /// It does not begin as a pack does.
    #[error("expected a pack of version 2 or 3")]
    Header,
    /// It has no object.
    #[error("it is empty")]
    Empty,
    /// It ends before its end.
    #[error("it ends before the last of the objects that it announces")]
    Truncated,
    /// An entry is none.
    #[error("an entry is malformed")]
    Entry,
    /// An object's compressed bytes are damaged.
    #[error("the compressed bytes of an object are damaged")]
    Zlib,
    /// An object has another length than the one that its entry claims.
    #[error("an object has not the length that it claims")]
    Length,
    /// A difference refers to no object before it.
    #[error("an object is a difference from what is no object before it")]
    DeltaBase,
    /// A difference cannot be applied.
    #[error("an object is a difference that cannot be applied")]
    Delta,
    /// Differences refer to objects that are not in the pack, or to each other.
    #[error("an object is a difference from one that is not there")]
    Incomplete,
    /// An object or the pack was made to have the name of another.
    #[error("its bytes were made to collide with others")]
    Collision,
    /// The checksum at its end is not its own.
    #[error("its checksum is wrong")]
    Checksum,
    /// Something follows its end.
    #[error("bytes follow its end")]
    Trailing,
    /// What was asked for, or an object that it refers to, is not there.
    #[error("it lacks an object that was asked for")]
    Lacks,
    /// A commit or a tree is malformed, or refers to an object of another kind.
    #[error("it holds a malformed commit or tree")]
    Object,
}

/// What a stored object says of the pack that it came in.
impl From<ObjectError> for FetchError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Missing(_) => PackFault::Lacks.into(),
            ObjectError::Kind { .. } | ObjectError::Malformed(_) | ObjectError::NoCommit => {
                PackFault::Object.into()
            }
            // The bytes were sound when they were received.
            ObjectError::Damaged(_) => Self::Storage(io::Error::other(error)),
            ObjectError::Exceeded(excess) => excess.into(),
            ObjectError::Storage(error) => Self::Storage(error),
        }
    }
}

/// Why reading an answer failed, on its way through readers that know only [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("the body cannot be read")]
pub(crate) struct AnswerError(pub(crate) FetchError);

impl AnswerError {
    pub(crate) fn carry(error: impl Into<FetchError>) -> io::Error {
        io::Error::other(Self(error.into()))
    }

    /// The cause inside of `error`, or what `other` makes of an error that has none.
    pub(crate) fn cause(error: io::Error, other: impl FnOnce(&io::Error) -> FetchError) -> FetchError {
        match error.downcast::<Self>() {
            Ok(Self(cause)) => cause,
            Err(error) => other(&error),
        }
    }
}
