//! One entry of the audit record, before it is chained.
//!
//! Owns who can act and the words for what is done, and bounds every text. Must not know the chain.

use std::net::IpAddr;

use serde_json::{Map, Value};

/// Longer texts are cut.
const LONGEST_TEXT: usize = 512;

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident = $word:literal;)*) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum AuditAction {
            /// A write or an action of an operator, by its name on its route.
            Named(&'static str),
            $($(#[$doc])* $action,)*
        }

        impl AuditAction {
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    Self::Named(name) => name,
                    $(Self::$action => $word,)*
                }
            }
        }
    };
}

actions! {
    /// The proxy started.
    Start = "start";
    Reload = "reload";
    Import = "import";
    PinsImported = "pins-import";
    PinsRemoved = "pins-remove";
    /// A command removed what is worth least from the store.
    Collected = "store-gc";
    /// A command set damaged values aside, or packed archives anew.
    Repaired = "repair";
    /// A command brought a mirror in.
    Synced = "sync";
    PolicyRefusal = "policy-refusal";
    WaiverUsed = "waiver-used";
    /// The record goes on in another file.
    Continued = "continued";
    /// What stands before, after the last whole line, was cut by a crash.
    Sealed = "sealed";
    /// Lines could not be written.
    Lost = "lost";
}

/// Who acted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Actor {
    /// The holder of a token that this proxy knows, by its name.
    Holder(String),
    /// A client without a credential.
    Anonymous,
    /// A client with a credential that this proxy does not know; the registry may know it.
    UnknownCredential,
    /// Somebody at the admin port with the admin token.
    AdminToken,
    /// Somebody at the admin port with the admin token of this name.
    AdminHolder(String),
    /// Somebody at the admin port, which requires no token.
    AdminPort,
    /// Somebody who may signal the process.
    Signal,
    /// A command, by the number of the user that ran it.
    Command(u32),
    /// The proxy itself.
    Proxy,
}

impl Actor {
    fn text(&self) -> String {
        match self {
            Self::Holder(name) => format!("token:{name}"),
            Self::Anonymous => "anonymous".to_owned(),
            Self::UnknownCredential => "unknown-credential".to_owned(),
            Self::AdminToken => "admin-token".to_owned(),
            Self::AdminHolder(name) => format!("admin-token:{name}"),
            Self::AdminPort => "admin-port".to_owned(),
            Self::Signal => "signal".to_owned(),
            Self::Command(user) => format!("command:{user}"),
            Self::Proxy => "proxy".to_owned(),
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AuditEntry {
    pub(super) who: String,
    pub(super) from: String,
    pub(super) what: &'static str,
    pub(super) more: Map<String, Value>,
    /// Whether the log has the same already.
    pub(super) is_logged: bool,
}

impl AuditEntry {
    /// What `who` did from an address, or from this machine.
    pub(crate) fn new(what: AuditAction, who: &Actor, from: Option<IpAddr>) -> Self {
        let from = from.map_or_else(|| "local".to_owned(), |from| from.to_string());
        Self {
            who: cut(&who.text()).to_owned(),
            from,
            what: what.as_str(),
            more: Map::new(),
            is_logged: false,
        }
    }

    /// The same, of which the log has a line of its own.
    pub(crate) fn logged(self) -> Self {
        Self { is_logged: true, ..self }
    }

    /// The same with one more member; a name that every line has is not taken.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::String(text) => cut(&text).into(),
            value => value,
        };
        if !matches!(name, "time" | "who" | "from" | "what" | "previous") {
            self.more.insert(name.to_owned(), value);
        }
        self
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_and_no_member_is_named_twice() {
        let long = "é".repeat(1000);
        let who = Actor::Holder(long.clone());
        let entry =
            AuditEntry::new(AuditAction::Reload, &who, None).with("about", long).with("previous", "x");
        assert!(
            entry.who.len() <= LONGEST_TEXT && entry.more["about"].as_str().unwrap().len() <= LONGEST_TEXT
        );
        assert!(!entry.more.contains_key("previous"));
    }
}
