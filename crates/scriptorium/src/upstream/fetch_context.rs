//! On whose behalf a registry is asked, and whether a client waits for the answer.
//!
//! Owns what travels with a fetch from the client's request to the registry. Must not know what is fetched.

use std::time::Duration;

use tokio::time::Instant;

use crate::limit::Client;

/// Whether a client waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// A client waits.
    Foreground,
    /// No client waits: the client was answered with the held document.
    Background,
}

/// Work that no client asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BackgroundWork<'a> {
    /// Looking at advisories.
    Advisories,
    /// Reading manifests of held archives.
    Manifests,
    /// A run of this mirror.
    Mirror(&'a str),
}

impl BackgroundWork<'_> {
    /// An id for its requests. Nothing else makes such ids, so that the logs of this proxy and of the registry say which work asked.
    pub(crate) fn request_id(self) -> String {
        let number = fastrand::u32(..);
        match self {
            Self::Advisories => format!("advisories-{number:08x}"),
            Self::Manifests => format!("manifests-{number:08x}"),
            Self::Mirror(name) => format!("mirror-{name}-{number:08x}"),
        }
    }
}

/// The request that led to a fetch, and how urgent the fetch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FetchContext<'a> {
    /// The request id, as in the logs of this proxy and of the registry.
    pub(crate) id: &'a str,
    pub(crate) urgency: Urgency,
    /// Whether the client accepts only what is held, so that no registry is asked.
    pub(crate) held_only: bool,
    /// Whether the registry said before that there is no such document, and may confirm that.
    pub(crate) was_absent: bool,
    /// The client whose share the fetch counts in; none where no client asked.
    pub(crate) client: Option<&'a Client>,
    /// Until when the client waits where a stale answer is available. One deadline covers all fetches of the request.
    until: Option<Instant>,
}

impl<'a> FetchContext<'a> {
    /// The fetches of the request `id`, whose client waits.
    pub(crate) fn foreground(id: &'a str) -> Self {
        let urgency = Urgency::Foreground;
        Self { id, urgency, held_only: false, was_absent: false, client: None, until: None }
    }

    /// The fetches of work with this id that no client waits for.
    pub(crate) fn background(id: &'a str) -> Self {
        Self::foreground(id).in_background()
    }

    /// The same, for this client.
    pub(crate) fn of(self, client: &'a Client) -> Self {
        Self { client: Some(client), ..self }
    }

    /// The same request's work after the client was answered.
    pub(crate) fn in_background(self) -> Self {
        Self { urgency: Urgency::Background, until: None, ..self }
    }

    /// The same for a client that, if it `wants` that, accepts only what is held.
    pub(crate) fn held_only(self, wants: bool) -> Self {
        Self { held_only: wants, ..self }
    }

    /// The same for a document of which the registry said, if it `was_absent`, that there is none.
    pub(crate) fn was_absent(self, was_absent: bool) -> Self {
        Self { was_absent, ..self }
    }

    /// The same, with a deadline that begins now unless it began before.
    pub(crate) fn waiting(self, patience: Duration) -> Self {
        Self { until: Some(self.until(patience)), ..self }
    }

    /// The same, with a new deadline: a registry just answered.
    pub(crate) fn waiting_anew(self, patience: Duration) -> Self {
        Self { until: None, ..self }.waiting(patience)
    }

    /// The deadline, if the wait begins now.
    pub(crate) fn until(self, patience: Duration) -> Instant {
        self.until.unwrap_or_else(|| Instant::now() + patience)
    }

    /// The same, for a task that may outlive the request.
    pub(crate) fn owned(self) -> OwnedFetchContext {
        let Self { id, urgency, held_only, was_absent, client, until } = self;
        let (id, client) = (id.to_owned(), client.cloned());
        OwnedFetchContext { id, urgency, held_only, was_absent, client, until }
    }

    /// Whether no client waits.
    pub(crate) fn is_background(self) -> bool {
        self.urgency == Urgency::Background
    }
}

/// A context that a task owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnedFetchContext {
    id: String,
    urgency: Urgency,
    held_only: bool,
    was_absent: bool,
    client: Option<Client>,
    until: Option<Instant>,
}

impl OwnedFetchContext {
    pub(crate) fn borrowed(&self) -> FetchContext<'_> {
        let Self { id, client, .. } = self;
        let (urgency, held_only, was_absent, until) =
            (self.urgency, self.held_only, self.was_absent, self.until);
        FetchContext { id, urgency, held_only, was_absent, client: client.as_ref(), until }
    }
}
