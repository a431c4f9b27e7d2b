//! On whose behalf a registry is asked, and whether anybody waits for it.
//!
//! Owns what goes with a question from the client's request to the registry. Must not know what is asked.

use std::time::Duration;

use tokio::time::Instant;

use crate::limit::Client;

/// Whether somebody waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// A client does.
    Foreground,
    /// Nobody does: what is held was already answered with.
    Background,
}

/// The request that led to a question, and how urgent that question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errand<'a> {
    /// How logs, here and there, call the request.
    pub id: &'a str,
    /// Whether its client waits for this.
    pub urgency: Urgency,
    /// Whether its client takes what is held and nothing else, so that nobody is asked for it.
    pub held_only: bool,
    /// Whose share of what many want it counts in; of nobody's where no client asked.
    pub client: Option<&'a Client>,
    /// Until when its client waits where something stale could be given: once, for all that is asked on its way.
    until: Option<Instant>,
}

impl<'a> Errand<'a> {
    /// What the client of the request `id` waits for.
    #[must_use]
    pub fn foreground(id: &'a str) -> Self {
        Self { id, urgency: Urgency::Foreground, held_only: false, client: None, until: None }
    }

    /// The same of this client.
    #[must_use]
    pub fn of(self, client: &'a Client) -> Self {
        Self { client: Some(client), ..self }
    }

    /// The same request's work behind its answer.
    #[must_use]
    pub fn behind(self) -> Self {
        Self { urgency: Urgency::Background, until: None, ..self }
    }

    /// The same for a client that takes nothing but what is held, where it `wants` that.
    #[must_use]
    pub fn held_only(self, wants: bool) -> Self {
        Self { held_only: wants, ..self }
    }

    /// The same from now on, where it did not begin before.
    #[must_use]
    pub fn waiting(self, patience: Duration) -> Self {
        Self { until: Some(self.until(patience)), ..self }
    }

    /// The same, whose client was just answered by a registry and may wait anew.
    #[must_use]
    pub fn waiting_anew(self, patience: Duration) -> Self {
        Self { until: None, ..self }.waiting(patience)
    }

    /// Until when its client waits, if it begins to now.
    #[must_use]
    pub fn until(self, patience: Duration) -> Instant {
        self.until.unwrap_or_else(|| Instant::now() + patience)
    }

    /// The same, to outlive the request.
    #[must_use]
    pub fn kept(self) -> KeptErrand {
        KeptErrand {
            id: self.id.to_owned(),
            urgency: self.urgency,
            held_only: self.held_only,
            client: self.client.cloned(),
            until: self.until,
        }
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_behind(self) -> bool {
        self.urgency == Urgency::Background
    }
}

/// An errand of a task that may outlive the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptErrand {
    id: String,
    urgency: Urgency,
    held_only: bool,
    client: Option<Client>,
    until: Option<Instant>,
}

impl KeptErrand {
    /// The errand.
    #[must_use]
    pub fn lend(&self) -> Errand<'_> {
        let Self { id, urgency, held_only, client, until } = self;
        Errand { id, urgency: *urgency, held_only: *held_only, client: client.as_ref(), until: *until }
    }
}
