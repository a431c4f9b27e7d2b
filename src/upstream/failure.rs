//! Why a registry gave no answer, told so that a client may read it.
//!
//! Owns the kinds of failure and what each one means for asking again. Must not know statuses of this proxy's
//! own answers, and never holds a credential, a query string or an error text from inside.

use std::time::Duration;

use super::answer::status_label;
use super::cause::Cause;
use super::guard::Rule;

/// When one of those that are under way may have ended.
const SOON: Duration = Duration::from_secs(5);

/// Why there is no definite answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CouldNotAsk {
    /// No connection.
    #[error("no connection to the registry could be made: {0}; {advice}", advice = .0.advice())]
    Unreachable(Cause),
    /// No byte for longer than the configuration allows.
    #[error("the registry did not answer in time; try again later")]
    TimedOut,
    /// The answer ended before it was complete.
    #[error("the registry's answer broke off before it was complete; try again later")]
    BrokenBody,
    /// The body of the request ended before it was complete, which says nothing of the registry.
    #[error("what was to be sent to the registry broke off before it was complete; send all of it again")]
    Unsent,
    /// A 5xx status.
    #[error("the registry failed with status {0}; try again later")]
    ServerError(u16),
    /// The registry asks to be left alone.
    #[error("the registry takes no more requests for now; try again later")]
    Throttled {
        /// For how long, where it said so.
        retry_after: Option<Duration>,
    },
    /// The registry was not asked: it failed repeatedly, or asked to be left alone.
    #[error(
        "the registry is not being asked for the moment, after failures or at its own wish; try again later"
    )]
    Paused {
        /// For how much longer.
        for_: Duration,
    },
    /// The registry was not asked: as much as this proxy may ask of it in a minute was asked.
    #[error(
        "this proxy has asked the registry as often as it may in a minute; try again later, or have this proxy's \
         operator raise `requests_per_minute`"
    )]
    OverBudget {
        /// For how much longer.
        for_: Duration,
    },
    /// As many requests as are allowed were under way for too long.
    #[error("too many requests to the registry are under way; try again later")]
    Busy,
    /// The registry does not accept this proxy's own credential, or wants one.
    #[error("the registry does not accept this proxy's credential; its operator must configure a valid one")]
    CredentialRefused,
    /// The registry points where this proxy does not go.
    #[error("the registry points to {host}, where this proxy does not go: {rule}")]
    Forbidden {
        /// The host pointed to.
        host: String,
        /// The rule that forbids it.
        rule: Rule,
    },
    /// The registry points to something that is no URL.
    #[error("the registry gives an address that is not a URL; its publisher must correct it")]
    BadLocator,
    /// A document over the limit.
    #[error("the registry's answer is longer than the {limit} bytes this proxy accepts")]
    TooLarge {
        /// The longest document that is accepted.
        limit: u64,
    },
    /// A status that has no meaning here.
    #[error("the registry answered with the unexpected status {0}; if that lasts, report it to its operator")]
    Unexpected(u16),
    /// In a content coding that this proxy does not read.
    #[error(
        "the registry sends its answer in the content coding {0}, which this proxy does not read: it asks for none, and \
         reads gzip, deflate, br and zstd, two of them at most; report it to its operator"
    )]
    UnreadCoding(String),
    /// Labelled with content codings that it is not in.
    #[error(
        "the registry labels its answer with the content coding {0}, and it cannot be decoded as that; report it to its operator"
    )]
    Undecodable(String),
    /// Redirected once too often.
    #[error("the registry redirects too often; expected at most 5 redirects")]
    TooManyRedirects,
}

impl CouldNotAsk {
    /// How long to wait before asking again, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } => *retry_after,
            Self::Paused { for_ } | Self::OverBudget { for_ } => Some(*for_),
            Self::Busy => Some(SOON),
            Self::Unreachable(_)
            | Self::TimedOut
            | Self::BrokenBody
            | Self::Unsent
            | Self::ServerError(_)
            | Self::CredentialRefused
            | Self::Forbidden { .. }
            | Self::BadLocator
            | Self::TooLarge { .. }
            | Self::Unexpected(_)
            | Self::UnreadCoding(_)
            | Self::Undecodable(_)
            | Self::TooManyRedirects => None,
        }
    }

    /// Whether time ran out.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut)
    }

    /// Whether asking again at once may help. A wait that was already too long is not doubled.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(cause) => cause.may_pass(),
            Self::BrokenBody | Self::ServerError(502..=504) => true,
            Self::TimedOut
            | Self::Unsent
            | Self::ServerError(_)
            | Self::Throttled { .. }
            | Self::Paused { .. }
            | Self::OverBudget { .. }
            | Self::Busy
            | Self::CredentialRefused
            | Self::Forbidden { .. }
            | Self::BadLocator
            | Self::TooLarge { .. }
            | Self::Unexpected(_)
            | Self::UnreadCoding(_)
            | Self::Undecodable(_)
            | Self::TooManyRedirects => false,
        }
    }

    /// Whether the address of a file no longer gives it: it may have been good for a time only.
    #[must_use]
    pub fn is_of_address(&self) -> bool {
        matches!(self, Self::CredentialRefused | Self::Unexpected(401 | 403 | 404 | 410))
    }

    /// What became of the exchange, from a closed set.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(cause) => cause.as_str(),
            Self::TimedOut => "timeout",
            Self::BrokenBody => "broken",
            Self::Unsent => "unsent",
            Self::ServerError(status) | Self::Unexpected(status) => status_label(*status),
            Self::Throttled { .. } => "throttled",
            Self::Paused { .. } => "paused",
            Self::OverBudget { .. } => "budget",
            Self::Busy => "busy",
            Self::CredentialRefused => "401",
            Self::Forbidden { .. } | Self::BadLocator => "forbidden",
            Self::TooLarge { .. } => "too-large",
            Self::UnreadCoding(_) | Self::Undecodable(_) => "coding",
            Self::TooManyRedirects => "redirects",
        }
    }
}
