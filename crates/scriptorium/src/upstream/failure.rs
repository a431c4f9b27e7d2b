//! Why a registry gave no answer, in words that a client may read.
//!
//! What a failure means is decided in one table, [`CouldNotAsk::facets`]: which side it comes from, how far the request
//! got, when to ask again, what it says about the registry's health, and its word in metrics. Everything else that
//! depends on a failure follows from its facets. Owns the kinds of failure and that table. Must not know the statuses of
//! this proxy's own answers. Never holds a credential, a query string or an error text of a library.

use std::time::Duration;

use url::Url;

use super::guard::GuardRule;
use super::{ConnectFailure, ConnectTarget};
use crate::progress::Stalled;

/// Whom the texts are about.
const REGISTRY: &str = "the registry";

/// When a request that is under way may have ended.
const SOON: Duration = Duration::from_secs(5);

/// Why there is no definite answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CouldNotAsk {
    /// No connection could be made.
    #[error("no connection to the registry could be made: {0}; {advice}", advice = advice(*.0))]
    Unreachable(ConnectFailure),
    /// No byte came for longer than the configuration allows.
    #[error("the registry did not answer in time; try again later")]
    TimedOut,
    /// The answer ended before it was complete.
    #[error("the registry's answer broke off before it was complete; try again later")]
    BrokenBody,
    /// The body of the request ended before it was complete. That says nothing about the registry.
    #[error("the request's body ended before it was complete; send the whole request again")]
    Unsent,
    /// A 5xx status.
    #[error("the registry failed with status {0}; try again later")]
    ServerError(u16),
    /// The registry asks to be left alone.
    #[error("the registry takes no more requests for now; try again later")]
    Throttled {
        /// For how long, if it said so.
        retry_after: Option<Duration>,
    },
    /// The registry was not asked: it failed repeatedly, or asked to be left alone.
    #[error(
        "requests to the registry are paused, after failures or because it asked for that; try again later"
    )]
    Paused {
        /// For how much longer.
        for_: Duration,
    },
    /// The registry was not asked: requests of the last minute used up the budget, or other proxies have what is left.
    #[error(
        "this proxy may send the registry no request now: those of this minute are used up, or other proxies have \
         them; try again later, or ask this proxy's operator to raise `requests_per_minute`"
    )]
    OverBudget {
        /// For how much longer.
        for_: Duration,
    },
    /// The registry was not asked: no slot or memory became free in time.
    #[error("too many requests to the registry are under way; try again later")]
    Busy,
    /// The request was under way, and was broken off here: other proxies needed back what it used. That says nothing about the
    /// registry.
    #[error("other proxies needed back what they had lent for this request to the registry; try again later")]
    Recalled,
    /// The registry does not accept this proxy's own credential, or requires one.
    #[error("the registry does not accept this proxy's credential; its operator must configure a valid one")]
    CredentialRefused,
    /// The registry points to an address that the guard forbids.
    #[error("the registry points to {host}, which this proxy does not connect to: {rule}")]
    Forbidden {
        /// The host pointed to.
        host: String,
        /// The rule that forbids it.
        rule: GuardRule,
    },
    /// The registry points to something that is not a URL.
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
    /// The answer is in a content coding that this proxy does not read.
    #[error(
        "the registry sends its answer in the content coding {0}, which this proxy does not read: it asks for none, and \
         reads gzip, deflate, br and zstd, two of them at most; report it to its operator"
    )]
    UnreadCoding(String),
    /// The answer is labelled with a content coding, and cannot be decoded as that.
    #[error(
        "the registry labels its answer with the content coding {0}, and it cannot be decoded as that; report it to its operator"
    )]
    Undecodable(String),
    /// Redirected once too often.
    #[error("the registry redirects too often; expected at most 5 redirects")]
    TooManyRedirects,
}

/// The side that a failure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureSide {
    /// The registry, a host that it points to, or the way there.
    Registry,
    /// The client, whose request broke off.
    Client,
    /// This proxy, which bounds what it asks.
    Proxy,
    /// No side: the registry is paused, after failures or because it asked for that.
    Nobody,
}

/// How far a request got that has no usable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestReach {
    /// It was not sent.
    NotSent,
    /// There was no connection to send it over.
    Unconnected,
    /// Only a part of it was sent.
    Partial,
    /// It was sent, and no answer came in time.
    TimedOut,
    /// It was sent, and the connection broke before the answer was complete.
    BrokenOff,
    /// It was answered, with this status where that matters.
    Answered(Option<u16>),
}

/// When the same may be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// At once: that may help.
    AtOnce,
    /// Later; after this wait where it is known.
    Later(Option<Duration>),
    /// Unknown.
    Unknown,
}

/// What an exchange says about the registry's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// What a failure means, for everything that has to be decided about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facets {
    /// The side it comes from.
    pub(crate) fault: FailureSide,
    /// How far the request got.
    pub(crate) reach: RequestReach,
    /// When to ask again.
    pub(crate) again: Again,
    /// What it says about the registry's health, if anything.
    pub(super) health: Option<Health>,
    /// The word for it in metrics and in the status, from a closed set.
    pub(super) word: &'static str,
}

/// The advice for the client.
fn advice(why: ConnectFailure) -> &'static str {
    if why.may_pass() { "try again later" } else { "tell this proxy's operator" }
}

impl CouldNotAsk {
    /// The guard's refusal of `url`. It names only the host.
    pub(super) fn forbidden(url: &Url, rule: GuardRule) -> Self {
        Self::Forbidden { host: url.host_str().unwrap_or("no host").to_owned(), rule }
    }

    /// What the failure means.
    pub(crate) fn facets(&self) -> Facets {
        use Again::{AtOnce, Later, Unknown};
        use FailureSide::{Client, Nobody, Proxy, Registry};
        use RequestReach::{Answered, BrokenOff, NotSent, Partial, TimedOut, Unconnected};
        const UP: Option<Health> = Some(Health::Up);
        const DOWN: Option<Health> = Some(Health::Down);

        let at_once_if = |helps: bool| if helps { AtOnce } else { Unknown };
        let (fault, reach, again, health, word) = match self {
            Self::Unreachable(why) => (Registry, Unconnected, at_once_if(why.may_pass()), DOWN, why.as_str()),
            // A wait that was already too long is not doubled.
            Self::TimedOut => (Registry, TimedOut, Unknown, DOWN, "timeout"),
            Self::BrokenBody => (Registry, BrokenOff, AtOnce, DOWN, "broken"),
            Self::Unsent => (Client, Partial, Unknown, None, "unsent"),
            Self::ServerError(status) => {
                let again = at_once_if(matches!(status, 502..=504));
                (Registry, Answered(Some(*status)), again, DOWN, status_label(*status))
            }
            Self::Throttled { retry_after } => {
                (Registry, Answered(None), Later(*retry_after), UP, "throttled")
            }
            Self::Paused { for_ } => (Nobody, NotSent, Later(Some(*for_)), None, "paused"),
            Self::OverBudget { for_ } => (Proxy, NotSent, Later(Some(*for_)), None, "budget"),
            Self::Busy => (Proxy, NotSent, Later(Some(SOON)), None, "busy"),
            Self::Recalled => (Proxy, BrokenOff, Later(Some(SOON)), None, "recalled"),
            Self::CredentialRefused => (Registry, Answered(Some(401)), Unknown, UP, "401"),
            Self::Forbidden { .. } => (Registry, NotSent, Unknown, None, "forbidden"),
            Self::BadLocator => (Registry, NotSent, Unknown, UP, "forbidden"),
            Self::TooLarge { .. } => (Registry, Answered(None), Unknown, UP, "too-large"),
            Self::Unexpected(status) => {
                (Registry, Answered(Some(*status)), Unknown, UP, status_label(*status))
            }
            Self::UnreadCoding(_) | Self::Undecodable(_) => (Registry, Answered(None), Unknown, UP, "coding"),
            Self::TooManyRedirects => (Registry, Answered(None), Unknown, UP, "redirects"),
        };
        Facets { fault, reach, again, health, word }
    }

    /// What the operator can do where no connection could be made.
    pub(super) fn remedy(&self) -> Option<String> {
        match self {
            Self::Unreachable(why) => Some(why.remedy(ConnectTarget::Registry)),
            _ => None,
        }
    }

    /// How long to wait before asking again, where that is known.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self.facets().again {
            Again::Later(wait) => wait,
            Again::AtOnce | Again::Unknown => None,
        }
    }

    /// Whether the registry may have done what was asked, although there is no usable answer.
    pub(crate) fn may_have_happened(&self) -> bool {
        matches!(
            self.facets().reach,
            RequestReach::TimedOut | RequestReach::BrokenOff | RequestReach::Answered(_)
        )
    }

    /// Whether the address of a file no longer gives it: the address may have been valid for a time only.
    pub(crate) fn is_of_address(&self) -> bool {
        matches!(self.facets().reach, RequestReach::Answered(Some(401 | 403 | 404 | 410)))
    }

    /// The text, about another host than the registry's. Which hosts there are is the registry's doing.
    pub(crate) fn said_of(&self, host: &str) -> String {
        match self {
            Self::Forbidden { .. } | Self::BadLocator => self.to_string(),
            _ => self.to_string().replace(REGISTRY, host),
        }
    }

    /// Whether asking again at once may help.
    pub(super) fn is_transient(&self) -> bool {
        self.facets().again == Again::AtOnce
    }
}

impl From<Stalled> for CouldNotAsk {
    fn from(_: Stalled) -> Self {
        Self::TimedOut
    }
}

/// A status as a metric label; the registry must not be able to invent new ones.
pub(super) fn status_label(status: u16) -> &'static str {
    match status {
        200 => "200",
        201 => "201",
        202 => "202",
        204 => "204",
        206 => "206",
        304 => "304",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        409 => "409",
        410 => "410",
        413 => "413",
        415 => "415",
        416 => "416",
        422 => "422",
        429 => "429",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        _ => "other",
    }
}
